"""Whole rollouts against simulated gateways, through the real site and its database."""

from pathlib import Path

import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from tests.unit.site_proxy.plant.gateway import Behaviour
from tests.unit.site_proxy.plant.plant import V1, V2, V3, plant

pytestmark = pytest.mark.anyio


async def test_two_releases(tmp_path: Path) -> None:
    """The first release goes to all, the second by canary, early, all and safety; all commit."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        assert {each.committed for each in here.gateways.values()} == {V1.digest}
        done = await here.bring(V2)
        assert {each.committed for each in here.gateways.values()} == {V2.digest}
        assert [len(part.members) for part in done.plan.cohorts][:1] == [1]
        assert done.plan.cohorts[-1].safety
        assert [report.verdict.value for report in done.header.gates] == ["pass"] * len(
            done.plan.cohorts
        )


async def test_the_former_goes_on_beside_while_it_soaks(tmp_path: Path) -> None:
    """Pairs go on after the commit, until the cohort's gate has passed; then nobody looks on."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.beat()
        await here.approve(V2)
        soaking = await here.until(V2, RolloutState.SOAKING)
        (canary,) = soaking.plan.cohorts[0].members
        told = here.gateways[canary].desired
        assert told is not None
        assert told.assignment is not None
        assert told.assignment.former_beside
        await here.until(V2, RolloutState.COMPLETED)
        assert here.site.world.tallies[canary, V2.digest, "committed"].pairs > 0
        assert here.site.world.tallies[canary, V1.digest, "shadow"].pairs > 0
        _, desired = await here.site.desired(canary)
        assert desired.assignment is not None
        assert not desired.assignment.former_beside


async def test_bad_canary_is_held_in_shadow(tmp_path: Path) -> None:
    """A release that classes otherwise fails before any gateway is activated, with one page."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        for each in here.gateways.values():
            each.models[V3.digest] = Behaviour(disagrees=0.6)
        await here.arrive(V3)
        await here.beat()
        await here.approve(V3)
        for _ in range(30):
            await here.beat()
        held = here.rollout(V3)
        assert held.state is RolloutState.STAGING
        assert Hold.GATE_FAIL in held.header.holds
        assert "disagreement" in held.header.gates[-1].by
        assert {each.committed for each in here.gateways.values()} == {V1.digest}
        pages = [a for a in await here.site.alarms.standing() if a.priority is Priority.P1]
        assert len(pages) == 1


async def test_forced_rollback(tmp_path: Path) -> None:
    """After a failed canary an operator takes it back, and the gateway runs what it ran before."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        for each in here.gateways.values():
            each.models[V3.digest] = Behaviour(outside=0.9)
        await here.arrive(V3)
        await here.beat()
        await here.approve(V3)
        for _ in range(30):
            await here.beat()
        rollout = here.rollout(V3)
        assert Hold.GATE_FAIL in rollout.header.holds
        await here.site.desk.roll_back(
            rollout.id, "blind on recipe 2", Sender("olga", etag_of(rollout))
        )
        await here.until(V3, RolloutState.ROLLED_BACK)
        assert {each.effective for each in here.gateways.values()} == {V1.digest}
