"""The journal as daemons use it: safe before it says so, in order, bounded, polite when full."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest

from edge_core.contracts.errors import ConflictError, RefusedError, TryAgainError
from edge_core.journal import (
    MIB,
    DuplicateEntry,
    Entry,
    EntryTooLargeError,
    Journal,
    JournalClosedError,
    JournalConfig,
    JournalConflictError,
    JournalFullError,
    JournalReadOnlyError,
    JournalState,
    JournalSyncError,
    Stored,
)
from tests.simulators.files import SimulatedFiles
from tests.unit.journal.plain import FOLDER, SEGMENT_BYTES, SMALL, entry, host

pytestmark = pytest.mark.anyio

LARGE = bytes(4000)


@asynccontextmanager
async def opened(files: SimulatedFiles, config: JournalConfig = SMALL) -> AsyncIterator[Journal]:
    """A journal on a simulated disk."""
    async with await Journal.open(FOLDER, config, host(files)) as journal:
        yield journal


async def sequences(journal: Journal, after: int = 0) -> list[int]:
    """All that a reader finds now."""
    batch = await journal.read_batch(after, 1 << 20)
    return [record.entry.sequence for record in batch.records]


class Gate:
    """Holds every sync up until it is opened, and can let one fail."""

    def __init__(self, number: int = 0) -> None:
        """Let syncs fail with *number* unless it is 0."""
        self.opened = threading.Event()
        self.reached = threading.Event()
        self._number = number

    def __call__(self, call: str, _path: Path) -> None:
        """See `SimulatedFiles.fail`."""
        if call == "sync":
            self.reached.set()
            assert self.opened.wait(5)
            if self._number:
                raise OSError(self._number, os.strerror(self._number))


def failing(call: str, number: int) -> Callable[[str, Path], None]:
    """Every such call on a segment fails."""

    def fail(name: str, path: Path) -> None:
        if name == call and path.suffix == ".seg":
            raise OSError(number, os.strerror(number))

    return fail


async def test_round_trip() -> None:
    """What is appended is read back byte for byte, and acknowledged things come no more."""
    async with opened(SimulatedFiles()) as journal:
        made = [entry(number) for number in range(1, 6)]
        stored = [await journal.append(each) for each in made]
        assert stored == [Stored(seq) for seq in range(1, 6)]
        batch = await journal.read_batch(0)
        assert [record.entry for record in batch.records] == made
        assert batch.reached == 5
        await journal.acknowledge(3)
        assert await sequences(journal) == [4, 5]


async def test_not_before_sync() -> None:
    """No append returns before its sync has, and what was promised survives a power cut (I11)."""
    files = SimulatedFiles()
    async with opened(files) as journal, asyncio.TaskGroup() as group:
        await journal.append(entry(1))
        gate = files.fail = Gate()
        appending = group.create_task(journal.append(entry(2)))
        await asyncio.to_thread(gate.reached.wait, 5)
        assert not appending.done()
        assert await sequences(journal) == [1]
        gate.opened.set()
        assert await appending == Stored(2)
        assert await sequences(journal) == [1, 2]
    files.cut_power(Random(1))
    async with opened(files) as journal:
        assert await sequences(journal) == [1, 2]


async def test_group_commit() -> None:
    """What arrives during one sync shares the next."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        await journal.append(entry(1))
        gate = files.fail = Gate()
        async with asyncio.TaskGroup() as group:
            group.create_task(journal.append(entry(2)))
            await asyncio.to_thread(gate.reached.wait, 5)
            for number in range(3, 23):
                group.create_task(journal.append(entry(number)))
            await asyncio.sleep(0)
            gate.opened.set()
        assert journal.stats().commits == 3
        assert await sequences(journal) == list(range(1, 23))


