"""The gate over one cohort: vetoes, bounds and bets in, a verdict with its reasons out; pure.

A veto needs no statistics. FAIL comes from tests on whole health windows, which bursts cannot
fool. PASS needs every measurement to pass and enough exposure; what is missing never passes.
Alpha for FAIL is split over the tests (any may fail); alpha for PASS is not (all must pass).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_core.contracts.rollout import GateLimits, GateReport, Measurement, Verdict
from edge_site_proxy.rollout.evidence import EMPTY, Tally, pooled
from edge_site_proxy.rollout.statistics import (
    WORSE,
    Arms,
    log_wealth_any,
    log_wealth_better,
    log_wealth_ratio,
)

RATIO_FAIL = 1.1  # canary may be this much worse than its own history says
RATIO_WORST = 3.0  # and no single gateway this much
LOG_WORST = math.log(100)
HISTORY_WINDOWS_MIN = 24  # below it a gateway has no history to be compared with
TYPICAL = 0.5  # PASS for latency: the typical window is under the limit
STATISTICAL = 4  # tests that may each say FAIL by chance


@dataclass(frozen=True, slots=True)
class History:
    """Windows that a gateway had before, and how many of them were bad."""

    windows: int
    bad: int


@dataclass(frozen=True, slots=True)
class Subject:
    """One member of the cohort, as evidence.

    Attributes:
        running: what the new release did in charge, on trial or committed.
        shadow: what it did beside the old one.
        history: what the old release did here before.
        veto: a deterministic refusal, in words.
        silent_s: how long nothing was heard beyond the usual.
        activated: whether it ever ran the release in charge.
    """

    running: Tally = EMPTY
    shadow: Tally = EMPTY
    history: History | None = None
    veto: str | None = None
    silent_s: float = 0.0
    activated: bool = False


@dataclass(frozen=True, slots=True)
class Control:
    """One gateway still on the old release: what it did before, and what it does meanwhile."""

    history: History
    meanwhile: History


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a verdict depends on."""

    cohort: str
    limits: GateLimits
    subjects: Mapping[str, Subject]
    controls: Sequence[Control] = field(default=())
    shadow_needed: bool = True


def judge(case: Case) -> GateReport:
    """The verdict; the same evidence gives the same report."""
    running = pooled(subject.running for subject in case.subjects.values())
    shadow = pooled(subject.shadow for subject in case.subjects.values())
    both = pooled([running, shadow])
    rows = [_vetoes(case), *_exposure(case, running), _coverage(case)]
    rows += [_errors(case, running), _latency(case, running), _domain(case, both)]
    if case.shadow_needed:
        rows.append(_disagreement(case, both))
    rows.extend(_worst(case))
    failed = [row.gate for row in rows if row.verdict is Verdict.FAIL]
    waiting = [row for row in rows if row.verdict is Verdict.INCONCLUSIVE]
    verdict = Verdict.PASS
    if waiting:
        verdict = Verdict.INCONCLUSIVE
    if failed:
        verdict = Verdict.FAIL
    return GateReport(
        cohort=case.cohort,
        verdict=verdict,
        by=failed or [row.gate for row in waiting] or [row.gate for row in rows],
        measurements=rows,
        exposure_s=running.exposure_s,
        windows=running.windows,
        needs="; ".join(row.explanation for row in waiting)[:500],
    )


def _vetoes(case: Case) -> Measurement:
    vetoed = sorted(
        (serial, subject.veto)
        for serial, subject in case.subjects.items()
        if subject.veto is not None
    )
    return Measurement(
        gate="veto",
        verdict=Verdict.FAIL if vetoed else Verdict.PASS,
        value=float(len(vetoed)),
        limit=0.0,
        unit="{gateway}",
        n=len(case.subjects),
        explanation="; ".join(f"{serial}: {veto}" for serial, veto in vetoed)[:500],
    )


def _exposure(case: Case, running: Tally) -> list[Measurement]:
    limits = case.limits
    least = (
        ("windows", float(running.windows), limits.windows_min, "{window}", "health windows"),
        ("inferences", float(running.scored), limits.inferences_min, "{inference}", "inferences"),
        ("soak", running.exposure_s, limits.soak_min_s, "s", "seconds in charge"),
    )
    rows = []
    for gate, value, limit, unit, words in least:
        enough = value >= limit
        rows.append(
            Measurement(
                gate=gate,
                verdict=Verdict.PASS if enough else Verdict.INCONCLUSIVE,
                value=value,
                limit=float(limit),
                unit=unit,
                n=running.windows,
                explanation="" if enough else f"{math.ceil(limit - value)} more {words}",
            )
        )
    return rows


def _coverage(case: Case) -> Measurement:
    heard = spanned = 0.0
    mute = []
    for serial, subject in sorted(case.subjects.items()):
        tally = subject.running
        if tally.first is not None and tally.last is not None:
            span = (tally.last - tally.first).total_seconds() + subject.silent_s
            heard, spanned = heard + tally.exposure_s, spanned + span
        elif subject.activated:
            mute.append(serial)
    share = min(1.0, heard / spanned) if spanned > 0 else None
    enough = share is not None and share >= case.limits.coverage_min and not mute
    words = f"no health windows from {', '.join(mute)}" if mute else "health windows are missing"
    return Measurement(
        gate="coverage",
        verdict=Verdict.PASS if enough else Verdict.INCONCLUSIVE,
        value=share,
        limit=case.limits.coverage_min,
        unit="1",
        n=len(case.subjects),
        explanation="" if enough else words[:500],
    )


