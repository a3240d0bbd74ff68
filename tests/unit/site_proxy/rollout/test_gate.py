"""Verdicts: what fails at once, what passes, and that what is missing never does."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from edge_core.contracts.gates import GateLimits, GateReport, Verdict
from edge_core.contracts.gateway import HealthWindow
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import EMPTY, Counts, History, Tally, add
from edge_site_proxy.rollout.gates.gate import judge

LIMITS = GateLimits(
    windows_min=20,
    inferences_min=500,
    soak_min_s=600.0,
    error_share_max=0.02,
    latency_p99_us_max=10_000,
    disagreement_share_max=0.1,
    out_of_domain_share_max=0.2,
    restarts_per_day_max=1000.0,
    history_days_min=0,
    shifts_min=0,
)
START = datetime(2026, 11, 23, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def tally(
    windows: int,
    *,
    errors: int = 0,
    outside: int = 0,
    pairs: int = 0,
    disagreed: int = 0,
    latency_us: int = 2000,
    skip: int = 1,
) -> Tally:
    """So many equal windows of 60 inferences and 30 s; *skip* leaves gaps between them."""
    starts = [START + timedelta(seconds=30 * number * skip) for number in range(windows)]
    told = [
        HealthWindow(
            epoch=1,
            number=number,
            digest=DIGEST,
            role="committed",
            started=started,
            ended=started + timedelta(seconds=30),
            scored=60 - errors,
            errors=errors,
            out_of_domain=outside,
            shadow_pairs=pairs,
            shadow_disagreed=disagreed,
            latency_p99_us=latency_us,
        )
        for number, started in enumerate(starts)
    ]
    return add(EMPTY, told, LIMITS)


GOOD = Subject(running=tally(40), shadow=tally(5, pairs=60), activated=True)


@dataclass(frozen=True)
class Row:
    """One subject, and what is said of it."""

    subject: Subject
    verdict: Verdict
    by: str = ""


ROWS = {
    "healthy and long enough: pass": Row(GOOD, Verdict.PASS),
    "a veto fails without statistics": Row(
        replace(GOOD, veto="smoke: outputs differ"), Verdict.FAIL, "veto"
    ),
    "nothing heard is not a pass": Row(Subject(), Verdict.INCONCLUSIVE, "windows"),
    "too few windows: wait": Row(
        replace(GOOD, running=tally(12)), Verdict.INCONCLUSIVE, "windows"
    ),
    "one window in twenty fails its inferences: fail": Row(
        replace(GOOD, running=tally(40, errors=12)), Verdict.FAIL, "errors"
    ),
    "errors at the limit: neither": Row(
        replace(GOOD, running=tally(40, errors=1)), Verdict.INCONCLUSIVE, "errors"
    ),
    "every window is slow: fail": Row(
        replace(GOOD, running=tally(40, latency_us=30_000)), Verdict.FAIL, "latency"
    ),
    "shadow classes otherwise, nothing activated yet: fail": Row(
        Subject(shadow=tally(6, pairs=60, disagreed=36)), Verdict.FAIL, "disagreement"
    ),
    "silent blindness, alarm rate fine, outside the domain: fail": Row(
        replace(GOOD, shadow=tally(8, pairs=60, outside=60)), Verdict.FAIL, "domain"
    ),
    "half of the windows never came: wait": Row(
        replace(GOOD, running=tally(40, skip=2)), Verdict.INCONCLUSIVE, "coverage"
    ),
    "activated and then mute: wait": Row(
        Subject(activated=True), Verdict.INCONCLUSIVE, "coverage"
    ),
    "silent for longer than it spoke: wait": Row(
        replace(GOOD, silent_s=3600.0), Verdict.INCONCLUSIVE, "coverage"
    ),
    "no shadow where shadow is due: wait": Row(
        replace(GOOD, shadow=EMPTY), Verdict.INCONCLUSIVE, "disagreement"
    ),
}


def verdict_of(subject: Subject) -> GateReport:
    """The report over a cohort of one."""
    return judge(Case(cohort="canary", limits=LIMITS, subjects={"g1": subject}))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_verdict(row: Row) -> None:
    """The verdict, and the gate that decided it."""
    report = verdict_of(row.subject)
    assert report.verdict is row.verdict, report
    if row.by:
        assert row.by in report.by


def test_the_same_evidence_gives_the_same_report() -> None:
    """A report is a function of what was stored (S19)."""
    assert verdict_of(GOOD) == verdict_of(GOOD)


def test_inconclusive_says_what_it_needs() -> None:
    """A person who waits is told for what."""
    report = verdict_of(replace(GOOD, running=tally(12)))
    assert "8 more health windows" in report.needs


RECIPE = "recipe A"


def past(windows: int, bad: int, *, days: int = 14, at: datetime | None = START) -> History:
    """A history of so many windows in one recipe, so many of them with errors."""
    return History(days=days, recent={RECIPE: Counts(windows, bad)}, at=at)


def ran(windows: int, bad: int = 0) -> Tally:
    """So many windows in one recipe, so many of them with errors, though never with many."""
    return msgspec.structs.replace(tally(windows), strata={RECIPE: Counts(windows, bad)})


def test_measured_against_its_own_history() -> None:
    """A gateway that always had bad windows is not blamed; one that never had any is."""
    control = [Control(past(2000, 2), ran(500)) for _ in range(5)]
    clean = replace(GOOD, running=ran(40, 40), history=past(2000, 2))
    blamed = judge(Case("c", LIMITS, {"g": clean}, controls=control))
    assert blamed.by == ["errors", "worst_gateway"]
    noisy = replace(clean, history=past(2000, 1900))
    assert "worst_gateway" not in judge(Case("c", LIMITS, {"g": noisy}, controls=control)).by


def test_one_gateway_outside_its_domain_among_many() -> None:
    """Nine good gateways do not hide the tenth, which is blind on its recipe."""
    subjects = {f"g{number}": GOOD for number in range(9)}
    subjects["blind"] = replace(GOOD, running=tally(40, outside=60))
    report = judge(Case("c", LIMITS, subjects))
    assert report.by == ["domain"]


def test_worst_gateway() -> None:
    """One bad gateway among four good ones fails the cohort by itself."""
    subjects = {
        f"g{number}": replace(GOOD, running=ran(40), history=past(2000, 2)) for number in range(4)
    }
    subjects["bad"] = replace(GOOD, running=ran(40, 20), history=past(2000, 2))
    assert "worst_gateway" in judge(Case("c", LIMITS, subjects)).by


def test_a_plant_of_many_kinds() -> None:
    """However many gateways and kinds a report has to name, it is kept and read again."""
    control = [Control(past(2000, 2), ran(500))]
    subjects = {
        f"g{number:04}": replace(GOOD, running=ran(40), kind=f"zone {number}, class {number}")
        for number in range(1000)
    }
    report = judge(Case("c", LIMITS, subjects, controls=control))
    (row,) = (each for each in report.measurements if each.gate == "history")
    assert "g0000" in row.explanation
    assert row.explanation.endswith("…")
    assert msgspec.json.decode(msgspec.json.encode(report), type=GateReport) == report
