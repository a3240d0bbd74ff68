"""MQTT's framing: messages whole and in order however the bytes come, and nothing hostile kept."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.sources.mqtt_packets import (
    PAYLOAD_BYTES_MAX,
    FramingError,
    PacketStream,
    Received,
)

PINGRESP = b"\xd0\x00"
SUBACK = b"\x90\x03\x00\x01\x01"
IDENTIFIER = b"\x12\x34"


def written(length: int) -> bytes:
    """A length in groups of seven bits."""
    found = bytearray()
    while True:
        length, low = divmod(length, 128)
        found.append(low | (0x80 if length else 0))
        if not length:
            return bytes(found)


def message(
    topic: bytes, payload: bytes, *, qos: int = 1, properties: bytes | None = None
) -> bytes:
    """A message as a broker sends it; with *properties* it is one of MQTT 5."""
    body = len(topic).to_bytes(2, "big") + topic + (IDENTIFIER if qos else b"")
    if properties is not None:
        body += written(len(properties)) + properties
    return bytes([0x30 | qos << 1]) + written(len(body + payload)) + body + payload


def taken(pieces: Sequence[bytes], *, properties: bool = False) -> Received:
    """What pieces give, one after the other."""
    stream, found = PacketStream(properties=properties), Received()
    for piece in pieces:
        stream.take(piece, found)
    return found


messages = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=20),
        st.one_of(st.binary(max_size=40), st.integers(100, 400).map(bytes)),
        st.sampled_from([0, 1]),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(messages, st.booleans(), st.lists(st.integers(0, 2000), max_size=6))
def test_any_cut(
    sent: list[tuple[bytes, bytes, int]],
    five: bool,  # noqa: FBT001 - drawn
    cuts: list[int],
) -> None:
    """Wherever a stream is cut, the same messages come out, each acknowledged that asks for it."""
    properties = b"\x01\x01" if five else None
    raw = PINGRESP + b"".join(
        message(topic, payload, qos=qos, properties=properties) + SUBACK
        for topic, payload, qos in sent
    )
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    pieces = [raw[start:end] for start, end in pairwise(places)]
    found = taken(pieces, properties=five)
    assert found.messages == [(topic, payload) for topic, payload, _ in sent]
    assert found.others == PINGRESP + SUBACK * len(sent)
    due = sum(qos for _, _, qos in sent)
    assert found.acknowledgements == (b"\x40\x02" + IDENTIFIER) * due


@pytest.mark.parametrize("five", [False, True], ids=["3.1.1", "5"])
@pytest.mark.parametrize("step", [64 * 1024, 3 * 1024 * 1024])
def test_oversized(step: int, *, five: bool) -> None:
    """A message beyond the limit is passed over without being kept, acknowledged, and named."""
    properties = b"" if five else None
    huge = message(b"big", bytes(2 * PAYLOAD_BYTES_MAX), properties=properties)
    small = message(b"t", b"x", properties=properties)
    raw = small + huge + small
    stream, found = PacketStream(properties=five), Received()
    for at in range(0, len(raw), step):
        stream.take(raw[at : at + step], found)
    assert found.messages == [(b"t", b"x")] * 2
    assert [topic for topic, _ in found.oversized] == [b"big"]
    assert found.acknowledgements == (b"\x40\x02" + IDENTIFIER) * 3


HOSTILE = {
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "a topic longer than its message": b"\x30\x03\x00\x09a",
    "a message without a topic's length": b"\x30\x01a",
    "an endless packet of another kind": b"\x90" + written(200_000_000) + bytes(10),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    """Whoever sends this is no broker."""
    with pytest.raises(FramingError, match="expected"):
        taken([HOSTILE[name]])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes(raw: bytes, five: bool) -> None:  # noqa: FBT001 - drawn
    """Any bytes are packets or a refusal."""
    with suppress(FramingError):
        taken([raw, raw], properties=five)
