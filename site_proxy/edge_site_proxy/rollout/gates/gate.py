"""The gate over one cohort: vetoes, bounds and bets in, a verdict with its reasons out; pure.

A veto needs no statistics. FAIL comes from tests on whole health windows, which bursts cannot
fool. PASS needs every measurement to pass and enough exposure; what is missing never passes.
Alpha for FAIL is split over the tests (any may fail); alpha for PASS is not (all must pass).
"""

import math
from dataclasses import dataclass

from msgspec.structs import replace

from edge_core.contracts.gates import GateReport, Measurement, Verdict
from edge_core.contracts.gateway import REASON_CHARS
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.compare import cells, confirmation, worst
from edge_site_proxy.rollout.gates.evidence import History, Tally, pooled
from edge_site_proxy.rollout.gates.exposure import missing, seen_enough, without_history
from edge_site_proxy.rollout.gates.goals import asked, figure, goals, restarts

__all__ = ["Case", "Control", "History", "Subject", "judge"]

HARD = frozenset({"errors", "latency"})  # goals that stop a line first: half of alpha is theirs
APART = 2  # tests that are no goals: restarts, and windows that never came


def judge(case: Case) -> GateReport:
    """The verdict; the same evidence gives the same report."""
    running = pooled(subject.running for subject in case.subjects.values())
    both = pooled([running, *(subject.shadow for subject in case.subjects.values())])
    rows = [_vetoes(case), *seen_enough(case, running), *_tested(case, running, both)]
    rows = [_short(row) for row in [*rows, *worst(case)]]
    failed = [row.gate for row in rows if row.verdict is Verdict.FAIL]
    waiting = [row for row in rows if row.verdict is Verdict.INCONCLUSIVE]
    verdict = Verdict.PASS
    if waiting:
        verdict = Verdict.INCONCLUSIVE
    if failed:
        verdict = Verdict.FAIL
    last = confirmation(case) if case.confirm and verdict is Verdict.PASS else None
    need = _need(case, waiting)
    return GateReport(
        cohort=case.cohort,
        verdict=verdict,
        by=failed or [row.gate for row in waiting] or [row.gate for row in rows],
        measurements=rows if last is None else [*rows, last],
        exposure_s=running.exposure_s,
        windows=running.windows,
        needs=need.words,
        device_hours=need.device_hours,
    )


def _tested(case: Case, running: Tally, both: Tally) -> list[Measurement]:
    """Every test that may fail by chance."""
    compared = cells(case)
    wanted = goals(case, running, both)
    soft = [goal for goal in wanted if goal.gate not in HARD]
    # Alpha split over every test that may fail by chance; together they have no more than alpha.
    log_hard = math.log(2 * len(HARD) / case.limits.alpha_fail)
    log_soft = math.log(2 * (len(soft) + APART) / case.limits.alpha_fail)
    rows = [
        asked(case, goal, compared, log_hard if goal.gate in HARD else log_soft) for goal in wanted
    ]
    rows.append(restarts(case, running, log_soft))
    if not case.controls:
        return rows
    paired = any(row.gate == "disagreement" and row.verdict is Verdict.PASS for row in rows)
    history = without_history(case, compared.strangers, paired=paired)
    return [missing(case, log_soft), history, *rows]


def _vetoes(case: Case) -> Measurement:
    """What needs no statistics: a refusal by a gateway, or an output that is no number."""
    vetoed = [
        (serial, words)
        for serial, subject in sorted(case.subjects.items())
        if (words := subject.veto or _broken(subject))
    ]
    return Measurement(
        gate="veto",
        verdict=Verdict.FAIL if vetoed else Verdict.PASS,
        value=float(len(vetoed)),
        limit=0.0,
        unit="{gateway}",
        n=len(case.subjects),
        explanation="; ".join(f"{serial}: {veto}" for serial, veto in vetoed),
    )


def _broken(subject: Subject) -> str:
    count = subject.running.broken + subject.shadow.broken
    return f"output: {count} times no numbers, or of another shape" if count else ""


def _short(row: Measurement) -> Measurement:
    """*row* with no longer an explanation than fits; thousands of gateways have many names."""
    if len(row.explanation) <= REASON_CHARS:
        return row
    return replace(row, explanation=f"{row.explanation[: REASON_CHARS - 1]}…")


@dataclass(frozen=True, slots=True)
class _Need:
    words: str = ""
    device_hours: float | None = None


def _need(case: Case, waiting: list[Measurement]) -> _Need:
    """What an undecided gate waits for: exposure first, if anybody can say how much."""
    if not waiting:
        return _Need()
    words = "; ".join(f"{row.gate}: {row.explanation}" for row in waiting)
    known = [row.more_s for row in waiting if row.more_s is not None]
    if not known:
        return _Need(words[:500])
    hours = max(known) / 3600
    awake = [each for each in case.subjects.values() if each.running.windows and not each.silent_s]
    rate = "no gateway runs it"
    if awake:
        rate = f"{figure(hours / len(awake))} h at the present rate of {len(awake)} gateways"
    headline = f"about {figure(hours)} device-hours more, {rate}"
    return _Need(f"{headline}; {words}"[:500], round(hours, 6))
