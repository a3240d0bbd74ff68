"""Where orders and releases come in: each is checked, kept with its event, and believed."""

from dataclasses import replace

import msgspec
import structlog

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import RollbackOrder
from edge_core.contracts.rollout import RolloutState
from edge_core.contracts.shown import shown_digest
from edge_core.contracts.signing import ApproveRequest
from edge_site_proxy.audit.events import Event, Facts
from edge_site_proxy.rollout import orders, outlook, permit_outlook, tables
from edge_site_proxy.rollout.approvals import revocation, signatures
from edge_site_proxy.rollout.approvals.signatures import Here
from edge_site_proxy.rollout.epochs import next_epoch, raise_epoch
from edge_site_proxy.rollout.errors import NoSuchRolloutError, OrderRefusedError
from edge_site_proxy.rollout.holds import BY_GATE
from edge_site_proxy.rollout.members import standings_now
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.planner import current_rollout, opened, rollout_id
from edge_site_proxy.rollout.reconciler import Reconciler
from edge_site_proxy.rollout.records import PENDING, SITE, Arrived, Rollout, Step
from edge_site_proxy.rollout.tables import Wish
from edge_site_proxy.rollout.views import view
from edge_site_proxy.rollout.world import World
from edge_site_proxy.signing.pins import Pins
from edge_site_proxy.store import Store, Tx

log = structlog.get_logger(__name__)


