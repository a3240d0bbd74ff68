"""A small document in a mapped file: writing it costs no system call, and no kill tears it.

Two slots take turns, each with a generation and a checksum; the newest that is whole is read. A
killed process loses nothing, a power cut at most what the kernel had not written yet.
"""

import mmap
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.journal.layout import crc32c

SLOT_BYTES: Final = 32 * 1024
_HEAD: Final = struct.Struct("<8sQII")  # magic, generation, length, CRC-32C of all of it
_MAGIC: Final = b"EDGEMAP1"


class MappedDocument:
    """The newest bytes put, through any end of the process; use it as a context."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, 2 * SLOT_BYTES)
            self._map = mmap.mmap(handle, 2 * SLOT_BYTES)
        finally:
            os.close(handle)
        self._generation, self._newest = max(self._read(0), self._read(1))

    @property
    def newest(self) -> bytes:
        """The bytes put last; empty if there never were any."""
        return self._newest

    def put(self, body: bytes) -> bool:
        """Keep *body* instead; False, and nothing is changed, if it is too long."""
        if len(body) > SLOT_BYTES - _HEAD.size:
            return False
        self._generation += 1
        at = self._generation % 2 * SLOT_BYTES
        # The body first: a head that is there vouches for what lies behind it.
        _HEAD.pack_into(self._map, at, b"", 0, 0, 0)
        self._map[at + _HEAD.size : at + _HEAD.size + len(body)] = body
        crc = _check(self._generation, body)
        _HEAD.pack_into(self._map, at, _MAGIC, self._generation, len(body), crc)
        self._newest = body
        return True

    def _read(self, slot: int) -> tuple[int, bytes]:
        at = slot * SLOT_BYTES
        magic, generation, length, crc = _HEAD.unpack_from(self._map, at)
        if magic != _MAGIC or length > SLOT_BYTES - _HEAD.size:
            return 0, b""
        body = self._map[at + _HEAD.size : at + _HEAD.size + length]
        return (generation, body) if _check(generation, body) == crc else (0, b"")

    def close(self) -> None:
        """Flush and let go."""
        self._map.flush()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check(generation: int, body: bytes) -> int:
    return crc32c(generation.to_bytes(8, "little") + body)
