"""Why a gateway is not updating, in one line, through a whole rollout."""

from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from edge_site_proxy.rollout.views import view
from edge_site_proxy.rollout.why import why_not
from tests.unit.site_proxy.plant.plant import INVENTORY, V1, V2, Plant, plant

pytestmark = pytest.mark.anyio
R2 = "pump-condition-2.0.0-r2"


def whys(here: Plant) -> dict[str, str]:
    """What each gateway waits for."""
    return {serial: why_not(here.site.world, serial) for serial in here.gateways}


async def test_a_whole_rollout(tmp_path: Path) -> None:
    """Nothing to say, then the approval, the cohort, the line; and nothing again."""
    async with plant(tmp_path) as here:
        assert set(whys(here).values()) == {""}
        await here.bring(V1)
        assert set(whys(here).values()) == {""}
        rollout = await here.arrive(V2)
        assert set(whys(here).values()) == {f"{R2} is awaiting approval"}
        await here.approve(V2)
        await here.beat()
        (canary,), early = (part.members for part in rollout.plan.cohorts[:2])
        said = whys(here)
        assert said[canary] in {"", f"staged with cohort canary of {R2}; waits for the rest of it"}
        assert said[early[0]] == f"moves with cohort early of {R2}; cohort canary is staging"
        await here.until(V2, RolloutState.COMPLETED)
        assert set(whys(here).values()) == {""}
        assert here.gateways[canary].committed == V2.digest


async def test_a_held_rollout(tmp_path: Path) -> None:
    """Those of its cohort and those after it say that it is held, and by whom."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        approved = await here.approve(V2)
        await here.beat()
        moving = here.rollout(V2)
        sender = Sender("olga", etag_of(moving))
        await here.site.desk.hold(approved.id, "shift change", sender)
        (canary,), early = (part.members for part in moving.plan.cohorts[:2])
        held = "is held (operator: olga: shift change)"
        assert why_not(here.site.world, canary) == f"{R2} {held}"
        assert why_not(here.site.world, early[0]).endswith(f"cohort canary is staging; it {held}")


async def test_another_cell_of_the_line(tmp_path: Path) -> None:
    """It names the cell that is open, since when, and when to look again; so does the rollout."""
    async with plant(tmp_path) as here:
        await here.arrive(V1)
        await here.approve(V1)
        for _ in range(8):
            await here.beat(["g1", "g2"])
            if here.gateways["g1"].state is UpdateState.TRIAL:
                break
        words = why_not(here.site.world, "g2")
        assert words.startswith("DEFER: line L1 has cell C1 (g1) ")
        assert " since 08:00 UTC" in words
        shown = view(here.site.world, here.rollout(V1))
        assert {each.serial: each.reason for each in shown.members}["g2"] == words


async def test_out_and_excluded(tmp_path: Path) -> None:
    """Who is in maintenance says that, and who cannot run the release says that."""
    gateways = [
        msgspec.structs.replace(each, maintenance="new disk") if each.serial == "g5" else each
        for each in INVENTORY.gateways
    ]
    inventory = msgspec.structs.replace(INVENTORY, gateways=gateways)
    async with plant(tmp_path, inventory=inventory) as here:
        report = here.gateways["g4"].report()
        other = msgspec.structs.replace(report, targets=["linux-arm64/litert/int8/b1"])
        await here.site.take_status("g4", other)
        await here.arrive(V1)
        said = whys(here)
        assert said["g5"] == "in maintenance: new disk"
        assert said["g4"].startswith("no part in pump-condition-1.0.0-r1: runs linux-arm64/litert")


async def test_gone_from_the_inventory(tmp_path: Path) -> None:
    """A member that has left is said to have, in a view that is there all the same."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.approve(V2)
        await here.beat()
        clock = here.clock
    inventory = msgspec.structs.replace(INVENTORY, gateways=INVENTORY.gateways[:-1])
    async with plant(tmp_path, inventory=inventory, clock=clock) as here:
        shown = view(here.site.world, here.rollout(V2))
        reasons = {each.serial: each.reason for each in shown.members}
        assert reasons["g5"] == "not in the inventory any more"
        assert shown.eta is None
