"""Sums up what each model did in each health window, exactly, through any end of the process.

A health window is a summary of one model in one role over one period; the site's gates are fed by
these and by nothing else. Sums that are still open lie in a file, so a killed gateway finds
them at its next start and reports them once, as cut short.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
import structlog

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import HealthWindow
from edge_runtime.document import KeptDocument
from edge_runtime.line import Kpi
from edge_runtime.model import ROLE_TRIAL, Model
from edge_runtime.scoring import Opinion, Scored

log = structlog.get_logger(__name__)

STEPS_AN_OCTAVE: Final = 32  # latencies are known to within 2.2 %, however many windows there are


@dataclass(slots=True)
class Sums:
    """One health window while it is open.

    `latencies` counts windows by step: a latency of l us is in step `floor(32 log2(l))`.
    """

    number: int
    digest: Digest
    role: str
    started: datetime
    touched: datetime
    scored: int = 0
    no_verdict: int = 0
    errors: int = 0
    alarms: int = 0
    out_of_domain: int = 0
    pairs: int = 0
    disagreed: int = 0
    dropped: int = 0
    anomalies: int = 0
    overrides: int = 0
    kpi_sum: float = 0.0
    kpi_rows: int = 0
    regime: str = ""
    broken: int = 0
    latencies: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What lies in that file."""

    epoch: int
    open: list[Sums]
    closed: list[HealthWindow]


class HealthSums:
    """The health windows that are being filled, one sum a model and role.

    Args:
        epoch: this start's.
        now: wall clock.
        book: where open sums survive a kill.
    """

    def __init__(self, epoch: int, now: Callable[[], datetime], book: KeptDocument) -> None:
        self._epoch = epoch
        self._now = now
        self._book = book
        self._number = 0
        self._started = now()
        self._sums: dict[tuple[Digest, str], Sums] = {}
        self._closed: list[HealthWindow] = _found(book.newest, epoch)
        self._keep()

    @property
    def unkept(self) -> list[HealthWindow]:
        """Closed windows that are nowhere but in the book; first those of the last life."""
        return list(self._closed)

    def take(self, scored: Scored, kpi: Kpi | None = None) -> None:
        """Count one window with the opinions that there are.

        Args:
            scored: the window.
            kpi: what the line's KPI was meanwhile.
        """
        effective = scored.route.effective
        if effective is None:
            return
        sums = self._of(effective, scored.route.role)
        if scored.bad_input:
            sums.no_verdict += 1
        if kpi is not None:
            sums.kpi_sum += kpi.total
            sums.kpi_rows += kpi.rows
        for opinion in scored.opinions:
            self._count(scored, opinion)
        self._pair(scored)
        self._keep()

    def second(self, scored: Scored) -> None:
        """Count the opinion that came after the verdict, or that it never came."""
        if scored.missed is not None:
            model, role = scored.missed
            sums = self._of(model, role)
            sums.dropped += 1
            # On trial it was to decide; not to answer is its error.
            sums.errors += int(role == ROLE_TRIAL)
            sums.no_verdict += int(role == ROLE_TRIAL)
        elif scored.late is not None:
            self._count(scored, scored.late)
            self._pair(scored)
        self._keep()

    def override(self, model: Model, role: str) -> None:
        """The operator decided against the verdict of *model*."""
        self._of(model, role).overrides += 1
        self._keep()

    def close(self) -> list[HealthWindow]:
        """The windows of the period that ends now; a fresh period begins.

        They stay in the book until `kept`.
        """
        ended = self._now()
        fresh = [_window(self._epoch, sums, ended) for sums in self._sums.values()]
        self._sums, self._started = {}, ended
        self._closed += fresh
        self._keep()
        return fresh

    def kept(self, windows: Collection[HealthWindow]) -> None:
        """These are safe elsewhere."""
        safe = {(window.epoch, window.number) for window in windows}
        self._closed = [each for each in self._closed if (each.epoch, each.number) not in safe]
        self._keep()

    def _count(self, scored: Scored, opinion: Opinion) -> None:
        sums = self._of(opinion.model, opinion.role)
        sums.regime = (scored.mode or sums.regime)[:40]
        if opinion.label is None:
            sums.no_verdict += 1
            sums.errors += int(bool(opinion.error))
            sums.broken += int(opinion.broken)
            return
        sums.scored += 1
        sums.alarms += int(opinion.strange)
        sums.anomalies += int(opinion.anomalous)
        sums.out_of_domain += int(opinion.inside is False)
        step = _step(opinion.latency_us)
        sums.latencies[step] = sums.latencies.get(step, 0) + 1

    def _pair(self, scored: Scored) -> None:
        if not scored.paired:
            return
        for opinion in scored.opinions:
            sums = self._of(opinion.model, opinion.role)
            sums.pairs += 1
            sums.disagreed += int(scored.disagreed)

    def _of(self, model: Model, role: str) -> Sums:
        key = (model.digest, role)
        found = self._sums.get(key)
        now = self._now()
        if found is None:
            self._number += 1
            found = Sums(self._number, model.digest, role, self._started, now)
            self._sums[key] = found
        found.touched = now
        return found

    def _keep(self) -> None:
        kept = _Kept(self._epoch, list(self._sums.values()), self._closed)
        while not self._book.put(msgspec.msgpack.encode(kept)) and kept.closed:
            # The disk has taken nothing for hours: the oldest then outlive no kill.
            kept = _Kept(self._epoch, kept.open, kept.closed[len(kept.closed) // 2 + 1 :])


def _found(body: bytes, epoch: int) -> list[HealthWindow]:
    """What the last life left: closed windows as they were, open ones as cut short."""
    if not body:
        return []
    try:
        left = msgspec.msgpack.decode(body, type=_Kept)
    except msgspec.MsgspecError as error:
        log.warning("health.unreadable", reason=str(error))
        return []
    if left.epoch >= epoch:
        log.warning("health.unreadable", reason=f"epoch {left.epoch} is not before {epoch}")
        return []
    cut = [_window(left.epoch, sums, sums.touched, cut_short=True) for sums in left.open]
    return [*left.closed, *cut]


def _window(epoch: int, sums: Sums, ended: datetime, *, cut_short: bool = False) -> HealthWindow:
    return HealthWindow(
        epoch=epoch,
        number=sums.number,
        digest=sums.digest,
        role=sums.role,
        started=sums.started,
        ended=max(ended, sums.started),
        scored=sums.scored,
        no_verdict=sums.no_verdict,
        errors=sums.errors,
        alarms=sums.alarms,
        out_of_domain=sums.out_of_domain,
        shadow_pairs=sums.pairs,
        shadow_disagreed=sums.disagreed,
        shadow_dropped=sums.dropped,
        anomalies=sums.anomalies,
        overrides=sums.overrides,
        kpi_sum=sums.kpi_sum,
        kpi_rows=sums.kpi_rows,
        cut_short=cut_short,
        latency_p50_us=_percentile(sums.latencies, 0.50),
        latency_p99_us=_percentile(sums.latencies, 0.99),
        regime=sums.regime,
        broken=sums.broken,
    )


def _step(latency_us: int) -> int:
    return int(STEPS_AN_OCTAVE * math.log2(max(1, latency_us)))


def _percentile(latencies: dict[int, int], share: float) -> int:
    """The upper edge of the step in which *share* of all windows is reached, microseconds."""
    left = share * sum(latencies.values())
    for step in sorted(latencies):
        left -= latencies[step]
        if left <= 0:
            return int(math.exp2((step + 1) / STEPS_AN_OCTAVE))
    return 0
