"""Sparkplug B: what births mean, what a lost message does, and what hostile bytes get."""

import math
import struct
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_core.features.words import number_of
from edge_fixtures.sparkplug_encoder import DataType, Metric, encode
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_config import SparkplugConfig
from edge_runtime.sources.mqtt_payload import Wanted
from edge_runtime.sources.sample import SampleBatch
from edge_runtime.sources.sparkplug import SparkplugSource, split_address
from edge_runtime.sources.sparkplug_columns import plain
from edge_runtime.sources.sparkplug_node import EdgeNode, Heard
from edge_runtime.sources.sparkplug_payload import REBIRTH, decode, decode_any, rebirth_command
from edge_runtime.sources.sparkplug_rebirth import Why

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000
NOW_NS = NOW_MS * 1_000_000
FLOW, COUNT, LOAD, RECIPE = range(4)
TAGS = {
    ("meter", "flow"): Wanted(FLOW),
    ("meter", "count"): Wanted(COUNT),
    ("", "load"): Wanted(LOAD),
    ("meter", "recipe"): Wanted(RECIPE, words=True),
}
GOOD, BAD, GAP = CellQuality.GOOD, CellQuality.BAD, CellQuality.GAP

Row = tuple[int, float | None, CellQuality, int]


def message(metrics: Sequence[Metric], seq: int | None) -> bytes:
    """A payload as a real node encodes it."""
    return encode(metrics, at=NOW, seq=seq)


def varint(number: int) -> bytes:
    """Groups of seven bits."""
    found = bytearray()
    while True:
        number, low = divmod(number, 128)
        found.append(low | (0x80 if number else 0))
        if not number:
            return bytes(found)


def raw_metric(**fields: float | str | bool) -> bytes:
    """A metric field by field, for what the simulated node never sends."""
    numbers = {"name": 1, "alias": 2, "time": 3, "datatype": 4, "historical": 5, "null": 7}
    numbers |= {"whole": 10, "long": 11, "float": 12, "double": 13, "boolean": 14, "text": 15}
    body = b""
    for name, value in fields.items():
        number = numbers[name]
        if isinstance(value, str):
            body += varint(number << 3 | 2) + varint(len(value.encode())) + value.encode()
        elif name == "double":
            body += varint(number << 3 | 1) + struct.pack("<d", value)
        elif name == "float":
            body += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            body += varint(number << 3) + varint(int(value) % 2**64)
    return b"\x12" + varint(len(body)) + body


def raw_message(metrics: Sequence[bytes], seq: int) -> bytes:
    """A payload of such metrics."""
    return b"\x08" + varint(NOW_MS) + b"".join(metrics) + b"\x18" + varint(seq)


def rows(heard: Heard) -> list[Row]:
    """What a message gave, NaN as None."""
    return [
        (tag, None if math.isnan(value) else value, CellQuality(quality), at_ns)
        for batch in heard.batches
        for tag, value, quality, at_ns in zip(
            batch.tags.tolist(),
            batch.values.tolist(),
            batch.quality.tolist(),
            batch.source_ns.tolist(),
            strict=True,
        )
    ]


BIRTH = [
    Metric(name="flow", alias=1, value=1.0),
    Metric(name="count", alias=2, value=5, datatype=DataType.INT32),
    Metric(name="unknown to us", alias=3, value=True, datatype=DataType.BOOLEAN),
]


def begun(number: int = 0) -> EdgeNode:
    """A node that has announced itself, in its life *number*."""
    node = EdgeNode(TAGS)
    first = [
        Metric(name="bdSeq", value=number, datatype=DataType.INT64),
        Metric(name="load", alias=9, value=0.5),
    ]
    assert rows(node.take("NBIRTH", "", decode(message(first, 0)))) == [(LOAD, 0.5, GOOD, NOW_NS)]
    return node


def born(number: int = 0) -> EdgeNode:
    """The same with its device."""
    node = begun(number)
    node.take("DBIRTH", "meter", decode(message(BIRTH, 1)))
    return node


