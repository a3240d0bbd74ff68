"""A release of other windows than the present model's: held at once, and a person decides."""

from pathlib import Path

import pytest

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from tests.unit.site_proxy.plant.gateway import Behaviour
from tests.unit.site_proxy.plant.plant import V1, V2, plant

pytestmark = pytest.mark.anyio


async def test_other_windows(tmp_path: Path) -> None:
    """It is held long before its deadline, with the reason; resumed, it goes on without pairs.

    So is the next cohort.
    """
    async with plant(tmp_path) as here:
        await here.bring(V1)
        for gateway in here.gateways.values():
            gateway.models[V2.digest] = Behaviour(unlike=True)
        await here.arrive(V2)
        await here.approve(V2)
        await here.until(V2, RolloutState.STAGING)
        members = here.rollout(V2).plan.cohorts[0].members
        while not all(here.gateways[each].state is UpdateState.STAGED for each in members):
            await here.beat()
        begun_s = here.clock.mono
        await here.beat()
        await here.beat()
        held = here.rollout(V2)
        assert here.clock.mono - begun_s < held.plan.policy.stage_deadline_s / 10
        cause = held.header.holds[Hold.GATE_INCONCLUSIVE]
        assert cause.startswith(f"no shadow pairs possible on {', '.join(members)}: ")
        (alarm,) = [each for each in await here.site.alarms.standing() if each.active]
        assert cause in alarm.what
        sender = Sender("olga", etag_of(here.rollout(V2)))
        await here.site.desk.resume(held.id, "agreed with who trained it", sender)
        while here.rollout(V2).header.cohort == 0 or not here.rollout(V2).header.holds:
            await here.beat()
        assert {here.gateways[each].committed for each in members} == {V2.digest}
        # Each cohort is a decision of its own.
        cause = here.rollout(V2).header.holds[Hold.GATE_INCONCLUSIVE]
        assert cause.startswith("no shadow pairs possible on ")
        assert not any(f" {each}," in cause or f" {each}:" in cause for each in members)
