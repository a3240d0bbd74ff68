"""The ring of files: whole files only, bounded bytes, the newest kept."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Timer

import msgspec
import pytest

from edge_runtime.sinks.files import WAITING_MAX, FileSink, trim, write_file
from edge_runtime.sinks.settings import FileSinkConfig
from edge_runtime.verdict import Verdict
from tests.simulators.waiting import until

pytestmark = pytest.mark.anyio

AT = datetime(2026, 11, 22, tzinfo=UTC)


def verdict(number: int) -> Verdict:
    """A verdict on window *number*."""
    return Verdict(
        serial="gw-1", epoch=1, window=number, started=AT, ended=AT, decided=True, label="leak"
    )


def read(folder: Path) -> list[int]:
    """The windows in all files, in order."""
    lines = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl"))).splitlines()
    return [msgspec.json.decode(line, type=Verdict).window for line in lines]


async def test_ring(tmp_path: Path) -> None:
    """Verdicts are in files soon, in order; what is left over is written at the end."""
    sink = FileSink(FileSinkConfig(every_s=0.02), tmp_path)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sink.run())
        for number in range(1, 4):
            sink.put(verdict(number))
        await until(lambda: sink.written == 3, "three verdicts")
        sink.put(verdict(4))
        task.cancel()
    assert read(tmp_path) == [1, 2, 3, 4]
    assert sink.dropped == 0


async def test_newest_kept(tmp_path: Path) -> None:
    """More than fit in memory until the next file: the oldest are dropped and counted."""
    sink = FileSink(FileSinkConfig(every_s=3600.0), tmp_path)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sink.run())
        await asyncio.sleep(0)
        for number in range(WAITING_MAX + 5):
            sink.put(verdict(number))
        task.cancel()
    assert sink.dropped == 5
    assert read(tmp_path)[0] == 5


async def test_stopped_while_it_writes(tmp_path: Path) -> None:
    """A stop in the middle of a slow write leaves each verdict in one file, in order."""
    begun, go_on = Event(), Event()

    def slowly(directory: Path, after: int, verdicts: list[Verdict]) -> int:
        begun.set()
        go_on.wait(10.0)
        return write_file(directory, after, verdicts)

    sink = FileSink(FileSinkConfig(every_s=0.01), tmp_path, slowly)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sink.run())
        sink.put(verdict(1))
        await until(begun.is_set, "it writes")
        sink.put(verdict(2))
        Timer(0.2, go_on.set).start()
        task.cancel()
    assert read(tmp_path) == [1, 2]
    assert (sink.written, sink.dropped) == (2, 0)


def test_bounded(tmp_path: Path) -> None:
    """However much is written, all files together keep within their bytes; the oldest goes."""
    for number in range(30):
        write_file(tmp_path, 0, [verdict(number)] * 100)
        trim(tmp_path, 100_000)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000
    assert read(tmp_path)[-1] == 29
    assert len(list(tmp_path.iterdir())) > 1


def test_number_goes_on(tmp_path: Path) -> None:
    """A new process goes on behind the files that are there, whatever else lies there."""
    assert write_file(tmp_path, 0, [verdict(1)]) == 1
    (tmp_path / "notes.jsonl").write_text("not ours")
    (tmp_path / "000000000009.jsonl").write_text("")
    assert write_file(tmp_path, 0, [verdict(2)]) == 10


def test_torn(tmp_path: Path) -> None:
    """What a power cut left half written has no name that anybody reads, and goes."""
    (tmp_path / "000000000001.new").write_text('{"half')
    write_file(tmp_path, 0, [verdict(1)])
    trim(tmp_path, 100_000)
    assert read(tmp_path) == [1]
    assert len(list(tmp_path.iterdir())) == 1


async def test_dead_disk(tmp_path: Path) -> None:
    """A folder that cannot be written costs nothing but its verdicts; when it can, they follow."""
    place = tmp_path / "ring"
    place.write_text("a file where a folder should be")
    sink = FileSink(FileSinkConfig(every_s=0.01), place)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sink.run())
        sink.put(verdict(1))
        await asyncio.sleep(0.05)
        assert sink.written == 0
        place.unlink()
        await until(lambda: sink.written == 1, "one verdict")
        task.cancel()
    assert read(place) == [1]
