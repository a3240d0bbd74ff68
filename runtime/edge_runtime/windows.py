"""Samples to numbered windows: one grid, one cutter, one number a window, whoever scores it.

The grid has one column a configured tag. The model that is in charge decides period, length and
stride; when another takes over that cuts differently, the grid starts anew from the last value of
every tag, and the numbers go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Windowing
from edge_core.features.quality import TagRule
from edge_core.features.samples import TIME_MAX_NS, CellQuality, Samples, usable
from edge_core.features.stream import FOREVER_NS, Plan, WindowFeed
from edge_core.features.window import Window
from edge_runtime.clock import OFF_TIME_NS, SECOND_NS, PlantClock
from edge_runtime.config import TagConfig
from edge_runtime.gaps import Gap, GapLog
from edge_runtime.ledger import Ledger
from edge_runtime.sources.sample import GapCause, SampleBatch, gap_status

BACKWARDS_NS: Final = 60 * SECOND_NS  # a clock set back by more starts a new time, not a repeat
_NONE_NS: Final = -TIME_MAX_NS


@dataclass(frozen=True, slots=True)
class CutWindow:
    """Window *number* of this gateway; *window* has one column a configured tag.

    `gaps` are those its sources recorded that touch it. `ahead_ns` is how far the plant's clock
    was ahead of our wall clock when it was cut, None where nobody gave us one.
    """

    number: int
    window: Window
    gaps: tuple[Gap, ...] = ()
    ahead_ns: int | None = None


class Latest(NamedTuple):
    """The last sample of one tag."""

    role: str
    value: float
    quality: CellQuality
    source_ns: int


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """What came in, and what was missing or not of now."""

    received: int = 0
    gaps: int = 0
    unknown: int = 0
    off_time: int = 0


class WindowStream:
    """Where all samples of a gateway end, and all its windows begin."""

    def __init__(
        self,
        tags: Sequence[TagConfig],
        ledger: Ledger,
        *,
        lateness_s: float,
        monotonic: Callable[[], float],
        unix_ns: Callable[[], int] | None = None,
    ) -> None:
        self._roles = tuple(tag.role for tag in tags)
        self._rules = tuple(_rule(tag) for tag in tags)
        self._stale_ns = tuple(
            FOREVER_NS if tag.stale_s is None else int(tag.stale_s * SECOND_NS) for tag in tags
        )
        self._ledger = ledger
        self._lateness_ns = int(lateness_s * SECOND_NS)
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        self._clock = PlantClock(len(tags))
        self._windowing: Windowing | None = None
        self._feed: WindowFeed | None = None
        self._latest = _Latest(len(tags))
        self._gaps = GapLog(self._roles)
        self.counts = SampleCounts()

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns of a window."""
        return self._roles

    @property
    def windowing(self) -> Windowing | None:
        """How windows are being cut; None before the first model was in charge."""
        return self._windowing

    @property
    def leaps(self) -> int:
        """How often the plant's clock was set."""
        return self._clock.leaps

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The gaps that sources recorded lately, oldest first."""
        return self._gaps.recent

    def now_ns(self) -> int | None:
        """Source time now; None before the first sample."""
        return self._clock.now_ns(self._monotonic())

    def follow(self, windowing: Windowing) -> None:
        """Cut as the model in charge wants it, from the next row on."""
        if windowing != self._windowing:
            self._windowing = windowing
            self._begin()

    def latest(self) -> list[Latest]:
        """The last sample of every tag that ever had one."""
        return self._latest.shown(self._roles)

    def judge_by(self, tags: Sequence[TagConfig]) -> None:
        """Hold values to the limits of *tags*, the same ones in the same order, from now on."""
        self._rules = tuple(_rule(tag) for tag in tags)
        if self._feed is not None:
            self._feed.judge_by(self._rules)

    def take(self, batch: SampleBatch) -> None:
        """Samples of any tags in any order; never blocks, never raises."""
        within = (batch.tags >= 0) & (batch.tags < len(self._roles))
        known = batch if within.all() else batch.take(within)
        anew, off = False, np.zeros(len(known), np.bool_)
        times_ns = np.clip(known.source_ns, -TIME_MAX_NS, TIME_MAX_NS)
        if len(known) and not known.historical:
            now_s = self._monotonic() if known.arrived_s is None else known.arrived_s
            speaks = known.quality != CellQuality.GAP
            anew = self._clock.observe(known.tags[speaks], times_ns[speaks], now_s)
            off = speaks & self._off_time(times_ns)
        self._count(batch, known, off)
        if not len(known):
            return
        samples = _samples(known, times_ns)
        self._gaps.take(samples, known.status, off, live=not known.historical)
        self._latest.take(samples, off, live=not known.historical)
        if anew or self._feed is None:
            self._begin()
        if self._feed is not None:
            self._feed.add(_marked(samples, off, self._feed))

    def cut(self) -> list[CutWindow]:
        """Every window that is complete by now, each once and for good."""
        now_ns = self.now_ns()
        if self._feed is None or now_ns is None:
            return []
        ahead_ns = None if self._unix_ns is None else now_ns - self._unix_ns()
        return [
            self._numbered(each, ahead_ns)
            for each in self._feed.advance(now_ns)
            if self._fresh(each)
        ]

    def _numbered(self, window: Window, ahead_ns: int | None) -> CutWindow:
        number = self._ledger.give(window.end_ns)
        gaps = self._gaps.touching(window.start_ns, window.end_ns)
        copied = window.copied()
        if gaps:
            touched = np.isin(self._roles, [gap.role for gap in gaps])
            copied = replace(copied, gap=copied.gap | touched)
        return CutWindow(number, copied, gaps, ahead_ns)

    def _fresh(self, window: Window) -> bool:
        """Whether these rows were never in a window before, as far as a restart can tell."""
        behind_ns = self._ledger.last_end_ns - window.end_ns
        return self._ledger.cut == 0 or not 0 <= behind_ns <= BACKWARDS_NS

    def _off_time(self, times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        now_ns = self.now_ns()
        if now_ns is None:
            return np.zeros(len(times_ns), np.bool_)
        return np.asarray(np.abs(times_ns - now_ns) > OFF_TIME_NS)

    def _begin(self) -> None:
        now_ns = self.now_ns()
        if self._windowing is None or now_ns is None:
            self._feed = None
            return
        plan = Plan.of(
            self._windowing,
            len(self._roles),
            rules=self._rules,
            stale_ns=self._stale_ns,
            lateness_ns=self._lateness_ns,
        )
        from_ns = now_ns - self._lateness_ns
        self._feed = WindowFeed(plan, plan.spec.row_at(from_ns))
        # A tag that has not changed for hours is still known: OPC UA reports changes only.
        samples, off = self._latest.known(now_ns, from_ns)
        self._feed.add(_marked(samples, off, self._feed))
        # What was not of now may be so by the time that the clock was set to.
        spoke = samples.take(np.flatnonzero(usable(samples.quality) & ~off))
        well = np.zeros(len(spoke), np.uint32)
        self._gaps.take(spoke, well, well.astype(np.bool_), live=True)

    def _count(self, batch: SampleBatch, known: SampleBatch, off: NDArray[np.bool_]) -> None:
        gaps = int(np.count_nonzero(known.quality == CellQuality.GAP))
        was = self.counts
        self.counts = SampleCounts(
            received=was.received + len(batch) - gaps,
            gaps=was.gaps + gaps,
            unknown=was.unknown + len(batch) - len(known),
            off_time=was.off_time + int(np.count_nonzero(off)),
        )


class _Latest:
    """The last sample of every tag: what is known when rows start anew."""

    def __init__(self, tags: int) -> None:
        self._values = np.full(tags, np.nan, np.float32)
        self._quality = np.full(tags, CellQuality.GAP, np.uint8)
        self._times_ns = np.full(tags, _NONE_NS, np.int64)
        self._off = np.zeros(tags, np.bool_)

    def take(self, samples: Samples, off: NDArray[np.bool_], *, live: bool) -> None:
        """Of one batch the newest counts, unless it only repeats what is older than what is known.

        A live one that is far older is of a clock that was set back.

        Args:
            samples: as they came.
            off: which of them are not of now.
            live: they are no history.
        """
        order = np.argsort(samples.times_ns, kind="stable")
        newest = np.full(len(self._values), -1, np.int64)
        newest[samples.tags[order]] = order
        tags = np.flatnonzero(newest >= 0)
        of = newest[tags]
        behind_ns = self._times_ns[tags] - samples.times_ns[of]
        counts = (behind_ns <= 0) | (live & (behind_ns > OFF_TIME_NS))
        tags, of = tags[counts], of[counts]
        self._values[tags] = samples.values[of]
        self._quality[tags] = samples.quality[of]
        self._times_ns[tags] = samples.times_ns[of]
        self._off[tags] = off[of]

    def shown(self, roles: Sequence[str]) -> list[Latest]:
        """As people look at it."""
        return [
            Latest(
                roles[int(tag)],
                float(self._values[tag]),
                CellQuality(int(self._quality[tag])),
                int(self._times_ns[tag]),
            )
            for tag in np.flatnonzero(self._times_ns != _NONE_NS)
        ]

    def known(self, now_ns: int, from_ns: int) -> tuple[Samples, NDArray[np.bool_]]:
        """One sample of every tag that ever had one, none of them later than *from_ns*.

        And which of them are not of now; that may have changed, if the clock was set.
        """
        tags = np.flatnonzero(self._times_ns != _NONE_NS)
        times_ns = self._times_ns[tags]
        off = self._off[tags] & (np.abs(times_ns - now_ns) > OFF_TIME_NS)
        values, quality = self._values[tags], self._quality[tags]
        return Samples(tags.astype(np.int32), values, quality, np.minimum(times_ns, from_ns)), off


def _samples(batch: SampleBatch, times_ns: NDArray[np.int64]) -> Samples:
    quality = batch.quality
    other_unit = batch.status == gap_status(GapCause.UNIT)
    if other_unit.any():
        quality = np.where(other_unit, np.uint8(CellQuality.UNIT), quality)
    return Samples(
        batch.tags.astype(np.int32, copy=False),
        batch.values.astype(np.float32),
        quality,
        times_ns,
    )


def _marked(samples: Samples, off: NDArray[np.bool_], feed: WindowFeed) -> Samples:
    """What is not of now masks its tag from the first row on that is still open."""
    if not off.any():
        return samples
    lost = off & usable(samples.quality)
    return replace(
        samples,
        quality=np.where(lost, np.uint8(CellQuality.OFF_TIME), samples.quality),
        times_ns=np.where(off, feed.open_ns, samples.times_ns),
    )


def _rule(tag: TagConfig) -> TagRule:
    return TagRule(
        sentinels=tuple(tag.sentinels),
        low=-float("inf") if tag.low is None else tag.low,
        high=float("inf") if tag.high is None else tag.high,
        flat_rows_max=tag.flat_rows_max,
    )
