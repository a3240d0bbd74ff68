"""A configuration that does not fit is refused with the key, what it should be, and what it is."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from edge_core.contracts.errors import ConfigurationError
from edge_core.misfit import from_toml, misfit


class Shift(Enum):
    """When."""

    EARLY = "early"
    LATE = "late"


class Base(Struct, tag_field="kind", forbid_unknown_fields=True):
    """What both have."""

    name: Annotated[str, Meta(min_length=1, max_length=4)]


class Pump(Base, tag="pump"):
    """One of two."""

    flow: Annotated[float, Meta(gt=0, le=10)] = 1.0


class Fan(Base, tag="fan"):
    """The other."""

    blades: Annotated[int, Meta(ge=2)] | None = None


class Span(Struct, forbid_unknown_fields=True):
    """What checks itself."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"span.low: expected at most {self.high}, found {self.low}")


class Plant(Struct, forbid_unknown_fields=True):
    """A document with all that a configuration has."""

    serial: Annotated[str, Meta(pattern="^[a-z]+$")]
    folder: Path = Path()
    shift: Shift = Shift.EARLY
    level: Literal["info", "warning"] = "info"
    machines: Annotated[list[Pump | Fan], Meta(max_length=2)] = []
    limits: dict[str, Annotated[int, Meta(le=9)]] = {}
    spare: Pump | None = None
    quiet: bool = False
    span: Span | None = None
    at: int | str = 0


CASES = {
    "a text that has another form": (
        'serial = "A"',
        "serial: expected text that matches ^[a-z]+$, found 'A'",
    ),
    "a text that is a number": (
        "serial = 1",
        "serial: expected text that matches ^[a-z]+$, found 1",
    ),
    "a key that is missing": (
        "quiet = true",
        "serial: expected text that matches ^[a-z]+$, found nothing",
    ),
    "a key with a slip": ('serial = "a"\nsihft = "early"', "sihft: no such key, expected `shift`"),
    "a key like none": (
        'serial = "a"\nspare = {kind = "pump", name = "p", zzz = 1}',
        "spare.zzz: no such key, expected one of name, flow",
    ),
    "a word that is none of them": (
        'serial = "a"\nshift = "night"',
        "shift: expected one of early, late, found 'night'",
    ),
    "a literal that is none of them": (
        'serial = "a"\nlevel = "loud"',
        "level: expected one of info, warning, found 'loud'",
    ),
    "a path that is a number": ('serial = "a"\nfolder = 4', "folder: expected a path, found 4"),
    "true where a word says so": (
        'serial = "a"\nquiet = "yes"',
        "quiet: expected true or false, found 'yes'",
    ),
    "a number at its bound": (
        'serial = "a"\nmachines = [{kind = "pump", name = "p", flow = 0.0}]',
        "machines[0].flow: expected a number above 0 and at most 10, found 0.0",
    ),
    "a number below its bound in the second of a list": (
        'serial = "a"\nmachines = [{kind="pump", name="p"}, {kind="fan", name="f", blades=1}]',
        "machines[1].blades: expected a whole number of at least 2, found 1",
    ),
    "a list that is too long": (
        'serial = "a"\nmachines = [{kind="fan", name="p"}, {kind="fan"}, {kind="fan"}]',
        "machines: expected a list of at most 2 entries, found a list of 3",
    ),
    "a text that is too long": (
        'serial = "a"\nspare = {kind="pump", name="pumps"}',
        "spare.name: expected text of 1 to 4 characters, found 'pumps'",
    ),
    "a kind that there is not": (
        'serial = "a"\nmachines = [{kind="valve", name="v"}]',
        "machines[0].kind: expected one of pump, fan, found 'valve'",
    ),
    "no kind at all": (
        'serial = "a"\nmachines = [{name="v"}]',
        "machines[0].kind: expected one of pump, fan, found nothing",
    ),
    "a table where a list is": (
        'serial = "a"\nmachines = {kind="pump"}',
        "machines: expected a list of at most 2 entries, found a table",
    ),
    "a list where a table is": (
        'serial = "a"\nspare = []',
        "spare: expected a table, found an empty list",
    ),
    "one of two types": (
        'serial = "a"\nat = true',
        "at: expected a whole number or text, found true",
    ),
    "what a type of ours finds itself": (
        'serial = "a"\nspan = {low = 2, high = 1}',
        "plant.toml: span.low: expected at most 1, found 2",
    ),
    "letters that hide": ('serial = "\\u202e"', r"found '\u202e'"),
    "a value without end": (f'serial = "{"A" * 500}"', "found '" + "A" * 58 + "…"),
    "no TOML": ("serial =", "expected TOML: "),
    "no text": (b"\xff", "expected TOML: "),
}


@pytest.mark.parametrize(("text", "said"), CASES.values(), ids=CASES)
def test_says_what_to_mend(text: str | bytes, said: str) -> None:
    """Every kind of misfit names key, expectation and find."""
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigurationError) as refused:
        from_toml(raw, Plant, what="plant.toml")
    line = str(refused.value)
    assert line.startswith("plant.toml: ")
    assert line.endswith(said) or (said in line and said.endswith(": "))


def test_fits() -> None:
    """What fits is decoded."""
    found = from_toml(b'serial = "a"\nfolder = "b"\nlimits = {x = 9}', Plant, what="plant.toml")
    assert found == Plant(serial="a", folder=Path("b"), limits={"x": 9})


def test_below_a_key_that_nobody_names() -> None:
    """What msgspec itself cannot place is told in its own words."""
    with pytest.raises(ConfigurationError, match=r"Expected `int` <= 9 - at `\$.limits\[...\]`"):
        from_toml(b'serial = "a"\nlimits = {x = 10}', Plant, what="plant.toml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 20) | st.floats(-3, 20) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Plant.__struct_fields__, "kind", "name", "flow", "blades", "odd"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_document(document: object) -> None:
    """Whatever it is, it fits or is refused with words; nothing else happens."""
    try:
        msgspec.convert(document, Plant)
    except msgspec.ValidationError as error:
        line = misfit(error, Plant, document)
        assert "expected" in line.lower() or "`" in line
