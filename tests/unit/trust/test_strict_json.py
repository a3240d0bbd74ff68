"""Strict JSON: what one parser might read in another way is not read at all."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.errors import RefusedError
from edge_core.trust import strict_json

REFUSED = {
    "a key comes twice": b'{"a":1,"a":2}',
    "a key comes twice, once escaped": b'{"a":1,"\\u0061":2}',
    "a key comes twice far inside": b'[{"x":{"a":1,"a":1}}]',
    "NaN is no number": b'{"a":NaN}',
    "infinity is no number": b"[-Infinity]",
    "a number that overflows is infinity": b"[1e999]",
    "a lone surrogate is no text": b'["\\ud800"]',
    "a lone surrogate as a key": b'{"\\udfff":1}',
    "raw bytes of a surrogate are not UTF-8": b'["\xed\xa0\x80"]',
    "a byte order mark is not JSON": b"\xef\xbb\xbf{}",
    "UTF-16 is not UTF-8": '{"a":1}'.encode("utf-16"),
    "two documents": b"{}{}",
    "a comment": b"{}//",
    "a trailing comma": b"[1,]",
    "nothing": b"",
    "an integer too long to convert": b"[" + b"9" * 5000 + b"]",
    "deeper than allowed": b"[" * 33 + b"]" * 33,
    "deep enough to exhaust a stack": b"[" * 200_000,
    "longer than allowed": b" " * (strict_json.BYTES_MAX + 1),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw: bytes) -> None:
    """Every row is a refusal that names the document and fits one line."""
    with pytest.raises(RefusedError, match=r"\Areport: expected ") as refusal:
        strict_json.parse(raw, what="report")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


def test_depth_is_inclusive() -> None:
    """The deepest allowed document passes."""
    raw = b"[" * 32 + b"]" * 32
    assert strict_json.parse(raw, what="report") is not None


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below),
    max_leaves=12,
)


@settings(deadline=None)  # a busy machine is no failure
@given(_VALUES)
def test_sound_documents_pass(value: object) -> None:
    """What any writer writes of finite values comes back equal."""
    assert strict_json.parse(json.dumps(value).encode(), what="report") == value


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Nothing else than a refusal ever comes out of bad bytes."""
    try:
        strict_json.parse(raw, what="report")
    except RefusedError:
        return


def test_decode_says_where() -> None:
    """A document of the wrong shape is refused with the path of the misfit."""

    class Report(msgspec.Struct):
        counts: list[int]

    with pytest.raises(RefusedError, match=r"report: Expected `int`, got `str` - at `\$.counts"):
        strict_json.decode(b'{"counts":[1,"two"]}', Report, what="report")


def test_shown_text_is_inert() -> None:
    """Escape sequences of a terminal come out as plain ASCII, cut short."""
    assert strict_json.shown("\x1b[31mred") == "'\\x1b[31mred'"
    assert len(strict_json.shown("x" * 10_000)) < 100
