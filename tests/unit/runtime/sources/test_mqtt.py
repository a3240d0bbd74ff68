"""JSON from MQTT: three forms, typed, and one clear refusal for everything else."""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_core.features.words import number_of
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt import MqttSource, split_address
from edge_runtime.sources.mqtt_config import MqttConfig, PayloadConfig
from edge_runtime.sources.mqtt_payload import Columns, PayloadMap, Wanted
from edge_runtime.sources.sample import SampleBatch

WANTED = {
    "flow": Wanted(0),
    "p1": Wanted(1),
    "recipe": Wanted(2, words=True),
    "mode": Wanted(3, texts={"RUN": 2.0}),
}
AT_NS = 1_795_305_600_000_000_000
ARRIVED_NS = AT_NS + 5
GOOD, UNCERTAIN, BAD = CellQuality.GOOD, CellQuality.UNCERTAIN, CellQuality.BAD

Row = tuple[int, float | None, CellQuality, int]


def read(raw: bytes, **how: str) -> list[Row]:
    """The rows of one message, NaN as None."""
    columns = Columns()
    PayloadMap(PayloadConfig(**how)).read(raw, WANTED, ARRIVED_NS, columns)  # type: ignore[arg-type]  # fields by name
    batch = columns.batch()
    return [
        (tag, None if value != value else value, CellQuality(quality), at_ns)  # noqa: PLR0124 - NaN
        for tag, value, quality, at_ns in zip(
            batch.tags.tolist(),
            batch.values.tolist(),
            batch.quality.tolist(),
            batch.source_ns.tolist(),
            strict=True,
        )
    ]


FORMS: dict[str, tuple[bytes, list[Row]]] = {
    "one value": (
        b'{"tag":"flow","ts":1795305600000,"v":31.5,"q":192}',
        [(0, 31.5, GOOD, AT_NS)],
    ),
    "a list of them": (
        b'[{"tag":"flow","ts":1795305600000,"v":1},{"tag":"p1","ts":1795305600000,"v":2}]',
        [(0, 1.0, GOOD, AT_NS), (1, 2.0, GOOD, AT_NS)],
    ),
    "many values of one instant": (
        b'{"ts":"2026-11-22T00:00:00Z","values":{"flow":1,"p1":2,"other":3}}',
        [(0, 1.0, GOOD, AT_NS), (1, 2.0, GOOD, AT_NS)],
    ),
    "a list of tables": (
        b'[{"ts":1795305600000,"values":{"flow":1}},{"ts":1795305600001,"values":{"flow":2}}]',
        [(0, 1.0, GOOD, AT_NS), (0, 2.0, GOOD, AT_NS + 1_000_000)],
    ),
    "an instant of another zone": (
        b'{"tag":"flow","ts":"2026-11-22T01:30:00+01:30","v":1}',
        [(0, 1.0, GOOD, AT_NS)],
    ),
    "an uncertain value": (
        b'{"tag":"flow","ts":1795305600000,"v":1,"q":64}',
        [(0, 1.0, UNCERTAIN, AT_NS)],
    ),
    "a bad value": (b'{"tag":"flow","ts":1795305600000,"v":1,"q":0}', [(0, 1.0, BAD, AT_NS)]),
    "a switch": (b'{"tag":"flow","ts":1795305600000,"v":true}', [(0, 1.0, GOOD, AT_NS)]),
    "a tag that nobody asked for": (b'{"tag":"other","ts":1795305600000,"v":1}', []),
    "a null: the sensor gave none": (
        b'{"tag":"flow","ts":1795305600000,"v":null}',
        [(0, None, BAD, AT_NS)],
    ),
    "words where a number belongs": (
        b'{"ts":1795305600000,"values":{"flow":"31,5","p1":2}}',
        [(0, None, BAD, AT_NS), (1, 2.0, GOOD, AT_NS)],
    ),
    "a table where a number belongs": (
        b'{"ts":1795305600000,"values":{"flow":{"x":[1]},"p1":2}}',
        [(0, None, BAD, AT_NS), (1, 2.0, GOOD, AT_NS)],
    ),
    "anything where nobody looks": (
        b'{"ts":1795305600000,"values":{"x":{"y":[[]]},"p1":2},"firmware":{"v":1}}',
        [(1, 2.0, GOOD, AT_NS)],
    ),
    "a number beyond all numbers": (
        b'{"tag":"flow","ts":1795305600000,"v":1e999}',
        [(0, None, BAD, AT_NS)],
    ),
    "texts that stand for numbers": (
        b'{"ts":1795305600000,"values":{"mode":"RUN","p1":2}}',
        [(3, 2.0, GOOD, AT_NS), (1, 2.0, GOOD, AT_NS)],
    ),
    "a text that stands for none": (
        b'{"tag":"mode","ts":1795305600000,"v":"run"}',
        [(3, None, BAD, AT_NS)],
    ),
    "the name of a recipe": (
        b'{"tag":"recipe","ts":1795305600000,"v":"A17"}',
        [(2, number_of("A17"), GOOD, AT_NS)],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str) -> None:
    """Each row says what one message gives."""
    raw, expected = FORMS[name]
    assert read(raw) == expected


NAMED = {"tag": "name", "value": "value", "quality": "status", "time": "t", "values": "data"}


def test_other_keys() -> None:
    """A plant calls its keys what it likes."""
    one = b'{"name":"flow","t":1795305600.5,"value":2,"status":64}'
    assert read(one, **NAMED, time_unit="s") == [(0, 2.0, UNCERTAIN, AT_NS + 500_000_000)]
    assert read(b'{"t":1795305600,"data":{"p1":3}}', **NAMED, time_unit="s") == [
        (1, 3.0, GOOD, AT_NS)
    ]


def test_untimed() -> None:
    """A message without a time counts from its arrival only where that is allowed."""
    raw = b'{"tag":"flow","v":1}'
    assert read(raw, untimed="arrival") == [(0, 1.0, GOOD, ARRIVED_NS)]
    with pytest.raises(PayloadError, match="expected a time under 'ts'"):
        read(raw)


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("tag", b'{"ts":1,"values":{}}'),
        ("tags", b'{"ts":1,"tag":"flow","v":1}'),
        ("list", b'{"ts":1,"tag":"flow","v":1}'),
        ("tag", b'[{"ts":1,"tag":"flow","v":1}]'),
    ],
)
def test_other_form(form: str, raw: bytes) -> None:
    """A form that is set is the only one that is read."""
    with pytest.raises(PayloadError, match=r"message: [Ee]xpected"):
        read(raw, form=form)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"[1]",
        b'{"tag":"flow","v":1}',
        b'{"tag":"flow","ts":-1,"v":1}',
        b'{"tag":"flow","ts":"2026-11-22T00:00:00","v":1}',
        b'{"tag":"flow","ts":99999999999999,"v":1}',
        b'{"tag":"flow","ts":1e300,"v":1}',
        b'{"tag":"flow","ts":1,"v":NaN}',
        b'{"tag":"flow","ts":1,"v":1,"q":"good"}',
        b'{"tag":"flow","ts":1,"values":{"flow":1}}',
        b'{"ts":1}',
        b'{"tag":"fl\xffow","ts":1,"v":1}',
        b"[" * 100_000,
        b'{"values":' * 50_000,
        b'[{"tag":"flow","ts":1,"v":1},{"tag":"flow","ts":-1,"v":1}]',
    ],
    ids=range(16),
)
def test_refused(raw: bytes) -> None:
    """Everything else is refused whole, in one line that can be printed."""
    columns = Columns()
    with pytest.raises(PayloadError, match="message") as refusal:
        PayloadMap(PayloadConfig()).read(raw, WANTED, 0, columns)
    assert str(refusal.value).isprintable()
    assert columns.tags == columns.values == columns.source_ns == columns.status == []


