"""Clocks of gateways that are off or set: what is counted is what lasted, in the site's time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.fleet.times import in_site_time, offset_s
from edge_site_proxy.rollout.exceptions import exceptions_of
from tests.unit.site_proxy.plant.plant import V1, V2, plant

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PERIOD_S = 300.0
TEN_S = 600.0


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def window(started: datetime, ended: datetime) -> HealthWindow:
    """A window as it came."""
    return HealthWindow(
        epoch=1,
        number=1,
        digest="sha256:" + "1" * 64,
        role="trial",
        started=started,
        ended=ended,
        scored=1,
    )


ROWS = {
    "a clock that is right": ((at(-5), at(0)), 0.0, (at(-5), at(0))),
    "a clock that nobody told of": ((at(-5), at(0)), None, (at(-5), at(0))),
    "a heartbeat on its way": ((at(-5), at(0)), -59.0, (at(-5), at(0))),
    "a minute slow": ((at(-6), at(-1)), -60.0, (at(-5), at(0))),
    "a long one on a busy gateway": ((at(-11), at(0)), 0.0, (at(-11), at(0))),
    "one a second longer than can be": (
        (at(-11) - timedelta(seconds=1), at(0)),
        0.0,
        (at(-5), at(0)),
    ),
    "ten minutes fast": ((at(5), at(10)), TEN_S, (at(-5), at(0))),
    "ten minutes slow": ((at(-15), at(-10)), -TEN_S, (at(-5), at(0))),
    "an hour old, and ten minutes fast": ((at(-55), at(-50)), TEN_S, (at(-65), at(-60))),
    "fast until it was set, told after that": ((at(5), at(10)), 0.0, (at(-5), at(0))),
    "set forward while it was open": ((at(-15), at(0)), 0.0, (at(-5), at(0))),
    "set back while it was open": ((at(5), at(0)), 0.0, (at(-5), at(0))),
    "cut short": ((at(-1), at(0)), 0.0, (at(-1), at(0))),
}


@pytest.mark.parametrize("row", ROWS)
def test_in_site_time(row: str) -> None:
    """A window lasts as long as it did and ends when that was here, never later than now."""
    came, offset, counted = ROWS[row]
    found = in_site_time(window(*came), offset, NOON, PERIOD_S)
    assert (found.started, found.ended) == counted


@given(st.floats(-1e9, 1e9), st.floats(-1e6, 1e6), st.one_of(st.none(), st.floats(-1e9, 1e9)))
def test_no_clock_can_make_time(began_s: float, lasted_s: float, offset: float | None) -> None:
    """Whatever a clock says, a window counts for few periods, and none lies ahead."""
    started = NOON + timedelta(seconds=began_s)
    came = window(started, started + timedelta(seconds=lasted_s))
    found = in_site_time(came, offset, NOON, PERIOD_S)
    assert timedelta(0) <= found.ended - found.started <= timedelta(seconds=2 * PERIOD_S + 60)
    assert found.ended <= NOON


def test_offset() -> None:
    """Ahead is positive; one that does not say its time has none."""
    assert offset_s(at(10), NOON) == TEN_S
    assert offset_s(None, NOON) is None


@pytest.mark.anyio
async def test_ten_minutes_off_and_set(tmp_path: Path) -> None:
    """Fast, then slow, then right while it soaks: its gate takes as long as with a good clock."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        canary = (await here.arrive(V2)).plan.cohorts[0].members[0]
        gateway = here.gateways[canary]
        gateway.ahead_s = TEN_S
        await here.approve(V2)
        await here.until(V2, RolloutState.SOAKING)
        begun = here.clock.mono
        here_now = here.site.world
        assert here_now.offsets[canary] == TEN_S
        gateway.ahead_s = -TEN_S
        await here.beat()
        gateway.ahead_s = 0.0
        while here.rollout(V2).header.cohort == 0:
            await here.beat()
        tally = here_now.tallies[canary, V2.digest, "committed"]
        assert tally.exposure_s <= here.clock.mono - begun + 10.0
        await here.until(V2, RolloutState.COMPLETED)


@pytest.mark.anyio
async def test_booted_in_1970(tmp_path: Path) -> None:
    """A clock that begins in 1970: windows count, and nothing changes until it is right."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        late = (await here.arrive(V2)).plan.cohorts[2].members[0]
        gateway = here.gateways[late]
        gateway.ahead_s = (datetime(1970, 1, 1, tzinfo=UTC) - here.clock.wall).total_seconds()
        scored = here.site.world.tallies[late, V1.digest, "committed"].scored
        await here.approve(V2)
        for _ in range(60):
            await here.beat()
        assert gateway.committed == V1.digest
        assert "CLOCK: its clock says 1970-01-01" in gateway.deferred[-1]
        assert here.site.world.tallies[late, V1.digest, "committed"].scored > scored
        assert [each.kind.value for each in exceptions_of(here.site.world, late)] == ["clock"]
        gateway.ahead_s = 0.0
        await here.until(V2, RolloutState.COMPLETED)