async def test_repeat() -> None:
    """A repeat is recognised and not stored again, across a restart and a deletion too (I7)."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        assert await journal.append(entry(1)) == Stored(1)
        assert await journal.append(entry(1)) == DuplicateEntry(1)
        assert journal.contiguous("gw-1", 1) == 1
    async with opened(files) as journal:
        assert await journal.append(entry(1)) == DuplicateEntry(1)
        await journal.acknowledge(1)
        for number in range(2, 12):
            await journal.append(entry(number, LARGE))
        await journal.acknowledge(11)
        assert journal.stats().first_seq > 1
    async with opened(files) as journal:
        assert await journal.append(entry(1)) == DuplicateEntry(None)


async def test_conflict() -> None:
    """Another body under a used identity is refused out loud, stored or still on its way."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        await journal.append(entry(1))
        with pytest.raises(JournalConflictError, match="a number must never be used twice"):
            await journal.append(entry(1, b"other"))
        async with asyncio.TaskGroup() as group:
            group.create_task(journal.append(entry(2)))
            await asyncio.sleep(0)
            with pytest.raises(ConflictError):
                await journal.append(entry(2, b"other"))
        assert await sequences(journal) == [1, 2]


async def test_repeat_of_pending() -> None:
    """A repeat whose first copy waits for the disk waits with it, and shares its fate."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        await journal.append(entry(1))
        for number, gate in ((2, Gate()), (3, Gate(errno.EIO))):
            files.fail = gate
            async with asyncio.TaskGroup() as group:
                tries = [group.create_task(_outcome(journal, entry(number))) for _ in range(3)]
                await asyncio.to_thread(gate.reached.wait, 5)
                assert not any(each.done() for each in tries)
                gate.opened.set()
            files.fail = failing("", 0)
            outcomes = [each.result() for each in tries]
            if number == 2:
                assert outcomes == [Stored(2), DuplicateEntry(2), DuplicateEntry(2)]
            else:
                assert outcomes == [JournalSyncError] * 3
        assert await journal.append(entry(3)) == Stored(4)


async def _outcome(journal: Journal, made: Entry) -> object:
    """What came of it; an error as its class."""
    try:
        return await journal.append(made)
    except TryAgainError as error:
        return type(error)


async def test_undeclared() -> None:
    """Entries that declare no number are all kept, even if they look the same."""
    async with opened(SimulatedFiles()) as journal:
        for _ in range(3):
            await journal.append(entry(0))
        assert await sequences(journal) == [0, 0, 0]


async def test_cancelled_append() -> None:
    """Who is cancelled takes nobody along: the repeat that shares the entry still hears of it."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        await journal.append(entry(1))
        gate = files.fail = Gate()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(journal.append(entry(2)))
            await asyncio.to_thread(gate.reached.wait, 5)
            second = group.create_task(journal.append(entry(2)))
            await asyncio.sleep(0)
            first.cancel()
            gate.opened.set()
        assert second.result() == DuplicateEntry(2)


async def test_read_goes_on() -> None:
    """A reader gets the old and then the new, and ends when the journal is closed."""
    journal = await Journal.open(FOLDER, SMALL, host(SimulatedFiles()))
    await journal.append(entry(1))
    found = []
    async with asyncio.TaskGroup() as group:

        async def follow() -> None:
            async for record in journal.read():
                found.append(record.entry.sequence)
                if record.entry.sequence < 4:
                    group.create_task(journal.append(entry(record.entry.sequence + 1)))
                else:
                    group.create_task(journal.close())

        group.create_task(follow())
    assert found == [1, 2, 3, 4]


async def test_read_is_bounded() -> None:
    """A read holds no more than it was allowed, however long the backlog, but always gets on."""
    config = msgspec.structs.replace(SMALL, bytes_max=20 * SEGMENT_BYTES)
    async with opened(SimulatedFiles(), config) as journal:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 41):
                group.create_task(journal.append(entry(number, LARGE)))
        after, found = 0, 0
        while batch := (await journal.read_batch(after, 10_000)).records:
            assert sum(len(record.entry.body) for record in batch) <= 10_000 + len(LARGE)
            after, found = batch[-1].seq, found + len(batch)
        assert found == 40
        assert len((await journal.read_batch(0, 1)).records) == 1


