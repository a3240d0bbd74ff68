"""What is encoded decodes to the same, and a changed byte never passes."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.journal import Entry
from edge_core.journal.layout import (
    RANGES_MAX,
    RECORD_HEAD_BYTES,
    RECORD_MAGIC,
    RECORD_MAGIC_AT,
    Footer,
    SegmentHeader,
    crc32c,
    decode_footer,
    decode_record_head,
    decode_segment_header,
    decode_slot,
    encode_footer,
    encode_record_head,
    encode_segment_header,
    encode_slot,
)

u32 = st.integers(min_value=0, max_value=(1 << 32) - 1)
u64 = st.integers(min_value=0, max_value=(1 << 64) - 1)
bytes_of_flags = st.integers(min_value=0, max_value=255)
sources = st.text(max_size=60)  # at most 240 bytes


entries = st.builds(
    Entry,
    kind=st.integers(min_value=1, max_value=255),
    source=sources,
    epoch=u64,
    sequence=u64,
    body=st.binary(max_size=200),
    ingest_unix_ns=u64,
    flags=bytes_of_flags,
)

HEADER = encode_segment_header(SegmentHeader(7, 0xABCDEF, 100, 1, 2))
FOOTER = encode_footer(Footer(0xABCDEF, 3, 100, 102, 4096, damaged=True))
SLOT = encode_slot(9, [(0, 7), (12, 13)])
MADE = Entry(kind=1, source="gw-1", epoch=2, sequence=3, body=b"abc", ingest_unix_ns=4)
HEAD = encode_record_head(5, 6, 1, MADE, crc32c(b"abc"))
DECODERS: dict[str, tuple[bytes, Callable[[bytes], object | None]]] = {
    "a segment header": (
        HEADER[:60],
        lambda content: decode_segment_header(content + HEADER[60:]),
    ),
    "a footer": (FOOTER[:56], lambda content: decode_footer(content + FOOTER[56:])),
    "a slot of the cursor": (SLOT[:56], lambda content: decode_slot(content + SLOT[56:])),
    "the head of a record": (HEAD, decode_record_head),
}


@settings(deadline=None)  # other tests share the machine
@given(u64, u64, u64, u64, u64)
def test_segment_header(number: int, identity: int, base: int, unix: int, boot: int) -> None:
    """A segment's header comes back as it was."""
    header = SegmentHeader(number, identity, base, unix, boot)
    encoded = encode_segment_header(header)
    assert len(encoded) == 64
    assert decode_segment_header(encoded) == header


@settings(deadline=None)  # other tests share the machine
@given(u32, u64, entries)
def test_record(sync: int, seq: int, made: Entry) -> None:
    """An entry comes back from its head and body as it was, and the head is aligned."""
    encoded = encode_record_head(sync, seq, made.kind, made, crc32c(made.body))
    head = decode_record_head(encoded + made.body)
    assert head is not None
    assert (head.sync, head.seq, head.head_bytes) == (sync, seq, len(encoded))
    assert head.body_bytes == len(made.body)
    assert head.entry(made.body) == made
    assert (len(encoded) % 8, head.room % 8) == (0, 0)
    assert encoded[RECORD_MAGIC_AT:RECORD_HEAD_BYTES].startswith(RECORD_MAGIC)


@settings(deadline=None)  # other tests share the machine
@given(u64, u64, u64, u64, u64, st.booleans())
def test_footer(identity: int, records: int, first: int, last: int, end: int, bad: bool) -> None:  # noqa: FBT001 - a column of the format
    """A footer comes back as it was."""
    footer = Footer(identity, records, first, last, end, bad)
    encoded = encode_footer(footer)
    assert len(encoded) == 64
    assert decode_footer(encoded) == footer


@settings(deadline=None)  # other tests share the machine
@given(u64, st.lists(st.tuples(u64, u64), max_size=RANGES_MAX + 5))
def test_slot(generation: int, ranges: list[tuple[int, int]]) -> None:
    """A slot holds as many ranges as fit, the lowest ones, in 4096 bytes."""
    encoded = encode_slot(generation, ranges)
    assert len(encoded) == 4096
    assert decode_slot(encoded) == (generation, ranges[:RANGES_MAX])


@pytest.mark.parametrize("name", DECODERS)
def test_flipped_bit(name: str) -> None:
    """No flipped bit goes unnoticed in any structure."""
    encoded, decode = DECODERS[name]
    assert decode(encoded) is not None
    for bit in range(len(encoded) * 8):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(changed)) is None, bit


@pytest.mark.parametrize("name", DECODERS)
@settings(deadline=None)  # other tests share the machine
@given(content=st.binary(max_size=300))
def test_noise(name: str, content: bytes) -> None:
    """Noise, blank space and short reads are no structure, and no exception either."""
    _, decode = DECODERS[name]
    assert decode(content) is None
    assert decode(bytes(len(content))) is None
