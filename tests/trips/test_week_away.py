"""A gateway is off for a week, two rollouts pass, and it comes back with a clock of its own."""

from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.alarms.pages.queue import pages
from tests.trips.test_console_at_site import site
from tests.trips.test_exceptions_at_site import Commands
from tests.unit.edgetui.made import at_console
from tests.unit.site_proxy.plant.plant import FREE, POLICY, V1, V2, V3

pytestmark = pytest.mark.anyio
AWAY = "g4"
DAYS_7_S = 7 * 86_400.0


async def test_off_for_a_week(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One swap, straight to the newest; seen as 7 days silent; no old alarm pages again."""
    policy = msgspec.structs.replace(
        POLICY, cohorts=[msgspec.structs.replace(rule, least=1) for rule in POLICY.cohorts]
    )
    async with site(tmp_path, policy=policy, inventory=FREE) as (here, socket):
        commands = Commands(socket, capsys)
        await here.bring(V1)
        away = here.gateways.pop(AWAY)
        here.clock.turn(3600)
        for ref in (V2, V3):
            await here.bring(ref)
        here.clock.turn(DAYS_7_S)
        await here.beat()
        view = await commands.said("gateway", AWAY)
        assert view["stale"]
        assert view["age_s"] > DAYS_7_S
        (behind,) = [each for each in await commands.said("exceptions") if each["serial"] == AWAY]
        assert (behind["kind"], behind["age_s"] > DAYS_7_S) == ("catch_up", True)
        async with at_console(socket, size=(120, 36)) as person:
            await person.press("f3")
            await person.shows("STALE: no word from it", "7 d")

        # What it could not tell a week ago: its way back had failed, and a restart mended that.
        away.say(V2.digest, 1, UpdateState.FAIL_SAFE)
        permits = away.permits
        here.gateways[AWAY] = away
        away.ahead_s = 600.0
        await here.beat()
        assert (await commands.said("gateway", AWAY))["clock_ahead_s"] == 600.0
        seen = []
        for _ in range(20):
            await here.beat()
            seen.append(away.committed)
        assert list(dict.fromkeys(seen)) == [V1.digest, V3.digest]
        assert (away.permits - permits, away.previous_good) == (1, V1.digest)
        assert here.rollout(V2).state is RolloutState.COMPLETED
        assert await commands.said("exceptions") == []
        assert await here.site.store.read(pages) == []
        now = here.clock.wall
        windows = (await commands.said("gateway", AWAY))["health"]
        assert any(each["ended"] > now.isoformat() for each in windows)  # kept as its clock said
        tally = here.site.world.tallies[AWAY, V3.digest, "committed"]
        assert tally.last is not None
        assert tally.last <= now
