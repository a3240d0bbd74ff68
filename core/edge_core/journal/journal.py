"""The journal as daemons use it: append and wait until it is safe, read anywhere, acknowledge.

Group commit without a task of its own: whatever is appended while one sync is under way is the
next commit. At any time at most one commit is on its way through the journal's one thread.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import structlog

from edge_core.journal.config import (
    MIB,
    JournalConfig,
    JournalState,
    JournalStats,
    RecoveryReport,
)
from edge_core.journal.entries import Appended, Batch, DuplicateEntry, Entry, Record, Stored
from edge_core.journal.errors import (
    EntryTooLargeError,
    JournalClosedError,
    JournalConflictError,
    JournalFullError,
)
from edge_core.journal.host import Host
from edge_core.journal.layout import crc32c, record_bytes
from edge_core.journal.log import Log
from edge_core.journal.marks import FirstCopy, Marks, Sighting
from edge_core.journal.segment import Draft

log = structlog.get_logger(__name__)

T = TypeVar("T")

Identity = tuple[str, int, int]
"""Source, epoch and sequence of an entry."""


@dataclass(slots=True)
class _Waiting:
    """A draft, and everybody who wants to know what became of it."""

    draft: Draft
    identity: Identity
    waiters: list[asyncio.Future[int]] = field(default_factory=list)

    def outcome(self) -> asyncio.Future[int]:
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return waiter

    def settle(self, seq: int) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(seq)

    def fail(self, error: BaseException) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)


class Journal:
    """One folder of segments, open for one process.

    Use it as ``async with await Journal.open(folder, config) as journal``. Every method belongs
    to the event loop that opened it.
    """

    def __init__(self, opened: Log, marks: Marks, config: JournalConfig) -> None:
        self._log = opened
        self._marks = marks
        self._config = config
        # One thread each: commits and acknowledgements in order, and reading never behind them.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="journal-write")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="journal-read")
        self._pending: deque[_Waiting] = deque()
        self._under_way: dict[Identity, _Waiting] = {}
        self._pending_bytes = 0
        self._record_bytes_max = opened.record_bytes_max
        self._committing = False
        self._closed = False
        self._grown = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._state = opened.state
        self.recovery: RecoveryReport = opened.recovery

    @classmethod
    async def open(
        cls, folder: Path, config: JournalConfig | None = None, host: Host | None = None
    ) -> Self:
        """Take hold of *folder*, made if need be, and recover what is in it.

        Raises:
            JournalInUseError: another process holds it.
            JournalForeignError: a newer program wrote it.
            JournalReadOnlyError: the folder cannot be written.
        """
        config = config or JournalConfig()
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, Log.open, folder, config, host or Host())
        try:
            opened, marks = await _to_the_end(opening)
        except asyncio.CancelledError:
            if opening.exception() is None:
                opening.result()[0].close()
            raise
        _tell(folder, opened.recovery)
        return cls(opened, marks, config)

    async def append(self, entry: Entry) -> Appended:
        """Store *entry* and return only once it would survive a power cut.

        An entry whose identity is stored already is not stored again; if its first copy is still
        on the way, this waits for that one. When the caller is cancelled, the entry may be stored
        all the same.

        Raises:
            JournalFullError: no room, on disk or in memory.
            JournalSyncError: the disk did not confirm it; append the very same entry again.
            JournalReadOnlyError: the disk failed twice in a row.
            JournalConflictError: the identity was used for another body.
            EntryTooLargeError: it fits into no segment.
            JournalClosedError: the journal is closed.
        """
        if self._closed:
            raise JournalClosedError("the journal is closed")
        crc = crc32c(entry.body)
        identity = (entry.source, entry.epoch, entry.sequence)
        first = self._under_way.get(identity) if entry.sequence else None
        if first:
            _same(entry, first.draft.body_crc32c, crc)
            return DuplicateEntry(await first.outcome())
        if self._marks.seen(*identity, crc) is not Sighting.FRESH:
            return self._known(entry, crc)
        waiting = _Waiting(self._admitted(entry, crc), identity)
        self._under_way[identity] = waiting
        self._pending.append(waiting)
        self._commit_soon()
        return Stored(await waiting.outcome())

    async def read_batch(self, after: int, bytes_max: int = MIB) -> Batch:
        """The next records above *after* that nobody acknowledged, without waiting for new ones.

        Args:
            after: the `reached` of the batch before; 0 for the oldest.
            bytes_max: stop at this many bytes; the last record may go beyond.

        Raises:
            JournalUnreadableError: a segment cannot be opened now.
            JournalClosedError: the journal is closed.
        """
        if self._closed:
            raise JournalClosedError("the journal is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, self._log.read, after, bytes_max)

    async def wait_for(self, after: int) -> None:
        """Return when a record above *after* is safe on disk.

        Raises:
            JournalClosedError: the journal was closed first.
        """
        while self._log.last_seq <= after:
            if self._closed:
                raise JournalClosedError("the journal is closed")
            await self._grown.wait()

    async def read(self, after: int = 0, bytes_max: int = MIB) -> AsyncIterator[Record]:
        """Every record above *after*, old and new, until the journal is closed.

        Raises:
            JournalUnreadableError: a segment cannot be opened now.
        """
        while not self._closed:
            batch = await self.read_batch(after, bytes_max)
            for record in batch.records:
                yield record
            after = batch.reached
            if not batch.records:
                try:
                    await self.wait_for(after)
                except JournalClosedError:
                    return

    async def acknowledge(self, last: int, first: int | None = None) -> None:
        """Never deliver again what lies up to *last*, or only what lies from *first* to *last*.

        Segments of which everything is acknowledged are taken away. It is on disk at the latest
        `cursor_interval_s` later, with the next acknowledgement or on closing; a power cut before
        only means that records are delivered twice.

        Raises:
            ValueError: *last* is a number that no record has yet, or lies below *first*.
        """
        if last > self._log.last_seq or (first is not None and first > last):
            raise ValueError(
                f"acknowledge: expected a range up to {self._log.last_seq}, "
                f"found {first if first is not None else 0} to {last}"
            )
        await self._in_order(partial(self._log.acknowledge, last, first))
        self._notice_state()

    @property
    def acknowledged(self) -> tuple[tuple[int, int], ...]:
        """What has been acknowledged, as closed ranges; the first one starts at 0."""
        return self._log.acknowledged

    def contiguous(self, source: str, epoch: int) -> int:
        """How far *source* has been stored without a gap in this *epoch*; 0 if not at all."""
        return self._marks.contiguous(source, epoch)

    def stats(self) -> JournalStats:
        """The figures of this moment."""
        stats = replace(self._log.stats(), pending_bytes=self._pending_bytes)
        return replace(stats, state=JournalState.CLOSED) if self._closed else stats

    async def close(self) -> None:
        """Store what is pending, seal the newest segment, save the cursor, let the folder go."""
        if self._closed:
            return
        self._closed = True
        self._grown.set()
        try:
            await self._quiet.wait()
        finally:
            while self._pending:  # only when closing itself was cancelled
                self._pending.popleft().fail(JournalClosedError("the journal was closed"))
            await self._in_order(self._log.close)
            self._writing.shutdown(wait=False)
            self._reading.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _known(self, entry: Entry, crc: int) -> DuplicateEntry:
        first = self._marks.first_copy(entry.source, entry.epoch, entry.sequence)
        if first is None:
            return DuplicateEntry(None)
        _same(entry, first.crc32c, crc)
        return DuplicateEntry(first.seq)

    def _admitted(self, entry: Entry, crc: int) -> Draft:
        draft = Draft(entry, crc, record_bytes(entry.source_bytes, len(entry.body)))
        if draft.bytes > self._record_bytes_max:
            raise EntryTooLargeError(
                f"entry {entry.sequence} of {entry.source}: expected a record of at most "
                f"{self._record_bytes_max} bytes, found {draft.bytes}"
            )
        if self._pending_bytes + draft.bytes > max(self._config.pending_bytes_max, draft.bytes):
            raise JournalFullError(
                f"{self._pending_bytes} bytes wait for the disk already, of "
                f"{self._config.pending_bytes_max} that may"
            )
        self._pending_bytes += draft.bytes
        return draft

    def _commit_soon(self) -> None:
        if self._committing or not self._pending:
            return
        self._committing = True
        self._quiet.clear()
        loop = asyncio.get_running_loop()
        if self._config.commit_window_s and not self._closed:
            loop.call_later(self._config.commit_window_s, self._commit)
        else:
            loop.call_soon(self._commit)  # who is ready to append by then comes along

    def _commit(self) -> None:
        batch = self._next_batch()
        drafts = [waiting.draft for waiting in batch]
        rolls = self._log.rolls(sum(draft.bytes for draft in drafts))
        marks = self._marks.snapshot() if rolls else ()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._writing, self._log.commit, drafts, marks)
        work.add_done_callback(partial(self._settle, batch))

    def _next_batch(self) -> list[_Waiting]:
        left = min(self._config.batch_bytes_max, self._record_bytes_max)
        batch: list[_Waiting] = []
        while self._pending and (not batch or self._pending[0].draft.bytes <= left):
            batch.append(self._pending.popleft())
            left -= batch[-1].draft.bytes
        return batch

    def _settle(self, batch: Sequence[_Waiting], work: asyncio.Future[int]) -> None:
        error = work.exception()
        for at, waiting in enumerate(batch):
            self._pending_bytes -= waiting.draft.bytes
            self._under_way.pop(waiting.identity, None)
            if error:
                waiting.fail(error)
                continue
            seq = work.result() + at
            self._marks.add(*waiting.identity, FirstCopy(seq, waiting.draft.body_crc32c))
            waiting.settle(seq)
        self._committing = False
        self._grown.set()
        self._grown = asyncio.Event()
        self._notice_state(error)
        self._commit_soon()
        if not self._committing:
            self._quiet.set()

    def _notice_state(self, error: BaseException | None = None) -> None:
        state = self._log.state
        if state is not self._state:
            before, self._state = self._state.value, state
            reason = str(error) if error else None
            log.warning("journal.state_changed", before=before, now=state.value, reason=reason)

    async def _in_order(self, job: Callable[[], None]) -> None:
        """Run *job* behind every commit that is on its way, to its end even when cancelled."""
        loop = asyncio.get_running_loop()
        await _to_the_end(loop.run_in_executor(self._writing, job))


async def _to_the_end(work: asyncio.Future[T]) -> T:
    """Wait until *work* is done, even when cancelled meanwhile, and only then be cancelled."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _same(entry: Entry, first_crc: int, crc: int) -> None:
    if first_crc != crc:
        raise JournalConflictError(
            f"entry {entry.sequence} of {entry.source}, epoch {entry.epoch}: expected the body "
            f"stored first (CRC-32C {first_crc:08x}), found another ({crc:08x}); a number must "
            "never be used twice"
        )


def _tell(folder: Path, recovery: RecoveryReport) -> None:
    lost = recovery.damaged or recovery.quarantined
    tell = log.warning if lost else log.info
    tell("journal.recovered", folder=str(folder), **asdict(recovery))
