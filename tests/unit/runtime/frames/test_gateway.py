"""A whole gateway with a camera: what hurts its decoder costs a picture, and is told."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from edge_runtime.assembly import assemble
from edge_runtime.commands.output import pictures
from edge_runtime.control import StatusAsked
from edge_runtime.daemon import run
from edge_runtime.frames.config import FramesConfig
from edge_runtime.logs import RecentLogs
from tests.simulators.waiting import until
from tests.unit.runtime.frames.hostile import endless_jpeg
from tests.unit.runtime.frames.pictures import encoded, gradient
from tests.unit.runtime.gateways import Rig

pytestmark = pytest.mark.anyio


async def status(socket: Path) -> dict[str, object]:
    """What the daemon says of itself."""
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(msgspec.json.encode(StatusAsked()) + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    found: dict[str, object] = answer["body"]
    return found


async def test_told(rig: Rig, tmp_path: Path) -> None:
    """The daemon lives on, and its status has what was taken and what was refused, and why."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    camera = FramesConfig(
        name="eye", role="camera", folder=folder, look_s=0.05, decode_s=0.5, pixels_max=1_000_000
    )
    usual = rig.config()
    config = msgspec.structs.replace(usual, sources=[*usual.sources, camera])
    stop = asyncio.Event()
    async with assemble(config) as gateway, asyncio.TaskGroup() as group:
        group.create_task(run(gateway, RecentLogs(), stop))
        seen = gateway.frames.of("camera")
        (folder / "hang.jpg").write_bytes(endless_jpeg(100_000, edge=960))
        await until(lambda: seen.refused == {"deadline": 1}, "a refusal")
        (folder / "good.png").write_bytes(encoded(gradient()))
        await until(lambda: seen.taken == 1, "a picture")
        found = await status(config.socket)
        stop.set()
    (told,) = msgspec.convert(found["pictures"], list[dict[str, object]])
    assert told["refused"] == {"deadline": 1}
    assert pictures(told).startswith("camera from eye: 1 taken, 0 skipped, 1 refused (deadline 1)")
