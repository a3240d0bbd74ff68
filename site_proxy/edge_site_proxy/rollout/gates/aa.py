"""A/A: the gate asked about a cohort in which nothing changed; pure.

A gate that fails such cohorts oftener than its alpha rests on assumptions that do not hold at this
plant: windows that depend on one another for hours, gateways that differ in more than level.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from msgspec.structs import replace

from edge_core.contracts.gates import GateCheck, GateChecks, GateLimits, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import (
    EMPTY,
    History,
    Strata,
    Tally,
    history_of,
    measure,
)

SHARE, LEAST, MOST = 0.01, 3, 10  # of the gateways: as a canary, and no more than are quickly read
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Day:
    """One whole day of a model, UTC, as `days` of a tally are.

    Attributes:
        tallies: of the committed role, by serial; all of them run the same release.
        kinds: zone and hardware class, by serial.
        window_s: the usual length of a health window.
    """

    day: date
    limits: GateLimits
    tallies: Mapping[str, Tally]
    kinds: Mapping[str, str]
    window_s: float

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime.combine(self.day, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first instant of the next."""
        return self.start + timedelta(days=1)


def eligible(day: Day) -> list[str]:
    """Gateways with windows on that day and a history before it."""
    return sorted(
        serial
        for serial, tally in day.tallies.items()
        if _on(day, tally) and _before(day, tally).days >= max(1, day.limits.history_days_min)
    )


def cohort(model: str, day: date, number: int, serials: Sequence[str]) -> list[str]:
    """Members of one check, by rank of a hash: nobody can choose them, and all get their turn.

    Empty where there are not as many others left to compare with.
    """
    count = min(MOST, max(LEAST, math.ceil(SHARE * len(serials))))
    if len(serials) < 2 * count:
        return []

    def rank(serial: str) -> bytes:
        words = "\0".join(["aa", model, day.isoformat(), str(number), serial])
        return hashlib.sha256(words.encode()).digest()

    return sorted(sorted(serials, key=rank)[:count])


def aa_case(day: Day, members: Mapping[str, Tally], others: Sequence[str]) -> Case:
    """What the gate is asked: *members* with the fold of their windows of that day."""
    return Case(
        cohort="a/a",
        limits=day.limits,
        subjects={
            serial: Subject(
                running=running,
                history=_before(day, day.tallies[serial]),
                kind=day.kinds[serial],
                activated=True,
            )
            for serial, running in members.items()
        },
        controls=[
            Control(
                history=_before(day, day.tallies[serial]),
                tally=_during(day, day.tallies[serial]),
                kind=day.kinds[serial],
            )
            for serial in others
        ],
        shadow_needed=False,
        window_s=day.window_s,
    )


def realised(checks: Sequence[GateCheck], alpha: float) -> GateChecks:
    """All of *checks* in numbers."""
    ordered = sorted(checks, key=lambda each: (each.day, each.model, each.number), reverse=True)
    failed = sum(each.verdict is Verdict.FAIL for each in ordered)
    return GateChecks(
        runs=len(ordered),
        failed=failed,
        share=failed / len(ordered) if ordered else None,
        alpha=alpha,
        since=ordered[-1].day if ordered else None,
        newest=ordered[:SHOWN],
    )


def untrue(checks: GateChecks) -> bool:
    """Whether the gate blames oftener than it says; before 1 / alpha checks nobody can tell."""
    return checks.runs * checks.alpha >= 1 and checks.failed > checks.alpha * checks.runs


def _on(day: Day, tally: Tally) -> Strata:
    return tally.days.get(f"{day.day.isoformat()} {measure(day.limits)}", {})


def _before(day: Day, tally: Tally) -> History:
    """The days before, as a history that was frozen when the day began."""
    earlier = {name: each for name, each in tally.days.items() if name < day.day.isoformat()}
    past = history_of(replace(EMPTY, days=earlier), day.limits, day.start)
    return replace(past, total={}, exposure_s=0.0)


def _during(day: Day, tally: Tally) -> Tally:
    strata = _on(day, tally)
    windows = sum(counts.windows for counts in strata.values())
    return Tally(
        windows=windows,
        strata=strata,
        exposure_s=windows * day.window_s,
        first=day.start,
        last=day.end,
    )
