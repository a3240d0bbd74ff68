"""What must reach the site although it may be away: kept in journals, sent in order, repeatable.

Telemetry batches and suspect windows have a journal each, so that neither pins or delays the
other. A batch keeps the number that it got when it was made: however often it is sent, it is one
batch. What was taken stays until the site has it. As room runs out new batches are refused and
counted, traces first, then logs, then metrics, whose later sums say it all again; so is what the
disk itself does not take.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import OTLP_BYTES_MAX, REVIEW_BYTES_MAX
from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.journal import KIB, MIB, Entry, Journal, JournalConfig, Record
from edge_runtime.errors import SiteRefusedError
from edge_runtime.wear import COMMIT_BYTES

log = structlog.get_logger(__name__)

KIND_REVIEW: Final = 2
KINDS: Final = {Signal.METRICS: 1, Signal.LOGS: 3, Signal.TRACES: 4}
SIGNALS: Final = {kind: signal for signal, kind in KINDS.items()}
FILL_MAX: Final = {Signal.TRACES: 0.5, Signal.LOGS: 0.75, Signal.METRICS: 1.0}
"""Up to which share of the journal's room a signal is taken."""
SEGMENT_BYTES: Final = OTLP_BYTES_MAX + MIB // 2
READ_BYTES_MAX: Final = 256 * KIB
REVIEW_JOURNAL_BYTES: Final = 8 * MIB
CURSOR_S: Final = 30.0  # a power cut repeats so much, and the site knows a repeat
RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 60.0
"""Telemetry and windows are not urgent; heartbeats have their own loop."""


class Takes(Protocol):
    """Who takes what the outbox holds."""

    async def telemetry(self, signal: Signal, batch: BatchId, crc32c: int, body: bytes) -> None:
        """One OTLP batch, gzip."""
        ...

    async def review(self, window: bytes) -> None:
        """One encoded suspect window."""
        ...


@dataclass(frozen=True, slots=True)
class Journals:
    """Where the outbox keeps things."""

    telemetry: Journal
    review: Journal


