"""A gateway's own clock is ten minutes off, and is set while the gateway runs: nothing minds.

faketime shows the daemon another time of day, and leaves its monotonic clock alone, as setting a
clock does. A boot in 1970 is in `tests/endurance/test_start.py`, a plant's clock that is set in
`tests/unit/runtime/test_sensors.py`.
"""

import time
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.gateway import UpdateState
from tests.real.gateway_at_plant import Contact, GatewayAtPlant, at_plant, need
from tests.simulators.gateway_site import QUICK, serving
from tests.simulators.releases import Workshop
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

SERIAL = "gw-1"
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
OFF_S = 600.0
NEAR_S = 30.0  # a busy machine is late, and not by ten minutes
TRIAL_S = 4.0


def faked(gateway: GatewayAtPlant, clock: Path) -> None:
    """Let the daemon take the time from *clock*, in libfaketime's words."""
    shown = {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": clock,
        "FAKETIME_CACHE_DURATION": 1,
        "FAKETIME_DONT_FAKE_MONOTONIC": 1,
    }
    settings = [f"{name}={value}" for name, value in shown.items()]
    gateway.daemon.command = ["env", *settings, *gateway.daemon.command]


async def test_ten_minutes_off(tmp_path: Path) -> None:
    """Ten minutes fast, set right in a trial, ten minutes slow: the plant's time counts.

    Every window has its verdict and says how far the two clocks are apart; a trial lasts as long
    as it must, whatever the time of day does meanwhile.
    """
    need("faketime")
    workshop, clock = Workshop.below(tmp_path / "workshop"), tmp_path / "clock"
    (tmp_path / "trust-policy.toml").write_text(workshop.policy())
    async with (
        serving(SERIAL, workshop.layout, tmp_path) as site,
        at_plant(tmp_path, tmp_path / "data", SERIAL) as gateway,
    ):
        gateway.configure(Contact(site.url, site.enrol_url, tmp_path / "ca.pem"))
        faked(gateway, clock)
        clock.write_text("+10m\n")
        site.assign(workshop.release("1"))
        gateway.daemon.start()
        await gateway.until_decided("1")
        await apart(gateway, -OFF_S)
        trial = msgspec.structs.replace(QUICK, duration_min_s=TRIAL_S)
        site.assign(workshop.release("2"), attempt=2, trial=trial)
        await gateway.until_decided("2")
        begun_s = time.monotonic()
        clock.write_text("+0\n")
        await apart(gateway, 0.0)
        await until(
            lambda: (
                site.last.update is not None
                and site.last.update.attempt == 2
                and site.last.update.state is UpdateState.COMMITTED
            ),
            "its commit",
        )
        assert time.monotonic() - begun_s > TRIAL_S / 2  # it had begun before we saw it
        clock.write_text("-10m\n")
        await apart(gateway, OFF_S)
        await gateway.until_more(5)
        scored = [verdict for verdict in gateway.verdicts() if verdict.window]
        assert {after.window - before.window for before, after in pairwise(scored)} == {1}
        assert all(before.ended < after.ended for before, after in pairwise(scored))
        first = next(at for at, verdict in enumerate(scored) if verdict.decided)
        assert [each.reason for each in scored[first:] if not each.decided] == []
        counts = gateway.status().windows
        assert (counts.dropped, counts.doubled) == (0, 0)


async def apart(gateway: GatewayAtPlant, ahead_s: float) -> None:
    """Wait until a verdict says so."""

    def said() -> bool:
        found = gateway.verdicts()[-1].clock_ahead_s
        return found is not None and abs(found - ahead_s) < NEAR_S

    await until(said, f"the plant's clock is {ahead_s:+g} s ahead")
