"""Pictures that hurt their decoder: each costs itself, under its reason, and never the daemon."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from edge_core.admission.limited import EXIT_MEMORY
from edge_runtime.errors import DecoderLostError, PictureError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decoder import Decoder, Starts
from edge_runtime.frames.files import FileDecoder
from edge_runtime.frames.job import Decoded, Look, Passed, PictureJob, Ready
from edge_runtime.inference.engine import open_engine
from edge_runtime.inference.starter import SERVER_LOST, Asker, Starter
from tests.simulators.waiting import until
from tests.unit.runtime.frames.hostile import endless_jpeg, png, text_bomb
from tests.unit.runtime.frames.pictures import encoded, gradient

pytestmark = pytest.mark.anyio

MIB = 1 << 20
GOOD = encoded(gradient())


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    """A fork server, as the engine keeps one."""
    async with open_engine() as engine:
        yield engine.starter


def config(**how: object) -> FramesConfig:
    """What one folder allows."""
    usual = FramesConfig(name="eye", role="camera", folder=Path("x"), pixels_max=1_000_000)
    return msgspec.structs.replace(usual, **how)


def memory_file(raw: bytes) -> int:
    """An open file with these bytes."""
    file = os.memfd_create("picture")
    os.write(file, raw)
    os.lseek(file, 0, os.SEEK_SET)
    return file


async def reason(desk: FileDecoder, raw: bytes) -> tuple[str, str]:
    """Why *raw* is refused, short and in words."""
    file = memory_file(raw)
    try:
        with pytest.raises(PictureError) as refusal, capture_logs():
            await desk.decode(file)
    finally:
        os.close(file)
    return refusal.value.reason, str(refusal.value)


async def good(desk: FileDecoder) -> None:
    """The next picture is decoded as ever."""
    file = memory_file(GOOD)
    picture = await desk.decode(file)
    os.close(file)
    np.testing.assert_array_equal(picture.pixels, gradient())
    assert picture.taken_us > 0


HOSTILE: dict[str, tuple[bytes, dict[str, object], str, str]] = {
    "scans without an end": (
        endless_jpeg(100_000, edge=960),
        {"decode_s": 0.3},
        "deadline",
        "ended its decoder: gave no answer within 0.3 s",
    ),
    "a picture that says it is huge": (png(60_000, 60_000, held=9), {}, "size", "60000 x 60000"),
    "a file that is too long": (GOOD + bytes(5000), {"bytes_max": 4096}, "size", "4096 bytes"),
    "a picture cut short": (GOOD[:-30], {}, "cut", "found no end"),
    "a picture without its last rows": (png(90, 90, held=9000), {}, "damaged", "without all"),
    "another kind": (b"GIF89a" + bytes(50), {}, "kind", "expected PNG or JPEG"),
    "random bytes": (np.random.default_rng(1).bytes(5000), {}, "kind", "expected PNG or JPEG"),
    "nothing": (b"", {}, "kind", "found nothing"),
    "random bytes in a frame": (GOOD[:60] + bytes(50) + GOOD[110:], {}, "damaged", "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile(name: str, starter: Starter) -> None:
    """What a picture does to its decoder is said of that picture; the next one is decoded."""
    raw, how, why, words = HOSTILE[name]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FileDecoder(starter, config(**how)) as desk:
        found, said = await reason(desk, raw)
        assert (found, words in said, said.isprintable()) == (why, True, True)
        await good(desk)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 30 * 1024


async def test_memory(starter: Starter) -> None:
    """A picture that unpacks to a quarter of a gigabyte gets no more than any other."""
    with FileDecoder(starter, config(decode_s=60)) as desk:
        await good(desk)
        (pid,) = children(starter)
        file = memory_file(text_bomb(256 * MIB))
        picture = await desk.decode(file)
        os.close(file)
        assert picture.pixels.shape == (8, 8, 3)
        assert peak_bytes(pid) < 200 * MIB


def peak_bytes(pid: int) -> int:
    """The most memory that a process has ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


async def test_processor_time(starter: Starter) -> None:
    """A picture that takes too much of the processor is ended even if nobody looks."""
    with ExitStack() as stack:
        decoder = Decoder(starter, config(decode_s=1))
        stack.callback(decoder.close)
        await decoder.begin()
        file = memory_file(endless_jpeg(200_000, edge=960))
        stack.callback(os.close, file)
        decoder.say(Look(), file)
        with pytest.raises(DecoderLostError, match="processor time") as loss:
            await decoder.hear()
    assert (loss.value.kind, loss.value.blamed) == ("cpu", True)


async def test_crash(starter: Starter) -> None:
    """A decoder that crashes over a picture costs that picture, and another takes its place."""
    with ExitStack() as stack:
        desk = stack.enter_context(FileDecoder(starter, config(decode_s=60)))
        await good(desk)
        first = children(starter)
        file = memory_file(endless_jpeg(100_000, edge=960))
        stack.callback(os.close, file)
        async with asyncio.TaskGroup() as group:
            decoding = group.create_task(refusal(desk, file))
            (pid,) = first
            await until(lambda: spends(pid), "a decoder at work")
            os.kill(pid, signal.SIGSEGV)
        assert decoding.result() == ("crash", "picture: ended its decoder: SIGSEGV")
        await good(desk)
        assert children(starter) != first


