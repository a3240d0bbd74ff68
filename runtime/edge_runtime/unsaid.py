"""Keeps what was decided and not yet confirmed by the listener, through any end of the process.

Slots of a file that is written in place: a killed process loses nothing, and a power cut at most
what the kernel had not written yet. Said again, a verdict is the same to the byte, so whoever
heard it already knows it for a repeat.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_core.journal.layout import crc32c
from edge_runtime.inplace import InPlaceFile

SLOTS: Final = 1024
SLOT_BYTES: Final = 2048
_HEAD: Final = struct.Struct("<IIQ")  # CRC-32C of the rest, length of the body, place in the order
_ORDER: Final = struct.Struct("<Q")
NOT_KEPT: Final = -1  # the slot of a body that is held in memory alone


class Unsaid:
    """Bodies in the order they were kept in; use it as a context.

    Attributes:
        left: what the last process could not get confirmed, oldest first, each with its slot.
        file: where they lie; it says what the disk does not take.
    """

    def __init__(self, path: Path) -> None:
        self.file = InPlaceFile(path, SLOTS * SLOT_BYTES)
        whole = self.file.whole()
        found = sorted(read for slot in range(SLOTS) if (read := _read(whole, slot)) is not None)
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
        head = _HEAD.pack(_check(self._order, body), len(body), self._order)
        self.file.put(slot * SLOT_BYTES, head + body)
        return slot

    def let_go(self, slot: int) -> None:
        """The body in *slot* was confirmed, or is not worth saying any more."""
        if slot == NOT_KEPT:
            return
        self.file.put(slot * SLOT_BYTES, bytes(_HEAD.size))
        self._free.append(slot)

    def close(self) -> None:
        """Flush and let go of the file."""
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


def _read(whole: bytes, slot: int) -> tuple[int, int, bytes] | None:
    """Place in the order, slot and body; None where it is free, torn or not there."""
    at = slot * SLOT_BYTES
    crc, length, order = _HEAD.unpack(whole[at : at + _HEAD.size].ljust(_HEAD.size, b"\0"))
    if not 0 < length <= SLOT_BYTES - _HEAD.size:
        return None
    body = whole[at + _HEAD.size : at + _HEAD.size + length]
    return (order, slot, body) if _check(order, body) == crc else None


def _check(order: int, body: bytes) -> int:
    return crc32c(_ORDER.pack(order) + body)