def test_birth_and_data() -> None:
    """Births give values and aliases; data by alias alone are understood."""
    birth = begun().take("DBIRTH", "meter", decode(message(BIRTH, 1)))
    assert [row[0] for row in rows(birth)] == [FLOW, COUNT]
    later = [Metric(alias=1, value=2.5), Metric(alias=2, value=-3, datatype=DataType.INT32)]
    heard = born().take("DDATA", "meter", decode(message(later, 2)))
    assert rows(heard) == [(FLOW, 2.5, GOOD, NOW_NS), (COUNT, -3.0, GOOD, NOW_NS)]
    assert not heard.rebirth


def test_lost_message() -> None:
    """After a missing number everything is a gap until the node has announced itself anew."""
    node = born()
    heard = node.take("DDATA", "meter", decode(message([Metric(alias=1, value=2.0)], 3)))
    assert heard.rebirth is Why.LOST
    assert {(tag, quality) for tag, _, quality, _ in rows(heard)} == {
        (tag, GAP) for tag in range(4)
    }
    still = node.take("DDATA", "meter", decode(message([Metric(alias=1, value=2.0)], 4)))
    assert still.rebirth is Why.LOST
    assert still.batches == ()
    assert node.gaps == 1
    assert not node.born
    node.take("NBIRTH", "", decode(message([], 0)))
    assert rows(node.take("DBIRTH", "meter", decode(message(BIRTH, 1))))


def test_sequence_wraps() -> None:
    """After 255 comes 0."""
    node = born()
    for number in range(2, 600):
        raw = message([Metric(alias=1, value=float(number))], number % 256)
        assert not node.take("DDATA", "meter", decode(raw)).rebirth


def test_deaths() -> None:
    """A device's death is a gap in its tags; the node's death in all of them."""
    node = born()
    device = rows(node.take("DDEATH", "meter", decode(message([], 2))))
    assert {tag for tag, *_ in device} == {FLOW, COUNT, RECIPE}
    unborn = node.take("DDATA", "meter", decode(message([Metric(alias=1, value=2.0)], 3)))
    assert (unborn.batches, unborn.rebirth) == ((), Why.UNKNOWN)
    whole = rows(node.take("NDEATH", "", decode(message([], None))))
    assert {(tag, quality) for tag, _, quality, _ in whole} == {(tag, GAP) for tag in range(4)}
    assert all(at_ns == NOW_NS + 1 for *_, at_ns in whole)
    assert node.take("DDATA", "meter", decode(message([], 3))).rebirth


@pytest.mark.parametrize(("life", "death", "ends"), [(3, 3, True), (3, 2, False), (0, 1, False)])
def test_death_of_an_earlier_life(life: int, death: int, *, ends: bool) -> None:
    """A death certificate ends the life whose number it bears, and no other."""
    node = born(life)
    will = [Metric(name="bdSeq", value=death, datatype=DataType.INT64)]
    heard = node.take("NDEATH", "", decode(message(will, None)))
    assert bool(heard.batches) == ends
    assert node.born != ends
    assert node.late_deaths == int(not ends)


def test_unknown_alias() -> None:
    """An alias that no birth gave asks for a birth; what is known arrives all the same."""
    metrics = [Metric(alias=77, value=1.0), Metric(alias=1, value=4.0)]
    heard = born().take("DDATA", "meter", decode(message(metrics, 2)))
    assert heard.rebirth is Why.UNKNOWN
    assert rows(heard) == [(FLOW, 4.0, GOOD, NOW_NS)]


def test_device_nobody_asks_for() -> None:
    """Other devices of the node count in its sequence, and nothing more."""
    node = born()
    assert node.take("DBIRTH", "other", decode(message(BIRTH, 2))) == Heard()
    assert not node.take("DDATA", "meter", decode(message([], 3))).rebirth