class Desk:
    """Takes what people and the mirror say about rollouts and gateways."""

    def __init__(self, world: World, store: Store, reconciler: Reconciler, pins: Pins) -> None:
        self._world = world
        self._store = store
        self._reconciler = reconciler
        self._pins = pins

    def rollout(self, name: str) -> Rollout:
        """The rollout *name*.

        Raises:
            NoSuchRolloutError: there is none.
        """
        found = self._world.rollouts.get(name)
        if found is None:
            raise NoSuchRolloutError(
                f"rollout {name[:80]!r}: expected a known id, found none such"
            )
        return found

    async def release_arrived(self, arrived: Arrived, facts: dict[str, object]) -> None:
        """A verified release is here: remember it and open a rollout; a repeat changes nothing."""
        world = self._world
        release = arrived.release
        async with world.lock:
            if release.digest in world.releases:
                return
            current = current_rollout(world, release.model)
            old = current is not None and current.plan.release.release >= release.release
            rollout = None if old else self._opened(arrived)
            known = {
                "model": release.model,
                "version": release.version,
                "release": release.release,
                "signers": arrived.signers,
                "targets": arrived.targets,
                "author": arrived.author,
            }

            event = Event("release.arrived", release.digest, {**facts, **known})

            def mutate(tx: Tx) -> None:
                tables.save_release(tx, arrived, event)
                if rollout is not None:
                    tables.save_rollout(tx, rollout, event)
                    tx.touch("rollout", rollout.id)

            await self._store.change(SITE, [event], mutate)
            world.releases[release.digest] = arrived
            if rollout is not None:
                world.rollouts[rollout.id] = rollout
        world.wake.set()
        log.info("release.arrived", model=release.model, version=release.version)

    def _opened(self, arrived: Arrived) -> Rollout:
        name = rollout_id(arrived.release)
        if name in self._world.rollouts:  # the same name and number with other bytes
            name = f"{name[:60]}-{arrived.release.digest[7:15]}"
        return opened(self._world, arrived, name)

    async def approve(self, name: str, request: ApproveRequest, sender: Sender) -> Rollout:
        """One more signature. Raises what `signatures.approve` and `Pins.check` raise."""
        world = self._world
        async with world.lock:
            rollout = self.rollout(name)
            given = replace(sender, pin=request.pin is not None)
            step = signatures.approve(
                rollout, request, given, self._here(rollout), world.clocks.now()
            )
            await self._prove(sender.who, request.pin)
            await self._reconciler.carry_out(sender.who, [step, *self._superseded(step)])
            return step.rollout

    def _here(self, rollout: Rollout) -> Here:
        world = self._world
        return Here(
            inventory=world.plant.inventory,
            clock_trusted=world.clocks.quality().synchronised,
            tzdata=world.tzdata,
            shown=shown_digest(view(world, rollout)),
        )

    async def _prove(self, who: str, pin: str | None) -> None:
        """See that a PIN that was given is the sender's own.

        It is looked at last: an order that is refused anyway uses up no try.
        """
        if pin is not None:
            await self._pins.check(who, pin)

    async def acknowledge(self, name: str, reason: str, sender: Sender) -> Rollout:
        """A shift knows of it. Raises what `signatures.acknowledge` raises."""
        async with self._world.lock:
            rollout, now = self.rollout(name), self._world.clocks.now()
            step = signatures.acknowledge(rollout, reason, sender, now)
            await self._reconciler.carry_out(sender.who, [step])
            return step.rollout

    def _superseded(self, step: Step) -> list[Step]:
        """Older releases of the same model that have not begun go when a newer is approved."""
        if step.rollout.state is not RolloutState.APPROVED:
            return []
        mine = step.rollout.plan.release
        return [
            orders.supersede(other, step.rollout.id, self._world.clocks.now())
            for other in self._world.rollouts.values()
            if other.id != step.rollout.id
            and other.state in PENDING
            and other.plan.release.model == mine.model
            and other.plan.release.release < mine.release
        ]

    async def hold(self, name: str, reason: str, sender: Sender) -> Rollout:
        """No more permits. Raises what `orders.hold` raises."""
        async with self._world.lock:
            step = orders.hold(self.rollout(name), reason, sender, self._world.clocks.now())
            await self._reconciler.carry_out(sender.who, [step])
            return step.rollout

    async def resume(
        self,
        name: str,
        reason: str,
        sender: Sender,
        *,
        shown: Digest | None = None,
        pin: str | None = None,
    ) -> Rollout:
        """Take holds away, or waive a gate. Raises what `orders.resume`, `Pins.check` raise."""
        world = self._world
        async with world.lock:
            rollout = self.rollout(name)
            given = replace(sender, pin=pin is not None)
            policy, here = rollout.plan.policy, self._here(rollout)
            safety = orders.touches_safety(rollout.plan, here.inventory)
            step = orders.resume(
                rollout,
                reason,
                given,
                world.clocks.now(),
                people=policy.safety_waivers if safety else 1,
                shown=shown,
            )
            if BY_GATE & set(rollout.header.holds):
                signatures.check_shown(rollout, shown, here)
                signatures.check_signed(rollout, shown, given, here.inventory)
            await self._prove(sender.who, pin)
            await self._reconciler.carry_out(sender.who, [step])
            return step.rollout

    async def cancel(self, name: str, reason: str, sender: Sender) -> Rollout:
        """End what has not begun. Raises what `orders.cancel` raises."""
        async with self._world.lock:
            step = orders.cancel(self.rollout(name), reason, sender, self._world.clocks.now())
            await self._reconciler.carry_out(sender.who, [step])
            return step.rollout

    async def switch(self, name: str, reason: str, sender: Sender) -> Rollout:
        """Let green take over. Raises what `orders.switch` raises."""
        world = self._world
        async with world.lock:
            rollout = self.rollout(name)
            judged = outlook.gates(world, rollout)
            facts = outlook.facts(world, rollout, standings_now(world, rollout), judged)
            step = orders.switch(rollout, facts, reason, sender, world.clocks.now())
            await self._reconciler.carry_out(sender.who, [step])
            return step.rollout

    async def roll_back(self, name: str, reason: str, sender: Sender) -> Rollout:
        """Take everybody off. Raises what `orders.roll_back` raises."""
        world = self._world
        async with world.lock:
            epoch = next_epoch(world)
            step = orders.roll_back(self.rollout(name), reason, sender, epoch, world.clocks.now())
            await raise_epoch(world, self._store, sender.who, epoch, f"rollback of {name}"[:100])
            await self._reconciler.carry_out(sender.who, [step])
            return step.rollout

    async def roll_back_gateway(self, serial: str, reason: str, sender: Sender) -> None:
        """Take one gateway off whatever it runs.

        Raises:
            UnknownGatewayError: no such gateway.
            OrderRefusedError: it runs nothing, as far as is known.
        """
        world = self._world
        async with world.lock:
            world.plant.place(serial)
            sighting = world.sightings.get(serial)
            running = None if sighting is None else sighting.report.effective
            if running is None:
                raise OrderRefusedError(
                    f"gateway {serial}: expected a model to leave, it has not reported one"
                )
            epoch = next_epoch(world)
            await raise_epoch(
                world, self._store, sender.who, epoch, f"rollback of gateway {serial}"
            )
            order = RollbackOrder(from_digest=running, epoch=epoch, reason=reason)
            await self._wish(
                sender.who,
                {serial: msgspec.structs.replace(world.wish(serial), rollback=order)},
                "gateway.rollback_ordered",
                {"from": running, "reason": reason},
            )

    async def set_safe_mode(
        self, serials: list[str], reason: str, sender: Sender, *, on: bool
    ) -> None:
        """Put *serials* into or out of safe mode, in one transaction.

        Raises:
            UnknownGatewayError: one is not in the inventory; nothing was done.
        """
        world = self._world
        async with world.lock:
            for serial in serials:
                world.plant.place(serial)
            wishes = {
                serial: msgspec.structs.replace(world.wish(serial), safe_mode=on)
                for serial in serials
            }
            facts = {"on": on, "reason": reason}
            await self._wish(sender.who, wishes, "gateway.safe_mode_ordered", facts)

    async def ask_snapshot(self, serial: str, name: str, reason: str, sender: Sender) -> None:
        """Have *serial* put its state aside as *name*.

        Raises:
            UnknownGatewayError: no such gateway.
        """
        world = self._world
        async with world.lock:
            world.plant.place(serial)
            wishes = {serial: msgspec.structs.replace(world.wish(serial), snapshot=name)}
            asked = {"snapshot": name, "reason": reason}
            await self._wish(sender.who, wishes, "gateway.snapshot_ordered", asked)

    async def revoke(
        self, name: str, reason: str, sender: Sender, *, roll_back: bool = False
    ) -> Rollout:
        """Take every signature back, and everybody with them if that is asked.

        Raises what `revocation.revoke` and `orders.roll_back` raise.
        """
        world = self._world
        async with world.lock:
            rollout, now = self.rollout(name), world.clocks.now()
            permits = permit_outlook.permits_unused(world, rollout)
            taken = revocation.Taken(reason, roll_back, tuple(permits))
            steps = [revocation.revoke(rollout, taken, sender, now)]
            if roll_back:
                epoch, fresh = next_epoch(world), replace(sender, saw=None)
                steps.append(orders.roll_back(steps[0].rollout, reason, fresh, epoch, now))
                await raise_epoch(
                    world, self._store, sender.who, epoch, f"rollback of {name}"[:100]
                )
            await self._reconciler.carry_out(sender.who, steps)
            return steps[-1].rollout

    async def _wish(self, who: str, wishes: dict[str, Wish], kind: str, facts: Facts) -> None:
        events = {serial: Event(kind, serial, facts) for serial in wishes}

        def mutate(tx: Tx) -> None:
            for serial, wish in wishes.items():
                tables.save_wish(tx, serial, wish, events[serial])

        await self._store.change(who, [*events.values()], mutate)
        self._world.wishes.update(wishes)
        self._world.wake.set()
