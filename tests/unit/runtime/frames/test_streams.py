"""Streams that hurt, stop or lie: counted, dialled again, and never the end of the daemon."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decoder import Starts
from edge_runtime.frames.job import Passed, Ready
from edge_runtime.frames.newest import Newest
from edge_runtime.frames.video import VideoSource
from tests.simulators.waiting import until
from tests.unit.runtime.frames.pictures import video
from tests.unit.runtime.frames.test_hostile import READY, Liar, children, starter

pytestmark = pytest.mark.anyio

__all__ = ["starter"]  # the fixture


@asynccontextmanager
async def watched(place: str, starts: Starts, **how: object) -> AsyncIterator[Newest]:
    """What comes from a stream, as long as the context lasts."""
    usual = FramesConfig(name="eye", role="camera", video=place, retry_s=0.05, silence_s=1.0)
    newest = Newest(time.monotonic)
    source = VideoSource(msgspec.structs.replace(usual, **how), newest, starts, time.time_ns)
    with capture_logs():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run())
            try:
                yield newest
            finally:
                task.cancel()
                if isinstance(starts, Liar):
                    starts.close()


@asynccontextmanager
async def server(*parts: bytes) -> AsyncIterator[str]:
    """Sends the first part to whoever dials first and so on, the last one to all others."""
    left = list(parts)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"tcp://127.0.0.1:{port}"


def transport_stream(folder: Path, count: int) -> bytes:
    """A stream of *count* pictures as it goes over a wire."""
    video(folder / "line.ts", count)
    return (folder / "line.ts").read_bytes()


async def test_ends_and_begins_anew(tmp_path: Path, starter: Starts) -> None:
    """A stream over TCP that ends, or is none at all, is dialled again."""
    whole, noise = transport_stream(tmp_path, 20), np.random.default_rng(2).bytes(100_000)
    async with server(whole, noise, whole) as place, watched(place, starter) as newest:
        seen = newest.of("camera")
        await until(lambda: seen.taken + seen.skipped >= 19, "the first pictures")
        await until(lambda: seen.taken + seen.skipped >= 39, "pictures after the noise")
        await until(lambda: "found its end" in seen.trouble, "its end")
    assert seen.trouble.startswith(f"{place}: ")


async def test_damaged_packets(tmp_path: Path, starter: Starts) -> None:
    """A stream with bytes gone wrong goes on, or is dialled again; the process stays the same."""
    whole = bytearray(transport_stream(tmp_path, 25))
    for at in range(len(whole) // 4, len(whole), 97):
        whole[at] ^= 0xFF
    async with server(bytes(whole)) as place, watched(place, starter) as newest:
        seen = newest.of("camera")
        await until(lambda: seen.taken > 0, "a picture")
        (pid,) = children(starter)
        before = seen.taken
        await until(lambda: seen.taken > before + 20, "more of them")
        assert children(starter) == [pid]


async def test_crash(tmp_path: Path, starter: Starts) -> None:
    """A stream whose decoder crashes costs that decoder; the next one dials again."""
    video(tmp_path / "line.mp4", 12)
    async with watched(str(tmp_path / "line.mp4"), starter) as newest:
        seen = newest.of("camera")
        await until(lambda: seen.taken > 0, "a picture")
        (pid,) = children(starter)
        os.kill(pid, signal.SIGSEGV)
        await until(lambda: seen.refused.get("crash") == 1, "the crash")
        before = seen.taken
        await until(lambda: seen.taken > before, "a picture again")


async def test_silent_decoder() -> None:
    """A decoder that says nothing is ended when a picture is overdue, and so is one that lies."""
    mute = Liar([READY], -9, 1.0)
    async with watched("rtsp://x/y", mute, decode_s=0.1, silence_s=0.1) as newest:
        await until(lambda: bool(newest.of("camera").refused), "an end")
    assert newest.of("camera").refused == {"deadline": 1}
    lie = msgspec.json.encode(Ready())
    async with watched("rtsp://127.0.0.1/x", Liar([READY, lie])) as newest:
        await until(lambda: bool(newest.of("camera").refused), "an end")
    assert set(newest.of("camera").refused) == {"protocol"}


async def test_counts() -> None:
    """What a stream passed over and what was damaged is counted as it is told."""
    told = msgspec.json.encode(Passed(skipped=7, damaged=2))
    async with watched("rtsp://127.0.0.1/x", Liar([READY, told, told])) as newest:
        seen = newest.of("camera")
        await until(lambda: seen.skipped >= 14, "what was told")
        assert seen.refused["damaged"] >= 4
        assert "2 damaged packets" in seen.trouble
