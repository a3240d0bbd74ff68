"""Makes each event durable before anybody believes it, and tells log and flight recorder why."""

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import Protocol

import msgspec
import structlog

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import UpdateReport, UpdateState
from edge_runtime.errors import StoreError
from edge_runtime.update.events import CaughtUp, Event, Restarted, StartedSealed
from edge_runtime.update.machine import advance
from edge_runtime.update.record import Attempt, Record
from edge_runtime.update.recorder import FlightRecorder
from edge_runtime.update.references import Cause

log = structlog.get_logger(__name__)

FAULT_CHARS_MAX = 500  # what a heartbeat carries
STANDING_BY = frozenset({UpdateState.STAGED, UpdateState.AWAITING_PERMIT})
UNPAIRED = "windows differ from the committed model's: no pairs possible"


class Store(Protocol):
    """Where a record lies."""

    @property
    def record(self) -> Record:
        """As it is there."""
        ...

    @property
    def damage(self) -> str:
        """What was wrong with it at the start, "" if nothing was."""
        ...

    def save(self, record: Record) -> Record:
        """Make it durable; it comes back numbered."""
        ...


class RecordKeeper:
    """The record as it stands, and what is wrong with this gateway in words.

    Attributes:
        faults: one line each, by kind; a heartbeat carries them.
        unpaired: the attempt that stands by for pairs which cannot come; a restart finds it anew.
        owed: the disk refused what was last to be written, and has taken nothing since.
    """

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float],
        recorder: FlightRecorder | None = None,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._writing = Lock()
        self._record = store.record
        self._monotonic = monotonic
        self._since_s = monotonic()
        self.faults: dict[str, str] = {}
        self.unpaired: tuple[Digest, int] | None = None
        self.owed = False
        if store.damage:
            self.fault("record", store.damage)

    @property
    def record(self) -> Record:
        """As it stands now."""
        return self._record

    @property
    def state(self) -> UpdateState:
        """Where the latest attempt stands."""
        return self._record.state

    def report(self) -> UpdateReport | None:
        """What the site must hear next: what is in the air, else a result it has not heard."""
        attempt = self._record.told_next
        if attempt is None:
            return None
        latest = attempt is self._record.attempt
        report = attempt.report(self._monotonic() - self._since_s if latest else 0.0)
        if attempt.key == self.unpaired and attempt.state in STANDING_BY:
            return msgspec.structs.replace(report, reason=UNPAIRED, unpaired=True)
        return report

    async def save(self, event: Event, *, shown_at_once: bool = False) -> None:
        """Make *event* durable, then believe it.

        Args:
            event: what has happened.
            shown_at_once: let reports say so while it is still being written. A permit is used
                from the instant at which it was found valid, however slow the disk is, and no
                report that is made after that may say that nothing was started.

        Raises:
            StoreError: the disk did not take it; nothing has changed.
        """
        was = self._record
        now = advance(was, event)
        if now == was and not self.owed:
            return
        if shown_at_once:
            self._record = now
        try:
            await asyncio.to_thread(self._written, now)
        except StoreError as error:
            self._record = was
            self.owed = True
            self.fault("store", str(error))
            raise
        self.owed = False
        self.mend("store")
        self._notice(was, event)

    async def catch_up(self) -> None:
        """Bring what is believed to a disk that refused it before.

        Raises:
            StoreError: it still does.
        """
        if self.owed:
            await self.save(CaughtUp())

    def act(self, event: Event) -> None:
        """Believe *event* although the disk refused it, since the line cannot wait for a disk.

        A restart forgets it, unless the disk has taken something before that: the next write that
        succeeds brings it along.
        """
        was = self._record
        self.note(event)
        self.owed = True
        self._notice(was, event)

    async def settled(self) -> None:
        """Return when no write is under way, such as one whose caller was cancelled."""
        await asyncio.to_thread(self._waited)

    def note(self, event: Event) -> None:
        """Believe an event that need not survive a restart; nor does the recorder need it."""
        was, self._record = self._record, advance(self._record, event)
        if self._record.state is not was.state:
            self._since_s = self._monotonic()

    def tell(self, event: str, **facts: object) -> None:
        """Say something to the log and to the flight recorder."""
        log.info(event, **facts)
        self._keep(event, **facts)

    async def flush(self) -> None:
        """Bring what was told to the flight recorder's disk; it never raises."""
        if self._recorder is not None:
            await asyncio.to_thread(self._flushed, self._recorder)

    def fault(self, kind: str, words: str) -> None:
        """Something is wrong that a person has to know."""
        if self.faults.get(kind) != words[:FAULT_CHARS_MAX]:
            log.error("gateway.faulted", kind=kind, reason=words)
            self._keep("gateway.faulted", kind=kind, reason=words)
        self.faults[kind] = words[:FAULT_CHARS_MAX]

    def mend(self, kind: str) -> None:
        """It is not wrong any more."""
        if self.faults.pop(kind, None) is not None:
            log.info("gateway.mended", kind=kind)

    def _waited(self) -> None:
        with self._writing:
            return

    def _written(self, record: Record) -> None:
        with self._writing:
            self._record = self._store.save(record)
            if self._recorder is not None:
                self._flushed(self._recorder)

    def _flushed(self, recorder: FlightRecorder) -> None:
        try:
            recorder.write()
        except EdgeError as error:
            # Memory keeps the lines; a gateway that cannot explain itself still does its work.
            self.fault("recorder", str(error))
        else:
            self.mend("recorder")

    def _keep(self, event: str, **facts: object) -> None:
        if self._recorder is not None:
            self._recorder.note(event, boot=self._record.boot_epoch, **facts)

    def _notice(self, was: Record, event: Event) -> None:
        attempt, before = self._record.attempt, was.attempt
        if attempt is None or (before is not None and _standing(before) == _standing(attempt)):
            return
        self._since_s = self._monotonic()
        slots = self._record.slots
        self.tell(
            "update.moved",
            by=type(event).__name__,
            state=attempt.state.value,
            was=was.state.value,
            outcome=attempt.outcome.value,
            veto=attempt.veto,
            digest=attempt.digest,
            version=attempt.assignment.release.version,
            attempt=attempt.assignment.attempt,
            tries_left=slots.tries_left,
            refunds=slots.refunds,
            reason=attempt.reason,
        )


async def begin(keeper: RecordKeeper, cause: Cause, kernel_boot: str) -> None:
    """Take up where the last run ended.

    Raises:
        StoreError: the record cannot be written, so nothing may be counted on.
    """
    await keeper.save(Restarted(cause, kernel_boot))
    keeper.tell("gateway.began", cause=cause.value, kernel_boot=kernel_boot)


def begin_sealed(keeper: RecordKeeper, words: str) -> None:
    """Take up what the last run left on a disk that takes nothing; *words* say so."""
    keeper.act(StartedSealed())
    keeper.fault("store", words)


def _standing(attempt: Attempt) -> tuple[object, ...]:
    return attempt.key, attempt.state, attempt.outcome
