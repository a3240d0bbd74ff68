"""Folders and videos: whole pictures only, the newest wins, what was passed over is counted."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.files import FileDecoder
from edge_runtime.frames.folder import FolderSource
from edge_runtime.frames.newest import Frame, Newest
from edge_runtime.frames.video import VideoSource
from edge_runtime.inference.engine import open_engine
from edge_runtime.inference.starter import Starter
from tests.simulators.waiting import until
from tests.unit.runtime.frames.hostile import endless_jpeg
from tests.unit.runtime.frames.pictures import encoded, gradient, video

pytestmark = pytest.mark.anyio

LONG_S = 60.0  # a look that never comes within a test: what arrives was told


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    """A fork server, as the engine keeps one."""
    async with open_engine() as engine:
        yield engine.starter


def refusals(newest: Newest) -> int:
    """How many pictures were refused."""
    return sum(newest.of("camera").refused.values())


def frames() -> Newest:
    """Nothing yet."""
    return Newest(time.monotonic)


@asynccontextmanager
async def running(source: FolderSource | VideoSource) -> AsyncIterator[None]:
    """Beside the test, as long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run())
        try:
            yield
        finally:
            task.cancel()


def folder_source(
    folder: Path, newest: Newest, starter: Starter, **how: Any
) -> FolderSource:  # Any: settings
    """A source of what is dropped into a folder."""
    how = {"look_s": LONG_S} | how
    config = FramesConfig(name="eye", role="camera", folder=folder, **how)
    return FolderSource(config, folder, newest, FileDecoder(starter, config))


def drop(folder: Path, name: str, raw: bytes) -> None:
    """Write under another name, then rename, as a careful camera does."""
    (folder / ".writing").write_bytes(raw)
    (folder / ".writing").rename(folder / name)


async def test_renamed_and_closed(tmp_path: Path, starter: Starter) -> None:
    """A picture counts when it is renamed into the folder, or closed by whoever wrote it."""
    newest = frames()
    with capture_logs() as events:
        async with running(folder_source(tmp_path, newest, starter)):
            await until(lambda: said(events, "source.connected") == 1, "a source that listens")
            drop(tmp_path, "a.png", encoded(gradient()))
            first = await newest.next("camera")
            (tmp_path / "b.png").write_bytes(encoded(gradient(shift=1)))
            second = await newest.next("camera")
    assert (first.name, second.name) == ("a.png", "b.png")
    np.testing.assert_array_equal(first.picture, gradient())
    np.testing.assert_array_equal(second.picture, gradient(shift=1))
    assert abs(second.source_ns - time.time_ns()) < 60_000_000_000
    assert {each.name for each in (tmp_path / "taken").iterdir()} == {"a.png", "b.png"}


def said(events: Any, event: str) -> int:  # Any: what structlog captures
    """How often something was logged."""
    return sum(each["event"] == event for each in events)


async def test_half_written(tmp_path: Path, starter: Starter) -> None:
    """A file that is still open is left alone however often we look; closed, it is taken."""
    newest, raw = frames(), encoded(gradient())
    async with running(folder_source(tmp_path, newest, starter, look_s=0.02)):
        with (tmp_path / "slow.png").open("wb", buffering=0) as file:
            file.write(raw[:100])
            await asyncio.sleep(0.2)  # ten looks
            assert refusals(newest) == 0
            file.write(raw[100:])
        frame = await newest.next("camera")
    np.testing.assert_array_equal(frame.picture, gradient())


async def test_damaged(tmp_path: Path, starter: Starter) -> None:
    """What is no picture, or half of one, is named and moved aside, and the next one is taken."""
    newest = frames()
    hostile = "x\x1b[2J.png"
    with capture_logs() as events:
        async with running(folder_source(tmp_path, newest, starter, bytes_max=5000)):
            await until(lambda: said(events, "source.connected") == 1, "a source that listens")
            drop(tmp_path, "half.png", encoded(gradient())[:-30])
            drop(tmp_path, hostile, b"no picture")
            drop(tmp_path, "long.png", encoded(gradient()) + bytes(6000))
            (tmp_path / "link.png").symlink_to("/etc/passwd")
            os.mkfifo(tmp_path / "pipe.png")
            await until(lambda: refusals(newest) == 3, "three refusals")
            drop(tmp_path, "good.png", encoded(gradient()))
            frame = await newest.next("camera")
    assert frame.name == "good.png"
    assert {each.name for each in (tmp_path / "refused").iterdir()} == {
        "half.png",
        hostile,
        "long.png",
    }
    lines = [each for each in events if each["event"] == "picture.refused"]
    assert all((each["file"] + each["reason"]).isprintable() for each in lines)
    assert {"half.png", "long.png"} < {each["file"] for each in lines}
    assert (tmp_path / "pipe.png").exists()


