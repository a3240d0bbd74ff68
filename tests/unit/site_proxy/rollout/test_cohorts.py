"""Who moves when: sizes, strata, redundancy groups, lines and safety zones."""

import hashlib
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.plant import GatewayPlace, Position
from edge_core.contracts.rollout import CohortRule
from edge_site_proxy.rollout.cohorts import cohorts, rank
from edge_site_proxy.rollout.errors import UnplannableError

RULES = [
    CohortRule(name="canary", share=0.01, least=3),
    CohortRule(name="early", share=0.1, least=3),
    CohortRule(name="all", share=1.0, least=1),
]
SAFETY = frozenset({"boiler"})


@st.composite
def fleets(draw: st.DrawFn) -> list[GatewayPlace]:
    """Plants of 12 to 80 gateways on 4 to 8 lines, a third of them in pairs."""
    count, lines = draw(st.integers(12, 80)), draw(st.integers(4, 8))
    pairs = draw(st.integers(0, count // 6))
    zones = draw(st.lists(st.sampled_from(["plain", "plain", "boiler"]), min_size=3, max_size=3))
    return [
        GatewayPlace(
            serial=f"g{number:03}",
            position=Position(
                site="P",
                area="A",
                line=f"L{number % lines}",
                cell=f"C{number}",
                asset=f"a{number}",
            ),
            zone=zones[number % 3] if number >= 12 else "plain",
            model="m",
            hardware=f"h{number % 2}",
            redundancy_group=f"p{number // 2}" if number // 2 < pairs else None,
        )
        for number in range(count)
    ]


@given(fleets(), st.integers(0, 50))
def test_rules_hold(places: list[GatewayPlace], seed: int) -> None:
    """Each gateway once, quotas kept, no pair together or back to back, safety last and alone."""
    try:
        made = cohorts(f"r{seed}", places, RULES, safety=SAFETY, serving=True)
    except UnplannableError:
        return
    by_serial = {place.serial: place for place in places}
    count = Counter(serial for part in made for serial in part.members)
    assert set(count) == set(by_serial)
    assert set(count.values()) == {1}
    canary = made[0]
    assert len(canary.members) == max(3, math.ceil(0.01 * len(places)))
    canary_lines = [by_serial[serial].position.line for serial in canary.members]
    assert len(set(canary_lines)) == len(canary_lines)
    plain = [part for part in made if not part.safety]
    assert made == [*plain, *(part for part in made if part.safety)]
    for part in made:
        zones = {by_serial[serial].zone in SAFETY for serial in part.members}
        assert zones == {part.safety}
    for before, part in zip([None, *plain], plain, strict=False):
        groups = [by_serial[serial].redundancy_group for serial in part.members]
        named = [group for group in groups if group is not None]
        assert len(set(named)) == len(named)
        if before is not None:
            earlier = {by_serial[serial].redundancy_group for serial in before.members} - {None}
            # Where only partners are left, the cohort before has passed its gate by then.
            assert not earlier & set(named) or set(groups) <= earlier


@given(fleets())
def test_inventory_order_does_not_matter(places: list[GatewayPlace]) -> None:
    """Membership is a function of rollout id, members and policy alone (S13)."""
    try:
        made = cohorts("r", places, RULES, safety=SAFETY, serving=True)
    except UnplannableError:
        return
    assert cohorts("r", list(reversed(places)), RULES, safety=SAFETY, serving=True) == made


def test_rank_is_published() -> None:
    """Anybody can recompute the rank of a gateway with a stock tool."""
    assert rank("r1", "g1") == hashlib.sha256(b"r1\x00g1").digest()


def _places(count: int, line: str = "L1") -> list[GatewayPlace]:
    return [
        GatewayPlace(
            serial=f"g{number}",
            position=Position(site="P", area="A", line=line, cell="C", asset="a"),
            zone="plain",
            model="m",
        )
        for number in range(count)
    ]


def test_a_canary_that_cannot_be_formed_is_refused() -> None:
    """Ten gateways on one line give no canary of three on different lines; it says so."""
    with pytest.raises(UnplannableError, match="canary expected 3 gateways, found 1"):
        cohorts("r", _places(10), RULES, safety=SAFETY, serving=True)


def test_nobody_to_move_is_refused() -> None:
    """A release that no gateway here can run is not a plan."""
    with pytest.raises(UnplannableError, match="found none"):
        cohorts("r", [], RULES, safety=SAFETY, serving=True)


def test_the_first_model_of_a_plant() -> None:
    """Where nothing is served nothing can be disturbed: one cohort of all."""
    made = cohorts("r", _places(4), RULES, safety=SAFETY, serving=False)
    assert [(part.name, len(part.members)) for part in made] == [("install", 4)]
