"""One segment: what is known of it, and how the newest one grows."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_core.journal.config import JournalConfig
from edge_core.journal.entries import KIND_INTERNAL, Entry
from edge_core.journal.files import PARTS_MAX, File, Files
from edge_core.journal.layout import (
    ALIGNMENT,
    FOOTER_BYTES,
    SEGMENT_HEADER_BYTES,
    Footer,
    SegmentHeader,
    crc32c,
    encode_footer,
    encode_record_head,
    encode_segment_header,
    padded,
    sync_word,
)

SUFFIX = ".seg"


@dataclass(frozen=True, slots=True)
class Segment:
    """What readers may know of a segment.

    Attributes:
        end: where the records end that are safe on disk.
        bytes: room the file takes.
        first_seq: of its records; 0 when it holds none.
        last_seq: likewise.
        damaged: a part of it is unreadable, so the file is evidence.
    """

    path: Path
    number: int
    identity: int
    base_seq: int
    end: int
    bytes: int
    records: int = 0
    first_seq: int = 0
    last_seq: int = 0
    damaged: bool = False

    def footer(self) -> Footer:
        """The footer that seals it."""
        return Footer(
            self.identity, self.records, self.first_seq, self.last_seq, self.end, self.damaged
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry on its way to the disk.

    Attributes:
        body_crc32c: CRC-32C of its body.
        bytes: room its record takes.
    """

    entry: Entry
    body_crc32c: int
    bytes: int


def segment_path(folder: Path, number: int) -> Path:
    """Where the segment with this *number* lies."""
    return folder / f"{number:014d}{SUFFIX}"


class Writer:
    """The one segment that grows. After an error it must not be written to again.

    `segment` says only what is safe on disk, so a reader that holds it never sees more.
    """

    def __init__(self, file: File, segment: Segment, capacity: int) -> None:
        self._file = file
        self._capacity = capacity
        self.segment = segment

    @classmethod
    def create(
        cls,
        files: Files,
        folder: Path,
        header: SegmentHeader,
        marks: Sequence[bytes],
        config: JournalConfig,
    ) -> "Writer":
        """Make a segment, durable with its name and *marks*, ready for records.

        Raises:
            OSError: it could not be made; nothing of it is left.
        """
        path = segment_path(folder, header.number)
        file = files.create(path)
        try:
            if config.preallocate:
                file.allocate(config.segment_bytes)
            head = encode_segment_header(header)
            parts = [head, *_internal_records(sync_word(header.identity), marks)]
            end = SEGMENT_HEADER_BYTES + sum(len(part) for part in parts[1:])
            _write_all(file, 0, parts)
            file.sync()
            files.sync_folder(folder)
        except OSError:
            file.close()
            files.unlink(path)
            raise
        size = config.segment_bytes
        segment = Segment(path, header.number, header.identity, header.base_seq, end, size)
        return cls(file, segment, size - FOOTER_BYTES)

    def fits(self, length: int) -> bool:
        """Whether records of *length* bytes still fit."""
        return self.segment.end + length <= self._capacity

    def write(self, first_seq: int, drafts: Sequence[Draft]) -> Segment:
        """Put the *drafts* behind the last record; they count only after `sync`.

        Returns:
            The segment as it will be once they are safe.

        Raises:
            OSError: not all of it was taken; `ENOSPC` also where the disk said nothing.
        """
        before = self.segment
        parts = _parts(sync_word(before.identity), first_seq, drafts)
        end = _write_all(self._file, before.end, parts)
        return replace(
            before,
            end=end,
            records=before.records + len(drafts),
            first_seq=before.first_seq or first_seq,
            last_seq=first_seq + len(drafts) - 1,
        )

    def sync(self, grown: Segment) -> None:
        """Make what was written durable, and *grown* what readers see."""
        self._file.sync()
        self.segment = grown

    def take_back(self) -> None:
        """Cut off what was written since the last sync."""
        self._file.truncate(self.segment.end)

    def seal(self) -> Segment:
        """Close the file for good, with its footer."""
        try:
            return seal(self._file, self.segment)
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


def seal(file: File, segment: Segment) -> Segment:
    """Cut *file* behind its last record and end it with a footer, durably.

    Raises:
        OSError: it is not sealed; the next start reads it in full instead.
    """
    file.truncate(segment.end)
    size = _write_all(file, segment.end, [encode_footer(segment.footer())])
    file.sync()
    return replace(segment, bytes=size)


def _internal_records(sync: int, bodies: Sequence[bytes]) -> list[bytes]:
    records = []
    for body in bodies:
        entry = Entry(kind=1, source="", epoch=0, sequence=0, body=body, ingest_unix_ns=0)
        head = encode_record_head(sync, 0, KIND_INTERNAL, entry, crc32c(body))
        records.append(head + body.ljust(padded(len(body)), b"\0"))
    return records


def _parts(sync: int, first_seq: int, drafts: Sequence[Draft]) -> list[bytes]:
    """Two buffers a record: the padding of one body goes in front of the next head."""
    parts = []
    padding = b""
    for seq, draft in enumerate(drafts, start=first_seq):
        entry = draft.entry
        head = encode_record_head(sync, seq, entry.kind, entry, draft.body_crc32c)
        parts += [padding + head, entry.body]
        padding = bytes(-len(entry.body) % ALIGNMENT)
    return [*parts, padding]


def _write_all(file: File, offset: int, parts: Sequence[bytes]) -> int:
    """Write *parts* in a row and say where they end."""
    for at in range(0, len(parts), PARTS_MAX):
        some = parts[at : at + PARTS_MAX]
        wanted = sum(map(len, some))
        taken = file.write(offset, some)
        if taken != wanted:
            # A disk that fills up in the middle of a write takes a part of it and raises nothing.
            raise OSError(errno.ENOSPC, f"expected {wanted} bytes to be taken, found {taken}")
        offset += taken
    return offset