async def test_there_before_we_came(tmp_path: Path, starter: Starter) -> None:
    """Nobody said that it is whole: it is waited for, and decoded once while it is the same."""
    newest = frames()
    (tmp_path / "hang.jpg").write_bytes(endless_jpeg(100_000, edge=960))
    with capture_logs() as events:
        source = folder_source(tmp_path, newest, starter, look_s=0.02, decode_s=0.3)
        async with running(source):
            await until(lambda: refusals(newest) == 1, "a refusal")
    assert newest.of("camera").refused == {"deadline": 1}
    assert said(events, "decoder.ended") == 1
    assert (tmp_path / "refused" / "hang.jpg").exists()


async def test_newest_wins(tmp_path: Path, starter: Starter) -> None:
    """Of many that wait the newest good one is taken; the others are counted."""
    newest = frames()
    for number in range(5):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded(gradient(shift=number)))
        os.utime(path, ns=(number * 10**9, number * 10**9))
    (tmp_path / "5.png").write_bytes(b"damaged")
    with capture_logs():
        async with running(folder_source(tmp_path, newest, starter, look_s=0.02, kept_max=3)):
            frame = await newest.next("camera")
            await until(lambda: newest.of("camera").skipped == 4, "four passed over")
    assert (frame.name, frame.source_ns) == ("4.png", 4 * 10**9)
    assert {each.name for each in (tmp_path / "taken").iterdir()} == {"2.png", "3.png", "4.png"}


async def test_slot() -> None:
    """A picture that nobody took is replaced by a newer one, never by an older one."""
    newest = frames()
    picture = gradient()
    for at_ns in (2, 3, 1):
        newest.put(Frame("camera", picture, at_ns, str(at_ns)))
    newest.put(Frame("other", picture, 9, "9"))
    assert (await newest.next("camera")).name == "3"
    assert (newest.of("camera").taken, newest.of("camera").skipped) == (3, 2)


async def test_no_folder(tmp_path: Path, starter: Starter) -> None:
    """A folder that is not there is a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="expected a folder that we may write to"):
        await folder_source(tmp_path / "none", frames(), starter).run()


def video_source(
    place: str, newest: Newest, starter: Starter, **how: Any
) -> VideoSource:  # Any: settings
    """A source of a video."""
    config = FramesConfig(name="eye", role="camera", video=place, retry_s=0.05, **how)
    return VideoSource(config, newest, starter, time.time_ns)


async def test_video(tmp_path: Path, starter: Starter) -> None:
    """A video gives its pictures; whoever looks late sees the newest, and the rest is counted."""
    video(tmp_path / "line.mp4", 12)
    newest = frames()
    with capture_logs():
        async with running(video_source(str(tmp_path / "line.mp4"), newest, starter)):
            await until(
                lambda: newest.of("camera").taken + newest.of("camera").skipped >= 12,
                "twelve pictures",
            )
            frame = await newest.next("camera")
    assert frame.picture.shape == (48, 64, 3)
    assert newest.of("camera").skipped >= 11
    assert int(frame.name) >= 1


async def test_video_too_large(tmp_path: Path, starter: Starter) -> None:
    """A video whose pictures are too large is refused before one is decoded, and said once."""
    video(tmp_path / "line.mp4", 2)
    newest = frames()
    with capture_logs() as events:
        async with running(
            video_source(str(tmp_path / "line.mp4"), newest, starter, pixels_max=1000)
        ):
            await until(lambda: newest.of("camera").refused.get("size", 0) >= 2, "two attempts")
    assert newest.of("camera").taken == 0
    assert said(events, "source.lost") == 1


async def test_video_that_is_none(tmp_path: Path, starter: Starter) -> None:
    """What is no video, or leads elsewhere, is a line without a secret in it."""
    secret = tmp_path / "password"
    secret.write_text("only for this test")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n")
    places = [str(tmp_path / "list.m3u8"), "rtsp://127.0.0.1:1/stream"]
    for place in places:
        with capture_logs() as events:
            source = video_source(place, frames(), starter, user="me", password=secret)
            async with running(source):
                await until(lambda: said(events, "source.lost") == 1, "a line")
        assert "only" not in str(events)
        assert place in str(events)


def test_one_place() -> None:
    """Pictures come from a folder or from a video."""
    with pytest.raises(ValueError, match="either `folder` or `video`"):
        FramesConfig(name="eye", role="camera")
