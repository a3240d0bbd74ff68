"""Room kept on the disk for the one moment at which a full disk would stop a daemon: its start.

A daemon that runs goes on where nothing can be written. One that starts writes first which start
this is. What was kept back is given up for that, and taken again when there is plenty.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

PLENTY: Final = 4  # times as much must be free before it is taken from whoever needs room
LOOK_S: Final = 60.0

log = structlog.get_logger(__name__)


def free_bytes(folder: Path) -> int:
    """What may still be written on the disk of *folder*."""
    return shutil.disk_usage(folder).free


class Reserve:
    """The file that holds the room.

    Args:
        path: of the file; its folder exists, and is where the daemon writes.
        size_bytes: what a start needs.
        free: as `free_bytes`.
    """

    def __init__(
        self, path: Path, size_bytes: int, free: Callable[[Path], int] = free_bytes
    ) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._free = free

    def give_up(self) -> bool:
        """Make room for a start if the disk has none; whether that was needed and possible."""
        if self._free(self._path.parent) >= self._size_bytes:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False  # none is left, or the disk takes nothing: the start will say which
        log.warning("reserve.used", folder=str(self._path.parent), bytes=self._size_bytes)
        return True

    def take(self) -> None:
        """Hold the room back, where it is not held yet and there is plenty."""
        with suppress(OSError):  # a disk that refuses says so wherever it matters
            if self._held() or self._free(self._path.parent) < PLENTY * self._size_bytes:
                return
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._size_bytes)
            finally:
                os.close(handle)

    async def keep(self) -> None:
        """Take it again after a full disk, until cancelled."""
        while True:
            await asyncio.to_thread(self.take)
            await asyncio.sleep(LOOK_S)

    def _held(self) -> bool:
        return self._path.exists() and self._path.stat().st_size >= self._size_bytes
