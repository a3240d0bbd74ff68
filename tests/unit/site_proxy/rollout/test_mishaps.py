"""What goes wrong at a plant, and what the rollout makes of it."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.errors import ConflictError, RefusedError
from edge_core.contracts.gates import Verdict
from edge_core.contracts.rollout import ChangeWindow, Hold, RolloutState
from edge_core.contracts.signing import ApproveRequest
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.gateway import Behaviour
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, V3, plant

pytestmark = pytest.mark.anyio
ON_TIME = [ChangeWindow(days=[1, 2, 3, 4, 5], start="06:00", end="14:00")]


async def test_killed_in_its_trial(tmp_path: Path) -> None:
    """A gateway killed in its trial comes back by itself, and the rollout goes on."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        serial = await here.until_trial(V2)
        here.gateways[serial].kill()
        await here.until(V2, RolloutState.COMPLETED)
        assert here.gateways[serial].committed == V2.digest
        assert here.gateways[serial].permits == 2


async def test_silent_in_its_trial(tmp_path: Path) -> None:
    """One that falls silent in its trial keeps its line locked until it speaks again."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        serial = await here.until_trial(V2)
        await here.gateways[serial].beat(here.site)
        others = [each for each in here.gateways if each != serial]
        here.clock.turn(10_000)
        for _ in range(20):
            await here.beat(others)
        assert here.rollout(V2).state in {RolloutState.ACTIVATING, RolloutState.SOAKING}
        assert all(here.gateways[each].committed == V1.digest for each in others)
        alarms = await here.site.alarms.standing()
        assert not any(alarm.priority is Priority.P1 for alarm in alarms)


async def test_smoke_fails_on_the_canary(tmp_path: Path) -> None:
    """One gateway whose smoke vectors do not come out is enough: held, one page, nobody moved."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        held = await here.refused(V2)
        assert held.header.gates[-1].by == ["veto"]
        assert "smoke" in held.header.holds[Hold.GATE_FAIL]
        assert len(await here.site.pages.open("any")) == 1


async def test_one_disk_is_full(tmp_path: Path) -> None:
    """Why one gateway alone cannot take a release counts as a member lost, and no gate fails."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        here.gateways["g3"].models[V2.digest] = Behaviour(veto="space")
        await here.arrive(V2)
        await here.approve(V2)
        for _ in range(60):
            await here.beat()
        found = here.rollout(V2).header
        assert found.holds == {Hold.BLAST: "cohort early needs 2 gateways staged, has 1, 1 failed"}
        assert found.gates[-1].verdict is Verdict.PASS
        assert await here.site.pages.open("any") == []


async def test_resumed_by_a_named_person(tmp_path: Path) -> None:
    """A held cohort goes on only by name and reason, and its members try once more (S20)."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        canary = here.gateways
        for each in canary.values():
            each.models[V2.digest] = Behaviour(veto="smoke")
        await here.arrive(V2)
        await here.approve(V2)
        for _ in range(10):
            await here.beat()
        for each in canary.values():
            each.models[V2.digest] = Behaviour()
        rollout = here.rollout(V2)
        sender = Sender("olga", etag_of(rollout))
        await here.site.desk.resume(rollout.id, "the vectors were made on other hardware", sender)
        done = await here.until(V2, RolloutState.COMPLETED)
        assert done.header.waived == [0]
        assert {each.committed for each in canary.values()} == {V2.digest}


async def test_a_week_away(tmp_path: Path) -> None:
    """Off before two rollouts, back after them: straight to the newest, not through the other."""
    rules = [msgspec.structs.replace(rule, least=1) for rule in POLICY.cohorts]
    policy = msgspec.structs.replace(POLICY, cohorts=rules)
    async with plant(tmp_path, policy=policy) as here:
        await here.bring(V1)
        away = here.rollout(V1).plan.cohorts[0].members[0]
        gone = here.gateways.pop(away)
        here.clock.turn(3600)
        for ref in (V2, V3):
            await here.beat()
            await here.arrive(ref)
            await here.beat()
            rollout = here.rollout(ref)
            request = ApproveRequest(
                ticket="CHG-7",
                reason="weekly",
                plan_digest=rollout.plan_digest,
                line="L2",
            )
            sender = Sender("ana", etag_of(rollout))
            await here.site.desk.approve(rollout.id, request, sender)
            await here.until(ref, RolloutState.COMPLETED)
        here.gateways[away] = gone
        for _ in range(20):
            await here.beat()
        assert (gone.committed, gone.previous_good) == (V3.digest, V1.digest)
        assert gone.permits == 2


