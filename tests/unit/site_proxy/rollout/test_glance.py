"""Whom the reconciler looks at again: whoever changed, its pair, and everybody now and then."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_core.contracts.plant import Inventory, Zone
from edge_site_proxy.rollout import glance
from edge_site_proxy.rollout.glance import EVERYBODY_S, Glance
from edge_site_proxy.rollout.marks import Mark, Marks
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import Grant
from tests.unit.site_proxy.plant.plant import V1, Plant, place, plant

pytestmark = pytest.mark.anyio
LARGE = Inventory(
    site="P1",
    zones=[Zone(name="plain")],
    gateways=[
        place(f"g{number:04}", f"L{number}", "C1", group="pair" if number < 2 else None)
        for number in range(glance.SMALL + 1)
    ],
)
ALL = [each.serial for each in LARGE.gateways]


async def heard(here: Plant, *serials: str) -> None:
    """These report."""
    for serial in serials:
        await here.gateways[serial].beat(here.site)


async def test_large_plant(tmp_path: Path) -> None:
    """Everybody at first, then whoever reported, with its redundancy group."""
    async with plant(tmp_path, inventory=LARGE) as here:
        look = Glance()
        world = here.site.world
        assert look.stirred(world) == ALL
        assert look.stirred(world) == []
        await heard(here, "g0007", "g0000")
        assert look.stirred(world) == ["g0000", "g0001", "g0007"]
        assert look.stirred(world) == []
        world.marks["g0009"] = Marks(conflict=Mark(since=world.clocks.now(), why="it knows more"))
        assert look.stirred(world) == ["g0009"]


async def test_orders_and_permits(tmp_path: Path) -> None:
    """What people want of a gateway, a permit, and what it was told are reasons to look again."""
    async with plant(tmp_path, inventory=LARGE) as here:
        look = Glance()
        world = here.site.world
        look.stirred(world)
        await here.site.desk.set_safe_mode(["g0003"], "a leak", Sender("ana", None), on=True)
        assert look.stirred(world) == ["g0003"]
        await here.site.reconcile()
        assert look.stirred(world) == ["g0003"]
        world.grants["g0004"] = Grant(
            serial="g0004",
            rollout="r",
            digest=V1.digest,
            attempt=1,
            boot_epoch=1,
            epoch=1,
            seen=(1, 1),
            valid_s=20.0,
            at=here.clock.wall,
        )
        assert look.stirred(world) == ["g0004"]
        assert look.stirred(world) == []


async def test_replaced(tmp_path: Path) -> None:
    """One that took another's place is looked at, and the other no more."""
    async with plant(tmp_path, inventory=LARGE) as here:
        look = Glance()
        world = here.site.world
        look.stirred(world)
        await here.site.recovery.retire("g0005", "n1", "lightning", Sender("olga", None))
        assert look.stirred(world) == ["n1"]
        assert look.stirred(world) == []


async def test_everybody(tmp_path: Path) -> None:
    """A rollout that moved, time, and what was not acted on are reasons to look at everybody."""
    async with plant(tmp_path, inventory=LARGE) as here:
        look = Glance()
        world = here.site.world
        look.stirred(world)
        rollout = await here.arrive(V1)
        assert look.stirred(world) == ALL
        world.rollouts[rollout.id] = replace(rollout)
        assert look.stirred(world) == ALL
        here.clock.turn(EVERYBODY_S)
        assert look.stirred(world) == ALL
        look.forget()
        assert look.stirred(world) == ALL
        assert look.stirred(world) == []


async def test_small_plant(tmp_path: Path) -> None:
    """A small plant is looked at whole, each time."""
    small = replace(LARGE, gateways=LARGE.gateways[: glance.SMALL])
    async with plant(tmp_path, inventory=small) as here:
        look = Glance()
        assert [look.stirred(here.site.world) for _ in range(3)] == [ALL[: glance.SMALL]] * 3


async def test_told_at_a_large_plant(tmp_path: Path) -> None:
    """What is told in pieces reaches everybody, and nobody twice."""
    async with plant(tmp_path, inventory=LARGE) as here:
        await here.arrive(V1)
        await here.approve(V1)
        await here.site.reconcile()
        world = here.site.world
        assert {world.desired[serial].assignment is not None for serial in ALL} == {True}
        before = dict(world.desired)
        await heard(here, *ALL[:50])
        await here.site.reconcile()
        assert world.desired == before
