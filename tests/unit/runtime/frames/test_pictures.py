"""Single pictures: read whole, or refused by name before they can do harm."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PayloadError
from edge_runtime.frames.decode import decode
from edge_runtime.frames.head import read_head
from edge_runtime.frames.png import holds_all
from tests.unit.runtime.frames.pictures import encoded, gradient

PIXELS_MAX = 10_000
PNG, JPEG = encoded(gradient()), encoded(gradient(), "jpeg")


def bomb(rows: int, columns: int, held: int = 100_000) -> bytes:
    """A PNG of a few bytes that says how large it is, and holds zeros."""
    head = b"IHDR" + struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = [head, b"IDAT" + zlib.compress(bytes(held)), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def test_png() -> None:
    """A PNG is what was drawn, red first."""
    np.testing.assert_array_equal(decode(PNG, PIXELS_MAX), gradient())


def test_jpeg() -> None:
    """A JPEG is nearly what was drawn."""
    smooth = np.full((24, 32, 3), (200, 100, 50), np.uint8)
    found = decode(encoded(smooth, "jpeg"), PIXELS_MAX)
    assert found.shape == smooth.shape
    assert int(np.abs(found.astype(int) - smooth).max()) <= 6


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "expected PNG or JPEG, found nothing"),
    "text": (b"<html>", "expected PNG or JPEG"),
    "another kind": (b"GIF89a" + bytes(50), "expected PNG or JPEG"),
    "a PNG cut short": (PNG[:-40], "expected a whole PNG, found no end"),
    "a JPEG cut short": (JPEG[:-40], "expected a whole JPEG, found no end"),
    "a PNG that holds a row less than it says": (bomb(90, 90, 89 * 271), "without all"),
    "a PNG of a head alone": (PNG[:20], "expected the size"),
    "a JPEG of a head alone": (JPEG[:8], "expected the size"),
    "a PNG that says it is huge": (bomb(60_000, 60_000), "expected at most 10000 pixels"),
    "a PNG of no rows": (bomb(0, 10), "damaged"),
    "a PNG that holds nothing": (bomb(90, 90, 0), "without all"),
    "a damaged PNG": (PNG[:60] + bytes(40) + PNG[100:], "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Each row says what is refused, and what the line says."""
    raw, words = REFUSED[name]
    with pytest.raises(PayloadError, match=words) as refusal:
        decode(raw, PIXELS_MAX)
    assert str(refusal.value).isprintable()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", PNG[:16], PNG[:24], JPEG[:2], JPEG[:30]]))
def test_any_bytes(raw: bytes, start: bytes) -> None:
    """Any bytes have a head or are refused."""
    try:
        head = read_head(start + raw)
    except PayloadError as error:
        assert str(error).isprintable()  # noqa: PT017 - that it is one line is the point
    else:
        assert head.rows >= 0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([PNG, JPEG]), st.data())
def test_spoiled(whole: bytes, data: st.DataObject) -> None:
    """A picture with a few other bytes is a picture of its size, or refused."""
    raw = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=5)):
        raw[place] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(raw), PIXELS_MAX)
    except PayloadError:
        return
    head = read_head(bytes(raw))
    assert found.shape == (head.rows, head.columns, 3)


def interlaced(rows: int, columns: int, held: int) -> bytes:
    """As `bomb`, in seven passes."""
    raw = bytearray(bomb(rows, columns, held))
    raw[28] = 1
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    return bytes(raw)


def passes(rows: int, columns: int) -> int:
    """Bytes of the seven passes, counted pixel by pixel as the pattern in 8.2 shows them."""
    pattern = ("16462646", "77777777", "56565656", "77777777") * 2
    pattern = (*pattern[:4], "36463646", *pattern[5:])
    widths: dict[str, dict[int, int]] = {}
    for row in range(rows):
        for column in range(columns):
            inner = widths.setdefault(pattern[row % 8][column % 8], {})
            inner[row] = inner.get(row, 0) + 1
    return sum(1 + 3 * wide for lines in widths.values() for wide in lines.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(-3, 3))
def test_all_rows(rows: int, columns: int, more: int) -> None:
    """A PNG holds all its rows, in one pass or in seven, to the very byte."""
    one = rows * (1 + 3 * columns)
    assert holds_all(bomb(rows, columns, max(0, one + more))) == (more >= 0)
    seven = passes(rows, columns)
    assert holds_all(interlaced(rows, columns, max(0, seven + more))) == (more >= 0)


def palette(rows: int, columns: int, depth: int, held: int) -> bytes:
    """As `bomb`, with one number of *depth* bits a pixel."""
    raw = bytearray(bomb(rows, columns, held))
    raw[24], raw[25] = depth, 3
    return bytes(raw)


LONG = (300, 700, 300 * 2101)  # more than one step inflates, and more than a byte counts
ROWS: dict[str, tuple[bytes, bool]] = {
    "a large one": (bomb(*LONG), True),
    "a large one without its last byte": (bomb(300, 700, 300 * 2101 - 1), False),
    "nine pixels of a bit: two bytes and the filter's": (palette(5, 9, 1, 15), True),
    "nine pixels of a bit in one byte": (palette(5, 9, 1, 14), False),
    "data that are no stream": (bomb(9, 9).replace(b"IDATx", b"IDATy"), False),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of(name: str) -> None:
    """Each row says what is held, and whether it is all."""
    raw, whole = ROWS[name]
    assert holds_all(raw) == whole