class Outbox:
    """The outgoing mail of one gateway; made by `open_outbox`.

    Attributes:
        shed: batches that were never taken, for want of room or by the disk.
        windows_shed: suspect windows likewise.
        refused: what the site would never take, put aside so that the rest goes on.
    """

    def __init__(
        self, journals: Journals, serial: Serial, epoch: int, unix_ns: Callable[[], int]
    ) -> None:
        self._journals = journals
        self._serial = serial
        self._epoch = epoch
        self._unix_ns = unix_ns
        self._sequence = 0
        self.shed = dict.fromkeys(Signal, 0)
        self.windows_shed = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Records that the site has not taken, as far as the newest and the oldest tell."""
        found = (self._journals.telemetry.stats(), self._journals.review.stats())
        return sum(max(0, stats.last_seq - stats.acknowledged) for stats in found)

    @property
    def fill(self) -> float:
        """The share of the room for telemetry that is taken."""
        stats = self._journals.telemetry.stats()
        # Only whole segments are of use.
        return stats.bytes / (stats.bytes_max // SEGMENT_BYTES * SEGMENT_BYTES)

    @property
    def written(self) -> int:
        """Bytes that all of it cost the disk since the start, with the file system's share."""
        found = (self._journals.telemetry.stats(), self._journals.review.stats())
        return sum(stats.stored_body_bytes + stats.commits * COMMIT_BYTES for stats in found)

    async def add(self, signal: Signal, body: bytes) -> bool:
        """Take one OTLP batch, gzip; returns once it is safe. False: the room left is for others.

        Raises:
            EdgeError: as `Journal.append`; the batch is counted as shed.
        """
        if len(body) <= OTLP_BYTES_MAX and self.fill <= FILL_MAX[signal]:
            self._sequence += 1
            entry = self._entry(KINDS[signal], self._sequence, body)
            try:
                await self._journals.telemetry.append(entry)
            except EdgeError:
                self.shed[signal] += 1
                raise
            return True
        self.shed[signal] += 1
        return False

    async def add_window(self, body: bytes) -> None:
        """Keep one suspect window; returns once it is safe.

        Raises:
            EdgeError: as `Journal.append`.
        """
        if len(body) > REVIEW_BYTES_MAX:
            self.windows_shed += 1
            return
        await self._journals.review.append(self._entry(KIND_REVIEW, 0, body))

    async def run(self, takes: Takes) -> None:
        """Send what is there, oldest first, for ever."""

        async def telemetry(record: Record) -> None:
            entry = record.entry
            signal = SIGNALS.get(entry.kind)
            if signal is None:
                raise SiteRefusedError(f"batch of kind {entry.kind}: nobody takes that", status=0)
            batch = BatchId(serial=entry.source, epoch=entry.epoch, sequence=entry.sequence)
            await takes.telemetry(signal, batch, record.body_crc32c, entry.body)

        async def review(record: Record) -> None:
            await takes.review(record.entry.body)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain(self._journals.telemetry, telemetry))
            group.create_task(self._drain(self._journals.review, review))

    async def _drain(self, journal: Journal, send: Callable[[Record], Awaitable[None]]) -> None:
        after, failures = 0, 0
        while True:
            try:
                batch = await journal.read_batch(after, READ_BYTES_MAX)
                for record in batch.records:
                    await self._one(send, record)
                    await journal.acknowledge(record.seq)
                    after = record.seq
            except EdgeError as error:
                failures += 1
                wait_s = min(RETRY_S * 2 ** min(failures - 1, 8), RETRY_S_MAX)
                if failures == 1:
                    log.info("outbox.waiting", reason=str(error), again_s=wait_s)
                await asyncio.sleep(wait_s)
                continue
            failures = 0
            after = max(after, batch.reached)
            if not batch.records:
                await journal.wait_for(after)

    async def _one(self, send: Callable[[Record], Awaitable[None]], record: Record) -> None:
        try:
            await send(record)
        except SiteRefusedError as error:
            # It will never be taken; whatever waits behind it may.
            self.refused += 1
            log.warning("outbox.refused", kind=record.entry.kind, reason=str(error))

    def _entry(self, kind: int, sequence: int, body: bytes) -> Entry:
        return Entry(
            kind=kind,
            source=self._serial,
            epoch=self._epoch,
            sequence=sequence,
            body=body,
            ingest_unix_ns=self._unix_ns(),
        )


@asynccontextmanager
async def open_outbox(
    folders: tuple[Path, Path],
    serial: Serial,
    epoch: int,
    bytes_max: int,
    unix_ns: Callable[[], int],
    kind: type[Outbox] = Outbox,
) -> AsyncIterator[Outbox]:
    """The outbox in two *folders*, for telemetry and for review; *epoch* is this start's.

    Raises:
        JournalInUseError: another process has it.
        JournalReadOnlyError: the folder cannot be written.
    """
    telemetry = _config(SEGMENT_BYTES, max(bytes_max, 2 * SEGMENT_BYTES))
    review = _config(MIB, REVIEW_JOURNAL_BYTES)
    async with AsyncExitStack() as stack:
        journals = Journals(
            await stack.enter_async_context(await Journal.open(folders[0], telemetry)),
            await stack.enter_async_context(await Journal.open(folders[1], review)),
        )
        yield kind(journals, serial, epoch, unix_ns)


def _config(segment_bytes: int, bytes_max: int) -> JournalConfig:
    return JournalConfig(
        segment_bytes=segment_bytes,
        bytes_max=bytes_max,
        pending_bytes_max=4 * MIB,
        batch_bytes_max=2 * MIB,
        cursor_interval_s=CURSOR_S,
        quarantine_bytes_max=4 * MIB,
        preallocate=False,
    )
