"""The update agent of a gateway: looks at the record, does the one thing that is due, looks again.

The machine decides; each event is durable before anything is done about it. The agent is woken,
not told: a new desired state or an order sets the wake, and every pass looks at everything again.
So a restart is not a special case, and an order interrupts whatever can be interrupted.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import EdgeError, NotFoundError, RefusedError, TryAgainError
from edge_core.contracts.gateway import Desired, Outcome, RollbackOrder, UpdateReport, UpdateState
from edge_runtime.errors import NotDurableError, NothingToRollBackError, StoreError
from edge_runtime.model import ROLE_COMMITTED, ROLE_TRIAL
from edge_runtime.update import events
from edge_runtime.update.ascent import Ascent, Means
from edge_runtime.update.events import Event
from edge_runtime.update.keeper import RecordKeeper
from edge_runtime.update.loader import NICE_COMMITTED, NICE_SHADOW
from edge_runtime.update.record import AIRBORNE, BEFORE, Entry, Record
from edge_runtime.update.references import rollback_target
from edge_runtime.wake import Wake

LOADS_MAX = 3  # of what a rollback returned to; then the version before it gets its turn


@dataclass(frozen=True, slots=True)
class _Ordered:
    """An order of a person here, and why the disk refused it, "" if it did not, once known."""

    order: RollbackOrder
    refusal: asyncio.Future[str]


class Agent:
    """One gateway's updates."""

    def __init__(self, keeper: RecordKeeper, means: Means) -> None:
        self.keeper = keeper
        self._means = means
        self._lineup = means.lineup
        self._wake = Wake()
        self._ascent = Ascent(keeper, means, self._wake)
        self._desired: Desired | None = None
        self._told: events.Reported | None = None
        self._loads_failed = 0
        self._load_at_s = 0.0  # not sooner is what is committed loaded again
        self._orders: list[_Ordered] = []
        self._untidy = True
        self._beside: Digest | None = None  # what was brought to go on beside what is committed
        self._routed: Digest | None = None  # whom the record put in charge when we last routed

    @property
    def record(self) -> Record:
        """As it stands now."""
        return self.keeper.record

    def submit(self, desired: Desired, told: UpdateReport | None = None) -> None:
        """Hear the site's desired state, once after every heartbeat that it answered.

        Args:
            desired: as fetched, or as known to be unchanged.
            told: what that heartbeat said of an attempt, and the site so has acknowledged.
        """
        self._desired = desired
        if told is not None and told.outcome is not Outcome.OPEN:
            self._told = events.Reported((told.digest, told.attempt), told.outcome)
        if desired != self.record.desired:
            self._wake.set()

    async def order_back(self, reason: str) -> Digest | None:
        """A person at this gateway wants what runs left; gives where it goes, once that is safe.

        None means that nothing was committed before, so the gateway goes back to no model.

        Raises:
            NothingToRollBackError: there is no other verified version here.
            NotDurableError: the order holds, but only as long as this run.
        """
        order, target = order_from(self.record, reason)
        ordered = _Ordered(order, asyncio.get_running_loop().create_future())
        self._orders.append(ordered)
        self._wake.set()
        try:
            async with asyncio.timeout(self._means.pace.answer_s):
                refusal = await asyncio.shield(ordered.refusal)
        except TimeoutError:
            refusal = "the disk has not taken it yet"
        if refusal:
            raise NotDurableError(
                f"rollback: goes to {target or 'no model'}, but a restart may forget it: {refusal}"
                "; mend the disk, then see edge-gateway status and order again if it must be"
            )
        return target

    @property
    def running(self) -> Digest | None:
        """What decides, by its worker's own word.

        None between the write that puts a model in charge and the route that follows it: a report
        of that instant would otherwise name two models and look like a worker that lies.
        """
        return self._lineup.running if self._routed == self._leading else None

    @property
    def _leading(self) -> Digest | None:
        """Whom the record puts in charge: a candidate from the start of its trial on."""
        slots = self.record.slots
        if self.record.fail_safe:
            return None
        return slots.candidate if self.keeper.state is UpdateState.TRIAL else slots.committed

    async def end(self) -> None:
        """Say that this run ends because it was told to, so that nobody is blamed for it."""
        await self.keeper.settled()
        with suppress(StoreError):
            await self._ascent.end()
            await self.keeper.save(events.Stopped())

    async def run(self) -> None:
        """Look and act, for ever."""
        while True:
            self._wake.clear()
            await self._hear()
            try:
                await self._pass()
            except StoreError:
                # The keeper has raised the alarm; what is committed runs, as ordered.
                self._route()
                await self._wake.sleep(self._means.pace.retry_s)
            await self.keeper.flush()

    async def _hear(self) -> None:
        """Take in what was ordered and told; what the disk refuses holds for this run alone."""
        while self._orders:
            ordered = self._orders[0]
            refusal = await self._kept(events.OrderedBack(ordered.order, local=True))
            self._orders.pop(0)
            if not ordered.refusal.done():
                ordered.refusal.set_result(refusal)
        try:
            await self._hear_site()
        except StoreError:
            if self._desired is not None:
                self._heed(self._desired)

    async def _hear_site(self) -> None:
        if self._told is not None:
            await self.keeper.save(self._told)
            self._told = None
        if self._desired is None:
            return
        if self._fresh(self._desired):
            await self.keeper.save(events.Told(self._desired))
        self._desired = None

    def _fresh(self, desired: Desired) -> bool:
        record = self.record
        if desired.generation >= record.generation_seen and desired.epoch >= record.epoch_seen:
            self.keeper.mend("stale")
            return True
        self.keeper.fault(
            "stale",
            f"desired state: expected generation {record.generation_seen} and epoch "
            f"{record.epoch_seen} or later, found {desired.generation} and {desired.epoch}",
        )
        return False

    def _heed(self, desired: Desired) -> None:
        """Do at once what makes the line safer: leave a version, or its safe output.

        Whatever else is desired waits until the disk takes it.
        """
        if not self._fresh(desired):
            return
        last = self.record.desired or msgspec.structs.replace(desired, assignment=None)
        safer = msgspec.structs.replace(
            last,
            generation=self.record.generation_seen,
            epoch=self.record.epoch_seen,
            safe_mode=desired.safe_mode,
            rollback=desired.rollback,
        )
        if safer != last:
            self.keeper.act(events.Told(safer))

    async def _kept(self, event: Event) -> str:
        """Believe *event*; why the disk does not keep it, "" if it does."""
        try:
            await self.keeper.save(event)
        except StoreError as error:
            self.keeper.act(event)
            return str(error)
        return ""

    async def _pass(self) -> None:
        """The one thing that is due."""
        runs = await self._committed_runs()
        if self.keeper.state is UpdateState.ROLLING_BACK:
            if not runs:
                return
            self._decide(self.record.slots.committed)
            await self.keeper.save(events.TargetRunning())
            self._untidy = True
            return
        self._route()
        await self.keeper.catch_up()  # nobody goes up on a disk that does not remember it
        if not await self._ascent.step():
            await self._tidy()
            await self._wake.sleep(self._means.pace.look_s)
        elif self.keeper.state not in BEFORE | AIRBORNE:
            self._untidy = True

    def _route(self) -> None:
        slots, state = self.record.slots, self.keeper.state
        # A record that cannot be written could not undo the trial either: the line is safer back.
        trial = state is UpdateState.TRIAL and not self.keeper.owed
        if trial and slots.candidate is not None:
            self._decide(slots.candidate, slots.committed, role=ROLE_TRIAL)
        else:
            self._decide(slots.committed, self._staged() or self._former())

    def _staged(self) -> Digest | None:
        """The release that looks on while it waits for its permit, if it is loaded."""
        attempt = self.record.attempt
        waiting = {UpdateState.STAGED, UpdateState.AWAITING_PERMIT}
        if attempt is None or attempt.state not in waiting:
            return None
        return attempt.digest if self._lineup.has(attempt.digest) else None

    def _former(self) -> Digest | None:
        """What ran before and goes on beside what is committed, if it is loaded."""
        former = self._former_wanted()
        return former if former is not None and self._lineup.has(former) else None

    def _former_wanted(self) -> Digest | None:
        record = self.record
        desired, slots = record.desired, record.slots
        assignment = None if desired is None else desired.assignment
        if assignment is None or not assignment.former_beside or record.fail_safe:
            return None
        settled = self.keeper.state is UpdateState.COMMITTED
        same = assignment.release.digest == slots.committed
        return slots.previous_good if settled and same else None

    async def _bring_former(self) -> None:
        """Have what ran before go on quietly; once a run, and what goes wrong costs only pairs."""
        former = self._former_wanted()
        if former == self._beside:
            return
        self._beside = former
        entry = None if former is None else self.record.entries.get(former)
        if former is None or entry is None:
            return
        try:
            if self._lineup.has(former):
                await self._lineup.promote(former, NICE_SHADOW)
            else:
                await self._lineup.ensure(entry, nice=NICE_SHADOW)
        except EdgeError as error:
            self.keeper.tell("shadow.unavailable", digest=former, reason=str(error))

    def _decide(
        self, effective: Digest | None, shadow: Digest | None = None, role: str = ROLE_COMMITTED
    ) -> None:
        desired = self.record.desired
        safe_mode = desired is not None and desired.safe_mode
        self._lineup.decide(effective, shadow, role=role, safe_mode=safe_mode)
        self._routed = self._leading

    # What is committed runs, or something else that is verified does, or nothing.

    async def _committed_runs(self) -> bool:
        record = self.record
        digest = record.slots.committed
        if record.fail_safe:
            self._decide(None)
            self.keeper.fault("fail_safe", "no verified version can be loaded; safe output only")
            return True
        self.keeper.mend("fail_safe")
        if digest is None or self._lineup.has(digest):
            return True
        entry = record.entries.get(digest)
        if entry is None:
            await self._lost(digest, "its bytes are not on this disk")
            return False
        back = self.keeper.state is UpdateState.ROLLING_BACK
        if not back and self._means.monotonic() < self._load_at_s:
            return False
        try:
            await self._lineup.ensure(entry, nice=NICE_COMMITTED)
        except (RefusedError, NotFoundError) as error:
            await self._lost(digest, f"{entry.release.version}: {error}")
        except EdgeError as error:
            # The worker that dies over bytes that it cannot read does not say so; we look.
            rotten = await self._rotten(entry)
            if rotten:
                await self._lost(digest, f"{entry.release.version}: {rotten}")
            else:
                await self._stumbled(digest, f"{entry.release.version}: {error}")
        else:
            self._loads_failed, self._load_at_s = 0, 0.0
            self.keeper.mend("model")
        return self._lineup.has(digest)

    async def _rotten(self, entry: Entry) -> str:
        """Why the bytes of *entry* are not what was verified, "" if they are."""
        try:
            await asyncio.to_thread(self._means.shelf.verify, entry)
        except (RefusedError, NotFoundError) as error:
            return str(error)
        except EdgeError as error:
            self.keeper.tell("entry.unseen", digest=entry.digest, reason=str(error))
        return ""

    async def _stumbled(self, digest: Digest, reason: str) -> None:
        """An accident and no verdict on the version: nobody toggles, we try again.

        Meanwhile a trial goes on, and a release that would mend it may come. On a way back the
        line would be without a model for good, so there the next version gets its turn.
        """
        self.keeper.fault("model", reason)
        self._loads_failed += 1
        if self.keeper.state is UpdateState.ROLLING_BACK:
            self._decide(None)
            if self._loads_failed >= LOADS_MAX:
                self._loads_failed = 0
                await self._kept(events.TargetLost(digest, reason))
            else:
                await self._ascent.back_off()
            return
        pace = self._means.pace
        wait_s = min(pace.retry_s * 2 ** min(self._loads_failed - 1, 10), pace.retry_s_max)
        self._load_at_s = self._means.monotonic() + wait_s

    async def _lost(self, digest: Digest, reason: str) -> None:
        self.keeper.fault("integrity", f"{digest}: {reason}")
        await self._kept(events.EntryLost(digest, reason))

    async def _tidy(self) -> None:
        """Retire and collect what no reference and no attempt needs any more."""
        record = self.record
        needed = set(record.slots.referenced)
        await self._bring_former()
        loaded = {record.slots.committed, record.slots.candidate, self._former_wanted()}
        await self._lineup.retire_others(frozenset(each for each in loaded if each is not None))
        if not self._untidy:
            return
        await self.keeper.save(events.Collected(frozenset(record.entries) - needed))
        kept = list(self.record.entries.values())
        try:
            gone = await asyncio.to_thread(self._means.shelf.collect, kept)
        except TryAgainError as error:
            self.keeper.fault("shelf", f"{error}; what nobody needs stays")
            await self._wake.sleep(self._means.pace.retry_s)
            return
        self._untidy = False
        self.keeper.mend("shelf")
        if gone:
            self.keeper.tell("store.collected", blobs=gone)


def order_from(record: Record, reason: str) -> tuple[RollbackOrder, Digest | None]:
    """A local order to leave what is effective, and where it will lead.

    Raises:
        NothingToRollBackError: there is no other verified version.
    """
    slots = record.slots
    leaving = slots.effective
    target = slots.committed if slots.candidate else rollback_target(slots, record.verified)
    if leaving is None or (target is None and slots.candidate is None):
        raise NothingToRollBackError(
            "rollback: expected another verified version on this gateway, found none"
        )
    order = RollbackOrder(from_digest=leaving, epoch=record.epoch_seen, reason=reason[:500])
    return order, target
