"""Finds the records of a segment, past any damage, in bounded memory."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from edge_core.journal.entries import KIND_INTERNAL, Record
from edge_core.journal.files import File
from edge_core.journal.layout import (
    ALIGNMENT,
    RECORD_HEAD_BYTES,
    RECORD_MAGIC,
    RECORD_MAGIC_AT,
    RecordHead,
    crc32c,
    decode_record_head,
)

WINDOW_BYTES = 1 << 20
"""Read ahead; with one body, all that a scan holds in memory."""

SECTOR_BYTES = 4096
"""What is given up around one spot that the disk cannot read."""

_HEAD_BYTES_MAX = RECORD_HEAD_BYTES + 256


@dataclass(frozen=True, slots=True)
class Found:
    """A record that is whole; `body` is empty where bodies were not asked for."""

    offset: int
    head: RecordHead
    body: bytes

    @property
    def end(self) -> int:
        """Where the next record starts."""
        return self.offset + self.head.room

    @property
    def internal(self) -> bool:
        """Whether this is the journal's own record, which no reader sees."""
        return self.head.kind == KIND_INTERNAL

    def record(self) -> Record:
        """What a reader gets."""
        return Record(self.head.seq, self.head.entry(self.body), self.head.body_crc32c)


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch in which there is no whole record."""

    offset: int
    length: int


class Window:
    """Reads a file through a buffer; a spot that the disk cannot read comes out as zeros.

    `unreadable` says whether there was such a spot: it may read well tomorrow.
    """

    def __init__(self, file: File, end: int) -> None:
        self._file = file
        self.end = end
        self.unreadable = False
        self._start = 0
        self._buffer = b""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from *offset* on, fewer than *length* only at the end."""
        length = max(min(length, self.end - offset), 0)
        at = offset - self._start
        if at < 0 or at + length > len(self._buffer):
            self._start, at = offset, 0
            self._buffer = self._load(offset, min(max(length, WINDOW_BYTES), self.end - offset))
        return self._buffer[at : at + length]

    def first(self, length: int) -> bytes:
        """The first bytes of the file, without reading ahead."""
        return self._load(0, min(length, self.end))

    def last(self, length: int) -> bytes:
        """The last bytes of the file, without reading ahead."""
        length = min(length, self.end)
        return self._load(self.end - length, length)

    def find(self, needle: bytes, offset: int) -> int | None:
        """Where *needle* next occurs from *offset* on."""
        while offset < self.end:
            at = self.read(offset, WINDOW_BYTES).find(needle)
            if at >= 0:
                return offset + at
            offset += WINDOW_BYTES - len(needle) + 1
        return None

    def filled_end(self, offset: int) -> int:
        """Where the zeros begin that reach to the end; *offset* when there is nothing else."""
        end = offset
        for start in range(offset, self.end, WINDOW_BYTES):
            filled = len(self.read(start, WINDOW_BYTES).rstrip(b"\0"))
            end = start + filled if filled else end
        return end

    def _load(self, offset: int, length: int) -> bytes:
        try:
            return self._file.read(offset, length)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        if length <= SECTOR_BYTES:
            self.unreadable = True
            return bytes(length)
        spans = range(offset, offset + length, SECTOR_BYTES)
        return b"".join(self._load(at, min(SECTOR_BYTES, offset + length - at)) for at in spans)


def scan(
    window: Window, sync: int | None, start: int, *, bodies: bool = True
) -> Iterator[Found | Damage]:
    """Go through a segment from *start*: each whole record, and each stretch without one.

    Args:
        window: the segment, up to where its records end.
        sync: the segment's sync word; `None` takes that of the first record found.
        start: a multiple of eight, at which a record starts if nothing is damaged.
        bodies: read and check the bodies too; without, only heads are looked at.
    """
    offset = start
    while offset < window.end:
        head = _head_at(window, offset, sync)
        found = _whole(window, offset, head, bodies=bodies) if head else None
        if found:
            sync = found.head.sync
            yield found
            offset = found.end
            continue
        resume = _resume(window, offset, head, sync)
        yield Damage(offset, resume - offset)
        offset = resume


def _head_at(window: Window, offset: int, sync: int | None) -> RecordHead | None:
    head = decode_record_head(window.read(offset, _HEAD_BYTES_MAX))
    return head if head and sync in {None, head.sync} else None


def _whole(window: Window, offset: int, head: RecordHead, *, bodies: bool) -> Found | None:
    if offset + head.head_bytes + head.body_bytes > window.end:
        return None
    if not bodies and head.kind != KIND_INTERNAL:
        return Found(offset, head, b"")
    body = window.read(offset + head.head_bytes, head.body_bytes)
    return Found(offset, head, body) if crc32c(body) == head.body_crc32c else None


def _resume(window: Window, offset: int, head: RecordHead | None, sync: int | None) -> int:
    """Where to look on: behind a damaged body, else at the next head, else at the end."""
    if head and offset + head.room <= window.end:
        return offset + head.room
    at = offset + ALIGNMENT
    while (hit := window.find(RECORD_MAGIC, at + RECORD_MAGIC_AT)) is not None:
        at = hit - RECORD_MAGIC_AT
        if at % ALIGNMENT == 0 and _head_at(window, at, sync):
            return at
        at += 1
    return window.end
