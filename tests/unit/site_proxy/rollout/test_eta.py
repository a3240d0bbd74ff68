"""How long a plan takes at least, and what it says that it takes so long for."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import TrialPolicy
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import ChangeWindow, Cohort, Plan, Policy
from edge_site_proxy.rollout.cohorts import cohorts
from edge_site_proxy.rollout.eta import Line, Outlook, estimate, longest, soak_s, takes_min, wave_s
from edge_site_proxy.rollout.strategies import expand
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, place

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NIGHTS = [ChangeWindow(days=[1, 2, 3, 4, 5, 6, 7], start="22:00", end="06:00")]
SHORT = [ChangeWindow(days=[1], start="22:00", end="22:10")]
HALF_HOUR = replace(
    POLICY,
    permit_valid_s=20.0,  # asked again after 5 s
    trial=TrialPolicy(duration_min_s=1795.0),
    gate=GateLimits(windows_min=1, soak_min_s=7200.0),
    safety_lag_s=3600.0,
    windows=NIGHTS,
)

TOO_SHORT = replace(HALF_HOUR, windows=SHORT)


def line(cells: int, name: str = "L3", *, paired: bool = False) -> list[GatewayPlace]:
    """A line with one gateway a cell, or a pair."""
    made: list[GatewayPlace] = []
    for number in range(cells):
        group = f"{name}-{number}" if paired else None
        made += [
            place(f"{name}-{number}{side}", name, f"C{number}", group=group)
            for side in ("ab" if paired else "a")
        ]
    return made


def plan(*parts: list[GatewayPlace], safety: bool = False, policy: Policy = HALF_HOUR) -> Plan:
    """One cohort of each part; the last of them in a safety zone if *safety*."""
    made = [
        Cohort(
            name=f"c{number}",
            members=[each.serial for each in part],
            safety=safety and number == len(parts) - 1,
        )
        for number, part in enumerate(parts)
    ]
    return Plan(
        rollout="r",
        release=V2,
        rollback_to=V1,
        author="ci",
        created=MONDAY,
        policy=policy,
        cohorts=made,
    )


def outlook(*parts: list[GatewayPlace], **more: object) -> Outlook:
    """Where everybody stands, on Monday at eight."""
    places = {each.serial: each for part in parts for each in part}
    known = {"now": MONDAY, "health_window_s": 300.0, **more}
    return Outlook(places=places, **known)  # type: ignore[arg-type]  # as the tests name them


@dataclass(frozen=True)
class Row:
    """Cohorts, when they are over, and why so late."""

    parts: list[list[GatewayPlace]]
    hours: float | None
    why: str
    safety: bool = False
    policy: Policy = HALF_HOUR


SOAK = "then {} of soak"
ROWS = {
    "twelve cells of a line, one at a time": Row(
        [line(12)],
        12 * 0.5 + 2 / 12,
        "cohort c0: 12 cells of line L3, one at a time, 30 min each; then 10 min of soak",
    ),
    "with pairs twice as long": Row(
        [line(12, paired=True)],
        24 * 0.5 + 2 / 24,
        "cohort c0: 12 cells of line L3 in 24 waves for its pairs, one at a time, 30 min each; "
        "then 5 min of soak",
    ),
    "two lines go side by side": Row(
        [[*line(2, "L1"), *line(3, "L2")]],
        3 * 0.5 + 2 / 5,
        "cohort c0: 3 cells of line L2, one at a time, 30 min each; then 24 min of soak",
    ),
    "of equal lines the first by name": Row(
        [[*line(1, "L2"), *line(1, "L1")]],
        0.5 + 1,
        "cohort c0: 1 cell of line L1, 30 min; then 1 h of soak",
    ),
    "cohorts one after the other, and the longest says why": Row(
        [line(1, "L1"), line(12, "L2")],
        0.5 + 2 + 6 + 2 / 12,
        "cohort c1: 12 cells of line L2, one at a time, 30 min each; then 10 min of soak",
    ),
    "a safety zone by night: 15 cells fit into 8 hours": Row(
        [line(15)],
        14 + 15 * 0.5 + 2 / 15,
        "cohort c0: 15 cells of line L3, one at a time, 30 min each, 8 h windows: 1 window; "
        "then 8 min of soak",
        safety=True,
    ),
    "and 16 do not, for the way back has to fit as well": Row(
        [line(16)],
        14 + 24 + 0.5 + 2 / 16,
        "cohort c0: 16 cells of line L3, one at a time, 30 min each, 8 h windows: 2 windows; "
        "then 7.5 min of soak",
        safety=True,
    ),
    "36 take three nights": Row(
        [line(36)],
        14 + 48 + 6 * 0.5 + 2 / 36,
        "cohort c0: 36 cells of line L3, one at a time, 30 min each, 8 h windows: 3 windows; "
        "then 3.3 min of soak",
        safety=True,
    ),
    "a safety zone waits for a stable interval first": Row(
        [line(1, "L1"), line(1, "L2")],
        14 + 0.5 + 2,
        "cohort c1: 1 cell of line L2, 30 min, 8 h windows: 1 window; then 2 h of soak",
        safety=True,
        policy=replace(HALF_HOUR, safety_lag_s=9 * 3600.0),
    ),
    "which may cost it a night": Row(
        [line(1, "L1"), line(1, "L2")],
        14 + 24 + 0.5 + 2,
        "cohort c1: 1 cell of line L2, 30 min, 8 h windows: 1 window; then 2 h of soak",
        safety=True,
        policy=replace(HALF_HOUR, safety_lag_s=20 * 3600.0),
    ),
    "no window is long enough": Row(
        [line(1, "L1"), line(2)],
        None,
        "never: cohort c1: 2 cells of line L3, one at a time, 30 min each; "
        "no change window is long enough for 30.8 min",
        safety=True,
        policy=replace(HALF_HOUR, windows=SHORT),
    ),
    "there is no window": Row(
        [line(1)],
        None,
        "never: cohort c0: 1 cell of line L3, 30 min; "
        "no change window is long enough for 30.8 min",
        safety=True,
        policy=replace(HALF_HOUR, windows=[]),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_estimate(row: Row) -> None:
    """Each row is a plan on Monday at eight, the hours it takes, and the reason."""
    made = estimate(plan(*row.parts, safety=row.safety, policy=row.policy), outlook(*row.parts))
    assert made.at == MONDAY
    assert made.why == row.why
    if row.hours is None or made.ends is None:
        assert made.ends is None
        assert row.hours is None
    else:
        assert (made.ends - MONDAY) / timedelta(hours=1) == pytest.approx(row.hours)
    assert [leg.cohort for leg in made.legs] == [f"c{number}" for number in range(len(row.parts))]


def test_legs_add_up() -> None:
    """Each leg says what it is made of."""
    parts = [line(2, "L1", paired=True), line(1, "L2")]
    staging = outlook(*parts, staging_s=(600.0, 60.0))
    made = estimate(plan(*parts, safety=True), staging)
    first, last = made.legs
    assert (first.line, first.cells, first.waves, first.windows) == ("L1", 2, 4, 0)
    assert (first.staging_s, first.activating_s, first.soaking_s) == (600.0, 7200.0, 1800.0)
    assert first.ends == MONDAY + timedelta(seconds=9600)
    assert last.staging_s == 3660.0
    assert last.windows == 1


def test_what_is_over_is_not_counted() -> None:
    """Cohorts that are through, and members that have committed."""
    parts = [line(2, "L1"), line(3, "L2"), line(4, "L3")]
    rest = outlook(*parts, cohort=1, done=frozenset({"L1-0a", "L2-0a", "L2-1a"}))
    made = estimate(plan(*parts), rest)
    assert [(leg.cohort, leg.waves) for leg in made.legs] == [("c1", 1), ("c2", 4)]
    nobody = estimate(
        plan(*parts), outlook(*parts, cohort=2, done=frozenset(plan(*parts).cohorts[2].members))
    )
    assert nobody.why == "cohort c2: nobody left to move; then 30 min of soak"


def test_the_lag_is_waited_for_once() -> None:
    """Between two safety cohorts there is no lag, and none before the first of all."""
    parts = [line(1, "L1"), line(1, "L2")]
    both = plan(*parts)
    safe = replace(both, cohorts=[replace(each, safety=True) for each in both.cohorts])
    assert [leg.staging_s for leg in estimate(safe, outlook(*parts)).legs] == [0.0, 0.0]
    later = plan(*parts, safety=True)
    assert [leg.staging_s for leg in estimate(later, outlook(*parts)).legs] == [0.0, 3600.0]
    after = estimate(later, outlook(*parts, cohort=1))
    assert [leg.staging_s for leg in after.legs] == [3600.0]


LEAST = {
    "two cohorts: a wave and a soak, then three of each": ([line(1), line(3, "L4")], False, 280),
    "a safety zone waits for the rest, and not for a window": (
        [line(1), line(3, "L4")],
        True,
        340,
    ),
    "one that begins in a safety zone waits for nobody": ([line(1)], True, 150),
    "pairs go one after the other": ([line(1, paired=True)], False, 120),
    "nobody": ([], False, 0),
}


@pytest.mark.parametrize("row", LEAST)
def test_what_is_signed_stays(row: str) -> None:
    """Permits, trials, soak and lag in whole minutes."""
    parts, safety, minutes = LEAST[row]
    made = plan(*parts, safety=safety)
    assert takes_min(made, outlook(*parts).places, 300.0) == minutes
    # A second more of soak is another minute begun.
    assert takes_min(made, outlook(*parts).places, 7201.0) == minutes + bool(parts)


def test_a_safety_zone_that_comes_first_waits_for_nobody() -> None:
    """Nor do those after it, whatever they are."""
    parts = [line(1), line(1, "L4")]
    made = plan(*parts)
    first = replace(made, cohorts=[replace(made.cohorts[0], safety=True), made.cohorts[1]])
    assert takes_min(first, outlook(*parts).places, 300.0) == 300


def test_legs_in_windows_add_up() -> None:
    """What passes until a window opens belongs to the activation."""
    parts = [line(2), line(20, "L4")]
    eta = estimate(plan(*parts, safety=True), outlook(*parts))
    took_s = sum(leg.staging_s + leg.activating_s + leg.soaking_s for leg in eta.legs)
    assert eta.ends == MONDAY + timedelta(seconds=took_s)
    never = estimate(plan(*parts, safety=True, policy=TOO_SHORT), outlook(*parts)).legs[-1]
    assert (never.ends, never.activating_s) == (None, 20 * 1800.0)


def test_the_first_of_equals_is_named() -> None:
    """In days, where it takes days; a window that ends when it begins is a whole one."""
    slow = replace(HALF_HOUR, gate=GateLimits(windows_min=1, soak_min_s=3 * 86_400.0))
    parts = [line(1), line(1, "L4")]
    why = estimate(plan(*parts, policy=slow), outlook(*parts)).why
    assert why.startswith("cohort c0: ")
    assert why.endswith("then 3 d of soak")
    whole = replace(slow, windows=[replace(NIGHTS[0], start="06:00")])
    assert (
        ", 1 d windows: 1 window"
        in estimate(plan(line(1), safety=True, policy=whole), outlook(line(1))).why
    )


def test_soak_by_windows_or_by_time() -> None:
    """The exposure is shared by the members, whichever of the two bounds is longer."""
    gate = GateLimits(windows_min=288, soak_min_s=28_800.0)
    policy = replace(POLICY, gate=gate)
    assert soak_s(policy, 3, 300.0) == 28_800.0
    assert soak_s(policy, 3, 10.0) == 9600.0
    assert soak_s(policy, 0, 10.0) == 28_800.0
    assert wave_s(HALF_HOUR) == 1800.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_waves(drawn: list[tuple[int, int, int]]) -> None:
    """No line has fewer waves than cells, or than the largest group has members there."""
    places = [
        place(f"g{number}", f"L{at}", f"C{cell}", group=f"p{group}" if group else None)
        for number, (at, cell, group) in enumerate(drawn)
    ]
    found = longest(places)
    assert longest(reversed(places)) == found
    for name in {each.position.line for each in places}:
        here = [each for each in places if each.position.line == name]
        cells = {each.position.cell for each in here}
        groups = [each.redundancy_group for each in here if each.redundancy_group]
        most = max((groups.count(group) for group in groups), default=0)
        assert found.waves >= len(cells)
        assert longest(here).waves <= len(cells) * max(1, most)
    assert places or found == Line("", 0, 0)


def test_5000_gateways_on_500_lines() -> None:
    """Cohorts and estimate for the largest plant, in a small part of two seconds."""
    places = [
        place(
            f"gw-{number:04}",
            f"L{number % 500}",
            f"C{number // 500}",
            group=f"p{number // 1000}-{number % 500}" if number % 3 == 0 else None,
        )
        for number in range(5000)
    ]
    begun = perf_counter()
    policy = expand(replace(HALF_HOUR, cohorts=[], strategy="1/9/90"), len(places))
    made = cohorts("r", places, policy.cohorts, safety=frozenset(), serving=True)
    whole = replace(plan(places), cohorts=made, policy=policy)
    eta = estimate(whole, outlook(places))
    took_s = perf_counter() - begun
    assert eta.ends is not None
    assert [len(part.members) for part in made][:2] == [50, 450]
    assert took_s < 2.0
