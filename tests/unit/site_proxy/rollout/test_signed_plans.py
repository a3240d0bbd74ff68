"""Signed plans at a site: what they open, what they restrict, and what gives way to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.rollout import PlanRule, Policy, RolloutState
from edge_core.contracts.shown import shown_digest
from edge_core.contracts.signed_plan import SignedPlan, Terms
from edge_core.trust import (
    DocumentForkedError,
    DocumentRolledBackError,
    Signed,
    document_digest,
)
from edge_site_proxy.audit.log import events_about
from edge_site_proxy.rollout.errors import OrderRefusedError
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import Rollout, etag_of
from edge_site_proxy.rollout.views import view
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, V3, Plant, plant

pytestmark = pytest.mark.anyio
REQUIRED = msgspec.structs.replace(POLICY, signed_plan=PlanRule.REQUIRED)
TERMS = Terms(
    cohorts=POLICY.cohorts,
    gate=msgspec.structs.replace(POLICY.gate, soak_min_s=60.0),
    trial=POLICY.trial,
    safety_lag_s=POLICY.safety_lag_s,
    approvals=2,
)
DAY_S = 86_400.0


def signed(release: ReleaseRef, sequence: int, **changes: object) -> Signed[SignedPlan]:
    """A plan for *release* that verified."""
    plan = SignedPlan(
        sequence=sequence,
        issued="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
        release=release,
        terms=TERMS,
    )
    plan = msgspec.structs.replace(plan, **changes)
    return Signed(plan, document_digest(plan), ("key-p",))


def newest(here: Plant, release: ReleaseRef) -> Rollout:
    """The last rollout that was opened of *release*."""
    found = [each for each in here.site.world.rollouts.values() if each.digest == release.digest]
    return found[-1]


@asynccontextmanager
async def ordered(folder: Path, policy: Policy = POLICY) -> AsyncIterator[Plant]:
    """A plant on V1 where plan 7 was signed for V2."""
    async with plant(folder, policy=POLICY, clock=(clock := HandClock())) as here:
        await here.bring(V1)
        await here.site.plans.arrived(signed(V2, 7))
        gateways = here.gateways
    async with plant(folder, policy=policy, clock=clock) as again:
        again.gateways = gateways
        await again.beat()
        yield again


async def test_it_restricts(tmp_path: Path) -> None:
    """Of every setting the stricter counts, over a restart too, and that is what is shown."""
    async with ordered(tmp_path) as here:
        waits = await here.arrive(V2)
        assert (waits.plan.policy.approvals, waits.plan.policy.gate.soak_min_s) == (2, 60.0)
        assert waits.plan.signed is not None
        assert waits.plan.signed.digest == signed(V2, 7).digest
        seen = view(here.site.world, waits)
        assert (seen.signed, seen.approvals_needed) == (waits.plan.signed, 2)
        assert shown_digest(msgspec.structs.replace(seen, signed=None)) != shown_digest(seen)


async def test_required_and_none(tmp_path: Path) -> None:
    """Refused in one line; a plan that comes later opens it anew, and the alarm goes."""
    async with plant(tmp_path, policy=REQUIRED) as here:
        refused = await here.arrive(V1)
        assert refused.state is RolloutState.REJECTED
        assert "expected a signed plan, as rollout.policy.signed_plan requires" in (
            refused.header.why
        )
        alarms = {alarm.source for alarm in await here.site.alarms.standing() if alarm.active}
        assert f"rollout/{refused.id}/rejected" in alarms
        await here.site.plans.arrived(signed(V1, 7))
        await here.site.reconcile()
        opened = newest(here, V1)
        assert (opened.id, opened.state) == (
            f"{refused.id}-p7",
            RolloutState.AWAITING_APPROVAL,
        )
        alarms = {alarm.source for alarm in await here.site.alarms.standing() if alarm.active}
        assert f"rollout/{refused.id}/rejected" not in alarms


async def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    """Every poll shows it again; the log has it once."""
    async with ordered(tmp_path) as here:
        for _ in range(3):
            await here.site.plans.arrived(signed(V2, 7))
        said = await here.site.store.read(
            partial(events_about, noun="plan", subject=signed(V2, 7).digest)
        )
        assert [(each.kind, each.who) for each in said] == [("plan.accepted", "site-proxy")]
        assert said[0].facts["signers"] == ["key-p"]
        assert said[0].rows["signed_plans/pump-condition"] is not None


async def test_it_only_goes_forward(tmp_path: Path) -> None:
    """A lower number and another content are refused, after a restart as well."""
    async with ordered(tmp_path) as here:
        with pytest.raises(
            DocumentRolledBackError, match="expected sequence 7 or higher, found 6"
        ):
            await here.site.plans.arrived(signed(V2, 6))
        with pytest.raises(DocumentForkedError, match="sequence 7 was"):
            await here.site.plans.arrived(signed(V2, 7, rollback=V1.digest))
        assert here.site.world.signed_plans[V2.model].digest == signed(V2, 7).digest


async def test_what_waits_gives_way(tmp_path: Path) -> None:
    """A newer plan for another release: what waits is superseded, and its own comes anew later."""
    async with ordered(tmp_path) as here:
        waits = await here.arrive(V2)
        await here.site.plans.arrived(signed(V3, 8))
        await here.site.reconcile()
        gone = here.rollout(V2)
        assert (gone.state, gone.header.why) == (
            RolloutState.SUPERSEDED,
            "superseded by signed plan 8 of pump-condition",
        )
        await here.site.plans.arrived(signed(V2, 9))
        await here.site.reconcile()
        assert newest(here, V2).id == f"{waits.id}-p9"
        assert newest(here, V2).state is RolloutState.AWAITING_APPROVAL


async def test_other_terms_are_approved_anew(tmp_path: Path) -> None:
    """Who has signed the plan before has not signed this one."""
    async with ordered(tmp_path) as here:
        await here.arrive(V2)
        await here.approve(V2)
        terms = msgspec.structs.replace(TERMS, safety_lag_s=99.0)
        await here.site.plans.arrived(signed(V2, 8, terms=terms))
        await here.site.reconcile()
        waits = here.rollout(V2)
        assert (waits.state, waits.header.approvals) == (RolloutState.AWAITING_APPROVAL, [])
        assert waits.plan.policy.safety_lag_s == 99.0


async def test_what_has_begun_goes_on(tmp_path: Path) -> None:
    """A newer plan, and the end of the one it began under, change nothing that is on its way."""
    async with ordered(tmp_path) as here:
        await here.arrive(V2)
        await here.approve(V2, "ana")
        await here.approve(V2, "bea")
        await here.until(V2, RolloutState.STAGING)
        await here.site.plans.arrived(signed(V3, 8))
        await here.site.plans.withheld(V3.model, "step 8 (key id): gone")
        done = await here.until(V2, RolloutState.COMPLETED, beats=600)
        assert done.plan.signed is not None
        assert done.plan.signed.sequence == 7
        assert {each.committed for each in here.gateways.values()} == {V2.digest}


async def test_expired(tmp_path: Path) -> None:
    """It lets nothing begin: neither a plan nor a signature; a newer one does."""
    async with ordered(tmp_path) as here:
        await here.arrive(V2)
        here.clock.jump(400 * DAY_S)
        await here.site.reconcile()
        rollout = here.rollout(V2)
        assert rollout.state is RolloutState.AWAITING_APPROVAL
        with pytest.raises(OrderRefusedError, match="expected a signed plan in time"):
            await here.approve(V2)
        await here.site.plans.arrived(signed(V2, 8, expires="2030-01-01T00:00:00Z"))
        await here.site.reconcile()
        assert (await here.approve(V2)).header.approvals


async def test_withheld(tmp_path: Path) -> None:
    """What does not verify any more lets nothing begin, until it verifies again."""
    async with ordered(tmp_path) as here:
        await here.site.plans.withheld(V2.model, "step 8 (key id): gone")
        await here.site.plans.withheld(V2.model, "and again")
        refused = await here.arrive(V2)
        assert refused.state is RolloutState.REJECTED
        assert "expected one that verifies, found step 8 (key id): gone" in refused.header.why
        await here.site.plans.withheld("no-such-model", "gone")
        await here.site.plans.arrived(signed(V2, 7))
        await here.site.reconcile()
        assert newest(here, V2).state is RolloutState.AWAITING_APPROVAL


async def test_what_people_ended_stays_ended(tmp_path: Path) -> None:
    """A plan opens nothing that somebody here has decided against, nor what is older."""
    async with ordered(tmp_path) as here:
        rollout = await here.arrive(V2)
        await here.site.desk.cancel(rollout.id, "no", Sender("olga", etag_of(rollout)))
        await here.site.plans.arrived(signed(V2, 8))
        await here.site.plans.arrived(signed(V1, 9))
        await here.site.plans.arrived(signed(V3, 10))
        await here.site.reconcile()
        states = {each.id: each.state for each in here.site.world.rollouts.values()}
        assert states == {
            "pump-condition-1.0.0-r1": RolloutState.COMPLETED,
            rollout.id: RolloutState.CANCELLED,
        }
