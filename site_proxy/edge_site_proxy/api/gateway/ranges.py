"""Read the `Range` header (RFC 9110 section 14.2): one byte range, which is all a resume needs."""

import re
from dataclasses import dataclass
from typing import Literal

_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a blob: offset of its first byte, and how many bytes."""

    first: int
    length: int


def parse_range(header: str, size: int) -> Span | Literal["unsatisfiable"] | None:
    """What *header* asks of a blob of *size* bytes.

    Returns:
        the part; "unsatisfiable" for 416; None for what RFC 9110 lets us ignore (several ranges,
        another unit), which is answered with the whole.
    """
    match = _RANGE.match(header.replace(" ", ""))
    if match is None:
        return None
    first, last = match["first"], match["last"]
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        return Span(size - length, length) if length else "unsatisfiable"
    begin = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if begin >= size or end < begin:
        return "unsatisfiable"
    return Span(begin, end - begin + 1)
