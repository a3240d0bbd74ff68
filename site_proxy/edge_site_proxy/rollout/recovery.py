"""What only a person can know about a gateway: in conflict, dead, or gone for good."""

import msgspec

from edge_site_proxy.audit.events import Event, Facts
from edge_site_proxy.fleet.changes import CONFLICT_KEY, ills
from edge_site_proxy.fleet.places import Retired
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.epochs import next_epoch, raise_epoch
from edge_site_proxy.rollout.errors import OrderRefusedError
from edge_site_proxy.rollout.marks import Mark, Marks
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.reconciler import Reconciler
from edge_site_proxy.rollout.world import Plant, World
from edge_site_proxy.store import Store, Tx


class Recovery:
    """Takes what people say about gateways that do not answer, or know better."""

    def __init__(self, world: World, store: Store, reconciler: Reconciler) -> None:
        self._world = world
        self._store = store
        self._reconciler = reconciler

    async def resume_gateways(self, serials: list[str], reason: str, sender: Sender) -> None:
        """Take *serials* out of CONFLICT: what they run is taken over, and this site is in charge.

        Raises:
            UnknownGatewayError: one is not in the inventory; nothing was done.
            OrderRefusedError: one is in no conflict; nothing was done.
        """
        world = self._world
        async with world.lock:
            for serial in serials:
                world.plant.place(serial)
                if world.noted(serial).conflict is None:
                    raise OrderRefusedError(
                        f"gateway {serial}: expected one in CONFLICT, found none noted"
                    )
            epoch = next_epoch(world)
            await raise_epoch(
                world, self._store, sender.who, epoch, "gateways resumed out of conflict"
            )
            await self._mark(
                sender.who,
                {
                    serial: msgspec.structs.replace(world.noted(serial), conflict=None)
                    for serial in serials
                },
                "gateway.conflict_settled",
                {"reason": reason},
            )
            # In one go, or a heartbeat that comes between would find the same conflict again.
            await self._reconciler.tell()

    async def declare_dead(self, serial: str, reason: str, sender: Sender) -> None:
        """Say that *serial* will not come back as it is: its pair and its cell are free again.

        Raises:
            UnknownGatewayError: no such gateway.
            OrderRefusedError: it is heard.
        """
        world = self._world
        async with world.lock:
            world.plant.place(serial)
            self._check_silent(serial)
            mark = Mark(since=world.clocks.now(), why=reason, who=sender.who)
            marks = {serial: msgspec.structs.replace(world.noted(serial), dead=mark)}
            await self._mark(sender.who, marks, "gateway.declared_dead", {"reason": reason})
            await self._reconciler.free(serial, f"declared dead by {sender.who}")

    async def retire(self, serial: str, by: str | None, reason: str, sender: Sender) -> None:
        """End the life of *serial* here; *by* takes its place and gets what stands there.

        Raises:
            UnknownGatewayError: no such gateway.
            OrderRefusedError: it is heard, or *by* stands somewhere already or was retired.
        """
        world = self._world
        async with world.lock:
            place = world.plant.place(serial)
            self._check_silent(serial)
            if by is not None and (by in world.plant.places or by in world.plant.retired):
                raise OrderRefusedError(
                    f"gateway {by}: expected a serial that is new to this site, found a known one"
                )
            retired = Retired(
                serial=serial,
                asset=place.position.asset,
                by=by,
                at=world.clocks.now(),
                who=sender.who,
                reason=reason,
            )
            facts = {"asset": retired.asset, "by": by, "reason": reason}
            event = Event("gateway.retired", serial, facts)
            standing = ills(serial, world.sightings.get(serial))

            def mutate(tx: Tx) -> None:
                tables.save_retired(tx, retired, event)
                for key in standing:
                    self._reconciler.alarms.clear_in(tx, key)

            await self._store.change(sender.who, [event], mutate)
            gone = {**world.plant.retired, serial: retired}
            world.plant = Plant.of(world.plant.inventory, gone)
            await self._reconciler.free(serial, f"retired by {sender.who}")
            await self._reconciler.tell()
        world.wake.set()

    def _check_silent(self, serial: str) -> None:
        if self._world.reachable(serial):
            raise OrderRefusedError(
                f"gateway {serial}: expected a silent one, it was heard "
                f"{self._world.age_s(serial) or 0.0:.0f} s ago; switch it off first"
            )

    async def _mark(self, who: str, marks: dict[str, Marks], kind: str, facts: Facts) -> None:
        events = {serial: Event(kind, serial, facts) for serial in marks}
        left = {**self._world.marks, **marks}
        conflicts = any(each.conflict is not None for each in left.values())

        def mutate(tx: Tx) -> None:
            for serial, mark in marks.items():
                tables.save_marks(tx, serial, mark, events[serial])
            if not conflicts:
                self._reconciler.alarms.clear_in(tx, CONFLICT_KEY)

        await self._store.change(who, [*events.values()], mutate)
        self._world.marks.update(marks)
        self._world.wake.set()
