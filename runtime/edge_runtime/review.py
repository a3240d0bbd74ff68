"""Picks windows that a person should look at: within a budget, by rules, and some by chance.

Rules route what is strange: a narrow margin, models that disagree, a window outside the training
domain, a drift alarm. They say nothing about how often the model errs; only the windows that are
picked uniformly do, since the chance with which each was picked is written on it.
"""

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_core.contracts.plant import Serial
from edge_core.contracts.review import Channel, Routing, SuspectWindow
from edge_core.drift.wcusum import DriftScore, DriftStatus
from edge_core.features.samples import usable
from edge_runtime.config import ReviewConfig
from edge_runtime.scoring import Opinion, Scored

_ODDS: Final = 2.0**64
CHANCE_MAX: Final = 0.5  # of any one window; more would be no sample


@dataclass(frozen=True, slots=True)
class Pick:
    """Why a window goes to people."""

    routing: Routing
    why: str
    inclusion_probability: float | None = None


class ReviewRouter:
    """Decides about windows one after the other; remembers only what the budget needs.

    Args:
        config: rules and bounds.
        serial: of this gateway; with *seed* it makes the chances its own.
        seed: of the uniform picks.
    """

    def __init__(self, config: ReviewConfig, serial: Serial, seed: int) -> None:
        self._config = config
        self._salt = f"{serial}/{seed}/".encode()
        self._picked_s: deque[float] = deque()
        self._last_s: dict[Routing, float] = {}

    def follow(self, config: ReviewConfig) -> None:
        """Pick by other rules from now on; what was picked counts as before."""
        self._config = config

    def consider(
        self, scored: Scored, drift: DriftScore | None, *, budget: int, now_s: float
    ) -> Pick | None:
        """Whether this window goes to people.

        Args:
            scored: the window with all opinions.
            drift: what the charts said of it, if they were asked.
            budget: windows a shift, from the site.
            now_s: monotonic.
        """
        if scored.decisive is None:
            return None
        while self._picked_s and now_s - self._picked_s[0] > self._config.shift_s:
            self._picked_s.popleft()
        if len(self._picked_s) >= budget:
            return None
        pick = self._by_chance(scored, budget) or self._by_rule(scored, drift, now_s)
        if pick is not None:
            self._picked_s.append(now_s)
        return pick

    def _by_chance(self, scored: Scored, budget: int) -> Pick | None:
        model = scored.route.effective
        if model is None:
            return None
        windowing = model.signature.windowing
        a_shift = self._config.shift_s / (windowing.period_s * windowing.stride_rows)
        chance = min(CHANCE_MAX, self._config.uniform_share * budget / max(1.0, a_shift))
        digest = hashlib.sha256(self._salt + str(scored.cut.number).encode()).digest()
        if chance <= 0 or int.from_bytes(digest[:8]) / _ODDS >= chance:
            return None
        return Pick(Routing.RANDOM, "picked by chance", chance)

    def _by_rule(self, scored: Scored, drift: DriftScore | None, now_s: float) -> Pick | None:
        for pick in _strange(scored, drift, self._config.margin_max):
            last_s = self._last_s.get(pick.routing)
            if last_s is None or now_s - last_s >= self._config.rest_s:
                self._last_s[pick.routing] = now_s
                return pick
        return None


def _strange(scored: Scored, drift: DriftScore | None, margin_max: float) -> list[Pick]:
    """Every rule that this window meets, the most telling first."""
    found: list[Pick] = []
    first = scored.opinions[0]
    if len(scored.opinions) == 2:
        second = scored.opinions[1]
        if None not in {first.label, second.label} and first.label != second.label:
            why = f"{_said(first)}, {_said(second)}"
            found.append(Pick(Routing.SHADOW, why))
    if first.inside is False:
        found.append(Pick(Routing.OUT_OF_DOMAIN, "outside of what the model was trained on"))
    if drift is not None and drift.status is DriftStatus.ALARM:
        why = f"drift of {', '.join(drift.tags) or 'the recipe'} ({drift.kind})"
        found.append(Pick(Routing.DRIFT, why[:300]))
    if first.label is not None and first.margin < margin_max:
        found.append(Pick(Routing.UNCERTAIN, f"best two scores {first.margin:.2f} apart"))
    return found


def _said(opinion: Opinion) -> str:
    return f"{opinion.model.release.version} says {opinion.label}"


def suspect(
    scored: Scored, pick: Pick, roles: tuple[str, ...], units: dict[str, str]
) -> SuspectWindow | None:
    """The window as people will see it; None if nobody said anything about it."""
    opinion = scored.decisive
    if opinion is None or opinion.label is None:
        return None
    model, verdict = opinion.model, scored.verdict
    other = next((each for each in scored.opinions if each is not opinion), None)
    shown = [role for role in roles if role in set(model.signature.roles)]
    return SuspectWindow(
        id=f"{verdict.serial}:{verdict.epoch}:{verdict.window}",
        serial=verdict.serial,
        digest=model.digest,
        shadow_digest=None if other is None else other.model.digest,
        started=verdict.started,
        ended=verdict.ended,
        period_s=model.signature.windowing.period_s,
        channels=[_channel(scored, roles.index(role), role, units[role]) for role in shown],
        classes=model.signature.classes,
        scores=list(opinion.scores),
        prediction=opinion.label,
        shadow_prediction=None if other is None else other.label,
        routing=pick.routing,
        why=pick.why[:300],
        inclusion_probability=pick.inclusion_probability,
        regime=(scored.mode or "")[:40],
    )


def _channel(scored: Scored, column: int, role: str, unit: str) -> Channel:
    window = scored.cut.window
    values = window.values[:, column]
    fit = usable(window.quality[:, column]) & np.isfinite(values)
    shown = [
        float(f"{value:.6g}") if good else None
        for value, good in zip(values.tolist(), fit.tolist(), strict=True)
    ]
    return Channel(role=role, unit=unit, values=shown)
