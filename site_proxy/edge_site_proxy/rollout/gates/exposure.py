"""Whether enough was seen at all: exposure, coverage, recipes, shifts and histories; pure.

None of these ever fails a release, but for windows that are missing where the control has them.
"""

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.gates import Measurement, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import Tally
from edge_site_proxy.rollout.gates.shifts import shift_at
from edge_site_proxy.rollout.gates.statistics import Arms, log_wealth, ratio_worse

MISSING_RATIO = 3.0  # a canary may lose so many times the windows that the control loses


@dataclass(frozen=True, slots=True)
class Span:
    """Windows that came, and that should have, in seconds of exposure.

    `gaps_s` lie between windows that came: lost for good. A gateway keeps its windows until they
    are taken, so what a silent one has not sent yet (`silent_s`) is late and not lost.
    """

    heard_s: float = 0.0
    gaps_s: float = 0.0
    silent_s: float = 0.0

    @property
    def share(self) -> float | None:
        """Of all that should have come, None if nothing should."""
        due_s = self.heard_s + self.gaps_s + self.silent_s
        return self.heard_s / due_s if due_s > 0 else None


def seen_enough(case: Case, running: Tally) -> list[Measurement]:
    """Every bound that the exposure of a cohort must reach."""
    rows = [*_exposure(case, running), _coverage(case)]
    if case.controls:
        rows.append(_control_coverage(case))
    if case.limits.regimes:
        rows.append(_recipes(case, running))
    if case.limits.shifts_min:
        rows.append(_shifts(case))
    return rows


def _exposure(case: Case, running: Tally) -> list[Measurement]:
    limits = case.limits
    seen_s = running.exposure_s
    least = (
        ("windows", float(running.windows), limits.windows_min, "{window}", "health windows"),
        ("inferences", float(running.scored), limits.inferences_min, "{inference}", "inferences"),
        ("soak", seen_s, limits.soak_min_s, "s", "seconds in charge"),
    )
    rows = []
    for gate, value, limit, unit, words in least:
        left = limit - value
        usual_s = {"windows": case.window_s, "soak": 1.0}.get(gate)
        each_s = seen_s / value if value and seen_s else usual_s
        rows.append(
            Measurement(
                gate=gate,
                verdict=Verdict.INCONCLUSIVE if left > 0 else Verdict.PASS,
                value=value,
                limit=float(limit),
                unit=unit,
                n=running.windows,
                explanation=f"{math.ceil(left)} more {words}" if left > 0 else "",
                more_s=left * each_s if left > 0 and each_s is not None else None,
            )
        )
    return rows


def _coverage(case: Case) -> Measurement:
    spans, mute = [], []
    for serial, subject in sorted(case.subjects.items()):
        if subject.running.windows:
            spans.append(_span(subject))
        elif subject.activated:
            mute.append(serial)
    words = f"no health windows from {', '.join(mute)}" if mute else "health windows are missing"
    share = _together(spans).share
    enough = share is not None and share >= case.limits.coverage_min and not mute
    return Measurement(
        gate="coverage",
        verdict=Verdict.PASS if enough else Verdict.INCONCLUSIVE,
        value=share,
        limit=case.limits.coverage_min,
        unit="1",
        n=len(case.subjects),
        explanation="" if enough else words,
    )


def _control_coverage(case: Case) -> Measurement:
    heard = [control for control in case.controls if not control.silent]
    share = _together([_meanwhile(control) for control in heard]).share
    enough = share is not None and share >= case.limits.coverage_min
    return Measurement(
        gate="control_coverage",
        verdict=Verdict.PASS if enough else Verdict.INCONCLUSIVE,
        value=share,
        limit=case.limits.coverage_min,
        unit="1",
        n=len(case.controls),
        explanation="" if enough else "health windows of those who did not change are missing",
    )


def missing(case: Case, log_fail: float) -> Measurement:
    """Windows that the canary lost and the control did not are suspect: they count as harm."""
    canary = _together([_span(each) for each in case.subjects.values()])
    control = _together([_meanwhile(each) for each in case.controls])
    lost, lost_there = (round(each.gaps_s / case.window_s) for each in (canary, control))
    due, due_there = ((each.heard_s + each.gaps_s) / case.window_s for each in (canary, control))
    arms = Arms([lost], [lost + lost_there], [due], [due_there])
    harm = log_wealth(ratio_worse(arms, MISSING_RATIO)) if due and due_there else 0.0
    failed = harm >= log_fail
    words = f"{lost} of {due:.0f} windows never came, of the control's {lost_there}"
    return Measurement(
        gate="missing",
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        value=lost / due if due else None,
        limit=MISSING_RATIO * lost_there / due_there if due_there else 0.0,
        unit="1",
        n=round(due),
        explanation=f"{words} of {due_there:.0f}" if failed else "",
        log_e=round(harm, 6),
    )


