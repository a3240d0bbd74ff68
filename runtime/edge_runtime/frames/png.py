"""Whether a PNG holds all the rows that it says it has.

The library that decodes leaves black what is not there and says nothing, and a model would judge
it. PNG: W3C, third edition, 7.2 (scan lines), 8.2 (interlace passes), 10.1 (one zlib stream).
"""

import zlib
from collections.abc import Iterator
from typing import Final

_SIGNATURE_BYTES: Final = 8
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
# First column and row of each pass of Adam7, and how far apart they are.
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_WHOLE: Final = ((0, 0, 1, 1),)
_STEP_BYTES: Final = 256 * 1024  # inflated at a time, so that checking takes no memory


def holds_all(raw: bytes) -> bool:
    """Whether the data of a PNG are as long as its header says; not whether they are sound."""
    missing = _expected(raw)
    inflate = zlib.decompressobj()
    try:
        for part in _data(raw):
            left = part
            while left and missing > 0:
                missing -= len(inflate.decompress(left, _STEP_BYTES))
                left = inflate.unconsumed_tail
    except zlib.error:
        return False
    return missing <= 0 or missing <= len(inflate.flush())


def _expected(raw: bytes) -> int:
    """How many bytes all scan lines have, the filter's byte of each included."""
    columns, rows = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    depth, colour, interlaced = raw[24], raw[25], raw[28]
    bits = depth * _SAMPLES.get(colour, 4)
    total = 0
    for column, row, across, down in _ADAM7 if interlaced else _WHOLE:
        wide, high = -(-(columns - column) // across), -(-(rows - row) // down)
        if wide > 0 and high > 0:
            total += high * (1 + -(-wide * bits // 8))
    return total


def _data(raw: bytes) -> Iterator[bytes]:
    """The data chunks, in order."""
    at = _SIGNATURE_BYTES
    while at + 8 <= len(raw):
        length = int.from_bytes(raw[at : at + 4], "big")
        if raw[at + 4 : at + 8] == b"IDAT":
            yield raw[at + 8 : at + 8 + length]
        at += 12 + length
