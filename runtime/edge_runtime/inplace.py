"""A small file of fixed size that is written in place, through any end of the process.

A write is one system call into the page cache, a microsecond or two: a killed process loses
nothing, a power cut at most what the kernel had not written yet. A mapping would save the call,
and cost the process on the day on which the disk is full, worn or mounted read-only: the kernel
answers a store that it cannot keep with SIGBUS. Here it is an error; what the disk does not take
waits in memory and is written before anything newer, as soon as it takes bytes again.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

MODE: Final = 0o600
Write = Callable[[int, bytes, int], int]
"""As `os.pwrite`: handle, bytes, where; how many of them were taken."""


class InPlaceFile:
    """*size_bytes* at *path*, made if it is missing; *write* does it; use it as a context.

    One that can neither be opened nor made is empty and keeps nothing, until the next start.

    Attributes:
        failure: how the disk refused what was put, or what was there; "" if it does not.
    """

    def __init__(self, path: Path, size_bytes: int, write: Write = os.pwrite) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._write = write
        self._owed: dict[int, bytes] = {}
        self._handle: int | None = None
        self.failure = ""
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
            os.ftruncate(self._handle, size_bytes)
            # A full disk then still takes what is put: the room is ours.
            os.posix_fallocate(self._handle, 0, size_bytes)
        except OSError as error:
            self._failed(error)

    def whole(self) -> bytes:
        """All bytes of the file; fewer than its size, or none, where the disk gives no more."""
        if self._handle is None:
            return b""
        try:
            return os.pread(self._handle, self._size_bytes, 0)
        except OSError as error:
            self.failure = f"{self._path}: cannot be read: {error.strerror}"
            return b""

    def put(self, at: int, part: bytes) -> None:
        """Write *part* at byte *at*; what is put there later takes its place. Never raises."""
        if self._handle is None:
            return
        self._owed.pop(at, None)
        self._owed[at] = part
        try:
            while self._owed:
                oldest = next(iter(self._owed))
                self._put(self._handle, oldest, self._owed[oldest])
                del self._owed[oldest]
        except OSError as error:
            self._failed(error)
        else:
            self.failure = ""

    def close(self) -> None:
        """Flush and let go."""
        if self._handle is None:
            return
        # What the disk refuses now has been said of it already, or is what a power cut takes.
        with suppress(OSError):
            os.fdatasync(self._handle)
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, handle: int, at: int, part: bytes) -> None:
        while part:
            taken = self._write(handle, part, at)  # a full disk takes a part, then raises
            at, part = at + taken, part[taken:]

    def _failed(self, error: OSError) -> None:
        self.failure = f"{self._path}: cannot be written, kept in memory: {error.strerror}"
