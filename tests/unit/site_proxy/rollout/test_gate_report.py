"""What a gate report shows, and where exactly its limits are: every figure has its row."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from edge_core.contracts.rollout import GateReport, Measurement, Verdict
from edge_site_proxy.rollout.evidence import EMPTY, Tally
from edge_site_proxy.rollout.gate import Case, Control, History, Subject, judge
from edge_site_proxy.rollout.statistics import log_wealth_better
from tests.unit.site_proxy.rollout.test_gate import GOOD, LIMITS, tally

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
    "disagreement": (0.0, 0.1, "1", 300),
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
    "many slow windows": Row(
        replace(GOOD, running=tally(40, latency_us=30_000)),
        "latency",
        FAIL,
        "40 of 40 windows over the limit",
    ),
    "not yet enough for the latency": Row(
        replace(GOOD, running=tally(2)), "latency", WAIT, "more windows to trust the latency"
    ),
    "errors far over the limit": Row(
        replace(GOOD, running=tally(40, errors=12)), "errors", FAIL, "480 of 2400"
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
        "1 of 10 is not below the limit (disagreement)",
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


def test_latency_passes_with_just_enough_windows() -> None:
    """One window fewer than the typical window takes to be trusted, and it waits."""
    least = next(count for count in range(1, 100) if log_wealth_better(0, count, 0.5) >= WANTED)
    for count, verdict in ((least - 1, WAIT), (least, PASS)):
        assert row_of(report_of(replace(GOOD, running=tally(count))), "latency").verdict is verdict


@pytest.mark.parametrize("errors", [0, 1])
def test_how_many_more_it_takes(errors: int) -> None:
    """If it goes on as it did, so many more are enough, and half of them all would not be."""
    row = row_of(report_of(replace(GOOD, running=tally(2, errors=errors))), "errors")
    count, share = row.n, row.value
    assert share is not None
    assert row.verdict is WAIT
    more = int(row.explanation.removeprefix("about ").split()[0])
    total = count + more
    assert row.explanation == f"about {more} more windows scored (errors)"
    assert log_wealth_better(round(share * total), total, 0.02) >= WANTED
    assert log_wealth_better(round(share * total / 2), total // 2, 0.02) < WANTED


def bad(windows: int, count: int) -> Tally:
    """So many windows, of which so many were bad, though never by much."""
    return msgspec.structs.replace(tally(windows), bad_windows=count)


BEFORE = History(windows=2000, bad=200)
STEADY = Control(BEFORE, History(windows=1000, bad=100))
CANARY = Subject(running=bad(400, 110), shadow=GOOD.shadow, history=BEFORE, activated=True)


@dataclass(frozen=True)
class Arm:
    """Who is compared with whom; the verdict on errors."""

    canary: Subject
    controls: list[Control]
    verdict: Verdict


ARMS = {
    "worse than before, and the others are not: fail": Arm(CANARY, [STEADY] * 5, FAIL),
    "the others became worse as well: it is the plant": Arm(
        CANARY, [Control(BEFORE, History(1000, 275))] * 5, PASS
    ),
    "no others to compare with": Arm(CANARY, [], PASS),
    "others without a history say nothing": Arm(
        CANARY, [Control(History(23, 2), History(1000, 100))] * 5, PASS
    ),
    "a day of history is one": Arm(CANARY, [Control(History(24, 2), History(5000, 500))], FAIL),
    "others that are silent say nothing": Arm(CANARY, [Control(BEFORE, History(0, 0))], PASS),
    "no history of its own": Arm(replace(CANARY, history=None), [STEADY] * 5, PASS),
    "too short a history of its own": Arm(
        replace(CANARY, history=History(23, 2)), [STEADY] * 5, PASS
    ),
    "as good as ever: pass": Arm(replace(CANARY, running=bad(400, 40)), [STEADY] * 5, PASS),
    "never bad before, and now often: fail": Arm(
        replace(CANARY, history=History(24, 0), running=bad(100, 30)), [STEADY] * 5, FAIL
    ),
    "twice the windows are no harm": Arm(replace(CANARY, running=bad(4000, 400)), [STEADY], PASS),
}


@pytest.mark.parametrize("name", ARMS)
def test_against_its_own_history(name: str) -> None:
    """A canary is blamed for what it does worse than before, and the others do not."""
    arm = ARMS[name]
    row = row_of(report_of(arm.canary, controls=arm.controls), "errors")
    assert row.verdict is arm.verdict
    told = "worse than its own history" in row.explanation
    assert told is (arm.verdict is FAIL)


def test_one_without_a_history_spoils_the_comparison() -> None:
    """A cohort is compared as a whole or not at all; who has not begun does not count."""
    stranger = replace(CANARY, history=None)
    idle = Subject(running=EMPTY)
    for other, verdict in ((stranger, PASS), (idle, FAIL)):
        report = report_of(CANARY, other, controls=[STEADY] * 5)
        assert row_of(report, "errors").verdict is verdict


def test_the_worst_gateway_is_shown_with_its_history() -> None:
    """Who, how many bad windows of how many, and what was usual there."""
    history = History(windows=2000, bad=2)
    row = row_of(report_of(replace(GOOD, running=bad(40, 20), history=history)), "worst_gateway")
    assert row.explanation == "g1: 20 bad windows of 40, before 2 of 2000"
    assert row.value == 0.5
    assert row.limit == pytest.approx(3 * 2 / 2000)
    assert (row.unit, row.n) == ("1", 40)
    assert row.log_e is not None
    assert row.log_e == round(row.log_e, 6) != round(row.log_e)
