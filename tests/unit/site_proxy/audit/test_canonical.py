"""Canonical JSON as RFC 8785 has it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.audit.canonical import INTEGER_MAX, canonical

# From RFC 8785, appendix B, and ECMA-262's own examples.
NUMBERS = {
    0.0: "0",
    5e-324: "5e-324",
    1.7976931348623157e308: "1.7976931348623157e+308",
    9007199254740992.0: "9007199254740992",
    295147905179352830000.0: "295147905179352830000",
    1e21: "1e+21",
    9.999999999999997e22: "9.999999999999997e+22",
    1e-6: "0.000001",
    1e-7: "1e-7",
    333333333.33333329: "333333333.3333333",
    4.5: "4.5",
    -1.5e-9: "-1.5e-9",
    100.0: "100",
    1424953923781206.2: "1424953923781206.2",
}


@pytest.mark.parametrize(("number", "written"), NUMBERS.items(), ids=NUMBERS.values())
def test_numbers(number: float, written: str) -> None:
    """Numbers are written as ECMAScript writes them."""
    assert canonical(number) == written.encode()


def test_key_order() -> None:
    """Keys stand in the order of their UTF-16 code units, as in RFC 8785, section 3.2.3."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    found = json.loads(canonical(dict.fromkeys(keys, 0)), object_pairs_hook=list)
    assert [key for key, _ in found] == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


def test_text() -> None:
    """Only what JSON demands is escaped, in lower-case hex."""
    assert canonical("\u20ac$\u000f\u000aA'B\"\\\u007f") == (
        '"\u20ac$\\u000f\\nA\'B\\"\\\\\u007f"'.encode()
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def exactly(text: str) -> float:
    """An integer where it is exact, else the double that was written without a point."""
    return int(text) if abs(int(text)) <= INTEGER_MAX else float(text)


@given(JSON)
def test_reads_back(value: object) -> None:
    """What is written means the same, and is its own canonical form."""
    raw = canonical(value)
    again = json.loads(raw, parse_int=exactly)
    assert again == value
    assert canonical(again) == raw


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, {1: 2}, {1, 2}, b"x"])
def test_refused(value: object) -> None:
    """What JSON cannot carry exactly is refused rather than rounded."""
    with pytest.raises(ValueError, match="canonical JSON"):
        canonical(value)
