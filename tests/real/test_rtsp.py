"""A real RTSP server, with a camera of ours behind it: watched, killed, and back again."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.newest import Newest
from edge_runtime.frames.video import VideoSource
from edge_runtime.inference.engine import open_engine
from edge_runtime.inference.starter import Starter
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.waiting import until

MISSING = shutil.which("rtsp-server-perl") is None
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        MISSING and os.environ.get("CI") != "true",
        reason="no rtsp-server-perl: apt-get install rtsp-server-perl",
    ),
]


@dataclass(frozen=True, slots=True)
class Hall:
    """The server, and the camera that sends to it.

    Attributes:
        address: where the stream is watched.
    """

    server: Program
    camera: Program
    address: str


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    """Neither of them runs yet."""
    assert not MISSING, "CI needs rtsp-server-perl"
    watched, sent = free_port(), free_port()
    server = Program(
        (
            *("rtsp-server-perl", "--loglevel", "2"),
            *("--clientport", str(watched), "--client_listen_address", "127.0.0.1"),
            *("--serverport", str(sent), "--source_listen_address", "127.0.0.1"),
            *("--rtp_start_port", str(free_port() & ~1)),
        ),
        tmp_path / "server.txt",
        sent,
    )
    camera = Program(
        (sys.executable, "-m", "tests.real.rtsp_camera", f"rtsp://127.0.0.1:{sent}/eye", "100"),
        tmp_path / "camera.txt",
    )
    with ExitStack() as stack:
        stack.callback(server.kill)
        stack.callback(camera.kill)
        yield Hall(server, camera, f"rtsp://127.0.0.1:{watched}/eye")


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    """A fork server, as the engine keeps one."""
    async with open_engine() as engine:
        yield engine.starter


@asynccontextmanager
async def watching(hall: Hall, newest: Newest, starter: Starter) -> AsyncIterator[None]:
    """A source beside the test, as long as the context lasts."""
    config = FramesConfig(
        name="eye",
        role="camera",
        video=hall.address,
        transport="udp",
        silence_s=2.0,
        retry_s=0.1,
    )
    source = VideoSource(config, newest, starter, time.time_ns)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run())
        try:
            yield
        finally:
            task.cancel()


async def test_killed_and_back(hall: Hall, starter: Starter) -> None:
    """Pictures come over RTSP; the server is killed, that is said, and they come from the next."""
    newest = Newest(time.monotonic)
    seen = newest.of("camera")
    with capture_logs() as events:
        async with watching(hall, newest, starter):
            await until(lambda: seen.trouble != "", "nobody to dial")
            assert "Connection refused" in seen.trouble
            for taken in (10, 20):
                hall.server.start()
                await hall.server.ready()
                hall.camera.start()
                await until(lambda: seen.taken >= taken and not seen.trouble, "pictures")  # noqa: B023 - awaited here
                frame = await newest.next("camera")
                assert frame.picture.shape == (48, 64, 3)
                hall.server.kill()
                hall.camera.kill()
                await until(lambda: seen.trouble != "", "the loss of the stream")
    assert all(each["reason"].isprintable() for each in events if each["event"] == "source.lost")
    assert sum(each["event"] == "source.connected" for each in events) >= 2


async def test_camera_leaves(hall: Hall, starter: Starter) -> None:
    """A camera that leaves its server gives nothing: that is said, until it is back."""
    newest = Newest(time.monotonic)
    seen = newest.of("camera")
    hall.server.start()
    await hall.server.ready()
    with capture_logs():
        async with watching(hall, newest, starter):
            hall.camera.start()
            await until(lambda: seen.taken >= 5, "pictures")
            await until(lambda: seen.trouble != "", "silence")
            hall.camera.kill()  # it has gone by itself
            before = seen.taken
            hall.camera.start()
            await until(lambda: seen.taken > before + 5, "pictures again")