@given(st.binary(max_size=100))
def test_any_bytes(raw: bytes) -> None:
    """Any bytes are samples or a refusal."""
    with suppress(PayloadError):
        read(raw)


def source(
    batches: list[SampleBatch], tags: Sequence[TagConfig], now_s: list[float]
) -> MqttSource:
    """A source whose clock is *now_s*."""
    return MqttSource(
        MqttConfig(name="bus", host="h"),
        tags,
        batches.append,
        serial="gw-1",
        monotonic=lambda: now_s[0],
        unix_ns=lambda: ARRIVED_NS,
    )


TAGS = [
    TagConfig(role="elsewhere", unit="bar", source="other", address="a#b"),
    TagConfig(role="flow", unit="bar", source="bus", address="t#flow"),
]


def test_batches() -> None:
    """What came at once is one batch; what cannot be read takes nothing else with it."""
    batches: list[SampleBatch] = []
    reader = source(batches, TAGS, [0.0])
    good = b'{"tag":"flow","ts":1795305600000,"v":31.5}'
    reader.take([(b"t", good), (b"t", b"\xff"), (b"unknown", good), (b"t", good)])
    assert [batch.tags.tolist() for batch in batches] == [[1, 1]]
    assert reader.refused == 1


def test_one_line_a_minute() -> None:
    """However much cannot be read, a topic has one line a minute, which says how much it was."""
    now_s = [0.0]
    reader = source([], TAGS, now_s)
    with capture_logs() as events:
        for second in range(0, 130, 10):
            now_s[0] = float(second)
            reader.take([(b"t", b"\x1b[2J")] * 7)
    lines = [each["messages"] for each in events if each["event"] == "source.refused"]
    assert lines == [1, 42, 42]
    assert reader.refused == 13 * 7
    assert all(str(each["reason"]).isprintable() for each in events)


def test_address_of_another() -> None:
    """Two tags cannot have one value."""
    twice = [*TAGS, TagConfig(role="flow_2", unit="bar", source="bus", address="t#flow")]
    with pytest.raises(ConfigurationError, match="flow_2: expected an address of its own"):
        source([], twice, [0.0])


def test_keys_of_their_own() -> None:
    """A key cannot mean two things."""
    with pytest.raises(ValueError, match="a key of its own"):
        PayloadConfig(tag="x", value="x")


@pytest.mark.parametrize("address", ["topic", "#key", "topic#", "a/+/b#key", "a/##key"])
def test_bad_address(address: str) -> None:
    """An address of another form is a mistake in the configuration."""
    tag = TagConfig(role="flow", unit="bar", source="s", address=address)
    with pytest.raises(ConfigurationError, match="topic#key"):
        split_address(tag)


def test_address() -> None:
    """The key is what follows the last mark."""
    tag = TagConfig(role="flow", unit="bar", source="s", address="plant/u1#flow")
    assert split_address(tag) == ("plant/u1", "flow")
