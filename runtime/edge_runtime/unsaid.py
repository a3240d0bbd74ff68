"""Keeps what was decided and not yet confirmed by the listener, through any end of the process.

Slots in a mapped file: keeping and letting go cost no system call, a killed process loses nothing,
and a power cut at most what the kernel had not written yet. Said again, a verdict is the same to
the byte, so whoever heard it already knows it for a repeat.
"""

import mmap
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.journal.layout import crc32c

SLOTS: Final = 1024
SLOT_BYTES: Final = 2048
_HEAD: Final = struct.Struct("<IIQ")  # CRC-32C of the rest, length of the body, place in the order
_ORDER: Final = struct.Struct("<Q")
NOT_KEPT: Final = -1  # the slot of a body that is held in memory alone


class Unsaid:
    """Bodies in the order they were kept in; use it as a context.

    Attributes:
        left: what the last process could not get confirmed, oldest first, each with its slot.
    """

    def __init__(self, path: Path) -> None:
        size = SLOTS * SLOT_BYTES
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, size)  # sparse: pages come into being when slots are used
            self._map = mmap.mmap(handle, size)
        finally:
            os.close(handle)
        found = sorted(read for slot in range(SLOTS) if (read := self._read(slot)) is not None)
        self._order = found[-1][0] if found else 0
        self.left: list[tuple[int, bytes]] = [(slot, body) for _, slot, body in found]
        taken = {slot for slot, _ in self.left}
        # The lowest last: the same few pages are written again and again.
        self._free = [slot for slot in reversed(range(SLOTS)) if slot not in taken]

    def keep(self, body: bytes) -> int:
        """The slot that has *body* now; `NOT_KEPT` where it is too long or no slot is free."""
        if len(body) > SLOT_BYTES - _HEAD.size or not self._free:
            return NOT_KEPT
        slot = self._free.pop()
        self._order += 1
        at = slot * SLOT_BYTES
        # The head vouches for the body, so it comes after it.
        self._map[at + _HEAD.size : at + _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._map, at, _check(self._order, body), len(body), self._order)
        return slot

    def let_go(self, slot: int) -> None:
        """The body in *slot* was confirmed, or is not worth saying any more."""
        if slot == NOT_KEPT:
            return
        _HEAD.pack_into(self._map, slot * SLOT_BYTES, 0, 0, 0)
        self._free.append(slot)

    def _read(self, slot: int) -> tuple[int, int, bytes] | None:
        at = slot * SLOT_BYTES
        crc, length, order = _HEAD.unpack_from(self._map, at)
        if not 0 < length <= SLOT_BYTES - _HEAD.size:
            return None
        body = self._map[at + _HEAD.size : at + _HEAD.size + length]
        return (order, slot, body) if _check(order, body) == crc else None

    def close(self) -> None:
        """Flush and let go of the file."""
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


def _check(order: int, body: bytes) -> int:
    return crc32c(_ORDER.pack(order) + body)