async def test_acknowledge_ahead() -> None:
    """Live data may be finished before the backlog; what was skipped is still delivered."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        for number in range(1, 10):
            await journal.append(entry(number))
        await journal.acknowledge(9, first=7)
        assert await sequences(journal) == [1, 2, 3, 4, 5, 6]
        assert journal.acknowledged == ((0, 0), (7, 9))
    async with opened(files) as journal:
        assert await sequences(journal) == [1, 2, 3, 4, 5, 6]
        await journal.acknowledge(6)
        assert journal.acknowledged == ((0, 9),)


@pytest.mark.parametrize(("last", "first"), [(2, None), (1, 2)])
async def test_bad_acknowledgement(last: int, first: int | None) -> None:
    """Nobody can finish what does not exist yet."""
    async with opened(SimulatedFiles()) as journal:
        await journal.append(entry(1))
        with pytest.raises(ValueError, match="expected a range up to 1"):
            await journal.acknowledge(last, first)


async def _fill(journal: Journal, body: bytes) -> None:
    """Append until it is refused."""
    for number in range(1, 100):
        await journal.append(entry(number, body))


async def test_quota() -> None:
    """At its quota the journal refuses, goes on delivering, and takes again once there is room."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        with pytest.raises(JournalFullError, match="nobody has acknowledged"):
            await _fill(journal, LARGE)
        stats = journal.stats()
        assert stats.state is JournalState.FULL
        assert stats.bytes <= stats.bytes_max
        assert await sequences(journal) == list(range(1, stats.last_seq + 1))
        await journal.acknowledge(stats.last_seq - 4)
        assert journal.stats().state is not JournalState.FULL
        assert isinstance(await journal.append(entry(200, LARGE)), Stored)


async def test_pressure() -> None:
    """From four fifths on it asks for relief."""
    async with opened(SimulatedFiles()) as journal:
        states = set()
        for number in range(1, 20):
            await journal.append(entry(number, LARGE))
            states.add(journal.stats().state)
        assert states == {JournalState.HEALTHY, JournalState.PRESSURE}


async def test_disk_full() -> None:
    """On a full disk nothing is half stored, deleting works, and then appending does (I8)."""
    files = SimulatedFiles(capacity=4 * SEGMENT_BYTES)
    config = msgspec.structs.replace(SMALL, preallocate=False)
    async with opened(files, config) as journal:
        with pytest.raises(JournalFullError, match="the disk is full"):
            await _fill(journal, bytes(700))
        last = journal.stats().last_seq
        assert journal.stats().state is JournalState.FULL
        assert await sequences(journal) == list(range(1, last + 1))
        await journal.acknowledge(last)
        assert isinstance(await journal.append(entry(500, bytes(700))), Stored)
        assert journal.stats().state is JournalState.HEALTHY
    async with opened(files, config) as journal:
        assert await sequences(journal) == [500]


