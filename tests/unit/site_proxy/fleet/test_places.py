"""Who stands where: an inventory, and what was replaced or retired since it was written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.fleet.places import Retired, epitaph, standing_now, successors
from edge_site_proxy.rollout.exceptions import exceptions_of
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.world import Plant as Places
from tests.unit.site_proxy.plant.gateway import Gateway
from tests.unit.site_proxy.plant.plant import FREE, INVENTORY, V1, V2, Plant, plant

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OLGA = Sender("olga", None)


def gone(serial: str, by: str | None = None) -> Retired:
    """*serial* is retired."""
    return Retired(serial=serial, asset="pump-1", by=by, at=AT, who="olga", reason="burnt")


ALL = ["g1", "g2", "g3", "g4", "g5"]
ROWS = {
    "nobody was retired": ([], ALL),
    "one was retired": ([gone("g1")], ALL[1:]),
    "one was replaced": ([gone("g1", "n1")], ["n1", *ALL[1:]]),
    "the one that replaced it was replaced as well": (
        [gone("g1", "n1"), gone("n1", "n2")],
        ["n2", *ALL[1:]],
    ),
    "the one that replaced it was retired": ([gone("g1", "n1"), gone("n1")], ALL[1:]),
    "the inventory lists the successor itself": ([gone("g1", "g2")], ALL[1:]),
    "one was retired of whom the inventory no longer speaks": ([gone("x1", "y1")], ALL),
    "those that came after it name each other": (
        [gone("g1", "n1"), gone("n1", "n2"), gone("n2", "n1")],
        ALL[1:],
    ),
    "two that name each other are both gone": ([gone("g1", "n1"), gone("n1", "g1")], ALL[1:]),
}


@pytest.mark.parametrize("row", ROWS)
def test_who_stands_now(row: str) -> None:
    """A successor has the place, the zone and the pair of whom it follows, and no history."""
    ended, serials = ROWS[row]
    now = standing_now(INVENTORY, {each.serial: each for each in ended})
    assert [place.serial for place in now.gateways] == serials
    assert now.gateways[-1] == INVENTORY.gateways[-1]
    if len(now.gateways) == len(ALL):
        assert replace(now.gateways[0], serial="g1") == INVENTORY.gateways[0]


def test_what_is_said_of_them() -> None:
    """A retired serial is answered with its end, an unknown one as before."""
    assert successors({"g1": gone("g1", "n1"), "g2": gone("g2")}) == {"n1": "g1"}
    assert epitaph(gone("g1")) == "retired on 2026-11-23 (burnt)"
    places = Places.of(INVENTORY, {"g1": gone("g1", "n1")})
    assert places.place("n1").position.asset == "pump-g1"
    with pytest.raises(NotFoundError, match=r"retired on 2026-11-23, replaced by n1 \(burnt\)"):
        places.place("g1")
    with pytest.raises(NotFoundError, match="expected a serial of the inventory"):
        places.place("zz")


async def swap(here: Plant, old: str, new: str) -> Gateway:
    """Switch *old* off and put *new* in its place, which reports from now on."""
    here.gateways.pop(old)
    for _ in range(20):
        await here.beat()
    await here.site.recovery.retire(old, new, "lightning", OLGA)
    here.gateways[new] = Gateway(serial=new, clock=here.clock)
    return here.gateways[new]


@pytest.mark.anyio
async def test_replaced(tmp_path: Path) -> None:
    """A new serial in an old place gets what stands there, is no canary, and is remembered."""
    async with plant(tmp_path, inventory=FREE) as here:
        await here.bring(V1)
        canary = (await here.arrive(V2)).plan.cohorts[0].members[0]
        with pytest.raises(RefusedError, match="switch it off first"):
            await here.site.recovery.retire(canary, "n1", "lightning", OLGA)
        new = await swap(here, canary, "n1")
        with pytest.raises(RefusedError, match="expected a serial that is new"):
            await here.site.recovery.retire("n1", canary, "again", OLGA)
        await here.site.reconcile()
        first = here.rollout(V2).plan.cohorts[0].members
        assert "n1" not in first
        for _ in range(12):
            await here.beat()
        assert (new.committed, new.permits) == (V1.digest, 1)
        with pytest.raises(NotFoundError, match="replaced by n1"):
            await here.site.take_status(canary, Gateway(canary, here.clock).report())
        gateways = here.gateways
        gateways.pop("n1")
    async with plant(tmp_path, inventory=FREE, clock=here.clock) as again:
        place = again.site.world.plant.place("n1")
        assert place.position.asset == f"pump-{canary}"
        assert canary not in again.site.world.plant.places


@pytest.mark.anyio
async def test_replaced_in_the_middle(tmp_path: Path) -> None:
    """Replaced while its rollout runs: the others go on, it gets the old and then the new."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        last = here.rollout(V2).plan.cohorts[2].members[0]
        await here.approve(V2)
        await here.until(V2, RolloutState.SOAKING)
        new = await swap(here, last, "n1")
        for _ in range(12):
            await here.beat()
        assert new.committed in {V1.digest, V2.digest}
        await here.until(V2, RolloutState.COMPLETED)
        for _ in range(12):
            await here.beat()
        assert new.committed == V2.digest
        assert exceptions_of(here.site.world, "n1") == []
