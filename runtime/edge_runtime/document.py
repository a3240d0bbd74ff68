"""A small document that is written in place, and no kill tears it.

Two slots take turns, each with a generation and a checksum; the newest that is whole is read. A
killed process loses nothing, a power cut at most what the kernel had not written yet.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.journal.layout import crc32c
from edge_runtime.inplace import InPlaceFile

SLOT_BYTES: Final = 32 * 1024
_HEAD: Final = struct.Struct("<8sQII")  # magic, generation, length, CRC-32C of all of it
_MAGIC: Final = b"EDGEMAP1"


class KeptDocument:
    """The newest bytes put, through any end of the process; use it as a context.

    Attributes:
        file: where they lie; it says what the disk does not take.
    """

    def __init__(self, path: Path) -> None:
        self.file = InPlaceFile(path, 2 * SLOT_BYTES)
        whole = self.file.whole()
        self._generation, self._newest = max(_read(whole, 0), _read(whole, 1))

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
        crc = _check(self._generation, body)
        self.file.put(at, _HEAD.pack(_MAGIC, self._generation, len(body), crc) + body)
        self._newest = body
        return True

    def close(self) -> None:
        """Flush and let go."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _read(whole: bytes, slot: int) -> tuple[int, bytes]:
    """Generation and body of a slot; generation 0 where it is empty, torn or not there."""
    head = whole[slot * SLOT_BYTES :][: _HEAD.size].ljust(_HEAD.size, b"\0")
    magic, generation, length, crc = _HEAD.unpack(head)
    if magic != _MAGIC or length > SLOT_BYTES - _HEAD.size:
        return 0, b""
    body = whole[slot * SLOT_BYTES + _HEAD.size :][:length]
    return (generation, body) if _check(generation, body) == crc else (0, b"")


def _check(generation: int, body: bytes) -> int:
    return crc32c(generation.to_bytes(8, "little") + body)
