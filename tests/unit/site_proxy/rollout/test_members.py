"""Members are looked at in slices; whoever is heard of meanwhile is looked at again."""

import asyncio
from pathlib import Path

import pytest

from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.rollout import members
from edge_site_proxy.rollout.members import look_at, renewed, standings_now
from tests.unit.site_proxy.plant.plant import V1, V2, plant

pytestmark = pytest.mark.anyio


async def test_only_who_is_heard_of_is_looked_at_again(tmp_path: Path) -> None:
    """A report, a permit, a plant that changed: that standing is new, the others are the same."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.approve(V2)
        rollout = await here.until(V2, RolloutState.STAGING)
        world = here.site.world
        seen = await look_at(world, rollout)
        assert renewed(world, rollout, seen) == standings_now(world, rollout)
        await here.gateways["g1"].beat(here.site)
        now = renewed(world, rollout, seen)
        assert now == standings_now(world, rollout)
        same = {serial for serial, each in seen.items() if now[serial] is each.standing}
        assert same == seen.keys() - {"g1"}
        await here.until(V2, RolloutState.ACTIVATING)
        moved = here.rollout(V2)
        seen = await look_at(world, moved)
        while not world.grants:
            await here.beat()
        now = renewed(world, moved, seen)
        assert {serial for serial, each in now.items() if each.permit_live} == set(world.grants)


async def test_heartbeats_have_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices whoever waits for the loop gets it."""
    monkeypatch.setattr(members, "AT_ONCE", 1)
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.approve(V2)
        rollout, turns = here.rollout(V2), 0

        async def wait() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(wait())
            seen = await look_at(here.site.world, rollout)
            waiting.cancel()
        assert len(seen) == 5
        assert turns == 3


async def test_nobody_once_it_is_over(tmp_path: Path) -> None:
    """A rollout that has ended has no members to look at."""
    async with plant(tmp_path) as here:
        rollout = await here.bring(V1)
        assert await look_at(here.site.world, rollout) == {}
