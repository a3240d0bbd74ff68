"""A gateway or a line that is out for maintenance: nobody waits for it, and it catches up."""

from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.gateway import PermitRequest
from edge_core.contracts.plant import GatewayPlace, Inventory, Line
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.rollout.views import view
from tests.unit.site_proxy.plant.plant import INVENTORY, V1, V2, plant

pytestmark = pytest.mark.anyio


def without(*serials: str) -> Inventory:
    """The plant with these gateways out."""

    def out(each: GatewayPlace) -> GatewayPlace:
        return msgspec.structs.replace(each, maintenance="new disk")

    gateways = [out(each) if each.serial in serials else each for each in INVENTORY.gateways]
    return msgspec.structs.replace(INVENTORY, gateways=gateways)


async def test_nobody_waits_and_it_catches_up(tmp_path: Path) -> None:
    """The rollout ends without it and names it; back again it goes straight to the release."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        gateways = here.gateways
    async with plant(tmp_path, inventory=without("g5"), clock=here.clock) as here:
        here.gateways = gateways
        done = await here.bring(V2)
        assert done.plan.maintenance == {"g5": "new disk"}
        assert "g5" not in done.members_to(len(done.plan.cohorts))
        assert gateways["g5"].committed == V1.digest
    async with plant(tmp_path, clock=here.clock) as here:
        here.gateways = gateways
        for _ in range(20):
            await here.beat()
        assert gateways["g5"].committed == V2.digest


async def test_a_whole_line(tmp_path: Path) -> None:
    """All gateways of a line that is out are out."""
    lines = [Line(name="L1", area="A"), Line(name="L2", area="A", maintenance="new belt")]
    inventory = msgspec.structs.replace(INVENTORY, lines=lines)
    async with plant(tmp_path, inventory=inventory) as here:
        rollout = await here.arrive(V1)
        assert rollout.plan.maintenance == dict.fromkeys(["g3", "g4", "g5"], "line L2: new belt")
        shown = view(here.site.world, rollout)
        assert shown.excluded["g4"] == "maintenance: line L2: new belt"
        assert shown.eta is not None
        assert shown.eta.ends is not None
        assert shown.eta.why.startswith("cohort install: 2 cells of line L1")


async def test_out_in_the_middle_of_a_rollout(tmp_path: Path) -> None:
    """A member that goes out after the plan was made is late, and the others go on."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.approve(V2)
        gateways = here.gateways
    async with plant(tmp_path, inventory=without("g5"), clock=here.clock) as here:
        here.gateways = gateways
        done = await here.until(V2, RolloutState.COMPLETED)
        assert "g5" in done.header.late
        assert gateways["g5"].committed == V1.digest


async def test_its_partner_stays_as_it_is(tmp_path: Path) -> None:
    """Of a pair of which one is out the other is the only one, and is not disturbed."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        gateways = here.gateways
    async with plant(tmp_path, inventory=without("g2"), clock=here.clock) as here:
        here.gateways = gateways
        await here.arrive(V2)
        await here.approve(V2)
        for _ in range(120):
            await here.beat()
        request = PermitRequest(digest=V2.digest, attempt=1, boot_epoch=1)
        reply = await here.site.permit("g3", request)
        assert "partner g2 is not healthy (in maintenance)" in reply.reason
        assert gateways["g3"].committed == V1.digest