def _errors(case: Case, running: Tally) -> Measurement:
    limits = case.limits
    tried = running.scored + running.errors
    arms = _arms(case)
    against = 0.0 if arms is None else log_wealth_ratio(arms, RATIO_FAIL, WORSE)
    return _share_row(
        "errors",
        (running.errors, tried),
        limits.error_share_max,
        limits,
        max(_harm(case, running, "error_bets"), against),
        "worse than its own history" if against >= _log_fail(limits) else "",
    )


def _domain(case: Case, both: Tally) -> Measurement:
    return _share_row(
        "domain",
        (both.out_of_domain, both.scored + both.errors),
        case.limits.out_of_domain_share_max,
        case.limits,
        _harm(case, both, "domain_bets"),
        "outside the training domain",
    )


def _disagreement(case: Case, both: Tally) -> Measurement:
    return _share_row(
        "disagreement",
        (both.disagreed, both.pairs),
        case.limits.disagreement_share_max,
        case.limits,
        _harm(case, both, "disagreement_bets"),
        "classed otherwise than the present model",
    )


def _harm(case: Case, pool: Tally, name: str) -> float:
    """Wealth of the harm test on all windows, and on each gateway's, beside and in charge."""
    parts: list[Tally] = []
    for subject in case.subjects.values():
        parts += [part for part in (subject.running, subject.shadow) if part.windows]
    return log_wealth_any(
        np.asarray(getattr(pool, name)), [np.asarray(getattr(part, name)) for part in parts]
    )


def _latency(case: Case, running: Tally) -> Measurement:
    limits = case.limits
    harm = _harm(case, running, "slow_bets")
    good = log_wealth_better(running.slow_windows, running.windows, TYPICAL)
    verdict, explanation = Verdict.INCONCLUSIVE, "more windows to trust the latency"
    if harm >= _log_fail(limits):
        verdict = Verdict.FAIL
        explanation = f"{running.slow_windows} of {running.windows} windows over the limit"
    elif good >= math.log(1 / limits.alpha_pass):
        verdict, explanation = Verdict.PASS, ""
    return Measurement(
        gate="latency",
        verdict=verdict,
        value=float(running.latency_p99_us_max) if running.windows else None,
        limit=float(limits.latency_p99_us_max),
        unit="us",
        n=running.windows,
        explanation=explanation,
        log_e=round(harm, 6),
    )


def _share_row(
    gate: str,
    counts: tuple[int, int],
    limit: float,
    limits: GateLimits,
    harm: float,
    words: str,
) -> Measurement:
    bad, count = counts
    verdict, explanation = Verdict.INCONCLUSIVE, f"{_more(bad, count, limit, limits)} ({gate})"
    if harm >= _log_fail(limits):
        verdict, explanation = Verdict.FAIL, f"{bad} of {count} {words}".rstrip()
    elif log_wealth_better(bad, count, limit) >= math.log(1 / limits.alpha_pass):
        verdict, explanation = Verdict.PASS, ""
    return Measurement(
        gate=gate,
        verdict=verdict,
        value=bad / count if count else None,
        limit=limit,
        unit="1",
        n=count,
        explanation=explanation,
        log_e=round(harm, 6),
    )


def _more(bad: int, count: int, limit: float, limits: GateLimits) -> str:
    """How much more it would take if it goes on as it did."""
    share = bad / count if count else 0.0
    if share >= limit:
        return f"{bad} of {count} is not below the limit"
    wanted = math.log(1 / limits.alpha_pass)
    total = max(count, 8)
    while log_wealth_better(round(share * total), total, limit) < wanted and total < 10**7:
        total *= 2
    return f"about {max(1, total - count)} more windows scored"


def _arms(case: Case) -> Arms | None:
    """Canary against control, each weighed by its own history; None where there is none."""
    canary = [
        (subject.running.bad_windows, subject.running.windows, subject.history)
        for subject in case.subjects.values()
        if subject.running.windows
    ]
    if not canary or any(not _known(history) for _, _, history in canary):
        return None
    controls = [each for each in case.controls if _known(each.history) and each.meanwhile.windows]
    if not controls:
        return None
    bad = sum(count for count, _, _ in canary)
    return Arms(
        bad=[bad],
        both=[bad + sum(each.meanwhile.bad for each in controls)],
        expected=[sum(_expected(history, windows) for _, windows, history in canary if history)],
        expected_control=[
            sum(_expected(each.history, each.meanwhile.windows) for each in controls)
        ],
    )


def _worst(case: Case) -> list[Measurement]:
    """No single gateway may be far worse than itself, even where the pool looks fine."""
    rows = []
    for serial, subject in sorted(case.subjects.items()):
        tally, history = subject.running, subject.history
        if history is None or not _known(history) or not tally.windows:
            continue
        arms = Arms(
            bad=[tally.bad_windows],
            both=[tally.bad_windows + history.bad],
            expected=[tally.windows],
            expected_control=[history.windows],
        )
        harm = log_wealth_ratio(arms, RATIO_WORST, WORSE)
        if harm >= LOG_WORST:
            rows.append(
                Measurement(
                    gate="worst_gateway",
                    verdict=Verdict.FAIL,
                    value=tally.bad_windows / tally.windows,
                    limit=RATIO_WORST * history.bad / history.windows,
                    unit="1",
                    n=tally.windows,
                    explanation=f"{serial}: {tally.bad_windows} bad windows of {tally.windows}, "
                    f"before {history.bad} of {history.windows}",
                    log_e=round(harm, 6),
                )
            )
    return rows


def _known(history: History | None) -> bool:
    return history is not None and history.windows >= HISTORY_WINDOWS_MIN


def _expected(history: History, windows: int) -> float:
    return (history.bad + 0.5) * windows / history.windows


def _log_fail(limits: GateLimits) -> float:
    return math.log(STATISTICAL / limits.alpha_fail)
