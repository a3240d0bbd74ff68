"""Canary against control, each weighed by its own history, like compared with like; pure.

A cell is one kind of gateway in one recipe or shift. What differs from gateway to gateway (camera,
light, product) goes out with its own history, what hits the whole plant with the control.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import astuple

from edge_core.contracts.gates import GateLimits, Measurement, Stratum, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import Counts, History, since
from edge_site_proxy.rollout.gates.statistics import WORSE, Arms, Floats, worse_by

WAYS = Counts.__struct_fields__[1:]  # in which a window may be bad
SMOOTHING = 0.5  # bad windows added to every history: one that never saw any is no proof
LOG_WORST = math.log(100)
CHOICES_MIN = 200  # ways to choose the canary; with fewer, chance alone gives a small p
RESAMPLES = 999

_Row = tuple[str, Counts, Counts]  # cell or serial, windows now, windows before


@dataclass(frozen=True, slots=True)
class Cells:
    """Both arms by cell.

    Attributes:
        names: of the cells in which the canary has windows and a history.
        bad, expected: of the canary, shape (cell, way).
        control, expected_control: likewise.
        strangers: members that ran where they have no history, by serial.
    """

    names: list[str]
    bad: Floats
    expected: Floats
    control: Floats
    expected_control: Floats
    strangers: list[str]

    def strata(self, way: str) -> list[Stratum]:
        """The four numbers of each cell."""
        at = WAYS.index(way)
        return [
            Stratum(
                name=name,
                bad=round(self.bad[cell, at]),
                both=round(self.bad[cell, at] + self.control[cell, at]),
                expected=round(float(self.expected[cell, at]), 6),
                expected_control=round(float(self.expected_control[cell, at]), 6),
            )
            for cell, name in enumerate(self.names)
        ]


def arms_of(strata: Sequence[Stratum]) -> Arms | None:
    """The cells in which there is somebody to compare with; None if there are none."""
    found = [each for each in strata if each.expected > 0 and each.expected_control > 0]
    if not found:
        return None
    return Arms(
        bad=[each.bad for each in found],
        both=[each.both for each in found],
        expected=[each.expected for each in found],
        expected_control=[each.expected_control for each in found],
    )


def cells(case: Case) -> Cells:
    """Both arms; a member without a history in a cell is left out there, and named."""
    canary: list[_Row] = []
    strangers = []
    for serial, subject in sorted(case.subjects.items()):
        rows = _canary(subject, case.limits)
        canary += rows
        if len(rows) < len(subject.running.strata):
            strangers.append(serial)
    control = [row for each in case.controls for row in _control(each, case.limits)]
    names = sorted({name for name, _, _ in canary})
    bad, expected = _totals(names, canary)
    other, expected_control = _totals(names, control)
    return Cells(names, bad, expected, other, expected_control, strangers)


def _canary(subject: Subject, limits: GateLimits) -> list[_Row]:
    history = subject.history
    if history is None or history.days < limits.history_days_min:
        return []
    return _rows(subject.kind, subject.running.strata.items(), history, limits)


def _control(control: Control, limits: GateLimits) -> list[_Row]:
    if control.history.days < limits.history_days_min:
        return []
    fresh = since(control.tally, control.history)
    return _rows(control.kind, fresh.items(), control.history, limits)


def _rows(
    kind: str, strata: Iterable[tuple[str, Counts]], history: History, limits: GateLimits
) -> list[_Row]:
    return [
        (f"{kind}, {name}" if kind else name, counts, before)
        for name, counts in strata
        if (before := history.recent.get(name)) is not None
        and before.windows >= limits.history_windows_min
    ]


def _totals(names: list[str], rows: list[_Row]) -> tuple[Floats, Floats]:
    """Bad windows, and those to be expected from history and exposure: (cell, way) each."""
    shape = (len(names), len(WAYS))
    bad, expected = np.zeros(shape), np.zeros(shape)
    index = {name: at for at, name in enumerate(names)}
    rows = [row for row in rows if row[0] in index]
    if rows:
        at = [index[name] for name, _, _ in rows]
        now = np.array([astuple(counts) for _, counts, _ in rows], float)
        before = np.array([astuple(counts) for _, _, counts in rows], float)
        np.add.at(bad, at, now[:, 1:])
        np.add.at(expected, at, _expected(now, before))
    return bad, expected


def _expected(now: Floats, before: Floats) -> Floats:
    return np.asarray((before[:, 1:] + SMOOTHING) * now[:, :1] / before[:, :1])


def worst(case: Case) -> list[Measurement]:
    """No single gateway may be far worse than itself, even where the pool looks fine."""
    rows = [
        (serial, counts, before)
        for serial, subject in sorted(case.subjects.items())
        for _, counts, before in _canary(subject, case.limits)
    ]
    index = {serial: at for at, serial in enumerate(dict.fromkeys(each[0] for each in rows))}
    if not index:
        return []
    now, before = np.zeros((2, len(index), len(WAYS) + 1))
    at = [index[serial] for serial, _, _ in rows]
    np.add.at(now, at, np.array([astuple(counts) for _, counts, _ in rows], float))
    np.add.at(before, at, np.array([astuple(counts) for _, _, counts in rows], float))
    harm = _against_itself(now, before, case.limits.ratio_worst)
    serials = list(index)
    return [
        Measurement(
            gate="worst_gateway",
            verdict=Verdict.FAIL,
            value=float(now[gateway, way + 1] / now[gateway, 0]),
            limit=float(case.limits.ratio_worst * before[gateway, way + 1] / before[gateway, 0]),
            unit="1",
            n=int(now[gateway, 0]),
            explanation=f"{serials[gateway]}: {now[gateway, way + 1]:.0f} of "
            f"{now[gateway, 0]:.0f} windows bad ({WAYS[way]}), before "
            f"{before[gateway, way + 1]:.0f} of {before[gateway, 0]:.0f}",
            log_e=round(float(harm[gateway, way]), 6),
        )
        for gateway, way in np.argwhere(harm >= LOG_WORST)
    ]


def _against_itself(now: Floats, before: Floats, ratio: float) -> Floats:
    """Wealth of each gateway against "at most *ratio* times as often as before": (gateway, way).

    Its own past is the control arm, so both arms' expectations are their windows.
    """
    mine, past = now[:, :1], before[:, :1]
    bad, good = now[:, 1:], before[:, 1:]
    null = ratio * mine / (ratio * mine + past)
    shares = np.array([ratio * step * mine / (ratio * step * mine + past) for step in WORSE])
    logs = bad * np.log(shares / null) + good * np.log((1 - shares) / (1 - null))
    top = logs.max(axis=0)
    stakes = np.array(worse_by(WORSE).weights)[:, None, None]
    return np.asarray(top + np.log(np.sum(stakes * np.exp(logs - top), axis=0)))


def confirmation(case: Case) -> Measurement | None:
    """How unusual the canary is among all gateways: a last look that is shown and decides nothing.

    Compares each gateway's errors with its own history, as the logarithm of the ratio; the value
    is how often a canary chosen at random would look worse. None where there are too few gateways
    to choose from.
    """
    canary = _log_ratios(_canary(each, case.limits) for each in case.subjects.values())
    control = _log_ratios(_control(each, case.limits) for each in case.controls)
    members = len(canary) + len(control)
    if not canary or math.comb(members, len(canary)) < CHOICES_MIN:
        return None
    return Measurement(
        gate="permutation",
        verdict=Verdict.PASS,
        value=round(chance(canary, control), 4),
        limit=case.limits.alpha_fail,
        unit="1",
        n=members,
    )


def chance(canary: Sequence[float], control: Sequence[float]) -> float:
    """P of a permutation test of the means, one-sided, by so many choices at random.

    The choice that was made counts as one of them, so p is never 0 and the test is never too bold
    (Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9, 2010).
    """
    everybody = np.array([*canary, *control])
    random = np.random.default_rng(0)
    seen = everybody[: len(canary)].sum()
    # Of one size out of one pool: the larger the sum of the canary, the larger its mean's lead.
    sums = [random.permutation(everybody)[: len(canary)].sum() for _ in range(RESAMPLES)]
    as_bad = sum(each >= seen or math.isclose(each, seen) for each in sums)
    return float((1 + as_bad) / (RESAMPLES + 1))


def _log_ratios(gateways: Iterable[list[_Row]]) -> list[float]:
    """Of each gateway that has rows: errors over what its history makes expect."""
    found = []
    for rows in gateways:
        if rows:
            now = np.array([astuple(counts) for _, counts, _ in rows], float)
            before = np.array([astuple(counts) for _, _, counts in rows], float)
            expected = float(_expected(now, before)[:, 0].sum())
            found.append(math.log((float(now[:, 1].sum()) + SMOOTHING) / expected))
    return found