async def test_back_after_a_rollback(tmp_path: Path) -> None:
    """Away while its release was taken back: the first thing it hears is to leave it."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        serial = await here.until_trial(V2)
        gone = here.gateways.pop(serial)
        rollout = here.rollout(V2)
        here.clock.turn(100)
        await here.site.desk.roll_back(rollout.id, "not today", Sender("olga", None))
        await here.until(V2, RolloutState.ROLLED_BACK)
        here.gateways[serial] = gone
        await here.beat()
        await here.beat()
        assert gone.effective == V1.digest


async def test_restart_in_the_middle(tmp_path: Path) -> None:
    """The site is stopped again and again in a rollout, and the rollout ends all the same."""
    clock = HandClock()
    async with plant(tmp_path, clock=clock) as here:
        await here.bring(V1)
        await here.arrive(V2)
        await here.approve(V2)
        gateways = here.gateways
    for _ in range(60):
        async with plant(tmp_path, clock=clock) as here:
            here.gateways = gateways
            for _ in range(6):
                await here.beat()
            if here.rollout(V2).state is RolloutState.COMPLETED:
                break
    assert {each.committed for each in gateways.values()} == {V2.digest}
    assert here.site.world.epoch > 3


async def test_outside_the_change_window(tmp_path: Path) -> None:
    """On Saturday a plan that touches a safety zone cannot be approved; it says when it can."""
    saturday = HandClock(datetime(2026, 11, 28, 9, 0, tzinfo=UTC))
    policy = msgspec.structs.replace(POLICY, windows=ON_TIME)
    async with plant(tmp_path, policy=policy, clock=saturday) as here:
        await here.arrive(V1)
        with pytest.raises(RefusedError, match="opens at 2026-11-30 06:00 UTC"):
            await here.approve(V1)
        assert here.rollout(V1).state is RolloutState.AWAITING_APPROVAL
        saturday.turn(2 * 86_400 - 3 * 3600 + 300)
        await here.approve(V1)
        saturday.synchronised = False
        await here.arrive(V2)
        for _ in range(20):
            await here.beat()
        assert here.gateways["g5"].committed is None
        assert here.gateways["g1"].committed == V1.digest


async def test_revoked_in_flight(tmp_path: Path) -> None:
    """An approval taken back: no new permits, the trial that runs goes on to its own end."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        serial = await here.until_trial(V2)
        rollout = here.rollout(V2)
        await here.site.desk.revoke(rollout.id, "wrong ticket", Sender("ana", etag_of(rollout)))
        for _ in range(20):
            await here.beat()
        assert here.gateways[serial].committed == V2.digest
        assert sum(each.committed == V2.digest for each in here.gateways.values()) == 1
        assert Hold.APPROVAL in here.rollout(V2).header.holds


async def test_newer_release_waits_its_turn(tmp_path: Path) -> None:
    """While one rollout is under way a newer one waits; approved first, it replaces an older."""
    async with plant(tmp_path) as here:
        await here.arrive(V1)
        await here.approve(V1)
        await here.beat()
        await here.arrive(V2)
        assert here.rollout(V2).state is RolloutState.VERIFYING
        await here.until(V1, RolloutState.COMPLETED)
        await here.arrive(V3)
        assert here.rollout(V2).state is RolloutState.AWAITING_APPROVAL
        await here.approve(V3)
        assert here.rollout(V2).state is RolloutState.SUPERSEDED
        with pytest.raises(ConflictError, match="has ended"):
            await here.site.desk.hold(here.rollout(V2).id, "why", Sender("ana", "x"))


async def test_a_soak_that_cannot_tell(tmp_path: Path) -> None:
    """A plant that stands still gives no evidence: never a pass, at last a hold and no page."""
    policy = msgspec.structs.replace(
        POLICY, gate=msgspec.structs.replace(POLICY.gate, inferences_min=10**6)
    )
    async with plant(tmp_path, policy=policy) as here:
        await here.arrive(V1)
        await here.approve(V1)
        await here.until(V1, RolloutState.SOAKING)
        here.clock.turn(POLICY.gate.soak_max_s)
        await here.beat()
        held = here.rollout(V1)
        assert held.state is RolloutState.SOAKING
        assert Hold.GATE_INCONCLUSIVE in held.header.holds
        assert await here.site.pages.open("any") == []
