"""Silence is an alarm a line, that says how many, since when and who was first."""

from pathlib import Path

import pytest

from edge_core.contracts.api import AlarmState
from edge_site_proxy.fleet.watch import Watch
from tests.unit.site_proxy.plant.plant import Plant, plant

pytestmark = pytest.mark.anyio


def watch(here: Plant) -> Watch:
    """The watch over a plant."""
    return Watch(here.site.world, here.site.store, here.site.alarms, here.site.queue)


async def silent(here: Plant) -> dict[str, str]:
    """What stands about silence, by line."""
    await watch(here).look()
    return {alarm.line: alarm.what for alarm in await here.site.alarms.standing()}


async def test_a_dead_switch(tmp_path: Path) -> None:
    """A line that goes one by one is one alarm whose words keep up, and it names the first."""
    async with plant(tmp_path) as here:
        await here.beat()
        assert await silent(here) == {}
        await here.beat(["g1", "g2", "g3", "g5"])
        here.clock.turn(20)
        await here.beat(["g1", "g2", "g3"])
        await here.beat(["g1", "g2"])
        here.clock.turn(3)
        await here.beat(["g1", "g2"])
        assert await silent(here) == {
            "L2": "1 of 3 gateways of line L2 silent since 08:00, first g4"
        }
        here.clock.turn(60)
        await here.beat(["g1", "g2"])
        whole = "3 of 3 gateways of line L2 silent since 08:00, first g4; a switch, or its power?"
        assert await silent(here) == {"L2": whole}
        await here.beat()
        await silent(here)
        here.clock.turn(60)
        await here.site.alarms.look()
        (alarm,) = await here.site.alarms.standing()
        assert alarm.state is AlarmState.RETURNED_UNACK


async def test_never_heard_is_not_missed(tmp_path: Path) -> None:
    """A gateway that was never put into service is no alarm."""
    async with plant(tmp_path) as here:
        here.clock.turn(10_000)
        assert await silent(here) == {}
