"""What the first and last bytes of a picture say: its kind, its size, whether all of it is there.

Nothing is decoded, so a picture that says it is larger than any camera's costs nothing. PNG:
W3C, third edition, 5 and 11.2; JPEG: ITU-T T.81, annex B.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from edge_runtime.errors import PictureError

_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
# Frame headers; of C0 to CF three are something else.
_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, 0xFF, *range(0xD0, 0xD8)})  # markers without a length
_SCAN: Final = 0xDA


class Refusal(StrEnum):
    """Why a picture is refused; one that ends its decoder is counted under how that ended."""

    KIND = "kind"  # neither PNG nor JPEG
    SIZE = "size"  # more bytes or pixels than are allowed
    CUT = "cut"  # its end is not there
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"  # no plain file, or none that we may read
    OFF_TIME = "off_time"  # of another time than now


@dataclass(frozen=True, slots=True)
class Head:
    """What a picture says of itself.

    Attributes:
        kind: how it is written.
        rows: its height.
        columns: its width.
        whole: whether its end is there; a file that is still being written has none.
    """

    kind: Literal["png", "jpeg"]
    rows: int
    columns: int
    whole: bool


def check_length(found: int, bytes_max: int) -> None:
    """Refuse a file of *found* bytes that is longer than any picture here.

    Raises:
        PictureError: it is.
    """
    if found > bytes_max:
        raise PictureError(
            Refusal.SIZE, f"picture: expected at most {bytes_max} bytes, found {found}"
        )


def read_head(raw: bytes) -> Head:
    """The head of a picture.

    Raises:
        PictureError: neither PNG nor JPEG, or no size in it.
    """
    if raw.startswith(_PNG[:8]):
        return _png(raw)
    if raw.startswith(_JPEG):
        return _jpeg(raw)
    found = raw[:8].hex(" ") or "nothing"
    raise PictureError(Refusal.KIND, f"picture: expected PNG or JPEG, found {found}")


def _png(raw: bytes) -> Head:
    if not raw.startswith(_PNG) or len(raw) < 33:
        raise PictureError(
            Refusal.DAMAGED, "picture: expected the size in a PNG's first 33 bytes, found none"
        )
    columns, rows = int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    return Head("png", rows, columns, raw.rstrip(b"\x00").endswith(_PNG_END))


def _jpeg(raw: bytes) -> Head:
    at, size = 2, (0, 0)
    while at + 4 <= len(raw):
        if raw[at] != 0xFF:
            raise PictureError(
                Refusal.DAMAGED, f"picture: expected a JPEG marker at byte {at}, found none"
            )
        marker = raw[at + 1]
        if marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SIZES and at + 9 <= len(raw):
            size = (
                int.from_bytes(raw[at + 5 : at + 7], "big"),
                int.from_bytes(raw[at + 7 : at + 9], "big"),
            )
        if marker == _SCAN:
            break
        at += 2 + max(2, int.from_bytes(raw[at + 2 : at + 4], "big"))
    if not all(size):
        raise PictureError(
            Refusal.DAMAGED, "picture: expected the size in a JPEG's frame header, found none"
        )
    return Head("jpeg", *size, raw.find(_JPEG_END, at) >= 0)
