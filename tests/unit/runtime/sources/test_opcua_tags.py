"""A server's items as tags: addresses, texts, arrays, statuses, units."""

import math

import numpy as np
import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_core.features.words import number_of as word_number
from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua_items import NO_TIME, Changes
from edge_runtime.sources.opcua_tags import (
    BAD,
    BAD_CONFIGURATION,
    BAD_OUT_OF_RANGE,
    Address,
    TagColumns,
    address_of,
    node_text,
    number_of,
)
from edge_runtime.sources.opcua_units import UNECE, code_letters, linear, said_of

NOW = 1_795_305_600_000_000_000


def tag(address: str = "ns=1;s=a", unit: str = "bar", **texts: float) -> TagConfig:
    """A tag at an address."""
    return TagConfig(role="flow", unit=unit, source="plc", address=address, texts=texts)


ADDRESSES = {
    "a node": ("nsu=urn:x;s=a", Address("nsu=urn:x;s=a", None)),
    "an element": ("nsu=urn:x;s=a#[3]", Address("nsu=urn:x;s=a", 3)),
    "a name with brackets of its own": ('ns=3;s="DB"."a"[3]', Address('ns=3;s="DB"."a"[3]', None)),
    "an element of such a name": ("ns=3;s=a[3]#[0]", Address("ns=3;s=a[3]", 0)),
    "no number": ("ns=3;s=a#[x]", Address("ns=3;s=a#[x]", None)),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_address(name: str) -> None:
    """Each row says what an address means."""
    written, meant = ADDRESSES[name]
    assert address_of(tag(written)) == meant


def test_namespace() -> None:
    """A namespace is looked up by its URI; one that the server lacks is refused by name."""
    assert node_text(tag("nsu=urn:b;s=a#[1]"), ["urn:a", "urn:b"]) == "ns=1;s=a"
    assert node_text(tag("i=85"), []) == "i=85"
    with pytest.raises(ConfigurationError, match=r"tag flow.*urn:a, urn:b"):
        node_text(tag("nsu=urn:c;s=a"), ["urn:a", "urn:b"])


NUMBERS: dict[str, tuple[object, int | None, float | None]] = {
    "a text that means something": ("blend", None, 3.0),
    "a text that means nothing": ("soup", None, None),
    "the element that was asked for": ([1.5], 7, 1.5),
    "the element of a whole array": ([1.0, 2.0, 3.0], 2, 3.0),
    "beyond the end": ([1.0, 2.0, 3.0], 3, None),
    "an array where a value should be": ([1.0], None, None),
    "an element that is a text": (["blend", "x"], 0, 3.0),
    "nothing": (None, None, None),
    "an object": (object(), None, None),
    "an element that is true": ([False, True], 1, 1.0),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_number(name: str) -> None:
    """Each row says what a value of no fixed size is as a number."""
    value, index, number = NUMBERS[name]
    assert number_of(value, index, {"blend": 3.0}) == number


def changes(values: list[float], status: list[int], **more: object) -> Changes:
    """Items of the handles 0, 1, ..."""
    count = len(values)
    usual: dict[str, object] = {
        "handles": np.arange(count, dtype=np.uint32),
        "values": np.array(values),
        "source_ns": np.full(count, NOW, np.int64),
        "server_ns": np.full(count, NO_TIME, np.int64),
        "status": np.array(status, np.uint32),
        "others": {},
    }
    return Changes(**{**usual, **more})  # type: ignore[arg-type]  # columns of several types


def columns(*tags: TagConfig) -> TagColumns:
    """Tags that lie at the places 10, 11, ... of the configuration."""
    return TagColumns(tags, [10 + place for place in range(len(tags))])


def test_places_and_status() -> None:
    """Tags come by their place; what is no number is bad, and nobody else may say gap."""
    made = columns(tag(), tag(), tag(), tag())
    found = made.batch(
        changes([1.0, math.nan, 2.0, 3.0], [0, 0, 0xC0000001, 0x40000000]), NOW, 1.0
    )
    assert found.tags.tolist() == [10, 11, 12, 13]
    assert found.status.tolist() == [0, BAD, BAD, 0x40000000]
    assert found.arrived_s == 1.0
    assert CellQuality.GAP not in found.quality


def test_texts() -> None:
    """A text becomes what it means, and is bad if it means nothing."""
    made = columns(tag(blend=3.0), tag(blend=3.0))
    nan = math.nan
    found = made.batch(changes([nan, nan], [0, 0], others={0: "blend", 1: "soup"}), NOW, None)
    assert found.values[0] == 3.0
    assert found.status.tolist() == [0, BAD_OUT_OF_RANGE]


def test_words() -> None:
    """A tag of words has a number for each, everywhere the same; nothing is said by nothing."""
    made = columns(*[tag(unit="text", blend=3.0)] * 3)
    nan = math.nan
    said = {0: "blend", 1: "soup", 2: " "}
    found = made.batch(changes([nan, nan, nan], [0, 0, 0], others=said), NOW, None)
    assert found.values[:2].tolist() == [3.0, word_number("soup")]
    assert found.status.tolist() == [0, 0, BAD_OUT_OF_RANGE]


def test_times() -> None:
    """Source time, else the server's, else now."""
    made = columns(tag(), tag(), tag())
    source = np.array([NOW + 5, NO_TIME, NO_TIME], np.int64)
    server = np.array([NOW, NOW + 6, NO_TIME], np.int64)
    found = made.batch(
        changes([1.0, 1.0, 1.0], [0, 0, 0], source_ns=source, server_ns=server), NOW + 7, None
    )
    assert (found.source_ns - NOW).tolist() == [5, 6, 7]


def test_strange_handles() -> None:
    """Items that we never asked for are passed over, with what they bear."""
    made = columns(tag(blend=3.0))
    handles = np.array([7, 0, 1 << 20], np.uint32)
    found = made.batch(
        changes([1.0, math.nan, 2.0], [0, 0, 0], handles=handles, others={0: "x", 1: "blend"}),
        NOW,
        None,
    )
    assert (found.tags.tolist(), found.values.tolist()) == ([10], [3.0])


def test_units() -> None:
    """Values come in the tag's unit; where there is no way they are bad, for a reason."""
    made = columns(tag(unit="degC"), tag(unit="bar"), tag(unit="l/min"))
    assert made.measured_in(0, "°F", 0) is None
    assert made.measured_in(1, "mbar", 0) is None
    why = made.measured_in(2, "\x1b[2Jkg", 0)
    assert why is not None
    assert "tag flow" in why
    assert why.isprintable()
    found = made.batch(changes([50.0, 2500.0, 1.0], [0, 0, 0]), NOW, None)
    assert found.values[:2] == pytest.approx([10.0, 2.5])
    assert found.status.tolist() == [0, 0, BAD_CONFIGURATION]
    assert made.conversion(2) is None
    assert made.measured_in(2, "l/s", 0) is None
    assert made.batch(changes([1.0] * 3, [0] * 3), NOW, None).values[2] == pytest.approx(60.0)


def informed(name: str | None, number: int, space: str | None = UNECE) -> ua.EUInformation:
    """A unit as a server says it."""
    made = ua.EUInformation(UnitId=ua.Int32(number), DisplayName=ua.LocalizedText(name))
    made.NamespaceUri = space
    return made


BAR = 4_342_098
SAID: dict[str, tuple[object, tuple[str, int]]] = {
    "a name and its number": (informed("bar", BAR), ("bar", BAR)),
    "a name alone": (informed(" bar ", -1), ("bar", -1)),
    "a number alone": (informed(None, BAR), ("", BAR)),
    "a number of no namespace": (informed("", BAR, None), ("", BAR)),
    "a number of an empty namespace": (informed("", BAR, ""), ("", BAR)),
    "a number of the vendor's own": (informed("", BAR, "urn:vendor:units"), ("", 0)),
    "as it was made": (ua.EUInformation(), ("", 0)),
    "no unit at all": (None, ("", 0)),
    "a text": ("bar", ("", 0)),
}


@pytest.mark.parametrize("name", SAID)
def test_said(name: str) -> None:
    """Each row is what a server says of a unit, and the name and number in it."""
    information, found = SAID[name]
    assert said_of(information) == found


# Each: what the server calls its unit, its number, and how its values become bar.
UNSAID: dict[str, tuple[str, int, tuple[float, float] | None]] = {
    "nothing, with no number": ("", 0, (1.0, 0.0)),
    "nothing, with the number that stands for none": ("", -1, (1.0, 0.0)),
    "nothing, with a number that nobody knows": ("", 1, (1.0, 0.0)),
    "nothing, with a number that is known": ("", int.from_bytes(b"MBR"), (1e-3, 0.0)),
    "a number that will not do": ("", int.from_bytes(b"CEL"), None),
    "a name that nobody knows": ("?", 0, None),
}


@pytest.mark.parametrize("name", UNSAID)
def test_unit_unsaid(name: str) -> None:
    """Each row is a unit: one that says nothing leaves the tag's own, another is held to."""
    said, number, way = UNSAID[name]
    made = columns(tag(unit="bar"))
    assert (made.measured_in(0, said, number) is None) is (way is not None)
    assert made.conversion(0) == (None if way is None else pytest.approx(way))


def test_unit_that_is_no_longer_said() -> None:
    """What a server measures in stays so when it says nothing any more."""
    made = columns(tag(unit="bar"))
    made.measured_in(0, "mbar", 0)
    assert made.measured_in(0, "", 0) is None
    assert made.conversion(0) == pytest.approx((1e-3, 0.0))


UNITS: list[tuple[str, str, tuple[float, float] | None]] = [
    ("bar", "bar", (1.0, 0.0)),
    ("m3/h", "l/min", (1000 / 60, 0.0)),
    ("m³/h", "l/s", (1 / 3.6, 0.0)),
    ("°C", "K", (1.0, 273.15)),
    ("%", "1", (0.01, 0.0)),
    ("g", "m/s2", (9.80665, 0.0)),
    ("1/min", "Hz", (1 / 60, 0.0)),
    ("mm/s", "m/s", (1e-3, 0.0)),
    ("kW", "W", (1000.0, 0.0)),
    ("bar", "degC", None),
    ("furlong per what", "m/s", None),
    ("__import__('os')", "bar", None),
    ("", "bar", None),
    ("1", "%", (100.0, 0.0)),
    ("rpm", "Hz", (1 / 60, 0.0)),
    ("rad/s", "rpm", (60 / (2 * math.pi), 0.0)),
    ("m·s⁻²", "m/s2", None),
    ("kg m/s^2", "N", (1.0, 0.0)),
    ("W/(m2 K)", "W/m2/K", None),
    ("9**9**9**9", "1", None),
    ("m**99999999", "m", None),
    ("Nm", "J", (1.0, 0.0)),
    ("V·A", "W", (1.0, 0.0)),
]


@pytest.mark.parametrize(("have", "want", "found"), UNITS)
def test_linear(have: str, want: str, found: tuple[float, float] | None) -> None:
    """Each row says how one unit becomes another."""
    assert linear(have, want) == (None if found is None else pytest.approx(found))


def test_unit_by_its_number() -> None:
    """Where the name says nothing, the number of the unit does (UN/CEFACT)."""
    assert code_letters(4342098) == "BAR"
    assert linear("Druck", "mbar", 4342098) == pytest.approx((1000.0, 0.0))
    assert linear("Druck", "mbar", 0) is None
    assert [code_letters(number) for number in (0, -1, 2**31, 1)] == [""] * 4


@given(st.text(max_size=60), st.integers())
def test_any_unit(name: str, number: int) -> None:
    """Whatever a server calls its unit, there is a way or there is none."""
    linear(name, "bar", number)
