"""Where signed plans come in: each goes forward or is refused, is kept, and may open a rollout."""

import msgspec
import structlog

from edge_core.contracts.artefact import Name
from edge_core.contracts.rollout import RolloutState
from edge_core.contracts.signed_plan import SignedPlan
from edge_core.trust import Seen, Signed, instants, refuse_step_back
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.planner import current_rollout, opened, rollout_id
from edge_site_proxy.rollout.records import SITE, InForce, Rollout
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, Tx

# Nobody at the plant has decided against these; only a plan was missing, or another was newer.
REOPENED = frozenset({RolloutState.REJECTED, RolloutState.SUPERSEDED})

log = structlog.get_logger(__name__)


class PlanDoor:
    """Takes signed plans in, one a model: the newest."""

    def __init__(self, world: World, store: Store, alarms: AlarmBook) -> None:
        self._world = world
        self._store = store
        self._alarms = alarms

    async def arrived(self, signed: Signed[SignedPlan]) -> None:
        """A plan that verified and is for this site; the same one again changes nothing.

        Its release is known here, or the plan waits for it. What was refused for want of a plan,
        or gave way to another one, is opened anew.

        Raises:
            DocumentRolledBackError: a lower sequence than that of the plan that is kept.
            DocumentForkedError: the same sequence with other content.
        """
        world, plan = self._world, signed.document
        model = plan.release.model
        async with world.lock:
            kept = world.signed_plans.get(model)
            if kept is not None:
                before = Seen(kept.plan.sequence, kept.digest)
                comes = Seen(plan.sequence, signed.digest)
                refuse_step_back(f"signed plan of {model}", before, comes)
                if kept.digest == signed.digest and not kept.withheld:
                    return
            _, expires = instants("plan", plan)
            in_force = InForce(
                plan=plan,
                digest=signed.digest,
                signers=list(signed.signers),
                expires=expires,
                at=world.clocks.now(),
            )
            await self._keep(in_force, self._reopened(plan))
        world.wake.set()
        log.info("plan.accepted", model=model, sequence=plan.sequence, digest=signed.digest)

    async def withheld(self, model: Name, reason: str) -> None:
        """The plan of *model* that is kept does not verify any more: nothing begins under it."""
        world = self._world
        async with world.lock:
            kept = world.signed_plans.get(model)
            if kept is None or kept.withheld:
                return
            held = msgspec.structs.replace(kept, withheld=reason[:300])
            event = Event("plan.withheld", kept.digest, {"model": model, "reason": reason[:300]})
            await self._store.change(
                SITE, [event], lambda tx: tables.save_signed_plan(tx, held, event)
            )
            world.signed_plans[model] = held
        log.warning("plan.withheld", model=model, reason=reason)

    async def _keep(self, in_force: InForce, rollout: Rollout | None) -> None:
        plan, world = in_force.plan, self._world
        facts = {
            "model": plan.release.model,
            "sequence": plan.sequence,
            "release": plan.release.digest,
            "rollback_to": plan.rollback,
            "expires": plan.expires,
            "sites": plan.sites,
            "signers": in_force.signers,
            "opens": None if rollout is None else rollout.id,
        }
        event = Event("plan.accepted", in_force.digest, facts)

        def mutate(tx: Tx) -> None:
            tables.save_signed_plan(tx, in_force, event)
            if rollout is not None:
                tables.save_rollout(tx, rollout, event)
                tx.touch("rollout", rollout.id)
                for key in self._answered(rollout):
                    self._alarms.clear_in(tx, key)

        await self._store.change(SITE, [event], mutate)
        world.signed_plans[plan.release.model] = in_force
        if rollout is not None:
            world.rollouts[rollout.id] = rollout

    def _answered(self, rollout: Rollout) -> list[str]:
        """Alarms of earlier rollouts of the release that could not be planned."""
        return [
            f"rollout/{each.id}/rejected"
            for each in self._world.rollouts.values()
            if each.digest == rollout.digest and each.state is RolloutState.REJECTED
        ]

    def _reopened(self, plan: SignedPlan) -> Rollout | None:
        """A new rollout of the release, where every earlier one ended before anybody decided."""
        world, digest = self._world, plan.release.digest
        arrived = world.releases.get(digest)
        earlier = [each for each in world.rollouts.values() if each.digest == digest]
        if arrived is None or not earlier or not all(each.state in REOPENED for each in earlier):
            return None
        current = current_rollout(world, plan.release.model)
        if current is not None and current.plan.release.release >= plan.release.release:
            return None
        return opened(world, arrived, f"{rollout_id(plan.release)[-70:]}-p{plan.sequence}")
