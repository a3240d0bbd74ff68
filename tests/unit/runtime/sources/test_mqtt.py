"""JSON from MQTT: three forms, typed, and one clear refusal for everything else."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_runtime.config import TagConfig
from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt import samples_in, split_address
from edge_runtime.sources.sample import TagSample

ROLES = {"flow": "flow", "p1": "pressure"}
AT_NS = 1_795_305_600_000_000_000
GOOD, BAD = CellQuality.GOOD, CellQuality.BAD

FORMS: dict[str, tuple[bytes, list[TagSample]]] = {
    "one value": (
        b'{"tag":"flow","ts":1795305600000,"v":31.5,"q":192}',
        [TagSample("flow", 31.5, GOOD, AT_NS)],
    ),
    "a list of them": (
        b'[{"tag":"flow","ts":1795305600000,"v":1},{"tag":"p1","ts":1795305600000,"v":2}]',
        [TagSample("flow", 1.0, GOOD, AT_NS), TagSample("pressure", 2.0, GOOD, AT_NS)],
    ),
    "many values of one instant": (
        b'{"ts":"2026-11-22T00:00:00Z","values":{"flow":1,"p1":2,"other":3}}',
        [TagSample("flow", 1.0, GOOD, AT_NS), TagSample("pressure", 2.0, GOOD, AT_NS)],
    ),
    "an uncertain value": (
        b'{"tag":"flow","ts":1795305600000,"v":1,"q":64}',
        [TagSample("flow", 1.0, CellQuality.UNCERTAIN, AT_NS)],
    ),
    "a bad value": (
        b'{"tag":"flow","ts":1795305600000,"v":1,"q":0}',
        [TagSample("flow", 1.0, BAD, AT_NS)],
    ),
    "a tag that nobody asked for": (b'{"tag":"other","ts":1795305600000,"v":1}', []),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str) -> None:
    """Each row says what one message gives."""
    raw, expected = FORMS[name]
    assert samples_in(raw, ROLES) == expected


def test_null() -> None:
    """A null is a bad value and not nothing: it says that the sensor gave none."""
    [sample] = samples_in(b'{"tag":"flow","ts":1795305600000,"v":null}', ROLES)
    assert sample.quality is BAD
    assert math.isnan(sample.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"[1]",
        b'{"tag":"flow","v":1}',
        b'{"tag":"flow","ts":-1,"v":1}',
        b'{"tag":"flow","ts":"2026-11-22T00:00:00","v":1}',
        b'{"tag":"flow","ts":1,"v":"31,5"}',
        b'{"tag":"flow","ts":99999999999999,"v":1}',
        b"[" * 100_000,
    ],
)
def test_refused(raw: bytes) -> None:
    """Everything else is refused in one line."""
    with pytest.raises(PayloadError, match="message"):
        samples_in(raw, ROLES)


@given(st.binary(max_size=100))
def test_any_bytes(raw: bytes) -> None:
    """Any bytes are samples or a refusal."""
    with suppress(PayloadError):
        samples_in(raw, ROLES)


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
