"""Cohorts of small plants by name: who is in which, what each is called, and what is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from edge_core.contracts.plant import GatewayPlace, Inventory, Position, SafetyClass, Zone
from edge_core.contracts.rollout import CohortRule
from edge_site_proxy.rollout.cohorts import cohorts, rank, safety_zones
from edge_site_proxy.rollout.errors import UnplannableError

ONE, TWO, ALL = (
    CohortRule(name="canary", share=0.0, least=1),
    CohortRule(name="early", share=0.0, least=2),
    CohortRule(name="all", share=1.0, least=1),
)


def place(serial: str, *, line: str = "", group: str | None = None, **more: str) -> GatewayPlace:
    """A gateway, on a line of its own unless one is named."""
    position = Position(site="P", area="A", line=line or serial, cell="C", asset="a")
    zone, hardware = more.get("zone", "plain"), more.get("hardware", "h")
    return GatewayPlace(
        serial=serial,
        position=position,
        zone=zone,
        model="m",
        hardware=hardware,
        redundancy_group=group,
    )


def in_rank(count: int) -> list[str]:
    """So many serials, as rollout r ranks them."""
    return sorted((f"g{number}" for number in range(count)), key=lambda serial: rank("r", serial))


A, B, C, D, E, F = in_rank(6)


@dataclass(frozen=True)
class Row:
    """A plant and its rules; the cohorts that follow."""

    places: Sequence[GatewayPlace]
    expected: list[tuple[str, list[str]]]
    rules: Sequence[CohortRule] = (ONE, TWO, ALL)
    silent: frozenset[str] = frozenset()
    serving: bool = True
    safety: list[str] = field(default_factory=list)


EVERY = [place(serial) for serial in (F, E, D, C, B, A)]
PAIRED = [place(A, group="p"), place(B, group="p"), place(C), place(D), place(E)]
ROWS = {
    "by rank, in the sizes of the rules": Row(
        EVERY, [("canary", [A]), ("early", [B, C]), ("all", [D, E, F])]
    ),
    "a share is rounded up": Row(
        EVERY,
        [("canary", [A, B]), ("all", [C, D, E, F])],
        (CohortRule(name="canary", share=0.17, least=1), ALL),
    ),
    "one rule takes all": Row(EVERY, [("all", [A, B, C, D, E, F])], (ALL,)),
    "the first model of a plant goes to all, in rank order": Row(
        PAIRED, [("install", [A, B, C, D, E])], serving=False
    ),
    "a plant as large as its first cohorts ends with them": Row(
        EVERY[3:], [("canary", [A]), ("early", [B, C])]
    ),
    "a plant too small for its second cohort goes on with the rest": Row(
        EVERY[4:], [("canary", [A]), ("all", [B])]
    ),
    "a plant of one is its canary": Row(EVERY[5:], [("canary", [A])]),
    "the canary is on different lines, the others need not be": Row(
        [
            place(A, line="L"),
            place(B, line="L"),
            place(C),
            *(place(each, line="L") for each in (D, E)),
        ],
        [("canary", [A, C]), ("early", [B, D]), ("all", [E])],
        (CohortRule(name="canary", share=0.0, least=2), TWO, ALL),
    ),
    "a partner waits for the cohort after the next": Row(
        PAIRED, [("canary", [A]), ("early", [C, D]), ("all", [B, E])]
    ),
    "a partner in the last cohort gets a wave of its own": Row(
        [place(A), place(B), place(C), place(D, group="p"), place(E, group="p"), place(F)],
        [("canary", [A]), ("early", [B, C]), ("all", [D, F]), ("all-2", [E])],
    ),
    "three of a group take three waves": Row(
        [place(serial, group="p") for serial in (A, B, C)],
        [("all", [A]), ("all-2", [B]), ("all-3", [C])],
        (ALL,),
    ),
    "two on one line may share a later cohort": Row(
        [place(serial, line="L") for serial in (A, B, C)],
        [("canary", [A]), ("early", [B, C])],
    ),
    "and the last cohort": Row(
        [place(serial, line="L") for serial in (A, B, C)], [("all", [A, B, C])], (ALL,)
    ),
    "hardware is mixed early": Row(
        [
            place(A, hardware="x"),
            place(B, hardware="x"),
            place(C, hardware="y"),
            place(D, hardware="x"),
        ],
        [("canary", [A]), ("early", [C, B]), ("all", [D])],
    ),
    "a zone counts as hardware does": Row(
        [place(A, zone="x"), place(B, zone="x"), place(C, zone="y"), place(D, zone="x")],
        [("canary", [A]), ("early", [C, B]), ("all", [D])],
    ),
    "who is not heard is in the last cohort": Row(
        EVERY, [("canary", [B]), ("early", [C, D]), ("all", [E, F, A])], silent=frozenset({A})
    ),
    "where nobody is heard the order is as ever": Row(
        EVERY,
        [("canary", [A]), ("early", [B, C]), ("all", [D, E, F])],
        silent=frozenset({A, B, C, D, E, F}),
    ),
    "safety zones come last, in waves of their own": Row(
        [
            place(A, zone="boiler", group="p"),
            place(B, zone="boiler", group="p"),
            place(C),
            place(D),
            place(E),
        ],
        [("canary", [C]), ("early", [D, E]), ("safety", [A]), ("safety-2", [B])],
        safety=["safety", "safety-2"],
    ),
    "a plant of safety zones has no canary": Row(
        [place(A, zone="boiler"), place(B, zone="boiler")], [("safety", [A, B])], safety=["safety"]
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_plan(row: Row) -> None:
    """Each row is a plant small enough to say who moves when."""
    made = cohorts(
        "r",
        row.places,
        row.rules,
        safety=frozenset({"boiler"}),
        serving=row.serving,
        silent=row.silent,
    )
    assert [(part.name, part.members) for part in made] == row.expected
    assert [part.name for part in made if part.safety] == row.safety


def test_a_second_cohort_that_cannot_be_formed_is_refused() -> None:
    """Partners of the canary are no second cohort; it says how many there are of how many."""
    plant = [place(serial, group="p") for serial in (A, B, C)]
    with pytest.raises(UnplannableError, match="cohort early expected 2 gateways, found 0 of 2"):
        cohorts("r", plant, (ONE, TWO, ALL), safety=frozenset(), serving=True)


def test_safety_zones() -> None:
    """The zones that are classified so, by name."""
    inventory = Inventory(
        site="P",
        zones=[
            Zone(name="plain"),
            Zone(name="boiler", safety_class=SafetyClass.SAFETY),
            Zone(name="press", safety_class=SafetyClass.SAFETY),
        ],
        gateways=[place(A)],
    )
    assert safety_zones(inventory) == {"boiler", "press"}
