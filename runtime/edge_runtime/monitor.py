"""Health windows and drift: sums up what the models did, and never decides about them.

A health window is a summary of one model in one role over one period. The site's gates are fed by
these and by nothing else; drift only routes windows to review.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import DriftNotice, HealthWindow
from edge_core.drift.state import DriftState
from edge_core.drift.wcusum import DriftScore, DriftStatus, DriftWindow, begin, step
from edge_core.features.samples import usable
from edge_runtime.model import Model
from edge_runtime.scoring import Opinion, Scored, instant

LATENCIES_MAX: Final = 4096  # of one health window; enough for a p99 of any line we know
NOTICES_MAX: Final = 8  # what one heartbeat carries


@dataclass(slots=True)
class _Sums:
    scored: int = 0
    no_verdict: int = 0
    errors: int = 0
    alarms: int = 0
    out_of_domain: int = 0
    pairs: int = 0
    disagreed: int = 0
    regime: str = ""
    latencies_us: list[int] = field(default_factory=list)


class HealthSums:
    """The health window that is being filled, one sum a model and role."""

    def __init__(self, epoch: int, now: Callable[[], datetime]) -> None:
        self._epoch = epoch
        self._now = now
        self._number = 0
        self._started = now()
        self._sums: dict[tuple[Digest, str], _Sums] = {}

    def take(self, scored: Scored) -> None:
        """Count one window."""
        if scored.bad_input and scored.route.effective is not None:
            sums = self._of(scored.route.effective.digest, scored.route.role)
            sums.no_verdict += 1
        paired = len(scored.opinions) == 2 and all(each.label for each in scored.opinions)
        differs = paired and scored.opinions[0].label != scored.opinions[1].label
        for opinion in scored.opinions:
            sums = self._of(opinion.model.digest, opinion.role)
            sums.regime = scored.mode or sums.regime
            sums.pairs += int(paired)
            sums.disagreed += int(differs)
            _count(sums, opinion)

    def close(self) -> list[HealthWindow]:
        """The windows of the period that ends now; a fresh period begins."""
        started, self._started = self._started, self._now()
        sums, self._sums = self._sums, {}
        return [self._window(digest, role, each, started) for (digest, role), each in sums.items()]

    def _of(self, digest: Digest, role: str) -> _Sums:
        return self._sums.setdefault((digest, role), _Sums())

    def _window(self, digest: Digest, role: str, sums: _Sums, started: datetime) -> HealthWindow:
        self._number += 1
        p50, p99 = _percentiles(sums.latencies_us)
        return HealthWindow(
            epoch=self._epoch,
            number=self._number,
            digest=digest,
            role=role,
            started=started,
            ended=self._started,
            scored=sums.scored,
            no_verdict=sums.no_verdict,
            errors=sums.errors,
            alarms=sums.alarms,
            out_of_domain=sums.out_of_domain,
            shadow_pairs=sums.pairs,
            shadow_disagreed=sums.disagreed,
            latency_p50_us=p50,
            latency_p99_us=p99,
            regime=sums.regime[:40],
        )


def _count(sums: _Sums, opinion: Opinion) -> None:
    if opinion.label is None:
        sums.no_verdict += 1
        sums.errors += int(bool(opinion.error))
        return
    sums.scored += 1
    sums.alarms += int(opinion.label != opinion.model.signature.normal_class)
    sums.out_of_domain += int(opinion.inside is False)
    if len(sums.latencies_us) < LATENCIES_MAX:
        sums.latencies_us.append(opinion.latency_us)


def _percentiles(latencies_us: list[int]) -> tuple[int, int]:
    if not latencies_us:
        return 0, 0
    p50, p99 = np.percentile(latencies_us, (50, 99))
    return int(p50), int(p99)


@dataclass(frozen=True, slots=True)
class _Chart:
    state: DriftState
    ratio: float = 0.0


class DriftWatch:
    """The drift charts of the model in charge, one step every window that shares no row."""

    def __init__(self) -> None:
        self._charts: dict[Digest, _Chart] = {}
        self._notices: list[DriftNotice] = []

    def take(self, scored: Scored) -> DriftScore | None:
        """Take one window; what it said, None if it does not count for drift."""
        model = scored.route.effective
        if model is None or model.monitor is None or model.reference is None:
            return None
        windowing = model.signature.windowing
        apart = -(-windowing.length_rows // windowing.stride_rows)
        number, remainder = divmod(scored.cut.window.number, apart)
        if remainder or model.reference.window_rows != windowing.length_rows:
            return None
        # A model that has left takes its charts with it.
        chart = self._charts.get(model.digest) or _Chart(begin(model.monitor))
        window = _drift_window(model, model.reference.roles, scored, number)
        state, score = step(model.monitor, chart.state, window)
        self._charts = {model.digest: _Chart(state, score.ratio)}
        if score.status is DriftStatus.ALARM:
            self._note(model, score, scored)
        return score

    @property
    def height(self) -> float:
        """How high the charts stand; 1 is an alarm."""
        return max((chart.ratio for chart in self._charts.values()), default=0.0)

    def notices(self) -> list[DriftNotice]:
        """What has to be told to the site, and is told once."""
        told, self._notices = self._notices, []
        return told

    def _note(self, model: Model, score: DriftScore, scored: Scored) -> None:
        notice = DriftNotice(
            digest=model.digest,
            kind=score.kind or "level",
            tags=list(score.tags[:16]),
            since=instant(scored.cut.window.end_ns),
            mode=(score.mode or "")[:40],
            height=score.ratio,
        )
        self._notices = [*self._notices, notice][-NOTICES_MAX:]


def _drift_window(model: Model, roles: list[str], scored: Scored, number: int) -> DriftWindow:
    own = model.own(scored.cut.window)
    at = {role: column for column, role in enumerate(model.signature.roles)}
    columns = [at[role] for role in roles]
    fit = np.asarray(usable(own.quality).all(axis=1) & ~np.isnan(own.values).any(axis=1))
    return DriftWindow(number, own.values[:, columns], fit, scored.mode)
