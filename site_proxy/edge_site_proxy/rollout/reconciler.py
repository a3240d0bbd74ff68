"""Looks at everything again and carries out what follows, one transition a transaction.

It is woken, not told: whoever changed something sets `world.wake`. Each pass is idempotent, so a
restart, a lost wake-up or a repeat are no special cases.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog
from msgspec.structs import replace
from sqlite_utils import Database

from edge_core.contracts.gateway import Desired
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout import machine, outlook, tables
from edge_site_proxy.rollout.approvals.mandate import RENEWABLE
from edge_site_proxy.rollout.epochs import raise_epoch
from edge_site_proxy.rollout.glance import Glance
from edge_site_proxy.rollout.members import look_at, renewed
from edge_site_proxy.rollout.permits import settled
from edge_site_proxy.rollout.pulls import Pulls
from edge_site_proxy.rollout.records import MOVING, SITE, Grant, Step
from edge_site_proxy.rollout.wanted import wanted
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, StoreUnavailableError, Tx
from edge_site_proxy.store.feed import note_changes

STEPS_MAX = 64  # transitions of one rollout in one pass; more would be a loop
REST_S = 1.0  # between passes when nobody wakes us: deadlines and silence need a look too
TOLD_AT_ONCE = 250  # gateways in one transaction; heartbeats wait for no longer than that
SAVED_AT_ONCE = 50  # likewise, of what nobody waits for
TIMERS_EVERY_S = 10.0

log = structlog.get_logger(__name__)


class Reconciler:
    """Moves the rollouts.

    Args:
        world: the state in memory; its lock is held through each transition, and between two of
            them heartbeats and permits have their turn.
        store: where transitions are kept.
        alarms: who is told.
        pulls: whose downloads are over is looked at with everything else.
    """

    def __init__(self, world: World, store: Store, alarms: AlarmBook, pulls: Pulls) -> None:
        self._world = world
        self._store = store
        self.alarms = alarms
        self._pulls = pulls
        self._timers_saved = world.started
        self._glance = Glance()
        self._pass = asyncio.Lock()

    async def run(self) -> None:
        """Pass after pass, until cancelled. A disk that refuses is waited for."""
        while True:
            self._world.wake.clear()
            begun = self._world.clocks.monotonic()
            try:
                await self.look()
            except StoreUnavailableError as error:
                log.warning("reconciler.waited", reason=str(error))
            took = self._world.clocks.monotonic() - begun
            # At 5,000 gateways somebody always wakes us; a pass may take a fifth of the time.
            await asyncio.sleep(max(0.05, 4 * took))
            try:
                async with asyncio.timeout(REST_S):
                    await self._world.wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """One pass over everything."""
        async with self._pass:
            await self._settle_grants()
            await self._pulls.settle()
            for rollout in list(self._world.rollouts.values()):
                await self._move(rollout.id)
            await self._tell()
            await self._save_sightings()
            await self._save_timers()

    async def _settle_grants(self) -> None:
        async with self._world.lock:
            over = [
                (grant, why)
                for grant in self._world.grants.values()
                if (why := self._settled(grant)) is not None
            ]
            if over:
                await self._settle(over)

    async def free(self, serial: str, why: str) -> None:
        """Count the permit of *serial* as settled, if one is out. The caller holds the lock."""
        grant = self._world.grants.get(serial)
        if grant is not None:
            await self._settle([(grant, why)])

    def _settled(self, grant: Grant) -> str | None:
        world, serial = self._world, grant.serial
        sighting = world.sightings.get(serial)
        if sighting is None:
            return None
        now = world.clocks.monotonic()
        return settled(
            grant,
            sighting.update(grant.digest),
            sighting.key,
            held_s=now - world.granted[serial],
            heard_s=now - world.heard.get(serial, world.granted[serial]),
        )

    async def _settle(self, over: Sequence[tuple[Grant, str]]) -> None:
        events = [_settling(grant, why) for grant, why in over]

        def mutate(tx: Tx) -> None:
            for (grant, _), event in zip(over, events, strict=True):
                tables.drop_grant(tx, grant.serial, event)

        await self._store.change(SITE, events, mutate)
        for grant, _ in over:
            del self._world.grants[grant.serial]
            del self._world.granted[grant.serial]

    async def _move(self, name: str) -> None:
        for _ in range(STEPS_MAX):
            if not await self._step(name):
                return
        raise AssertionError(f"rollout {name} made {STEPS_MAX} steps in one pass")

    async def _step(self, name: str) -> bool:
        """At most one transition of rollout *name*; False when there is nothing to do."""
        world = self._world
        seen = world.rollouts[name]
        if not (seen.open or seen.state in RENEWABLE):
            return False
        # Thousands of members take a moment to judge, and heartbeats do not wait for that. The
        # evidence is read from values that are replaced, never changed.
        judged = {}
        if seen.state in MOVING:
            judged = await asyncio.to_thread(outlook.gates, world, seen)
        members = await look_at(world, seen)
        async with world.lock:
            if world.rollouts[name] is not seen:
                return True  # somebody ordered something meanwhile: look again
            if judged:
                world.gates[name] = judged
            facts = outlook.facts(world, seen, renewed(world, seen, members), judged)
            step = machine.step(seen, facts, world.clocks.now())
            if step is None:
                return False
            epoch = step.rollout.header.rollback_epoch
            if epoch is not None and epoch != seen.header.rollback_epoch:
                why = f"rollback of {name}"[:100]
                await raise_epoch(world, self._store, SITE, epoch, why)
            await self.carry_out(SITE, [step])
        return True

    async def carry_out(self, who: str, steps: Sequence[Step]) -> None:
        """Keep *steps* in one transaction, then believe them. The caller holds the lock."""
        baselines = {
            key: outlook.snapshot(self._world, step.rollout)
            for step in steps
            if step.rollout.state is RolloutState.ACTIVATING
            and (key := (step.rollout.id, step.rollout.header.cohort)) not in self._world.baselines
        }

        def mutate(tx: Tx) -> None:
            for step in steps:
                tables.save_rollout(tx, step.rollout, step.event)
                begun = step.rollout.id, step.rollout.header.cohort
                if begun in baselines:
                    tables.save_baseline(tx, *begun, baselines[begun], step.event)
                for call in step.alarms:
                    self.alarms.raise_in(tx, call)
                for key in step.cleared:
                    self.alarms.clear_in(tx, key)

        await self._store.change(who, [step.event for step in steps], mutate)
        self._world.baselines.update(baselines)
        for step in steps:
            self._world.rollouts[step.rollout.id] = step.rollout
            self._world.phase_s(step.rollout)
            log.info("rollout.changed", rollout=step.rollout.id, event_kind=step.event.kind)
        self.alarms.wake.set()
        self._world.wake.set()

    async def _tell(self) -> None:
        """Give each gateway a new generation of its desired state where that differs."""
        stirred = self._glance.stirred(self._world)
        try:
            for start in range(0, len(stirred), TOLD_AT_ONCE):
                async with self._world.lock:
                    await self._tell_those(stirred[start : start + TOLD_AT_ONCE])
                await asyncio.sleep(0)
        except StoreUnavailableError:
            self._glance.forget()
            raise

    async def tell(self) -> None:
        """The same at once, for an order that was just taken. The caller holds the lock."""
        serials = list(self._world.plant.places)
        for start in range(0, len(serials), TOLD_AT_ONCE):
            await self._tell_those(serials[start : start + TOLD_AT_ONCE])

    async def _tell_those(self, serials: Sequence[str]) -> None:
        some = map(self._fresh, serials)
        await self._tell_some([desired for desired in some if desired is not None])

    async def _tell_some(self, changed: list[Desired]) -> None:
        if not changed:
            return
        events = [_told(desired) for desired in changed]

        def mutate(tx: Tx) -> None:
            for desired, event in zip(changed, events, strict=True):
                tables.save_desired(tx, desired, event)

        await self._store.change(SITE, events, mutate)
        for desired in changed:
            self._world.desired[desired.serial] = desired

    def _fresh(self, serial: str) -> Desired | None:
        """What *serial* should be told instead, or None if it knows."""
        world = self._world
        sighting = world.sightings.get(serial)
        seen = sighting.report.generation_seen if sighting is not None else 0
        epoch_seen = sighting.report.epoch_seen if sighting is not None else 0
        old, new = world.desired.get(serial), wanted(world, serial)
        if old is not None:
            same = replace(new, generation=old.generation, epoch=old.epoch) == old
            # A permit may have told it a later epoch; what bears an earlier one it refuses.
            known = seen <= old.generation and min(epoch_seen, world.epoch) <= old.epoch
            if same and known:
                return None
            if world.noted(serial).conflict is not None and _same_wishes(old, new):
                return None
        last = max(seen, old.generation if old is not None else 0)
        return replace(new, generation=last + 1, epoch=world.epoch)

    async def _save_sightings(self) -> None:
        """Keep what is believed of gateways that said nothing new since the last pass."""
        world = self._world
        unsaved, world.unsaved = list(world.unsaved), set()
        for start in range(0, len(unsaved), SAVED_AT_ONCE):
            some = unsaved[start : start + SAVED_AT_ONCE]
            rows = [(each, world.heard_at[each], world.sightings[each]) for each in some]
            try:
                await self._store.observe(partial(tables.save_sightings, rows=rows))
            except StoreUnavailableError:
                world.unsaved.update(unsaved[start:])
                raise

    async def _save_timers(self) -> None:
        """Keep how long each phase has stood, so that a restart does not begin a soak anew."""
        world = self._world
        now = world.clocks.monotonic()
        if now - self._timers_saved < TIMERS_EVERY_S:
            return
        self._timers_saved = now
        open_ = [rollout for rollout in world.rollouts.values() if rollout.open]
        timers = {world.phases[each.id].name: world.phase_s(each) for each in open_}
        names = [each.id for each in open_ if each.id in world.gates]

        def mutate(db: Database) -> None:
            tables.save_timers(db, timers)
            # Measurements move without an event; screens that are open should look again.
            note_changes(db, [], [("rollout", name) for name in names], world.clocks.now())

        await self._store.observe(mutate)


def _settling(grant: Grant, why: str) -> Event:
    facts = {"rollout": grant.rollout, "attempt": grant.attempt, "why": why}
    return Event("permit.settled", grant.serial, facts)


def _same_wishes(old: Desired, new: Desired) -> bool:
    """Whether a gateway that is given no assignment would be told nothing else either."""
    same = replace(new, generation=old.generation, epoch=old.epoch, assignment=old.assignment)
    return same == old


def _told(desired: Desired) -> Event:
    assignment, rollback = desired.assignment, desired.rollback
    facts = {
        "generation": desired.generation,
        "release": assignment.release.digest if assignment is not None else None,
        "rollout": assignment.rollout if assignment is not None else None,
        "activate": assignment.activate if assignment is not None else None,
        "former_beside": assignment.former_beside if assignment is not None else None,
        "rollback_from": rollback.from_digest if rollback is not None else None,
        "safe_mode": desired.safe_mode,
        "snapshot": desired.snapshot,
    }
    return Event("gateway.told", desired.serial, facts)
