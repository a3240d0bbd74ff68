"""Which node is proposed for which role: by name, by unit, beside the others."""

from dataclasses import dataclass

import pytest

from edge_runtime.commission.nodes import Node
from edge_runtime.commission.propose import (
    SCORE_MIN,
    UnitFit,
    Wanted,
    propose,
    score,
    unit_fit,
    wanted_by,
)
from edge_runtime.commission.similar import name_score
from edge_runtime.commission.tagmap import ambiguous_words, as_tags, missing_words
from tests.simulators.releases import signature


def node(path: str, unit: str = "", kind: str = "Double", access: str = "r") -> Node:
    """A variable at *path*."""
    name = path.rpartition("/")[2]
    return Node(node=f"ns=2;s={path}", path=path, name=name, type=kind, unit=unit, access=access)


@dataclass(frozen=True, slots=True)
class Sounds:
    """What a node is called, and the least and the most that it sounds like a role."""

    role: str
    name: str
    least: float
    most: float = 1.0
    above: str = ""


SOUNDS: dict[str, Sounds] = {
    "the same word": Sounds("flow", "flow", 1.0),
    "the same words, written otherwise": Sounds("motor_current", "MotorCurrent", 1.0),
    "a number beside it": Sounds("flow", "Flow_101", 1.0),
    "a shortened word": Sounds("temperature", "Temp2", 0.8),
    "two shortened words": Sounds("motor_current", "mot_curr", 0.8),
    "a skeleton": Sounds("current", "crnt", 0.8),
    "German": Sounds("pressure", "Druck", 0.85),
    "a misspelling": Sounds("vibration", "vibraton", 0.5),
    "an instrument's letters": Sounds("flow", "FT-101", 0.7),
    "an indicator's letters": Sounds("temperature", "TIT_7", 0.7),
    "half of it is the folder's name": Sounds("motor_current", "current", 0.7, above="/motor"),
    "the value of a folder that is called so": Sounds("flow", "Value", 0.6, above="/Flow"),
    "another word beside it": Sounds("flow", "flow_suction", 0.85, 0.95),
    "a set point is not the measurement": Sounds("flow", "flow_sp", 0.0, 0.5),
    "an alarm limit is not the measurement": Sounds("pressure", "PressureHighLimit", 0.0, 0.5),
    "the other axis": Sounds("vibration_x", "vibration_y", 0.0, 0.49),
    "the other temperature": Sounds("motor_temperature", "fluid_temperature", 0.0, 0.49),
    "an instrument of something else": Sounds("flow", "PT-101", 0.0, 0.0),
    "nothing in common": Sounds("flow", "AI_17", 0.0, 0.0),
    "no letters at all": Sounds("flow", "17", 0.0, 0.0),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_names(name: str) -> None:
    """Each row is a name, a role, and how alike they sound."""
    case = SOUNDS[name]
    found = name_score(case.role, case.name, case.above)
    assert case.least <= found <= case.most


UNITS: dict[str, tuple[str, str, UnitFit]] = {
    "the same": ("bar", "bar", UnitFit.SAME),
    "the same, spelled otherwise": ("L/min", "l/min", UnitFit.SAME),
    "one factor away": ("mbar", "bar", UnitFit.CONVERTED),
    "not shown": ("", "bar", UnitFit.NOT_SHOWN),
    "another quantity": ("degC", "bar", UnitFit.FOREIGN),
    "one that nobody knows": ("furlong", "bar", UnitFit.FOREIGN),
}


@pytest.mark.parametrize("name", UNITS)
def test_units(name: str) -> None:
    """Each row is a node's unit, the contract's, and what that says."""
    have, want, fit = UNITS[name]
    assert unit_fit(have, want) is fit


FITS: dict[str, tuple[Node, bool]] = {
    "a number in the unit": (node("/p/flow", "l/min"), True),
    "a number in a unit that converts": (node("/p/flow", "m3/h"), True),
    "a number without a unit": (node("/p/flow"), True),
    "a whole number": (node("/p/flow", "l/min", "UInt16"), True),
    "a number in another quantity": (node("/p/flow", "bar"), False),
    "a text": (node("/p/flow", kind="String"), False),
    "an array": (node("/p/flow", kind="Double[]"), False),
    "nothing that may be read": (node("/p/flow", access="w"), False),
    "an id longer than an address may be": (node("/" + "p" * 400 + "/flow"), False),
    "an id that acts on a terminal": (node("/\x1b[2J/flow"), False),
}


@pytest.mark.parametrize("name", FITS)
def test_fits(name: str) -> None:
    """Each row is a node, and whether it can play `flow` in l/min."""
    found, fits = FITS[name]
    assert (score(Wanted("flow", "l/min"), found).score >= SCORE_MIN) is fits


FLOW, PRESSURE = Wanted("flow", "l/min"), Wanted("pressure", "bar")


def chosen(wanted: list[Wanted], nodes: list[Node]) -> dict[str, str | None]:
    """The path chosen for each role."""
    return {
        each.wanted.role: None if each.chosen is None else each.chosen.node.path
        for each in propose(wanted, nodes)
    }


def test_unit_decides() -> None:
    """Of two nodes that are called alike the one whose unit fits is taken."""
    nodes = [node("/a/pt1", "degC"), node("/a/pt2", "mbar")]
    assert chosen([PRESSURE], nodes) == {"pressure": "/a/pt2"}


def test_stays_with_the_machine() -> None:
    """A role is taken from the folder that has the other roles too, without a doubt left."""
    nodes = [
        node("/other/flow", "l/min"),
        node("/pump/flow", "l/min"),
        node("/pump/pressure", "bar"),
    ]
    found = propose([FLOW, PRESSURE], nodes)
    assert [each.chosen.node.path for each in found if each.chosen] == [
        "/pump/flow",
        "/pump/pressure",
    ]
    assert not any(each.ambiguous for each in found)


def test_two_machines() -> None:
    """Of two machines that fit alike one is proposed as a whole, and the other is named."""
    nodes = [node(f"/{pump}/{name}") for pump in ("p1", "p2") for name in ("flow", "pressure")]
    found = propose([FLOW, PRESSURE], nodes)
    assert chosen([FLOW, PRESSURE], nodes) == {"flow": "/p1/flow", "pressure": "/p1/pressure"}
    assert all(each.ambiguous for each in found)
    assert "/p2/flow fit as well" in ambiguous_words(found[0])


def test_a_node_plays_one_role() -> None:
    """What plays one role is not proposed for another."""
    wanted = [Wanted("inlet_pressure", "bar"), Wanted("pressure", "bar")]
    assert chosen(wanted, [node("/p/pressure", "bar")]) == {
        "inlet_pressure": None,
        "pressure": "/p/pressure",
    }


def test_missing() -> None:
    """A role without a candidate says what has its quantity at least."""
    [found] = propose([FLOW], [node("/p/AI_17", "m3/h"), node("/p/AI_18", "bar")])
    assert found.missing
    words = missing_words(found)
    assert words.startswith("flow: expected")
    assert "/p/AI_17 (m3/h)" in words
    assert "AI_18" not in words


def test_text_is_a_configuration() -> None:
    """The text is TOML that a gateway's configuration takes, hostile names and all."""
    import tomllib  # noqa: PLC0415 - one test needs it

    mapped = propose([FLOW, PRESSURE], [node('/p"]]/flow', "m3/h")])
    text = "\n".join(as_tags(mapped, "plc", 'pump "x"\n[evil]'))
    [tag] = tomllib.loads(text)["tags"]
    assert tag == {
        "role": "flow",
        "unit": "l/min",
        "source": "plc",
        "address": 'ns=2;s=/p"]]/flow',
    }
    assert "# the server has m3/h, which is converted" in text
    assert "pressure: expected" in text


def test_range() -> None:
    """The server's range becomes the tag's limits, in the tag's unit."""
    ranged = Node(
        node="i=1",
        path="/p/pressure",
        name="pressure",
        type="Double",
        unit="mbar",
        low=0,
        high=2500,
    )
    text = "\n".join(as_tags(propose([PRESSURE], [ranged]), "plc", "pump"))
    assert "low = 0.0" in text
    assert "high = 2.5" in text


def test_contract_roles() -> None:
    """Each role of a contract is wanted once, in the order of its features."""
    assert wanted_by(signature()) == [Wanted("flow", "bar"), Wanted("pressure", "bar")]
