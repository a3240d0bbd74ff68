"""Sparkplug B: what births mean, what a lost message does, and what hostile bytes get."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_fixtures.sparkplug_encoder import DataType, Metric, encode
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_config import SparkplugConfig
from edge_runtime.sources.sample import SampleBatch, TagSample
from edge_runtime.sources.sparkplug import SparkplugSource, split_address
from edge_runtime.sources.sparkplug_node import EdgeNode
from edge_runtime.sources.sparkplug_payload import REBIRTH, decode, rebirth_command

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000
ROLES = {("meter", "flow"): "flow", ("meter", "count"): "count", ("", "load"): "load"}


def message(metrics: list[Metric], seq: int | None) -> bytes:
    """A payload as a real node encodes it."""
    return encode(metrics, at=NOW, seq=seq)


BIRTH = [
    Metric(name="flow", alias=1, value=1.0),
    Metric(name="count", alias=2, value=5, datatype=DataType.INT32),
    Metric(name="unknown to us", alias=3, value=True, datatype=DataType.BOOLEAN),
]


def born() -> EdgeNode:
    """A node that has announced itself and its device."""
    node = EdgeNode(ROLES)
    node.take("NBIRTH", "", decode(message([Metric(name="load", alias=9, value=0.5)], 0)))
    node.take("DBIRTH", "meter", decode(message(BIRTH, 1)))
    return node


def test_birth_and_data() -> None:
    """Births give values and aliases; data by alias alone are understood."""
    node = EdgeNode(ROLES)
    assert node.take("NBIRTH", "", decode(message([], 0))).samples == ()
    birth = node.take("DBIRTH", "meter", decode(message(BIRTH, 1)))
    assert [sample.role for sample in birth.samples] == ["flow", "count"]
    later = [Metric(alias=1, value=2.5), Metric(alias=2, value=-3, datatype=DataType.INT32)]
    heard = node.take("DDATA", "meter", decode(message(later, 2)))
    assert heard.samples == (
        TagSample("flow", 2.5, CellQuality.GOOD, NOW_NS),
        TagSample("count", -3.0, CellQuality.GOOD, NOW_NS),
    )
    assert not heard.rebirth


def test_lost_message() -> None:
    """After a missing number everything is a gap until the node has announced itself anew."""
    node = born()
    heard = node.take("DDATA", "meter", decode(message([Metric(alias=1, value=2.0)], 3)))
    assert heard.rebirth
    assert {sample.quality for sample in heard.samples} == {CellQuality.GAP}
    still = node.take("DDATA", "meter", decode(message([Metric(alias=1, value=2.0)], 4)))
    assert still.rebirth
    assert node.gaps == 1
    node.take("NBIRTH", "", decode(message([], 0)))
    assert node.take("DBIRTH", "meter", decode(message(BIRTH, 1))).samples


def test_sequence_wraps() -> None:
    """After 255 comes 0."""
    node = born()
    for number in range(2, 600):
        raw = message([Metric(alias=1, value=float(number))], number % 256)
        assert not node.take("DDATA", "meter", decode(raw)).rebirth


def test_deaths() -> None:
    """A device's death is a gap in its tags; the node's death in all of them."""
    node = born()
    device = node.take("DDEATH", "meter", decode(message([], 2))).samples
    assert {sample.role for sample in device} == {"flow", "count"}
    whole = node.take("NDEATH", "", decode(message([], None))).samples
    assert {sample.role for sample in whole} == {"flow", "count", "load"}
    assert node.take("DDATA", "meter", decode(message([], 3))).rebirth


def test_unknown_alias() -> None:
    """An alias that no birth gave asks for a birth."""
    heard = born().take("DDATA", "meter", decode(message([Metric(alias=77, value=1.0)], 2)))
    assert heard.rebirth


def test_bad_and_null() -> None:
    """A null value and a bad quality are bad."""
    spoiled = [Metric(alias=1, value=None), Metric(alias=2, value=1, good=False)]
    first, second = born().take("DDATA", "meter", decode(message(spoiled, 2))).samples
    assert (first.quality, second.quality) == (CellQuality.BAD, CellQuality.BAD)
    assert math.isnan(first.value)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_hostile_bytes(raw: bytes) -> None:
    """Any bytes are a payload or a refusal, and nothing else."""
    try:
        found = decode(raw)
    except PayloadError:
        return
    EdgeNode(ROLES).take("NBIRTH", "", found)


def test_time_out_of_reach() -> None:
    """A time that does not fit our clocks is refused."""
    with pytest.raises(PayloadError, match="time"):
        decode(b"\x08" + b"\xff" * 9 + b"\x01")


def source(batches: list[SampleBatch]) -> SparkplugSource:
    """A source for one meter, whose samples go to *batches*."""
    tags = [
        TagConfig(role="flow", unit="bar", source="s", address="Plant/Utility/meter#flow"),
        TagConfig(role="load", unit="bar", source="other", address="Plant/Utility#load"),
    ]
    return SparkplugSource(
        SparkplugConfig(name="s", host="h"),
        tags,
        batches.append,
        monotonic=lambda: 0.0,
        unix_ns=lambda: NOW_NS,
    )


def test_source_takes_messages() -> None:
    """Messages go to their node; what is not ours or is no payload is counted or passed over."""
    batches: list[SampleBatch] = []
    reader = source(batches)
    assert reader.take("spBv1.0/Plant/NBIRTH/Utility", message([], 0)) is None
    assert reader.take("spBv1.0/Plant/DBIRTH/Utility/meter", message(BIRTH, 1)) is None
    assert [batch.tags.tolist() for batch in batches if len(batch)] == [[0]]
    wanting = reader.take("spBv1.0/Plant/DDATA/Utility/meter", message([], 9))
    assert wanting == ("Plant", "Utility")
    assert reader.take("spBv1.0/Plant/DDATA/Utility/meter", b"\xff\xff") is None
    assert reader.take("spBv1.0/Plant/DDATA/Utility/meter", "text") is None
    assert reader.refused == 2
    for other in ("a/b", "spBv1.0/Plant/STATE/Utility", "spBv1.0/Plant/DDATA/Other/meter"):
        assert reader.take(other, message([], 2)) is None


def test_rebirth_command() -> None:
    """The command is what the specification asks for."""
    metric = decode(rebirth_command(1)).metrics[0]
    assert (metric.name, metric.value) == (REBIRTH, 1.0)


@pytest.mark.parametrize("address", ["", "a#b", "a/b/c/d#e", "a//c#d", "a/b", "+/b#c"])
def test_bad_address(address: str) -> None:
    """An address of another form is a mistake in the configuration."""
    tag = TagConfig(role="flow", unit="bar", source="s", address=address or "x")
    with pytest.raises(ConfigurationError, match="group/node"):
        split_address(tag)
