"""Makes each event durable before anybody believes it, and tells the log what moved."""

import asyncio
from collections.abc import Callable

import structlog

from edge_core.contracts.gateway import UpdateReport, UpdateState
from edge_runtime.errors import StoreError
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance
from edge_runtime.update.record import Record
from edge_runtime.update.store import RecordStore

log = structlog.get_logger(__name__)

FAULT_CHARS_MAX = 500  # what a heartbeat carries


class RecordKeeper:
    """The record as it stands, and what is wrong with this gateway in words.

    Attributes:
        faults: one line each, by kind; a heartbeat carries them.
    """

    def __init__(self, store: RecordStore, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._record = store.record
        self._monotonic = monotonic
        self._since_s = monotonic()
        self.faults: dict[str, str] = {}

    @property
    def record(self) -> Record:
        """As it stands now."""
        return self._record

    @property
    def state(self) -> UpdateState:
        """Where the latest attempt stands."""
        return self._record.state

    def report(self) -> UpdateReport | None:
        """The latest attempt as told to the site."""
        attempt = self._record.attempt
        return None if attempt is None else attempt.report(self._monotonic() - self._since_s)

    async def save(self, event: Event) -> None:
        """Make *event* durable, then believe it.

        Raises:
            StoreError: the disk did not take it; nothing has changed.
        """
        was = self._record
        now = advance(was, event)
        if now == was:
            return
        try:
            self._record = await asyncio.to_thread(self._store.save, now)
        except StoreError as error:
            self.fault("store", str(error))
            raise
        self.mend("store")
        self._notice(was, event)

    def note(self, event: Event) -> None:
        """Believe an event that need not survive a restart."""
        was, self._record = self._record, advance(self._record, event)
        self._notice(was, event)

    def fault(self, kind: str, words: str) -> None:
        """Something is wrong that a person has to know."""
        if self.faults.get(kind) != words[:FAULT_CHARS_MAX]:
            log.error("gateway.faulted", kind=kind, reason=words)
        self.faults[kind] = words[:FAULT_CHARS_MAX]

    def mend(self, kind: str) -> None:
        """It is not wrong any more."""
        if self.faults.pop(kind, None) is not None:
            log.info("gateway.mended", kind=kind)

    def _notice(self, was: Record, event: Event) -> None:
        attempt = self._record.attempt
        if attempt is None or (was.attempt is not None and was.state is attempt.state):
            return
        self._since_s = self._monotonic()
        log.info(
            "update.moved",
            by=type(event).__name__,
            state=attempt.state.value,
            digest=attempt.digest,
            attempt=attempt.assignment.attempt,
            veto=attempt.veto,
            reason=attempt.reason,
        )
