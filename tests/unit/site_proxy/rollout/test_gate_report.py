"""What a gate report shows, and where exactly its limits are: every figure has its row."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from edge_core.contracts.gates import GateReport, Measurement, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import EMPTY, Counts
from edge_site_proxy.rollout.gates.gate import judge
from edge_site_proxy.rollout.gates.statistics import (
    Arms,
    better_stakes,
    growth,
    log_wealth,
    log_wealth_better,
    ratio_better,
    ratio_worse,
)
from tests.unit.site_proxy.rollout.test_gate import GOOD, LIMITS, RECIPE, past, ran, tally

WANTED = math.log(20)  # at the alpha of a PASS
PASS, WAIT, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL


def report_of(*subjects: Subject, controls: Iterable[Control] = ()) -> GateReport:
    """The report over a cohort of these, g1 and on."""
    named = {f"g{number}": subject for number, subject in enumerate(subjects, 1)}
    return judge(Case("canary", LIMITS, named, controls=list(controls)))


def row_of(report: GateReport, gate: str) -> Measurement:
    """The one measurement of that gate."""
    (row,) = (row for row in report.measurements if row.gate == gate)
    return row


FIGURES: dict[str, tuple[float, float, str, int]] = {
    "veto": (0.0, 0.0, "{gateway}", 1),
    "windows": (40.0, 20.0, "{window}", 40),
    "inferences": (2400.0, 500.0, "{inference}", 40),
    "soak": (1200.0, 600.0, "s", 40),
    "coverage": (1.0, 0.95, "1", 1),
    "errors": (0.0, 0.02, "1", 2400),
    "latency": (2000.0, 10_000.0, "us", 40),
    "domain": (0.0, 0.2, "1", 2700),
    "overrides": (0.0, 0.1, "1", 40),
    "disagreement": (0.0, 0.1, "1", 300),
    "restarts": (0.0, 1000.0, "1/d", 40),
}


def test_a_pass_rests_on_every_gate() -> None:
    """It names all of them, in order, and has nothing left to explain or to wait for."""
    report = report_of(GOOD)
    assert (report.verdict, report.by, report.needs) == (PASS, list(FIGURES), "")
    assert (report.cohort, report.windows, report.exposure_s) == ("canary", 40, 1200.0)
    assert {row.explanation for row in report.measurements} == {""}


@pytest.mark.parametrize("gate", FIGURES)
def test_figures(gate: str) -> None:
    """What was measured, against what, in which unit, from how much."""
    row = row_of(report_of(GOOD), gate)
    assert (row.value, row.limit, row.unit, row.n) == FIGURES[gate]
    assert row.verdict is PASS


@pytest.mark.parametrize("gate", ["errors", "latency", "domain", "disagreement"])
def test_evidence_is_rounded(gate: str) -> None:
    """Wealth is shown to six digits, so that one report is the same on any machine."""
    faulty = replace(GOOD, running=tally(40, errors=12, outside=3))
    shown = row_of(report_of(faulty), gate).log_e
    assert shown is not None
    assert shown == round(shown, 6)
    assert shown != round(shown)


@dataclass(frozen=True)
class Row:
    """A subject, and what one gate says of it."""

    subject: Subject
    gate: str
    verdict: Verdict
    explanation: str
    others: list[Subject] = field(default_factory=list)


SOME = replace(GOOD, running=tally(5))
ROWS = {
    "as many windows as are needed": Row(replace(GOOD, running=tally(20)), "windows", PASS, ""),
    "as long in charge as is needed": Row(replace(GOOD, running=tally(20)), "soak", PASS, ""),
    "too few windows": Row(SOME, "windows", WAIT, "15 more health windows"),
    "too few inferences": Row(SOME, "inferences", WAIT, "200 more inferences"),
    "too short in charge": Row(SOME, "soak", WAIT, "450 more seconds in charge"),
    "part of a second too short is a second": Row(
        replace(GOOD, running=msgspec.structs.replace(tally(40), exposure_s=599.4)),
        "soak",
        WAIT,
        "1 more seconds in charge",
    ),
    "windows that overlap are no more than all": Row(
        replace(GOOD, running=tally(40, skip=0)), "coverage", PASS, ""
    ),
    "half of the windows missing": Row(
        replace(GOOD, running=tally(40, skip=2)), "coverage", WAIT, "health windows are missing"
    ),
    "two that went mute": Row(
        Subject(activated=True),
        "coverage",
        WAIT,
        "no health windows from g1, g2",
        [Subject(activated=True), GOOD],
    ),
    "one that has not begun is not mute": Row(Subject(), "coverage", PASS, "", [GOOD]),
    "two vetoes": Row(
        replace(GOOD, veto="smoke"), "veto", FAIL, "g1: smoke; g2: size", [Subject(veto="size")]
    ),
    "an output that is no number, beside the present model": Row(
        replace(GOOD, shadow=msgspec.structs.replace(GOOD.shadow, broken=1)),
        "veto",
        FAIL,
        "g1: output: 1 times no numbers, or of another shape",
    ),
    "outputs that are no numbers, in charge": Row(
        replace(GOOD, running=msgspec.structs.replace(GOOD.running, broken=2)),
        "veto",
        FAIL,
        "g1: output: 2 times no numbers, or of another shape",
    ),
    "many slow windows": Row(
        replace(GOOD, running=tally(40, latency_us=30_000)),
        "latency",
        FAIL,
        "40 of 40 windows over the limit",
    ),
    "not yet enough for the latency": Row(
        replace(GOOD, running=tally(2)), "latency", WAIT, "about 0.26 device-hours more"
    ),
    "errors far over the limit": Row(
        replace(GOOD, running=tally(40, errors=12)), "errors", FAIL, "480 of 2400 failed"
    ),
    "outside the domain": Row(
        replace(GOOD, running=tally(40, outside=60)),
        "domain",
        FAIL,
        "2400 of 2700 outside the training domain",
    ),
    "classed otherwise": Row(
        replace(GOOD, shadow=tally(6, pairs=60, disagreed=36)),
        "disagreement",
        FAIL,
        "216 of 360 classed otherwise than the present model",
    ),
    "over the limit, not proved": Row(
        replace(GOOD, shadow=tally(1, pairs=10, disagreed=1)),
        "disagreement",
        WAIT,
        "never at the present rate: it is not below the limit",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_explanation(name: str) -> None:
    """The verdict of one gate, and its words."""
    row = ROWS[name]
    found = row_of(report_of(row.subject, *row.others), row.gate)
    assert (found.verdict, found.explanation) == (row.verdict, row.explanation)


def test_a_share_is_never_more_than_all() -> None:
    """Coverage is shown as a share, whatever clocks did."""
    assert row_of(report_of(replace(GOOD, running=tally(40, skip=0))), "coverage").value == 1.0
    half = row_of(report_of(replace(GOOD, running=tally(40, skip=2))), "coverage").value
    assert half == pytest.approx(1200 / 2370)


def test_a_limit_of_none_can_be_broken_and_not_proved() -> None:
    """Where not one error is allowed, none seen is no proof, and some seen is a failure."""
    none = msgspec.structs.replace(LIMITS, error_share_max=0.0)
    for errors, verdict in ((0, WAIT), (12, FAIL)):
        subject = replace(GOOD, running=tally(40, errors=errors))
        report = judge(Case("canary", none, {"g1": subject}))
        assert row_of(report, "errors").verdict is verdict


def test_a_veto_is_counted_and_never_too_long() -> None:
    """Two vetoed gateways are two, and five hundred characters are enough to say why."""
    row = row_of(report_of(Subject(veto="x" * 400), Subject(veto="y" * 400)), "veto")
    assert (row.value, row.n, len(row.explanation)) == (2.0, 2, 500)


@pytest.mark.parametrize("errors", [0, 1])
def test_how_much_more_it_takes(errors: int) -> None:
    """If it goes on as it did, so much more exposure is just enough for both of its proofs."""
    row = row_of(report_of(replace(GOOD, running=tally(2, errors=errors))), "errors")
    grown = max(
        growth(better_stakes(2 * errors, 120, 0.02), WANTED),
        growth(better_stakes(0, 2, 0.1), WANTED),
    )
    assert row.verdict is WAIT
    assert row.more_s == pytest.approx((grown - 1) * 60.0)
    hours = float(row.explanation.removeprefix("about ").removesuffix(" device-hours more"))
    assert hours == pytest.approx((grown - 1) * 60.0 / 3600, rel=0.05)


def test_an_undecided_gate_says_how_long() -> None:
    """The longest of what its measurements still need, at the rate of those that run it."""
    some = replace(GOOD, running=tally(6))
    report = report_of(some, some, Subject())
    assert report.verdict is WAIT
    slowest = max(row.more_s or 0.0 for row in report.measurements)
    assert report.device_hours == pytest.approx(slowest / 3600, abs=1e-6)
    assert report.needs.startswith("about ")
    assert "h at the present rate of 2 gateways; " in report.needs
    silent = report_of(replace(GOOD, running=tally(12), silent_s=1.0))
    assert "device-hours more, no gateway runs it; windows: 8 more health" in silent.needs


def test_what_is_needed_is_never_too_long() -> None:
    """Five hundred characters are enough, however many are mute."""
    mute = [Subject(activated=True)] * 200
    for first in (GOOD, replace(GOOD, running=tally(2))):
        assert len(report_of(first, *mute).needs) == 500


def test_a_gate_that_waits_for_no_exposure() -> None:
    """Who is mute is waited for, and nobody can say how long; a decided gate waits for nothing."""
    mute = report_of(GOOD, Subject(activated=True))
    assert (mute.needs, mute.device_hours) == ("coverage: no health windows from g2", None)
    assert report_of(GOOD).device_hours is None


def test_latency_passes_with_just_enough_windows() -> None:
    """One window fewer than it takes to prove that few are slow, and it waits."""
    least = next(count for count in range(1, 100) if log_wealth_better(0, count, 0.1) >= WANTED)
    for count, verdict in ((least - 1, WAIT), (least, PASS)):
        assert row_of(report_of(replace(GOOD, running=tally(count))), "latency").verdict is verdict


@dataclass(frozen=True)
class Arm:
    """Who is compared with whom; the verdict on errors."""

    canary: Subject
    controls: list[Control]
    verdict: Verdict


BEFORE = past(2000, 200)
STEADY = Control(BEFORE, ran(1000, 100))
CANARY = Subject(running=ran(400, 110), shadow=GOOD.shadow, history=BEFORE, activated=True)
ELSEWHERE = msgspec.structs.replace(ran(1000), strata={"recipe B": Counts(1000, 100)})
ARMS = {
    "worse than before, and the others are not: fail": Arm(CANARY, [STEADY] * 5, FAIL),
    "the others became worse as well: it is the plant": Arm(
        CANARY, [Control(BEFORE, ran(1000, 275))] * 5, PASS
    ),
    "no others to compare with": Arm(CANARY, [], WAIT),
    "others without a history say nothing": Arm(
        CANARY, [Control(past(23, 2), ran(1000, 100))] * 5, WAIT
    ),
    "others with a history of too few days say nothing": Arm(
        CANARY, [Control(past(2000, 200, days=6), ran(1000, 100))] * 5, WAIT
    ),
    "a week of history is one, if it has a few windows": Arm(
        CANARY, [Control(past(24, 2, days=7), ran(5000, 500))], FAIL
    ),
    "others that are silent say nothing": Arm(CANARY, [Control(BEFORE, EMPTY)], WAIT),
    "others in another recipe say nothing": Arm(CANARY, [Control(BEFORE, ELSEWHERE)] * 5, WAIT),
    "others of another kind say nothing": Arm(
        CANARY, [replace(STEADY, kind="boiler, generic")] * 5, WAIT
    ),
    "no history of its own": Arm(replace(CANARY, history=None), [STEADY] * 5, WAIT),
    "too short a history of its own": Arm(
        replace(CANARY, history=past(23, 2)), [STEADY] * 5, WAIT
    ),
    "as good as ever: pass": Arm(replace(CANARY, running=ran(400, 20)), [STEADY] * 5, PASS),
    "never bad before, and now often: fail": Arm(
        replace(CANARY, history=past(24, 0), running=ran(100, 30)), [STEADY] * 5, FAIL
    ),
    "ten times the windows are no harm": Arm(
        replace(CANARY, running=ran(4000, 400)), [STEADY] * 5, PASS
    ),
    "often bad, but no oftener than ever: pass, though the plan's own limit is not proved": Arm(
        replace(CANARY, running=ran(4000, 600), history=past(2000, 300)),
        [Control(past(2000, 300), ran(2000, 300))] * 5,
        PASS,
    ),
}


def compared(arm: Arm, *others: Subject) -> GateReport:
    """The report, with the history that production asks for."""
    limits = msgspec.structs.replace(LIMITS, history_days_min=7)
    named = {f"g{number}": each for number, each in enumerate([arm.canary, *others], 1)}
    return judge(Case("canary", limits, named, controls=arm.controls))


@pytest.mark.parametrize("name", ARMS)
def test_against_its_own_history(name: str) -> None:
    """A canary is blamed for what it does worse than before, and the others do not."""
    arm = ARMS[name]
    row = row_of(compared(arm), "errors")
    assert row.verdict is arm.verdict, row
    told = "worse than its own history" in row.explanation
    assert told is (arm.verdict is FAIL)


def test_the_four_numbers_are_kept() -> None:
    """Bad windows of the canary and of both, and what either arm's histories make expect."""
    other = replace(CANARY, kind="boiler, fast", running=ran(100, 3), history=past(1000, 19))
    fast = Control(past(1000, 39), ran(500, 20), kind="boiler, fast")
    row = row_of(compared(Arm(CANARY, [STEADY, STEADY, fast], FAIL), other), "errors")
    assert [(each.name, each.bad, each.both) for each in row.strata] == [
        ("boiler, fast, recipe A", 3, 23),
        (RECIPE, 110, 310),
    ]
    assert [(each.expected, each.expected_control) for each in row.strata] == [
        (1.95, 19.75),
        (40.1, 200.5),
    ]
    assert (len(row.worse), len(row.better)) == (7, 6)


