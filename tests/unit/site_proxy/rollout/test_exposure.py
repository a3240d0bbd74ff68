"""Whether enough was seen: coverage in both arms, lost windows, recipes, whole shifts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec
import pytest

from edge_core.contracts.gates import GateLimits, Measurement, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import EMPTY, Counts, History, Tally
from edge_site_proxy.rollout.gates.gate import judge
from tests.unit.site_proxy.rollout.test_gate import GOOD, LIMITS, START, tally

PASS, WAIT, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL
HOUR = 3600.0


def spoke(hours: float, *, lost_h: float = 0.0, strata: dict[str, Counts] | None = None) -> Tally:
    """In charge for so long, of which so much is missing in between."""
    return msgspec.structs.replace(
        GOOD.running,
        exposure_s=(hours - lost_h) * HOUR,
        first=START,
        last=START + timedelta(hours=hours),
        strata=strata or {},
    )


PAST = History(exposure_s=HOUR, at=START)


def steady(hours: float, *, lost_h: float = 0.0, silent: bool = False) -> Control:
    """One that did not change, and went on for so long since the history was frozen."""
    now = spoke(hours, lost_h=lost_h)
    return Control(
        PAST, msgspec.structs.replace(now, exposure_s=now.exposure_s + HOUR), silent=silent
    )


@dataclass(frozen=True)
class Row:
    """Who ran, beside whom; one gate, and what it says."""

    running: Sequence[Tally]
    gate: str
    verdict: Verdict
    value: float | None = None
    explanation: str = ""
    controls: Sequence[Control] = field(default=())
    limits: GateLimits = LIMITS


def asks(**changes: object) -> GateLimits:
    """The limits, and something more."""
    return msgspec.structs.replace(LIMITS, **changes)


A, B = "recipe A", "recipe B"
TWO = asks(regimes=["A", "B"], regime_windows_min=12)
ONE_SHIFT = asks(shifts_min=1)
EARLY, LATE = "2026-11-23T06:00:00+00:00", "2026-11-23T14:00:00+00:00"


def worked(**shifts_h: float) -> Tally:
    """So many hours of the early and the late shift."""
    begun = {"early": EARLY, "late": LATE}
    found = {begun[name]: hours * HOUR for name, hours in shifts_h.items()}
    return msgspec.structs.replace(GOOD.running, shifts=found)


ROWS = {
    "nobody to compare with, nobody to cover": Row([spoke(10)], "coverage", PASS, 1.0),
    "the control lost as little as it may": Row(
        [spoke(10)], "control_coverage", PASS, 0.95, controls=[steady(10, lost_h=0.5)] * 2
    ),
    "the control lost more": Row(
        [spoke(10)],
        "control_coverage",
        WAIT,
        0.9,
        "health windows of those who did not change are missing",
        [steady(10, lost_h=1)],
    ),
    "a control that is silent is not waited for": Row(
        [spoke(10)],
        "control_coverage",
        PASS,
        1.0,
        controls=[steady(10), steady(10, lost_h=9, silent=True)],
    ),
    "the plant stands still: nobody can tell": Row(
        [spoke(10)],
        "control_coverage",
        WAIT,
        None,
        "health windows of those who did not change are missing",
        [Control(PAST, EMPTY)],
    ),
    "nothing is lost": Row([spoke(10)], "missing", PASS, 0.0, controls=[steady(10)]),
    "the canary lost what nobody else did: suspect": Row(
        [spoke(10, lost_h=2)],
        "missing",
        FAIL,
        0.2,
        "24 of 120 windows never came, of the control's 0 of 1200",
        [steady(10)] * 10,
    ),
    "both lost as many: the network": Row(
        [spoke(10, lost_h=2)], "missing", PASS, 0.2, controls=[steady(10, lost_h=2)] * 10
    ),
    "three times as many are not yet suspect": Row(
        [spoke(10, lost_h=3)], "missing", PASS, 0.3, controls=[steady(10, lost_h=1)] * 10
    ),
    "one window lost is no evidence": Row(
        [spoke(10, lost_h=1 / 12)], "missing", PASS, 1 / 120, controls=[steady(10)] * 3
    ),
    "both recipes seen": Row(
        [spoke(10, strata={A: Counts(12)}), spoke(10, strata={A: Counts(5), B: Counts(12)})],
        "recipes",
        PASS,
        2.0,
        limits=TWO,
    ),
    "one recipe not seen, one hardly": Row(
        [spoke(10, strata={A: Counts(11)})],
        "recipes",
        WAIT,
        0.0,
        "12 windows of each recipe; short of A (11), B (0)",
        limits=TWO,
    ),
    "a whole shift, but for what coverage allows": Row(
        [worked(early=7.6)], "shifts", PASS, 1.0, limits=ONE_SHIFT
    ),
    "two parts of shifts are no whole one": Row(
        [worked(early=7.5, late=7.5)],
        "shifts",
        WAIT,
        0.0,
        "g1 has soaked through 0 of 1 whole shifts",
        limits=ONE_SHIFT,
    ),
    "every member needs its own": Row(
        [worked(early=8, late=8), worked(early=3, late=8), worked(early=8, late=1)],
        "shifts",
        WAIT,
        1.0,
        "g2 has soaked through 1 of 2 whole shifts",
        limits=asks(shifts_min=2),
    ),
    "nobody in charge has soaked through anything": Row(
        [], "shifts", WAIT, 0.0, "nobody has soaked through 0 of 1 whole shifts", limits=ONE_SHIFT
    ),
}


def row_of(row: Row) -> Measurement:
    """The one measurement."""
    subjects = {
        f"g{number}": replace(GOOD, running=each) for number, each in enumerate(row.running, 1)
    }
    subjects["idle"] = Subject()
    report = judge(Case("canary", row.limits, subjects, controls=row.controls))
    (found,) = (each for each in report.measurements if each.gate == row.gate)
    return found


@pytest.mark.parametrize("name", ROWS)
def test_enough(name: str) -> None:
    """The verdict of one gate, its figure and its words."""
    row = ROWS[name]
    found = row_of(row)
    assert (found.verdict, found.explanation) == (row.verdict, row.explanation)
    assert found.value == (None if row.value is None else pytest.approx(row.value))


UNASKED = {
    "recipes": Case("canary", LIMITS, {"g1": GOOD}),
    "shifts": Case("canary", LIMITS, {"g1": GOOD}),
    "missing": Case("canary", LIMITS, {"g1": GOOD}),
    "control_coverage": Case("canary", LIMITS, {"g1": GOOD}),
    "history": Case("canary", LIMITS, {"g1": GOOD}),
}


@pytest.mark.parametrize("gate", UNASKED)
def test_what_is_not_asked_for_is_not_answered(gate: str) -> None:
    """No recipes or shifts in the plan, nobody to compare with: no such measurement."""
    assert gate not in [row.gate for row in judge(UNASKED[gate]).measurements]


LEFT = {
    "windows": (tally(10), 10 * 30.0),
    "inferences": (tally(5), 200 / 10.0 * 5),
    "soak": (tally(5), 450.0),
}


@pytest.mark.parametrize("gate", LEFT)
def test_how_much_exposure_is_left(gate: str) -> None:
    """What is missing, in seconds at the present rate."""
    running, more_s = LEFT[gate]
    report = judge(Case("canary", LIMITS, {"g1": replace(GOOD, running=running)}))
    (row,) = (row for row in report.measurements if row.gate == gate)
    assert row.more_s == pytest.approx(more_s)


def test_how_much_is_left_of_nothing() -> None:
    """Before anything was seen the usual length of a window is all there is to go by."""
    report = judge(Case("canary", LIMITS, {"g1": Subject()}, window_s=60.0))
    left = {row.gate: row.more_s for row in report.measurements}
    assert (left["windows"], left["inferences"], left["soak"]) == (1200.0, None, 600.0)
    assert report.device_hours == pytest.approx(1200 / 3600, abs=1e-6)
