"""The bytes of a segment and of a cursor: encode, decode, and nothing else.

All numbers are little endian; every record starts at a multiple of eight.

    segment    header (64) | record ... record | footer (64, when sealed)
    header     magic 8s | version u16 | lane u16 | flags u32 | number u64 | identity u64 |
               base seq u64 | created unix ns u64 | created boot ns u64 | crc u32 | 4 spare
    record     sync u32 | body length u32 | head length u16 | kind u8 | flags u8 |
               source length u16 | 2 spare | seq u64 | ingest unix ns u64 | epoch u64 |
               sequence u64 | body crc u32 | head crc u32 | magic 4s | 4 spare |
               source, padded | body, padded
    footer     magic 8s | identity u64 | records u64 | first seq u64 | last seq u64 | end u64 |
               flags u32 | crc u32 | 8 spare
    cursor     two slots of 4096, written in turn:
               magic 8s | generation u64 | ranges u32 | crc u32 | first u64, last u64 ...

*sync* is the low half of the segment's random identity: what belongs to another segment, or was
made up by a sender and lies inside a body, never passes for a record. The head's CRC-32C covers
the head with the source, and the body's CRC within it, so that a head is trusted before its body
is read and a damaged body names what was lost.
"""

import struct
from dataclasses import dataclass

import google_crc32c

from edge_core.journal.entries import Entry

VERSION = 1
SEGMENT_HEADER_BYTES = 64
RECORD_HEAD_BYTES = 64
FOOTER_BYTES = 64
SLOT_BYTES = 4096
ALIGNMENT = 8

RECORD_MAGIC = b"EJRc"
RECORD_MAGIC_AT = 56
"""Offset of the magic in a record's head: what a search over damage looks for."""

FOOTER_DAMAGED = 1
"""Footer flag: a part of the segment was unreadable when it was sealed."""

_SEGMENT_MAGIC = b"EDGEJRNL"
_FOOTER_MAGIC = b"EDGEJEND"
_CURSOR_MAGIC = b"EDGEJCUR"
_SEGMENT = struct.Struct("<8sHHIQQQQQI4x")
_RECORD = struct.Struct("<IIHBBH2xQQQQII4s4x")
_FOOTER = struct.Struct("<8sQQQQQII8x")
_SLOT = struct.Struct("<8sQII")
_CRC = struct.Struct("<I")
_RANGE = struct.Struct("<QQ")
_CRC_AT_RECORD = 52

RANGES_MAX = (SLOT_BYTES - _SLOT.size) // _RANGE.size
"""Ranges that one slot of the cursor holds."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """How a segment introduces itself."""

    number: int
    identity: int
    base_seq: int
    created_unix_ns: int
    created_boot_ns: int
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class RecordHead:
    """All of a record but its body; `head_bytes` includes the padded source."""

    sync: int
    seq: int
    kind: int
    flags: int
    source: str
    epoch: int
    sequence: int
    ingest_unix_ns: int
    body_bytes: int
    body_crc32c: int
    head_bytes: int

    @property
    def room(self) -> int:
        """Bytes the whole record takes in its segment."""
        return self.head_bytes + padded(self.body_bytes)

    def entry(self, body: bytes) -> Entry:
        """The entry that this head and *body* were made from."""
        return Entry(
            kind=self.kind,
            source=self.source,
            epoch=self.epoch,
            sequence=self.sequence,
            body=body,
            ingest_unix_ns=self.ingest_unix_ns,
            flags=self.flags,
        )


@dataclass(frozen=True, slots=True)
class Footer:
    """What a sealed segment holds; `end` is where its records end."""

    identity: int
    records: int
    first_seq: int
    last_seq: int
    end: int
    damaged: bool


def crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli), as in RFC 3720."""
    return google_crc32c.value(content)  # type: ignore[no-any-return]  # it ships no types


def padded(length: int) -> int:
    """*length*, rounded up to the alignment of records."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def sync_word(identity: int) -> int:
    """The word that starts each record of the segment with this *identity*."""
    return identity & 0xFFFF_FFFF


def record_bytes(source_bytes: int, body_bytes: int) -> int:
    """Room that a record takes in a segment."""
    return RECORD_HEAD_BYTES + padded(source_bytes) + padded(body_bytes)


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The first 64 bytes of a segment."""
    fields = (header.number, header.identity, header.base_seq)
    times = (header.created_unix_ns, header.created_boot_ns)
    bare = _SEGMENT.pack(_SEGMENT_MAGIC, header.version, 0, 0, *fields, *times, 0)
    return _SEGMENT.pack(_SEGMENT_MAGIC, header.version, 0, 0, *fields, *times, crc32c(bare))