def test_evidence_gives_the_verdict_again() -> None:
    """From what is kept of the comparison its likelihoods follow, to the last digit shown."""
    row = row_of(compared(ARMS["worse than before, and the others are not: fail"]), "errors")
    (one,) = row.strata
    arms = Arms([one.bad], [one.both], [one.expected], [one.expected_control])
    assert row.worse == pytest.approx(ratio_worse(arms, 1.1).logs, abs=1e-4)
    assert row.better == pytest.approx(ratio_better(arms, 1.5).logs, abs=1e-4)
    assert row.log_e is not None
    assert row.log_e == pytest.approx(
        log_wealth(ratio_worse(arms, 1.1)) + math.log(0.75), abs=0.01
    )


def test_one_without_a_history_is_not_judged_by_it() -> None:
    """The others are compared all the same; the gate waits until pairs judge the stranger."""
    arm = Arm(replace(CANARY, running=ran(400, 20)), [STEADY] * 5, PASS)
    stranger = replace(arm.canary, history=None)
    report = compared(arm, stranger)
    assert row_of(report, "errors").strata == row_of(compared(arm), "errors").strata
    row = row_of(report, "history")
    assert (row.verdict, row.value) == (WAIT, 1.0)
    assert row.explanation == "no history of 7 days: g2"
    paired = replace(stranger, running=msgspec.structs.replace(stranger.running, pairs=400))
    assert row_of(compared(arm, paired), "history").verdict is PASS
    assert row_of(compared(arm, Subject()), "history").verdict is PASS


def test_the_worst_gateway_is_shown_with_its_history() -> None:
    """Who, how many bad windows of how many, and what was usual there."""
    subject = replace(GOOD, running=ran(40, 20), history=past(2000, 2))
    row = row_of(report_of(subject), "worst_gateway")
    assert row.explanation == "g1: 20 of 40 windows bad (errors), before 2 of 2000"
    assert row.value == 0.5
    assert row.limit == pytest.approx(3 * 2 / 2000)
    assert (row.unit, row.n) == ("1", 40)
    assert row.log_e is not None
    assert row.log_e == round(row.log_e, 6) != round(row.log_e)