def test_too_many_metrics() -> None:
    """A birth beyond all bounds is refused."""
    node = begun()
    many = [raw_metric(name=f"m{number}", whole=1) for number in range(9_999)]
    for seq in (1, 2, 3):
        node.take("DBIRTH", "meter", decode(raw_message(many, seq)))
    for device in ("a", "b"):
        node.tags = {**node.tags, (device, "x"): Wanted(9)}
    node.take("DBIRTH", "a", decode(raw_message(many, 4)))
    with pytest.raises(PayloadError, match="at most 20000 metrics"):
        node.take("DBIRTH", "b", decode(raw_message(many, 5)))


# datatype of the specification, what travels, what it means
TYPES: dict[str, tuple[int, dict[str, float | bool], float]] = {
    "Int8": (1, {"whole": 2**32 - 3}, -3.0),
    "Int16": (2, {"whole": 2**16 - 3}, -3.0),
    "Int32": (3, {"whole": 2**32 - 3}, -3.0),
    "Int64": (4, {"long": 2**64 - 5}, -5.0),
    "UInt8": (5, {"whole": 200}, 200.0),
    "UInt16": (6, {"whole": 65_535}, 65_535.0),
    "UInt32": (7, {"whole": 2**32 - 1}, 4_294_967_295.0),
    "UInt64": (8, {"long": 2**63}, 2.0**63),
    "Float": (9, {"float": 1.5}, 1.5),
    "Double": (10, {"double": -2.25}, -2.25),
    "Boolean": (11, {"boolean": True}, 1.0),
    "an enumeration as a number": (3, {"whole": 4}, 4.0),
}


@pytest.mark.parametrize("count", [1, 12], ids=["one", "many"])
@pytest.mark.parametrize("name", TYPES)
def test_types(name: str, count: int) -> None:
    """Each type means what the birth said, whether one value comes or many at once."""
    datatype, value, expected = TYPES[name]
    node = begun()
    birth = raw_metric(name="count", alias=2, datatype=datatype, null=True)
    other = raw_metric(name="x", alias=3, datatype=datatype, null=True)
    node.take("DBIRTH", "meter", decode(raw_message([birth, other], 1)))
    metrics = [raw_metric(alias=2 + (at > 0), time=NOW_MS, **value) for at in range(count)]
    heard = node.take("DDATA", "meter", decode(raw_message(metrics, 2)))
    assert rows(heard) == [(COUNT, expected, GOOD, NOW_NS)]


def test_bad_and_null() -> None:
    """A null value, a bad quality and no number are bad."""
    spoiled = [Metric(alias=1, value=None), Metric(alias=2, value=1, good=False)]
    first, second = rows(born().take("DDATA", "meter", decode(message(spoiled, 2))))
    assert (first[1], first[2], second[2]) == (None, BAD, BAD)
    texts = [raw_metric(alias=1, text="31,5"), raw_metric(alias=2, double=math.inf)]
    heard = born().take("DDATA", "meter", decode(raw_message(texts, 2)))
    assert [row[2] for row in rows(heard)] == [BAD, BAD]


def test_words() -> None:
    """A text is a word where the tag shows words."""
    node = begun()
    birth = raw_metric(name="recipe", alias=5, datatype=12, text="A17")
    assert rows(node.take("DBIRTH", "meter", decode(raw_message([birth], 1)))) == [
        (RECIPE, number_of("A17"), GOOD, NOW_NS)
    ]
    later = raw_metric(alias=5, text="B2")
    assert rows(node.take("DDATA", "meter", decode(raw_message([later], 2)))) == [
        (RECIPE, number_of("B2"), GOOD, NOW_NS)
    ]


def test_historical() -> None:
    """Values of the past come as such, and do not say what time it is."""
    node = born()
    metrics = [
        raw_metric(alias=1, time=NOW_MS - 5000, historical=True, double=7.0),
        raw_metric(alias=1, time=NOW_MS, double=8.0),
    ]
    heard = node.take("DDATA", "meter", decode(raw_message(metrics, 2)))
    assert [batch.historical for batch in heard.batches] == [True, False]
    assert rows(heard) == [
        (FLOW, 7.0, GOOD, NOW_NS - 5_000_000_000),
        (FLOW, 8.0, GOOD, NOW_NS),
    ]
    assert all(at_ns == NOW_NS + 1 for *_, at_ns in rows(Heard(node.lost())))


