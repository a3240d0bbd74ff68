"""Tells which files in a folder were closed after writing, or moved into it: inotify(7)."""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

_CLOSED_AFTER_WRITING: Final = 0x8
_MOVED_HERE: Final = 0x80
_HEAD: Final = struct.Struct("iIII")
_READ_BYTES: Final = 64 * 1024


class ClosedFiles:
    """One folder. On a network share only what this machine does is told."""

    def __init__(self, folder: Path) -> None:
        """Begin to listen.

        Raises:
            OSError: the system cannot tell.
        """
        library = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        wanted = _CLOSED_AFTER_WRITING | _MOVED_HERE
        if library.inotify_add_watch(self.descriptor, os.fsencode(folder), wanted) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), str(folder))

    def names(self) -> set[str]:
        """Those of files that are complete since the last call."""
        found: set[str] = set()
        while True:
            try:
                raw = os.read(self.descriptor, _READ_BYTES)
            except BlockingIOError:
                return found
            at = 0
            while at < len(raw):
                *_, length = _HEAD.unpack_from(raw, at)
                at += _HEAD.size
                found.add(os.fsdecode(raw[at : at + length].rstrip(b"\x00")))
                at += length

    def close(self) -> None:
        """Listen no more."""
        os.close(self.descriptor)
