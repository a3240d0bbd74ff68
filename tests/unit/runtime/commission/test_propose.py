"""Which node is proposed for which role: by name, by unit, beside the others."""

from dataclasses import dataclass

import msgspec
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


FLOW, PRESSURE = Wanted("flow", "l/min"), Wanted("pressure", "bar")
RECIPE = Wanted("recipe", "1", feature=False)


@dataclass(frozen=True, slots=True)
class Plays:
    """A node, and how well it plays a role."""

    node: Node
    score: float
    unit_fit: UnitFit = UnitFit.SAME
    wanted: Wanted = FLOW


PLAYS: dict[str, Plays] = {
    "a number in the unit": Plays(node("/p/flow", "l/min"), 1.0),
    "a number in a unit that converts": Plays(node("/p/flow", "m3/h"), 0.97, UnitFit.CONVERTED),
    "a number without a unit": Plays(node("/p/flow"), 0.9, UnitFit.NOT_SHOWN),
    "a whole number": Plays(node("/p/flow", "l/min", "UInt16"), 1.0),
    "a number that may be written too": Plays(node("/p/flow", "l/min", access="rw"), 1.0),
    "nothing is said of who may read it": Plays(node("/p/flow", "l/min", access=""), 1.0),
    "half of the name, in the unit": Plays(
        node("/p/motor", "A"), 0.5, wanted=Wanted("motor_current", "A")
    ),
    "half of the name, the other half above": Plays(
        node("/motor/current", "A"), 0.9, wanted=Wanted("motor_current", "A")
    ),
    "an id as long as an address may be": Plays(node("/" + "p" * 287 + "/flow", "l/min"), 1.0),
    "an id longer than that": Plays(node("/" + "p" * 288 + "/flow", "l/min"), 0.0),
    "an id that acts on a terminal": Plays(node("/\x1b[2J/flow", "l/min"), 0.0),
    "a number in another quantity": Plays(node("/p/flow", "bar"), 0.0, UnitFit.FOREIGN),
    "a text": Plays(node("/p/flow", "l/min", "String"), 0.0),
    "an array": Plays(node("/p/flow", "l/min", "Double[]"), 0.0),
    "nothing that may be read": Plays(node("/p/flow", "l/min", access="w"), 0.0),
    "a text for a recipe": Plays(node("/p/recipe", kind="String"), 1.0, wanted=RECIPE),
    "one in a language, for a recipe": Plays(
        node("/p/recipe", kind="LocalizedText"), 1.0, wanted=RECIPE
    ),
    "a number for a recipe, whatever its unit": Plays(
        node("/p/recipe", "bar", "Int32"), 1.0, wanted=RECIPE
    ),
    "a date for a recipe": Plays(node("/p/recipe", kind="DateTime"), 0.0, wanted=RECIPE),
}


@pytest.mark.parametrize("name", PLAYS)
def test_fits(name: str) -> None:
    """Each row is a node, a role, how well the one plays the other, and what its unit says."""
    case = PLAYS[name]
    found = score(case.wanted, case.node)
    assert found.node is case.node
    assert found.score == pytest.approx(case.score, abs=1e-12)
    assert found.unit_fit is case.unit_fit


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


@dataclass(frozen=True, slots=True)
class Found:
    """What a server has, what is chosen for the flow, and what fits as well."""

    nodes: list[Node]
    chosen: str | None
    others: tuple[str, ...] = ()


# Flow and pressure are wanted. A place has 0.15 for each role that it fits exactly.
FOUND: dict[str, Found] = {
    "one in a folder with a pressure, before three alone in another": Found(
        [
            *(node("/a/flow_1", "l/min"), node("/a/flow_2", "l/min"), node("/a/flow_3", "l/min")),
            *(node("/b/flow", "l/min"), node("/b/pressure", "bar")),
        ],
        "/b/flow",
    ),
    "without a unit, with a pressure: a little before one that is alone": Found(
        [node("/a/flow", "l/min"), node("/b/flow"), node("/b/pressure", "bar")],
        "/b/flow",
        ("/a/flow",),
    ),
    "an inexact name, with a pressure: behind one that is alone": Found(
        [node("/b/flo"), node("/b/pressure", "bar"), node("/a/flow", "l/min")],
        "/a/flow",
    ),
    "in a unit that converts: nearly as good": Found(
        [node("/p/flow_2", "m3/h"), node("/p/flow_1", "l/min")], "/p/flow_1", ("/p/flow_2",)
    ),
    "without a unit: clearly worse": Found(
        [node("/p/flow_2"), node("/p/flow_1", "l/min")], "/p/flow_1"
    ),
    "three alike: the server's first": Found(
        [node("/p/flow_3"), node("/p/flow_1"), node("/p/flow_2")],
        "/p/flow_3",
        ("/p/flow_1", "/p/flow_2"),
    ),
    "what is no variable is none": Found(
        [msgspec.structs.replace(node("/p/flow", "l/min"), kind="method")], None
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    """Each row is a server and what is proposed for the flow."""
    case = FOUND[name]
    flow, _ = propose([FLOW, PRESSURE], case.nodes)
    assert flow.wanted is FLOW
    assert (flow.chosen and flow.chosen.node.path) == case.chosen
    assert tuple(each.node.path for each in flow.others) == case.others
    assert (flow.missing, flow.ambiguous) == (case.chosen is None, bool(case.others))


def test_best_beside() -> None:
    """Each role counts once for a folder: with the best that it has there."""
    wanted = [FLOW, PRESSURE, Wanted("motor_current", "A")]
    nodes = [
        *(node("/a/flow", "l/min"), node("/a/pressure_1"), node("/a/pressure", "bar")),
        *(node("/a/pressure_2"), node("/b/flow", "l/min"), node("/b/pressure", "bar")),
        node("/b/motor_current"),
    ]
    assert chosen(wanted, nodes)["flow"] == "/b/flow"


def test_half_is_enough() -> None:
    """What scores exactly the least is a candidate."""
    [found] = propose([Wanted("motor_current", "A")], [node("/p/motor", "A")])
    assert found.chosen is not None
    assert found.chosen.score == SCORE_MIN


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


def test_near() -> None:
    """Of the right quantity are numbers with a unit of it, the server's first five."""
    others = [node(f"/p/AI_{number}", "m3/h") for number in range(7)]
    unfit = [node("/p/x"), node("/p/y", "bar"), node("/p/z", "l/min", "String")]
    [found] = propose([FLOW], [*unfit, *others])
    assert found.near == tuple(others[:5])


def test_near_of_a_plain_number() -> None:
    """What has no unit has no quantity that others could be of."""
    [found] = propose([Wanted("ratio", "1")], [node("/p/AI_17", "1")])
    assert (found.missing, found.near) == (True, ())


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


CONTRACTS: dict[str, tuple[str | None, list[Wanted]]] = {
    "no regime": (None, [Wanted("flow", "bar"), Wanted("pressure", "bar")]),
    "a regime of its own, in no unit": (
        "recipe",
        [Wanted("flow", "bar"), Wanted("pressure", "bar"), RECIPE],
    ),
    "a regime that is a feature too": (
        "pressure",
        [Wanted("flow", "bar"), Wanted("pressure", "bar")],
    ),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract_roles(name: str) -> None:
    """Each row is a regime, and what is wanted: the features in their order, then the regime."""
    regime, expected = CONTRACTS[name]
    made = msgspec.structs.replace(signature(), regime_role=regime)
    assert wanted_by(made) == expected
