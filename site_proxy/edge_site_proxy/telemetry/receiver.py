"""Takes a batch from the gateway API and returns when it would survive a power cut."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.journal import Appended, Entry
from edge_core.journal.layout import crc32c
from edge_site_proxy.telemetry.batch import entry_of
from edge_site_proxy.telemetry.encoding import (
    INFLATED_BYTES_MAX,
    QUICK_STEPS,
    encoding_of,
    inflations,
)
from edge_site_proxy.telemetry.errors import DamagedBodyError


class Received(Protocol):
    """One OTLP request as the gateway API hands it over."""

    @property
    def signal(self) -> Signal:
        """Metrics, logs or traces."""
        ...

    @property
    def source(self) -> str:
        """The serial in the certificate."""
        ...

    @property
    def batch(self) -> BatchId | None:
        """What its sender calls it."""
        ...

    @property
    def crc32c(self) -> int | None:
        """Of the body, as declared."""
        ...

    @property
    def encoding(self) -> str:
        """The content-encoding header."""
        ...

    @property
    def body(self) -> bytes:
        """As it came."""
        ...


class Log(Protocol):
    """What is asked of the journal."""

    async def append(self, entry: Entry) -> Appended:
        """Return when *entry* is safe, now or from an earlier copy."""
        ...


class JournalReceiver:
    """Puts batches into the journal.

    Args:
        journal: where they are kept.
        now: wall clock, the ingest time of a batch.
        clock: quality of that clock.
    """

    def __init__(
        self, journal: Log, *, now: Callable[[], datetime], clock: Callable[[], ClockQuality]
    ) -> None:
        self._journal = journal
        self._now = now
        self._clock = clock

    async def take(self, received: Received) -> None:
        """Return when the batch is durable; a repeat waits for its first copy.

        Raises:
            EncodingError: a content coding that we do not take.
            DamagedBodyError: the body is not what its checksum or its coding says.
            InflatedError: it decompresses to too much.
            JournalConflictError: its id was used for other bytes.
            TryAgainError: full, or not known to be safe.
        """
        encoding = encoding_of(received.encoding)
        _check_sum(received)
        await _to_the_end(inflations(encoding, received.body, INFLATED_BYTES_MAX))
        entry = entry_of(
            received.signal,
            received.source,
            received.batch,
            encoding,
            received.body,
            ingest_unix_nano=_unix_nano(self._now()),
            synchronised=self._clock().synchronised,
        )
        await self._journal.append(entry)


def _check_sum(received: Received) -> None:
    if received.crc32c is None:
        return
    found = crc32c(received.body)
    if found != received.crc32c:
        raise DamagedBodyError(
            f"batch {received.batch}: expected a body with CRC-32C {received.crc32c:08x}, "
            f"found {found:08x}"
        )


async def _to_the_end(steps: Iterator[None]) -> None:
    """Run *steps*: a common body here at once, a large one where it holds nobody up."""
    quick = sum(1 for _ in itertools.islice(steps, QUICK_STEPS))
    if quick == QUICK_STEPS:
        await asyncio.to_thread(_exhaust, steps)


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def _unix_nano(instant: datetime) -> int:
    # Whole microseconds, so that no float rounds them.
    seconds = int(instant.timestamp())
    return seconds * 1_000_000_000 + instant.microsecond * 1_000
