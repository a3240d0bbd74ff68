"""Looks at where pictures come from: the folder they are dropped into, the library, the camera."""

import asyncio
import os
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_core.contracts.errors import EdgeError
from edge_runtime.doctor.finding import SETTING, UNREACHABLE, Finding, fail, ok
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decode import installed

PORTS: Final = {"rtsp": 554, "rtsps": 322, "https": 443}
REACH_S: Final = 5.0


def local(config: FramesConfig) -> Finding:
    """What this machine alone tells: a folder whose files we may move, a library, a video file."""
    if config.folder is not None:
        return _folder(config.name, config.folder)
    thing, video = f"pictures {config.name}", config.video or ""
    expected = f"edge-mlops[frames], to read {_shown(video)}"
    try:
        installed()
    except EdgeError as error:
        return fail("frames", thing, expected, str(error), "install the extra", SETTING)
    if _is_far(video) or Path(video).is_file():
        return ok("frames", thing, expected, "that")
    advice = f"see sources.{config.name}.video"
    return fail("frames", thing, f"a file {video}", "none", advice, SETTING)


async def camera(config: FramesConfig) -> list[Finding]:
    """Whether somebody listens where a camera should be; nothing for a folder or a file."""
    video = config.video or ""
    if not _is_far(video):
        return []
    where = urlsplit(video)
    host, port = where.hostname or "", where.port or PORTS[where.scheme]
    thing, expected = f"camera {config.name} {host}:{port}", "somebody who listens"
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        words = str(error) or f"nothing within {REACH_S:g} s"
        advice = "see that the camera has power and a network, and that its stream is switched on"
        return [fail("frames", thing, expected, words, advice, UNREACHABLE)]
    with closing(writer):
        return [ok("frames", thing, expected, "that")]


def _folder(name: str, folder: Path) -> Finding:
    thing, expected = f"pictures {name}", f"a folder {folder} whose files we may move"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "none"
        advice = "make it, and let whoever drops pictures write there"
        return fail("frames", thing, expected, found, advice, SETTING)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        advice = "give the folder to the gateway's user or group"
        return fail("frames", thing, expected, "one that is not for us", advice, SETTING)
    return ok("frames", thing, expected, "that")


def _is_far(video: str) -> bool:
    return urlsplit(video).scheme in PORTS


def _shown(video: str) -> str:
    """Without what may stand before the host: that would be a password."""
    where = urlsplit(video)
    return f"{where.scheme}://{where.hostname}" if where.hostname else video