def decode_segment_header(content: bytes) -> SegmentHeader | None:
    """The header in *content*, or `None` when these bytes are none."""
    if len(content) < SEGMENT_HEADER_BYTES:
        return None
    magic, version, lane, flags, number, identity, base, unix_ns, boot_ns, crc = (
        _SEGMENT.unpack_from(content)
    )
    bare = _SEGMENT.pack(magic, version, lane, flags, number, identity, base, unix_ns, boot_ns, 0)
    if magic != _SEGMENT_MAGIC or crc != crc32c(bare):
        return None
    return SegmentHeader(number, identity, base, unix_ns, boot_ns, version)


def encode_record_head(sync: int, seq: int, kind: int, entry: Entry, body_crc32c: int) -> bytes:
    """Head and source of one record, of the entry's own *kind* or `KIND_INTERNAL`.

    The body and its padding follow.
    """
    source = entry.source.encode()
    head_bytes = RECORD_HEAD_BYTES + padded(len(source))
    fields = (sync, len(entry.body), head_bytes, kind, entry.flags, len(source), seq)
    identity = (entry.ingest_unix_ns, entry.epoch, entry.sequence, body_crc32c)
    padding = bytes(-len(source) % ALIGNMENT)
    head = bytearray(_RECORD.pack(*fields, *identity, 0, RECORD_MAGIC) + source + padding)
    _CRC.pack_into(head, _CRC_AT_RECORD, crc32c(bytes(head)))
    return bytes(head)


def decode_record_head(content: bytes) -> RecordHead | None:
    """The head at the start of *content*, or `None` when these bytes are none."""
    if len(content) < RECORD_HEAD_BYTES:
        return None
    (
        sync,
        length,
        head_bytes,
        kind,
        flags,
        named,
        seq,
        ingest,
        epoch,
        sequence,
        body_crc,
        crc,
        magic,
    ) = _RECORD.unpack_from(content)
    if magic != RECORD_MAGIC or head_bytes != RECORD_HEAD_BYTES + padded(named):
        return None
    head = bytearray(content[:head_bytes])
    head[_CRC_AT_RECORD : _CRC_AT_RECORD + 4] = bytes(4)
    if len(head) < head_bytes or crc != crc32c(bytes(head)):
        return None
    source = bytes(head[RECORD_HEAD_BYTES : RECORD_HEAD_BYTES + named]).decode(errors="replace")
    return RecordHead(
        sync, seq, kind, flags, source, epoch, sequence, ingest, length, body_crc, head_bytes
    )


def encode_footer(footer: Footer) -> bytes:
    """The last 64 bytes of a sealed segment."""
    flags = FOOTER_DAMAGED if footer.damaged else 0
    seqs = (footer.records, footer.first_seq, footer.last_seq, footer.end)
    bare = _FOOTER.pack(_FOOTER_MAGIC, footer.identity, *seqs, flags, 0)
    return _FOOTER.pack(_FOOTER_MAGIC, footer.identity, *seqs, flags, crc32c(bare))


def decode_footer(content: bytes) -> Footer | None:
    """The footer in *content*, or `None` when these bytes are none."""
    if len(content) < FOOTER_BYTES:
        return None
    magic, identity, records, first_seq, last_seq, end, flags, crc = _FOOTER.unpack_from(content)
    bare = _FOOTER.pack(magic, identity, records, first_seq, last_seq, end, flags, 0)
    if magic != _FOOTER_MAGIC or crc != crc32c(bare):
        return None
    return Footer(identity, records, first_seq, last_seq, end, bool(flags & FOOTER_DAMAGED))


def encode_slot(generation: int, ranges: list[tuple[int, int]]) -> bytes:
    """One slot of the cursor; ranges beyond `RANGES_MAX` are left out, the highest first."""
    kept = ranges[:RANGES_MAX]
    body = b"".join(_RANGE.pack(*pair) for pair in kept)
    bare = _SLOT.pack(_CURSOR_MAGIC, generation, len(kept), 0) + body
    sealed = _SLOT.pack(_CURSOR_MAGIC, generation, len(kept), crc32c(bare)) + body
    return sealed.ljust(SLOT_BYTES, b"\0")


def decode_slot(content: bytes) -> tuple[int, list[tuple[int, int]]] | None:
    """Generation and ranges of a slot, or `None` when these bytes are none."""
    if len(content) < SLOT_BYTES:
        return None
    magic, generation, count, crc = _SLOT.unpack_from(content)
    if magic != _CURSOR_MAGIC or count > RANGES_MAX:
        return None
    body = content[_SLOT.size : _SLOT.size + count * _RANGE.size]
    if crc != crc32c(_SLOT.pack(magic, generation, count, 0) + body):
        return None
    return generation, list(_RANGE.iter_unpack(body))
