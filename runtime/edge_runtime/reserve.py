"""Room kept on the disk for the one moment at which a full disk would stop a gateway: its start.

A gateway that runs goes on where nothing can be written. One that starts writes before it loads
a model: which start this is, and that a try is taken. What was kept back is given up for that, and
taken again when there is plenty.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

RESERVE_BYTES: Final = 2 << 20
PLENTY_BYTES: Final = 4 * RESERVE_BYTES
LOOK_S: Final = 60.0

log = structlog.get_logger(__name__)


def free_bytes(folder: Path) -> int:
    """What may still be written on the disk of *folder*."""
    return shutil.disk_usage(folder).free


class Reserve:
    """The file that holds the room.

    Args:
        folder: where the gateway writes; exists.
        free: as `free_bytes`.
    """

    def __init__(self, folder: Path, free: Callable[[Path], int] = free_bytes) -> None:
        self._path = folder / "reserve"
        self._free = free

    def give_up(self) -> bool:
        """Make room for a start if the disk has none; whether that was needed and possible."""
        if self._free(self._path.parent) >= RESERVE_BYTES:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False  # none is left, or the disk takes nothing: the start will say which
        log.warning("reserve.used", folder=str(self._path.parent), bytes=RESERVE_BYTES)
        return True

    def take(self) -> None:
        """Hold the room back, where it is not held yet and there is plenty."""
        with suppress(OSError):  # a disk that refuses says so wherever it matters
            if self._held() or self._free(self._path.parent) < PLENTY_BYTES:
                return
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, RESERVE_BYTES)
            finally:
                os.close(handle)

    async def keep(self) -> None:
        """Take it again after a full disk, until cancelled."""
        while True:
            await asyncio.to_thread(self.take)
            await asyncio.sleep(LOOK_S)

    def _held(self) -> bool:
        return self._path.exists() and self._path.stat().st_size >= RESERVE_BYTES
