"""Health windows until the site has stored them: in a journal, and in memory for the heartbeat.

A window keeps its epoch and number, so that one which is added twice is held once. A gateway that
is away for longer than the journal holds gives up the oldest, and counts them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.plant import Serial
from edge_core.journal import (
    KIB,
    MIB,
    DiskFullError,
    Entry,
    Journal,
    JournalConfig,
    JournalFullError,
    Record,
    Stored,
)

log = structlog.get_logger(__name__)

SENT_MAX: Final = 64  # what one heartbeat carries
BYTES_MAX: Final = 4 * MIB  # some three weeks of one model at five minutes
KIND_HEALTH: Final = 1
GIVEN_UP_SHARE: Final = 8  # a full journal gives up this part of its windows at once


@dataclass(slots=True, eq=False)
class _Held:
    """A window, and where it lies on disk; 0 is nowhere yet."""

    window: HealthWindow
    seq: int = 0


class HealthSpool:
    """Health windows that the site has not stored yet, oldest first; made by `open_spool`.

    Attributes:
        dropped: windows given up because the site was away too long.
    """

    def __init__(self, journal: Journal, serial: Serial, unix_ns: Callable[[], int]) -> None:
        self._journal = journal
        self._serial = serial
        self._unix_ns = unix_ns
        self._held: list[_Held] = []
        self._turn = asyncio.Lock()
        self.dropped = 0

    async def load(self) -> None:
        """Read what the last run left.

        Raises:
            JournalUnreadableError: a segment cannot be opened now.
        """
        after = 0
        while True:
            batch = await self._journal.read_batch(after)
            self._held += [held for record in batch.records if (held := _read(record))]
            after = batch.reached
            if not batch.records:
                return

    async def add(self, windows: Sequence[HealthWindow]) -> None:
        """Hold *windows* too, each once; returns when all that is held is on disk.

        Raises:
            EdgeError: as `Journal.append`; they are held all the same, and tried again with the
                next.
        """
        known = {(held.window.epoch, held.window.number) for held in self._held}
        fresh = [each for each in windows if (each.epoch, each.number) not in known]
        self._held += [_Held(each) for each in fresh]
        async with self._turn:
            for held in [each for each in self._held if not each.seq]:
                await self._save(held)

    def due(self) -> list[HealthWindow]:
        """The oldest, as many as one heartbeat carries."""
        return [held.window for held in self._held[:SENT_MAX]]

    async def stored(self, sent: Sequence[HealthWindow]) -> None:
        """The site has stored *sent*.

        Raises:
            EdgeError: as `Journal.acknowledge`; they may be sent again, and are then known there.
        """
        done = {(window.epoch, window.number) for window in sent}
        left: list[_Held] = []
        gone: list[_Held] = []
        for held in self._held:
            known = (held.window.epoch, held.window.number) in done
            (gone if known else left).append(held)
        self._held = left
        # What is held is in the journal's order, and heartbeats carry the oldest.
        last = max((held.seq for held in gone), default=0)
        if last:
            await self._journal.acknowledge(last)

    async def _save(self, held: _Held) -> None:
        window = held.window
        entry = Entry(
            kind=KIND_HEALTH,
            source=self._serial,
            epoch=window.epoch,
            sequence=window.number,
            body=msgspec.json.encode(window),
            ingest_unix_ns=self._unix_ns(),
        )
        try:
            found = await self._journal.append(entry)
        except DiskFullError:
            raise  # what is safe would be given up for nothing
        except JournalFullError:
            await self._give_up()
            found = await self._journal.append(entry)
        if isinstance(found, Stored):
            held.seq = found.seq
        elif held in self._held:
            # It was there before and is not held: the site has had it.
            self._held.remove(held)

    async def _give_up(self) -> None:
        """Let go of the oldest part of what is on disk."""
        saved = [each for each in self._held if each.seq]
        oldest = saved[: max(1, len(saved) // GIVEN_UP_SHARE)]
        if not oldest:
            return
        await self._journal.acknowledge(oldest[-1].seq)
        self._held = [each for each in self._held if each.seq not in range(1, oldest[-1].seq + 1)]
        self.dropped += len(oldest)
        log.warning("health.given_up", windows=len(oldest), all=self.dropped)

    def __len__(self) -> int:
        return len(self._held)


def _read(record: Record) -> _Held | None:
    try:
        window = msgspec.json.decode(record.entry.body, type=HealthWindow)
    except msgspec.MsgspecError as error:
        log.warning("spool.unreadable", seq=record.seq, reason=str(error))
        return None
    return _Held(window, record.seq)


@asynccontextmanager
async def open_spool(
    folder: Path,
    serial: Serial,
    unix_ns: Callable[[], int],
    bytes_max: int = BYTES_MAX,
    kind: type[HealthSpool] = HealthSpool,
) -> AsyncIterator[HealthSpool]:
    """The spool in *folder*, with what the last run left.

    Raises:
        JournalInUseError: another process has it.
        JournalReadOnlyError: the folder cannot be written.
    """
    config = JournalConfig(
        segment_bytes=min(256 * KIB, bytes_max // 8),
        bytes_max=bytes_max,
        pending_bytes_max=MIB,
        batch_bytes_max=256 * KIB,
        quarantine_bytes_max=MIB,
        preallocate=False,
    )
    async with await Journal.open(folder, config) as journal:
        spool = kind(journal, serial, unix_ns)
        await spool.load()
        yield spool
