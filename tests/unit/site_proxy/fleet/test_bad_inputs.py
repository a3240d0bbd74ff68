"""A bad instrument: one ticket for each, one for many at once, and never a page of the process."""

from pathlib import Path

import pytest

from edge_core.contracts.api import AlarmState, Priority
from edge_core.contracts.gateway import BadInput
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.fleet.views import gateway_view
from tests.unit.site_proxy.plant.plant import Plant, plant

pytestmark = pytest.mark.anyio

PRESSURE = BadInput(tag="pressure", words="pressure: value frozen since 04:00, check it")
FLOW = BadInput(tag="flow", words="flow: bad status since 04:00, check it")
MANY = BadInput(tag=None, words="12 tags (a, b, ...): the connection was lost since 04:00")
CASES = {
    "one": ([PRESSURE], ["gateway/g1/input/pressure"]),
    "two": ([PRESSURE, FLOW], ["gateway/g1/input/flow", "gateway/g1/input/pressure"]),
    "many, which the gateway tells in one": ([MANY], ["gateway/g1/inputs"]),
}


async def stands(here: Plant) -> list[str]:
    """What alarms stand, by what they are about."""
    alarms = await here.site.alarms.standing()
    return sorted(each.source for each in alarms if each.active)


@pytest.mark.parametrize("name", CASES)
async def test_tickets(name: str, tmp_path: Path) -> None:
    """Each row is what one gateway says over and over, and the alarms of it, none of which pages.

    When it says so no longer, they return by themselves.
    """
    said, sources = CASES[name]
    async with plant(tmp_path) as here:
        here.gateways["g1"].bad_inputs = said
        for _ in range(5):
            await here.beat()
        assert await stands(here) == sources
        for alarm in await here.site.alarms.standing():
            assert (alarm.kind, alarm.priority) == ("EdgeBadInput", Priority.P3)
            assert alarm.what in {f"gateway g1: {each.words}" for each in said}
            assert alarm.runbook.endswith("/bad-input.md")
        view = gateway_view(here.site.world, "g1", enrolled=True, defer="", health=[])
        assert view.faults == [each.words for each in said]
        here.gateways["g1"].bad_inputs = []
        await here.beat()
        here.clock.turn(120)  # a gateway that starts anew has not said it again yet
        await here.site.alarms.look()
        here.gateways["g1"].bad_inputs = said
        await here.beat()
        here.gateways["g1"].bad_inputs = []
        await here.beat()
        here.clock.turn(240)
        await here.site.alarms.look()
        assert await stands(here) == []
        raised = await here.site.alarms.every(9)
        assert {each.state for each in raised} == {AlarmState.RETURNED_UNACK}
        assert len(raised) == len(sources)
        assert await here.site.store.read(pages) == []


async def test_nobody_is_woken(tmp_path: Path) -> None:
    """Bad instruments on every gateway are as many tickets, and nobody is woken for them."""
    async with plant(tmp_path) as here:
        for gateway in here.gateways.values():
            gateway.bad_inputs = [PRESSURE]
        for _ in range(3):
            await here.beat()
        assert len(await stands(here)) == len(here.gateways)
        assert await here.site.store.read(pages) == []
