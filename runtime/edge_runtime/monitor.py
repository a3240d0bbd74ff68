"""Health windows: sums up what the models did, and never decides about them.

A health window is a summary of one model in one role over one period. The site's gates are fed by
these and by nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import HealthWindow
from edge_runtime.scoring import Opinion, Scored

LATENCIES_MAX: Final = 4096  # of one health window; enough for a p99 of any line we know


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