def test_time_in_the_far_future() -> None:
    """One absurd time does not put the gap where nobody will ever be."""
    node = born()
    absurd = raw_metric(alias=1, time=NOW_MS + 10**11, double=1.0)
    node.take("DDATA", "meter", decode(raw_message([absurd], 2)))
    node.take("DDATA", "meter", decode(message([Metric(alias=1, value=2.0)], 3)))
    assert NOW_NS + 1 in {at_ns for *_, at_ns in rows(Heard(node.lost()))}


aliases = st.one_of(st.integers(0, 200), st.integers(0, 2**64 - 2))
values = st.one_of(
    st.tuples(st.just("double"), st.floats(width=64)),
    st.tuples(st.just("float"), st.floats(width=32)),
    st.tuples(st.sampled_from(["whole", "long"]), st.integers(0, 2**31)),
    st.tuples(st.just("long"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("boolean"), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(aliases, st.integers(0, 2**41), values), min_size=1, max_size=4),
    st.integers(1, 30),
    st.sampled_from([(), ("time",), ("time", "datatype"), ("historical",), ("null",)]),
)
def test_columns_are_rows(
    drawn: list[tuple[int, int, tuple[str, float]]], times: int, more: tuple[str, ...]
) -> None:
    """Read as columns or one by one, a message says the same."""
    metrics = []
    for alias, time_ms, (kind, value) in drawn:
        fields: dict[str, float | bool] = {"alias": alias}
        fields |= {"time": time_ms} if "time" in more else {}
        fields |= {name: False for name in ("historical", "null") if name in more}
        fields |= {"datatype": 10} if "datatype" in more else {}
        metrics += [raw_metric(**fields, **{kind: value})] * times
    raw = raw_message(metrics, 7)
    one, other = decode(raw), decode_any(raw)
    assert (one.timestamp_ms, one.seq) == (other.timestamp_ms, other.seq)
    np.testing.assert_array_equal(one.aliases, other.aliases)
    np.testing.assert_array_equal(one.times_ms, other.times_ms)
    np.testing.assert_array_equal(one.values, other.values)
    for name in ("wholes", "datatypes", "status", "historical"):
        first, second = getattr(one, name), getattr(other, name)
        nothing = np.zeros(len(one), np.uint64)
        np.testing.assert_array_equal(
            nothing if first is None else first, nothing if second is None else second
        )


def test_quick_way_is_taken() -> None:
    """Two hundred values by alias are read as columns, across the alias that needs a byte more."""
    metrics = [raw_metric(alias=at, time=NOW_MS, double=at / 2) for at in range(1, 201)]
    found = plain(raw_message(metrics, 9))
    assert found is not None
    assert found.aliases.tolist() == list(range(1, 201))
    assert found.values.tolist() == [at / 2 for at in range(1, 201)]
    assert found.seq == 9


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_laid_out_as_before(data: st.DataObject, typed: bool) -> None:  # noqa: FBT001 - drawn
    """A message laid out like one before says what it says, whichever of its bytes differ."""
    datatype = {"datatype": 10} if typed else {}
    metrics = [
        raw_metric(alias=at + 60, time=NOW_MS + at, **datatype, double=at / 3) for at in range(90)
    ]
    raw = bytearray(raw_message(metrics, 2))
    decode(bytes(raw))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        raw[place] ^= data.draw(st.integers(1, 255))
    found = plain(bytes(raw))
    if found is not None:
        other = decode_any(bytes(raw))
        assert (found.timestamp_ms, found.seq) == (other.timestamp_ms, other.seq)
        np.testing.assert_array_equal(found.aliases, other.aliases)
        np.testing.assert_array_equal(found.values, other.values)
        times_ms = np.where(found.times_ms == 0, found.timestamp_ms, found.times_ms)
        np.testing.assert_array_equal(times_ms, other.times_ms)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_hostile_bytes(raw: bytes) -> None:
    """Any bytes are a payload or a refusal, and nothing else."""
    try:
        found = decode(raw)
    except PayloadError:
        return
    EdgeNode(TAGS).take("NBIRTH", "", found)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_spoiled_bytes(place: int, byte: int) -> None:
    """One byte changed in a good message: a payload or a refusal."""
    metrics = [raw_metric(alias=at, time=NOW_MS, double=1.0) for at in range(1, 20)]
    raw = bytearray(raw_message(metrics, 2))
    raw[place % len(raw)] = byte
    with suppress(PayloadError):
        born().take("DDATA", "meter", decode(bytes(raw)))


def test_time_out_of_reach() -> None:
    """A time that does not fit our clocks is refused."""
    with pytest.raises(PayloadError, match="time"):
        decode(b"\x08" + b"\xff" * 9 + b"\x01")


def source(batches: list[SampleBatch], now_s: list[float]) -> SparkplugSource:
    """A source for one meter, whose samples go to *batches*."""
    tags = [
        TagConfig(role="flow", unit="bar", source="s", address="Plant/Utility/meter#flow"),
        TagConfig(role="load", unit="bar", source="other", address="Plant/Utility#load"),
    ]
    return SparkplugSource(
        SparkplugConfig(name="s", host="h"),
        tags,
        batches.append,
        monotonic=lambda: now_s[0],
        unix_ns=lambda: NOW_NS,
    )


def test_source_takes_messages() -> None:
    """Messages go to their node; what is not ours or is no payload is counted or passed over."""
    batches: list[SampleBatch] = []
    now_s = [0.0]
    reader = source(batches, now_s)
    birth = (b"spBv1.0/Plant/NBIRTH/Utility", message([], 0))
    reader.take([birth, (b"spBv1.0/Plant/DBIRTH/Utility/meter", message(BIRTH, 1))])
    assert [batch.tags.tolist() for batch in batches] == [[0]]
    assert reader.wanting() == []
    data = b"spBv1.0/Plant/DDATA/Utility/meter"
    reader.take([(data, message([], 9))])
    assert reader.wanting() == [("Plant", "Utility")]
    reader.take([(data, b"\xff\xff"), (data, b"text")])
    assert reader.refused == 2
    others = (b"a/b", b"spBv1.0/Plant/STATE/Utility", b"spBv1.0/Plant/DDATA/Other/meter", b"\xff")
    count = len(batches)
    reader.take([(topic, message([], 2)) for topic in others])
    assert len(batches) == count
    now_s[0] = 60.0
    assert reader.wanting() == [("Plant", "Utility")]
    reader.take([birth])
    now_s[0] = 6000.0
    assert reader.wanting() == []


def test_address_of_another() -> None:
    """Two tags cannot have one metric."""
    address = "Plant/Utility/meter#flow"
    twice = [
        TagConfig(role=role, unit="bar", source="s", address=address) for role in ("flow", "f2")
    ]
    with pytest.raises(ConfigurationError, match="f2: expected an address of its own"):
        SparkplugSource(
            SparkplugConfig(name="s", host="h"), twice, print, monotonic=float, unix_ns=int
        )


def test_rebirth_command() -> None:
    """The command is what the specification asks for."""
    found = decode(rebirth_command(1))
    assert (found.names, found.values.tolist()) == ((REBIRTH,), [1.0])


@pytest.mark.parametrize("address", ["", "a#b", "a/b/c/d#e", "a//c#d", "a/b", "+/b#c"])
def test_bad_address(address: str) -> None:
    """An address of another form is a mistake in the configuration."""
    tag = TagConfig(role="flow", unit="bar", source="s", address=address or "x")
    with pytest.raises(ConfigurationError, match="group/node"):
        split_address(tag)
