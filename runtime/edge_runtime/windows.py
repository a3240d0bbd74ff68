"""Samples to numbered windows: one grid, one cutter, one number a window, whoever scores it.

The grid has one column a configured tag. The model that is in charge decides period, length and
stride; when another takes over that cuts differently, the grid starts anew from the last value of
every tag, and the numbers go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_core.contracts.artefact import Windowing
from edge_core.features.grid import Grid, GridSpec, period_ns
from edge_core.features.quality import StuckWatch, TagRule, screen
from edge_core.features.samples import CellQuality, Samples
from edge_core.features.window import Window, WindowCutter
from edge_runtime.clock import SECOND_NS, PlantClock
from edge_runtime.config import TagConfig
from edge_runtime.ledger import Ledger
from edge_runtime.sources.sample import SampleBatch

FOREVER_NS = 10 * 365 * 86_400 * SECOND_NS  # the source itself says when a value ends
BACKWARDS_NS = 60 * SECOND_NS  # a plant clock set back by more starts a new time, not a repeat


@dataclass(frozen=True, slots=True)
class CutWindow:
    """Window *number* of this gateway; *window* has one column a configured tag."""

    number: int
    window: Window


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """What came in, and what was missing."""

    received: int = 0
    gaps: int = 0
    unknown: int = 0


class WindowStream:
    """Where all samples of a gateway end, and all its windows begin."""

    def __init__(
        self,
        tags: Sequence[TagConfig],
        ledger: Ledger,
        *,
        lateness_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._columns = {tag.role: column for column, tag in enumerate(tags)}
        self._rules = tuple(_rule(tag) for tag in tags)
        self._stale_ns = tuple(
            FOREVER_NS if tag.stale_s is None else int(tag.stale_s * SECOND_NS) for tag in tags
        )
        self._ledger = ledger
        self._lateness_ns = int(lateness_s * SECOND_NS)
        self._monotonic = monotonic
        self._clock = PlantClock()
        self._windowing: Windowing | None = None
        self._grid: Grid | None = None
        self._cutter: WindowCutter | None = None
        self._stuck = StuckWatch(self._rules)
        self._latest: dict[int, SampleBatch] = {}
        self.counts = SampleCounts()

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns of a window."""
        return tuple(self._columns)

    @property
    def windowing(self) -> Windowing | None:
        """How windows are being cut; None before the first model was in charge."""
        return self._windowing

    def follow(self, windowing: Windowing) -> None:
        """Cut as the model in charge wants it, from the next row on."""
        if windowing != self._windowing:
            self._windowing = windowing
            self._begin()

    def take(self, batch: SampleBatch) -> None:
        """Samples of any tags in any order; never blocks, never raises."""
        within = (batch.tags >= 0) & (batch.tags < len(self._columns))
        known = batch if within.all() else batch.take(within)
        self._count(batch, len(known))
        if not len(known):
            return
        now_s = self._monotonic()
        anew = False
        if not known.historical:
            for source_ns in known.source_ns.tolist():
                anew |= self._clock.observe(source_ns, now_s)
        self._remember(known)
        if anew or self._grid is None:
            self._begin()
        if self._grid is not None:
            self._grid.add(screen(_samples(known), self._rules))

    def cut(self) -> list[CutWindow]:
        """Every window that is complete by now, each once and for good."""
        now_ns = self._clock.now_ns(self._monotonic())
        if self._grid is None or self._cutter is None or now_ns is None:
            return []
        found: list[CutWindow] = []
        while len(rows := self._grid.advance(now_ns)):
            for window in self._cutter.push(self._stuck.mark(rows)):
                if self._fresh(window):
                    number = self._ledger.give(window.end_ns)
                    found.append(CutWindow(number, window.copied()))
        return found

    def _fresh(self, window: Window) -> bool:
        """Whether these rows were never in a window before, as far as a restart can tell."""
        behind_ns = self._ledger.last_end_ns - window.end_ns
        return not 0 <= behind_ns <= BACKWARDS_NS

    def _begin(self) -> None:
        now_ns = self._clock.now_ns(self._monotonic())
        if self._windowing is None or now_ns is None:
            self._grid = self._cutter = None
            return
        spec = GridSpec(
            period_ns=period_ns(self._windowing.period_s),
            stale_ns=self._stale_ns,
            lateness_ns=self._lateness_ns,
        )
        self._grid = Grid(spec, spec.row_at(now_ns - self._lateness_ns))
        self._cutter = WindowCutter(self._windowing, len(self._columns))
        self._stuck = StuckWatch(self._rules)
        # A tag that has not changed for hours is still known: OPC UA reports changes only.
        for held in self._latest.values():
            self._grid.add(screen(_samples(held), self._rules))

    def _remember(self, batch: SampleBatch) -> None:
        for tag in np.unique(batch.tags).tolist():
            of = np.flatnonzero(batch.tags == tag)
            # Of equal times the one that came last.
            newest = of[len(of) - 1 - int(np.argmax(batch.source_ns[of][::-1]))]
            held = self._latest.get(tag)
            if held is None or batch.source_ns[newest] >= held.source_ns[0]:
                self._latest[tag] = batch.take(np.array([newest]))

    def _count(self, batch: SampleBatch, known: int) -> None:
        gaps = int(np.count_nonzero(batch.quality == CellQuality.GAP))
        was = self.counts
        self.counts = SampleCounts(
            received=was.received + len(batch) - gaps,
            gaps=was.gaps + gaps,
            unknown=was.unknown + len(batch) - known,
        )


def _samples(batch: SampleBatch) -> Samples:
    values = batch.values.astype(np.float32)
    return Samples(batch.tags, values, batch.quality, batch.source_ns)


def _rule(tag: TagConfig) -> TagRule:
    return TagRule(
        sentinels=tuple(tag.sentinels),
        low=-float("inf") if tag.low is None else tag.low,
        high=float("inf") if tag.high is None else tag.high,
        flat_rows_max=tag.flat_rows_max,
    )