def _span(subject: Subject) -> Span:
    tally = subject.running
    if tally.first is None or tally.last is None:
        return Span()
    due_s = (tally.last - tally.first).total_seconds()
    return Span(tally.exposure_s, max(0.0, due_s - tally.exposure_s), subject.silent_s)


def _meanwhile(control: Control) -> Span:
    """Since its history was frozen."""
    heard_s = control.tally.exposure_s - control.history.exposure_s
    begun, last = control.history.at, control.tally.last
    if begun is None or last is None or heard_s <= 0:
        return Span()
    due_s = (last - begun).total_seconds()
    return Span(heard_s, max(0.0, due_s - heard_s))


def _together(spans: list[Span]) -> Span:
    """All of *spans* as one."""
    return Span(
        heard_s=sum(each.heard_s for each in spans),
        gaps_s=sum(each.gaps_s for each in spans),
        silent_s=sum(each.silent_s for each in spans),
    )


def _recipes(case: Case, running: Tally) -> Measurement:
    """Every recipe that the plan names, in as many windows as it says."""
    limits = case.limits
    seen = {
        name: counts.windows
        for name in limits.regimes
        if (counts := running.strata.get(f"recipe {name}")) is not None
    }
    short = [name for name in limits.regimes if seen.get(name, 0) < limits.regime_windows_min]
    words = ", ".join(f"{name} ({seen.get(name, 0)})" for name in short)
    return Measurement(
        gate="recipes",
        verdict=Verdict.INCONCLUSIVE if short else Verdict.PASS,
        value=float(len(limits.regimes) - len(short)),
        limit=float(len(limits.regimes)),
        unit="{recipe}",
        n=running.windows,
        explanation=f"{limits.regime_windows_min} windows of each recipe; short of {words}"
        if short
        else "",
    )


def _shifts(case: Case) -> Measurement:
    """Whole shifts that every member in charge has soaked through."""
    limits = case.limits
    needed_s: dict[str, float] = {}
    fewest, who = 0, "nobody"
    running = {
        serial: subject.running
        for serial, subject in sorted(case.subjects.items())
        if subject.running.windows
    }
    for number, (serial, tally) in enumerate(running.items()):
        for begun in tally.shifts.keys() - needed_s.keys():
            shift = shift_at(datetime.fromisoformat(begun), limits)
            needed_s[begun] = limits.coverage_min * shift.length_s
        whole = sum(seen_s >= needed_s[begun] for begun, seen_s in tally.shifts.items())
        if not number or whole < fewest:
            fewest, who = whole, serial
    enough = fewest >= limits.shifts_min
    return Measurement(
        gate="shifts",
        verdict=Verdict.PASS if enough else Verdict.INCONCLUSIVE,
        value=float(fewest),
        limit=float(limits.shifts_min),
        unit="{shift}",
        n=len(running),
        explanation=""
        if enough
        else f"{who} has soaked through {fewest} of {limits.shifts_min} whole shifts",
    )


def without_history(case: Case, strangers: list[str], *, paired: bool) -> Measurement:
    """Members that ran where they have no history are judged only where pairs judge them."""
    alone = [
        serial for serial in strangers if not (paired and case.subjects[serial].running.pairs)
    ]
    kinds = Counter(case.subjects[serial].kind for serial in alone)
    words = ", ".join(alone[:10]) + (" and others" if len(alone) > 10 else "")
    where = ", ".join(kind for kind in kinds if kind)
    return Measurement(
        gate="history",
        verdict=Verdict.INCONCLUSIVE if alone else Verdict.PASS,
        value=float(len(alone)),
        limit=0.0,
        unit="{gateway}",
        n=len(case.subjects),
        explanation=f"no history of {case.limits.history_days_min} days: {words}"
        + (f" ({where})" if where else "")
        if alone
        else "",
    )