async def test_one_failed_sync() -> None:
    """After a failed sync the entry is refused, the segment left alone, and the next one works."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        await journal.append(entry(1))
        files.fail = failing("sync", errno.EIO)
        with pytest.raises(JournalSyncError, match="not confirmed"):
            await journal.append(entry(2))
        files.fail = failing("", 0)
        assert await journal.append(entry(2)) == Stored(3)
        assert journal.stats().segments == 2
        assert await sequences(journal) == [1, 2]
    synced = [path for call, path in files.calls if call == "sync" and path.suffix == ".seg"]
    assert len(set(synced)) == 2


async def test_two_failed_syncs() -> None:
    """A disk that fails twice in a row gets no third chance, but what is there can be read."""
    files = SimulatedFiles()
    async with opened(files) as journal:
        await journal.append(entry(1))
        files.fail = failing("sync", errno.EIO)
        for _ in range(2):
            with pytest.raises(JournalSyncError):
                await journal.append(entry(2))
        files.fail = failing("", 0)
        with pytest.raises(JournalReadOnlyError, match="check it, then restart"):
            await journal.append(entry(3))
        assert journal.stats().state is JournalState.READ_ONLY
        assert await sequences(journal) == [1]


async def test_too_large() -> None:
    """An entry that fits into no segment is refused for good."""
    async with opened(SimulatedFiles()) as journal:
        with pytest.raises(EntryTooLargeError, match="entry 1 of gw-1: expected a record of"):
            await journal.append(entry(1, bytes(SEGMENT_BYTES)))
        assert issubclass(EntryTooLargeError, RefusedError)


async def test_pending_is_bounded() -> None:
    """What waits for the disk is bounded: more is refused at once, not queued."""
    files = SimulatedFiles()
    config = msgspec.structs.replace(SMALL, pending_bytes_max=3 * len(LARGE))
    async with opened(files, config) as journal:
        gate = files.fail = Gate()
        async with asyncio.TaskGroup() as group:
            for number in (1, 2):
                group.create_task(journal.append(entry(number, LARGE)))
            await asyncio.to_thread(gate.reached.wait, 5)
            assert journal.stats().pending_bytes > 2 * len(LARGE)
            with pytest.raises(JournalFullError, match="bytes wait for the disk already"):
                await journal.append(entry(3, LARGE))
            gate.opened.set()
        assert journal.stats().pending_bytes == 0


async def test_close_stores() -> None:
    """Closing stores what is on its way; afterwards nothing is taken."""
    files = SimulatedFiles()
    config = msgspec.structs.replace(SMALL, commit_window_s=0.01)
    async with asyncio.TaskGroup() as group:
        journal = await Journal.open(FOLDER, config, host(files))
        appending = group.create_task(journal.append(entry(1)))
        await asyncio.sleep(0)
        await journal.close()
        await journal.close()
    assert appending.result() == Stored(1)
    assert journal.stats().state is JournalState.CLOSED
    for refused in (journal.append(entry(2)), journal.read_batch(0), journal.wait_for(1)):
        with pytest.raises(JournalClosedError):
            await refused
    async with opened(files) as again:
        assert await sequences(again) == [1]


async def test_large_batches() -> None:
    """A burst larger than a segment is spread over several, in order."""
    config = msgspec.structs.replace(SMALL, bytes_max=20 * SEGMENT_BYTES)
    async with opened(SimulatedFiles(), config) as journal:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 31):
                group.create_task(journal.append(entry(number, LARGE)))
        assert await sequences(journal) == list(range(1, 31))
        assert journal.stats().segments > 5


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ({"bytes_max": 64 * MIB}, "at least two segments"),
        ({"segment_bytes": 100}, "`\\$.segment_bytes`"),
        ({"segment_byte": 1}, "unknown field `segment_byte`"),
    ],
    ids=["the whole is too small for its parts", "a tiny segment", "a typo"],
)
def test_bad_config(toml: dict[str, int], expected: str) -> None:
    """A configuration that makes no sense is refused with the key's name."""
    with pytest.raises(msgspec.ValidationError, match=expected):
        msgspec.convert(toml, JournalConfig)


@pytest.mark.parametrize(
    "change",
    [{"kind": 0}, {"flags": 256}, {"epoch": -1}, {"sequence": 1 << 64}, {"source": "x" * 256}],
)
def test_bad_entry(change: dict[str, int | str]) -> None:
    """What the format cannot hold is refused where the entry is made."""
    fields: dict[str, object] = {
        "kind": 1,
        "source": "gw",
        "epoch": 1,
        "sequence": 1,
        "body": b"",
        "ingest_unix_ns": 0,
        **change,
    }
    with pytest.raises(ValueError, match="expected"):
        Entry(**fields)  # type: ignore[arg-type]  # a table of wrong values
