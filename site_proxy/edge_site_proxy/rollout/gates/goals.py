"""What a release must keep to: one test a goal, absolute and against the control; pure.

A goal is missed when windows are proved bad too often, by the plan's own limit or by what each
gateway's history and the control make expect. It is met when the opposite is proved either way.
"""

import math
from dataclasses import dataclass

from msgspec.structs import replace

from edge_core.contracts.gates import Measurement, Verdict
from edge_site_proxy.rollout.gates.case import Case
from edge_site_proxy.rollout.gates.compare import Cells, arms_of
from edge_site_proxy.rollout.gates.evidence import Tally
from edge_site_proxy.rollout.gates.statistics import (
    Arms,
    Stakes,
    besides,
    better_stakes,
    growth,
    log_wealth,
    log_wealth_any,
    log_wealth_worse,
    oftener_stakes,
    rarer_stakes,
    ratio_better,
    ratio_worse,
)

S_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that is counted.

    Attributes:
        seen: what it is counted in.
        way: in which a window may be bad, None where windows are not counted.
        counts: bad ones and all, below what share, for goals on single windows of the model.
        bets: of the tally, on the share in each health window.
        shown: value, limit and unit, where that is no share.
    """

    gate: str
    seen: Tally
    words: str
    way: str | None = None
    counts: tuple[int, int, float] | None = None
    bets: str | None = None
    shown: tuple[float | None, float, str] | None = None


def goals(case: Case, running: Tally, both: Tally) -> list[Goal]:
    """What this cohort is asked; *both* is in charge and beside the present model together."""
    limits = case.limits
    tried = running.scored + running.errors
    slowest = float(running.latency_p99_us_max) if running.windows else None
    found = [
        Goal(
            "errors",
            running,
            "failed",
            way="errors",
            counts=(running.errors, tried, limits.error_share_max),
            bets="error_bets",
        ),
        Goal(
            "latency",
            running,
            "windows over the limit",
            way="slow",
            bets="slow_bets",
            shown=(slowest, float(limits.latency_p99_us_max), "us"),
        ),
        Goal(
            "domain",
            both,
            "outside the training domain",
            way="outside",
            counts=(
                both.out_of_domain,
                both.scored + both.errors,
                limits.out_of_domain_share_max,
            ),
            bets="domain_bets",
        ),
        Goal("overrides", running, "windows overridden by operators", way="overridden"),
    ]
    if limits.anomaly_share_max is not None:
        found.append(Goal("anomalies", running, "windows with many anomalies", way="anomalous"))
    if limits.kpi_min is not None or limits.kpi_max is not None:
        found.append(Goal("kpi", running, "windows with the KPI out of bounds", way="kpi"))
    if case.shadow_needed:
        pairs = (both.disagreed, both.pairs, limits.disagreement_share_max)
        words = "classed otherwise than the present model"
        found.append(Goal("disagreement", both, words, counts=pairs, bets="disagreement_bets"))
    return found


def asked(case: Case, goal: Goal, compared: Cells, log_fail: float) -> Measurement:
    """Whether *goal* is met, missed, or what it still takes to tell."""
    strata = [] if goal.way is None else compared.strata(goal.way)
    arms, limits = arms_of(strata), case.limits
    worse = None if arms is None else ratio_worse(arms, limits.ratio_fail)
    better = None if arms is None else ratio_better(arms, limits.ratio_pass)
    alone = _harm(case, goal)
    against = 0.0 if worse is None else log_wealth(worse)
    proofs = [_proof(case, goal)] if better is None else [_proof(case, goal), [better]]
    row = _told(
        case,
        _Evidence(
            goal=goal,
            harm=alone if worse is None else besides(against, alone),
            proofs=proofs,
            words=f"{goal.words}, worse than its own history" if against > alone else goal.words,
        ),
        log_fail,
    )
    return replace(
        row,
        strata=strata,
        worse=[] if worse is None else [round(each, 6) for each in worse.logs],
        better=[] if better is None else [round(each, 6) for each in better.logs],
    )


def restarts(case: Case, running: Tally, log_fail: float) -> Measurement:
    """Ends in the middle of a window: too rare for shares, so a rate a device-day is bounded.

    The control's rate is weighed by exposure; hardly any gateway has a history of these.
    """
    limit = case.limits.restarts_per_day_max
    days, events = running.exposure_s / S_A_DAY, running.cut_short
    there_s = sum(each.tally.exposure_s - each.history.exposure_s for each in case.controls)
    there = sum(each.tally.cut_short - each.history.restarts for each in case.controls)
    harm = log_wealth(oftener_stakes(events, days, limit))
    if days and there_s > 0:
        arms = Arms([events], [events + there], [days], [there_s / S_A_DAY])
        harm = besides(log_wealth(ratio_worse(arms, case.limits.ratio_fail)), harm)
    shown = (events / days if days else None, limit, "1/d")
    goal = Goal("restarts", running, "restarts", shown=shown)
    proofs = [[rarer_stakes(events, days, limit)]]
    return _told(
        case,
        _Evidence(goal, harm, proofs, f"windows cut short, in {days:.2g} device-days"),
        log_fail,
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """For a verdict: PASS if every bet of one of *proofs* has made enough."""

    goal: Goal
    harm: float
    proofs: list[list[Stakes]]
    words: str


def _told(case: Case, evidence: _Evidence, log_fail: float) -> Measurement:
    goal, wanted = evidence.goal, math.log(1 / case.limits.alpha_pass)
    good = max(min(map(log_wealth, proof)) for proof in evidence.proofs)
    bad, count, limit = _counted(case, goal)
    value = bad / count if count else None
    verdict, explanation, more_s = Verdict.PASS, "", None
    if evidence.harm >= log_fail:
        verdict, explanation = Verdict.FAIL, f"{bad} of {count} {evidence.words}"
    elif good < wanted:
        verdict = Verdict.INCONCLUSIVE
        grown = min(max(growth(stakes, wanted) for stakes in proof) for proof in evidence.proofs)
        explanation, more_s = _left(goal, grown)
    shown = (value, limit, "1") if goal.shown is None else goal.shown
    return Measurement(
        gate=goal.gate,
        verdict=verdict,
        value=shown[0],
        limit=shown[1],
        unit=shown[2],
        n=count,
        explanation=explanation,
        log_e=round(evidence.harm, 6),
        log_e_good=round(good, 6),
        more_s=more_s,
    )


def _left(goal: Goal, grown: float) -> tuple[str, float | None]:
    """How much more of the same it takes, in words and in seconds."""
    seen_s = goal.seen.exposure_s
    if not seen_s:
        return "nothing was seen yet", None
    if not math.isfinite(grown):
        return "never at the present rate: it is not below the limit", None
    more_s = max(0.0, (grown - 1) * seen_s)
    return f"about {figure(more_s / 3600)} device-hours more", more_s


def figure(value: float) -> str:
    """Two digits are enough to plan a shift by."""
    return f"{float(f'{value:.2g}'):g}"


def _counted(case: Case, goal: Goal) -> tuple[int, int, float]:
    """Bad ones of how many, and the share that is allowed."""
    if goal.counts is not None:
        return goal.counts
    if goal.way is None:
        return goal.seen.cut_short, goal.seen.windows, 0.0
    return *_windows(goal), case.limits.bad_windows_max


def _windows(goal: Goal) -> tuple[int, int]:
    """Bad windows, of how many in which anything was tried."""
    counts = goal.seen.counts
    return (getattr(counts, goal.way) if goal.way else 0), counts.windows


def _harm(case: Case, goal: Goal) -> float:
    """Wealth of the bets that the limit is broken, in all windows or in those of one gateway."""
    if goal.bets is None:
        return log_wealth_worse(*_windows(goal), case.limits.bad_windows_max)
    parts: list[Tally] = []
    for subject in case.subjects.values():
        parts += [part for part in (subject.running, subject.shadow) if part.windows]
    return log_wealth_any(
        getattr(goal.seen, goal.bets), [getattr(part, goal.bets) for part in parts]
    )


def _proof(case: Case, goal: Goal) -> list[Stakes]:
    """Bets that the limit is kept: by each inference, and by whole windows because of bursts."""
    found = [] if goal.counts is None else [better_stakes(*goal.counts)]
    if goal.way is not None:
        found.append(better_stakes(*_windows(goal), case.limits.bad_windows_max))
    return found
