"""What must reach the site although it may be away: kept in a journal, sent in order, repeatable.

Telemetry batches and suspect windows share one journal. A batch keeps the number that it got when
it was made, so however often it is sent, it is one batch. When the journal is full the oldest
batches go first: metrics are cumulative, so the next one says it all again. Suspect windows stay.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import structlog

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import OTLP_BYTES_MAX
from edge_core.contracts.plant import Serial
from edge_core.contracts.telemetry import BatchId
from edge_core.journal import (
    MIB,
    Entry,
    Journal,
    JournalConfig,
    JournalFullError,
    Record,
)
from edge_runtime.errors import SiteRefusedError

log = structlog.get_logger(__name__)

KIND_METRICS: Final = 1
KIND_REVIEW: Final = 2
READ_BYTES_MAX: Final = 256 * 1024
SHED_SHARE: Final = 4  # a full journal gives up this part of its batches at once
RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 60.0
"""Telemetry and windows are not urgent; heartbeats have their own loop."""


class Takes(Protocol):
    """Who takes what the outbox holds."""

    async def metrics(self, batch: BatchId, crc32c: int, body: bytes) -> None:
        """One OTLP batch."""
        ...

    async def review(self, window: bytes) -> None:
        """One encoded suspect window."""
        ...


class Outbox:
    """The journal of one gateway; made by `open_outbox`.

    Attributes:
        shed: batches given up because the journal was full.
        refused: what the site would never take, put aside so that the rest goes on.
    """

    def __init__(
        self, journal: Journal, serial: Serial, epoch: int, unix_ns: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._serial = serial
        self._epoch = epoch
        self._unix_ns = unix_ns
        self._sequence = 0
        self.shed = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Records that the site has not taken, as far as the newest and the oldest tell."""
        stats = self._journal.stats()
        return max(0, stats.last_seq - stats.acknowledged)

    async def add_metrics(self, body: bytes) -> None:
        """Keep one OTLP batch; returns once it is safe.

        Raises:
            EdgeError: as `Journal.append`.
        """
        if len(body) > OTLP_BYTES_MAX:
            self.shed += 1
            return
        self._sequence += 1
        await self._add(KIND_METRICS, self._sequence, body)

    async def add_window(self, body: bytes) -> None:
        """Keep one suspect window; returns once it is safe.

        Raises:
            EdgeError: as `Journal.append`.
        """
        await self._add(KIND_REVIEW, 0, body)

    async def run(self, takes: Takes) -> None:
        """Send what is there, oldest first, for ever."""
        after, failures = 0, 0
        while True:
            batch = await self._journal.read_batch(after, READ_BYTES_MAX)
            try:
                for record in batch.records:
                    await self._send(takes, record)
                    await self._journal.acknowledge(record.seq)
                    after = record.seq
            except EdgeError as error:
                failures += 1
                wait_s = min(RETRY_S * 2 ** min(failures - 1, 8), RETRY_S_MAX)
                log.info("outbox.waiting", reason=str(error), again_s=wait_s)
                await asyncio.sleep(wait_s)
                continue
            failures = 0
            after = max(after, batch.reached)
            if not batch.records:
                await self._journal.wait_for(after)

    async def _send(self, takes: Takes, record: Record) -> None:
        entry = record.entry
        try:
            if entry.kind == KIND_METRICS:
                batch = BatchId(serial=entry.source, epoch=entry.epoch, sequence=entry.sequence)
                await takes.metrics(batch, record.body_crc32c, entry.body)
            else:
                await takes.review(entry.body)
        except SiteRefusedError as error:
            # It will never be taken; whatever waits behind it may.
            self.refused += 1
            log.warning("outbox.refused", kind=entry.kind, seq=record.seq, reason=str(error))

    async def _add(self, kind: int, sequence: int, body: bytes) -> None:
        entry = Entry(
            kind=kind,
            source=self._serial,
            epoch=self._epoch,
            sequence=sequence,
            body=body,
            ingest_unix_ns=self._unix_ns(),
        )
        try:
            await self._journal.append(entry)
        except JournalFullError:
            await self._shed()
            await self._journal.append(entry)

    async def _shed(self) -> None:
        """Give up the oldest part of the batches; suspect windows stay."""
        stats = self._journal.stats()
        last = stats.acknowledged + (stats.last_seq - stats.acknowledged) // SHED_SHARE
        after = stats.acknowledged
        while after < last:
            batch = await self._journal.read_batch(after, READ_BYTES_MAX)
            for record in batch.records:
                if record.entry.kind == KIND_METRICS and record.seq <= last:
                    await self._journal.acknowledge(record.seq, record.seq)
                    self.shed += 1
            if not batch.records:
                break
            after = batch.reached
        log.warning("outbox.shed", batches=self.shed)


@asynccontextmanager
async def open_outbox(
    folder: Path, serial: Serial, epoch: int, bytes_max: int, unix_ns: Callable[[], int]
) -> AsyncIterator[Outbox]:
    """The outbox in *folder*; *epoch* is this start's.

    Raises:
        JournalInUseError: another process has it.
        JournalReadOnlyError: the folder cannot be written.
    """
    config = JournalConfig(
        segment_bytes=MIB + MIB // 2,  # the largest batch and its frame
        bytes_max=max(bytes_max, 4 * MIB),
        pending_bytes_max=4 * MIB,
        batch_bytes_max=2 * MIB,
        quarantine_bytes_max=4 * MIB,
        preallocate=False,
    )
    async with await Journal.open(folder, config) as journal:
        yield Outbox(journal, serial, epoch, unix_ns)
