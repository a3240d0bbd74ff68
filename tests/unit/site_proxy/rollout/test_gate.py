"""Verdicts: what fails at once, what passes, and that what is missing never does."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.rollout import GateLimits, GateReport, Verdict
from edge_site_proxy.rollout.evidence import EMPTY, Tally, add
from edge_site_proxy.rollout.gate import Case, Control, History, Subject, judge

LIMITS = GateLimits(
    windows_min=20,
    inferences_min=500,
    soak_min_s=600.0,
    error_share_max=0.02,
    latency_p99_us_max=10_000,
    disagreement_share_max=0.1,
    out_of_domain_share_max=0.2,
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
    found = EMPTY
    for number in range(windows):
        started = START + timedelta(seconds=30 * number * skip)
        window = HealthWindow(
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
        found = add(found, window, LIMITS)
    return found


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


def test_measured_against_its_own_history() -> None:
    """A gateway that always had bad windows is not blamed; one that never had any is."""
    noisy = replace(GOOD, running=tally(40, errors=2), history=History(windows=2000, bad=1900))
    clean = replace(noisy, history=History(windows=2000, bad=2))
    control = [Control(history=History(2000, 2), meanwhile=History(500, 0)) for _ in range(5)]
    blamed = judge(Case("c", LIMITS, {"g": clean}, controls=control))
    assert blamed.verdict is Verdict.FAIL
    gates = {
        row.gate for row in judge(Case("c", LIMITS, {"g": noisy}, controls=control)).measurements
    }
    assert "worst_gateway" not in gates


def test_one_gateway_outside_its_domain_among_many() -> None:
    """Nine good gateways do not hide the tenth, which is blind on its recipe."""
    subjects = {f"g{number}": GOOD for number in range(9)}
    subjects["blind"] = replace(GOOD, running=tally(40, outside=60))
    report = judge(Case("c", LIMITS, subjects))
    assert report.by == ["domain"]


def test_worst_gateway() -> None:
    """One bad gateway among four good ones fails the cohort by itself."""
    history = History(windows=2000, bad=2)
    subjects = {f"g{number}": replace(GOOD, history=history) for number in range(4)}
    subjects["bad"] = replace(GOOD, running=tally(40, errors=2), history=history)
    report = judge(Case("c", LIMITS, subjects))
    assert "worst_gateway" in report.by
