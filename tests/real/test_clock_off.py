"""A gateway's own clock is ten minutes off, and is set while the gateway runs: nothing minds.

faketime shows the daemon another time of day, and leaves its monotonic clock alone, as setting a
clock does. A boot in 1970 is in `tests/endurance/test_start.py`, a plant's clock that is set in
`tests/unit/runtime/test_sensors.py`.
"""

import asyncio
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
TRIAL_S = 4.0  # a gate of five minutes, in a hurry
SEEN_S = 0.5  # how late we may see that it began
LATE_S = 2.0  # how late it may end, and we see it, on a busy machine


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
        async with asyncio.TaskGroup() as group:
            lasted = group.create_task(trial_s(gateway, "2"))
            await gateway.until_decided("2")
            clock.write_text("+0\n")
            await apart(gateway, 0.0)
        assert TRIAL_S - SEEN_S <= lasted.result() <= TRIAL_S + LATE_S
        await until(
            lambda: (
                site.last.update is not None
                and site.last.update.attempt == 2
                and site.last.update.state is UpdateState.COMMITTED
            ),
            "its commit",
        )
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


async def trial_s(gateway: GatewayAtPlant, version: str) -> float:
    """How long the trial of *version* lasts, by our own monotonic clock."""

    def moved(state: UpdateState) -> bool:
        moves = gateway.events("update.moved")
        return any((each["version"], each["state"]) == (version, state.value) for each in moves)

    await until(lambda: moved(UpdateState.TRIAL), f"a trial of version {version}")
    begun_s = time.monotonic()
    await until(lambda: moved(UpdateState.COMMITTED), f"a commit of version {version}")
    return time.monotonic() - begun_s


async def apart(gateway: GatewayAtPlant, ahead_s: float) -> None:
    """Wait until a verdict says so."""

    def said() -> bool:
        found = gateway.verdicts()[-1].clock_ahead_s
        return found is not None and abs(found - ahead_s) < NEAR_S

    await until(said, f"the plant's clock is {ahead_s:+g} s ahead")