async def refusal(desk: FileDecoder, file: int) -> tuple[str, str]:
    """Why an open file is refused."""
    with pytest.raises(PictureError) as found, capture_logs():
        await desk.decode(file)
    return found.value.reason, str(found.value)


async def test_fork_server_lost(starter: Starter) -> None:
    """A decoder that goes with the fork server is no fault of the picture's; there is another."""
    with ExitStack() as stack:
        desk = stack.enter_context(FileDecoder(starter, config(decode_s=60)))
        await good(desk)
        (pid,) = children(starter)
        file = memory_file(endless_jpeg(100_000, edge=960))
        stack.callback(os.close, file)
        with capture_logs():
            async with asyncio.TaskGroup() as group:
                decoding = group.create_task(lost(desk, file))
                await until(lambda: spends(pid), "a decoder at work")
                os.kill(parent(pid), signal.SIGKILL)
            assert decoding.result() is False
            await good(desk)


async def lost(desk: FileDecoder, file: int) -> bool:
    """Whether the loss of its decoder is blamed on the picture."""
    with pytest.raises(DecoderLostError) as found:
        await desk.decode(file)
    return found.value.blamed


def parent(pid: int) -> int:
    """Of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def spends(pid: int) -> bool:
    """Whether a process has been at work for a while."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]
    return int(ticks) > 30


def children(_: Starts) -> list[int]:
    """The processes that decode: children of our only child, the fork server."""
    ours = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = [Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for pid in ours]
    return [int(pid) for each in found for pid in each]


@dataclass(slots=True)
class Liar:
    """Starts a process that was taken over: it says what a test wants it to say.

    Attributes:
        says: in this order, at once.
        status: what the kernel says of its end.
        after_s: when that is.
        jobs: what was asked for.
        lines: the ends that its processes have.
    """

    says: Sequence[bytes]
    status: int = -signal.SIGKILL
    after_s: float = 0.05
    jobs: list[PictureJob] = field(default_factory=list)
    lines: list[socket.socket] = field(default_factory=list)

    def ticket(self) -> int:
        """See `Starts`."""
        return 1

    def request(self, job: PictureJob, fds: Sequence[int], asker: Asker) -> None:
        """See `Starts`."""
        self.jobs.append(job)
        line = socket.socket(fileno=os.dup(fds[1]))
        self.lines.append(line)
        for said in self.says:
            line.send(said)
        asyncio.get_running_loop().call_later(self.after_s, self._end, line, asker)

    def close(self) -> None:
        """End every process without a word."""
        for line in self.lines:
            line.close()

    def _end(self, line: socket.socket, asker: Asker) -> None:
        line.close()
        asker.ended(self.status)


READY, LIES = (
    msgspec.json.encode(Ready()),
    {
        "no message": (b"\x00\xff", "said what no decoder says"),
        "an unknown message": (b'{"type":"Boast"}', "said what no decoder says"),
        "a picture larger than any": (
            msgspec.json.encode(Decoded(rows=50_000, columns=50_000, taken_us=1)),
            "gave 50000 x 50000 pixels",
        ),
        "a picture of less than nothing": (
            b'{"type":"Decoded","rows":-5,"columns":-5,"taken_us":1}',
            "said what no decoder says",
        ),
        "an answer to nothing": (msgspec.json.encode(Passed()), "answered what was not asked"),
    },
)


@pytest.mark.parametrize("name", LIES)
async def test_taken_over(name: str) -> None:
    """A decoder that was taken over is held to what decoders say."""
    said, words = LIES[name]
    with FileDecoder(Liar([READY, said]), config()) as desk:
        file = memory_file(GOOD)
        with pytest.raises(PictureError, match=words) as refusal, capture_logs():
            await desk.decode(file)
        os.close(file)
    assert refusal.value.reason == "protocol"


ENDS: dict[str, tuple[int, str, bool]] = {
    "out of memory": (EXIT_MEMORY, "memory", True),
    "crashed": (-signal.SIGSEGV, "crash", True),
    "too much of the processor": (-signal.SIGXCPU, "cpu", True),
    "left": (3, "exit", True),
    "gone with its server": (SERVER_LOST, "exit", False),
}


@pytest.mark.parametrize("name", ENDS)
async def test_ends(name: str) -> None:
    """How a decoder ended is what its picture is counted under, unless it is not to blame."""
    status, kind, blamed = ENDS[name]
    with FileDecoder(Liar([READY], status), config()) as desk:
        file = memory_file(GOOD)
        with pytest.raises(PictureError if blamed else DecoderLostError) as end, capture_logs():
            await desk.decode(file)
        os.close(file)
    assert getattr(end.value, "reason" if blamed else "kind") == kind


async def test_never_ready() -> None:
    """A decoder that speaks before it is ready is none."""
    with FileDecoder(Liar([msgspec.json.encode(Passed())]), config()) as desk:
        file = memory_file(GOOD)
        with pytest.raises(DecoderLostError, match="spoke before it was ready"):
            await desk.decode(file)
        os.close(file)
