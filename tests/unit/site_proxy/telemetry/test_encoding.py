"""Content codings: what passes, what is damaged, and what would fill the memory."""

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.telemetry.encoding import (
    QUICK_STEPS,
    Encoding,
    encoding_of,
    inflations,
)
from edge_site_proxy.telemetry.errors import DamagedBodyError, EncodingError, InflatedError

GOOD = gzip.compress(b"x" * 1000)


@given(st.binary(max_size=5000))
def test_sound(content: bytes) -> None:
    """Whatever was compressed whole passes."""
    assert list(inflations(Encoding.GZIP, gzip.compress(content), 5000)) is not None


@given(st.binary(max_size=200))
def test_identity(content: bytes) -> None:
    """What is not compressed is not looked into."""
    assert list(inflations(Encoding.IDENTITY, content, 0)) == []


DAMAGED = {
    "nothing": b"",
    "no gzip": b"hello",
    "cut off": GOOD[:-9],
    "cut off inside its checksum": GOOD[:-2],
    "a wrong checksum": GOOD[:-8] + b"\0" * 8,
    "a second member, which some readers lose": GOOD + GOOD,
    "noise behind it": GOOD + b"noise",
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged(body: bytes) -> None:
    """What is not one whole gzip member is refused."""
    with pytest.raises(DamagedBodyError, match="expected"):
        list(inflations(Encoding.GZIP, body, 10_000))


def test_bomb() -> None:
    """A small body that grows without end is stopped at the bound, a piece at a time."""
    bomb = gzip.compress(bytes(8 * 1024 * 1024))
    steps = inflations(Encoding.GZIP, bomb, 1024 * 1024)
    taken = sum(1 for _ in itertools.islice(steps, 1024 // 64))
    assert taken > QUICK_STEPS
    with pytest.raises(InflatedError, match="1048576"):
        next(steps)


def test_names() -> None:
    """Only codings on the list are taken; the refusal lists them."""
    assert encoding_of("gzip") is Encoding.GZIP
    assert encoding_of("identity") is Encoding.IDENTITY
    with pytest.raises(EncodingError, match="identity, gzip"):
        encoding_of("br")
