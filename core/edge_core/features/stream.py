"""Samples to windows, at the line and in training: the same code, and so the same bits.

At the line a `WindowFeed` takes samples as they come and gives windows as they complete. In
training `windows_of` gives the windows of a whole recording:

    with open("pump.csv", newline="") as file:
        recorded = read_samples(file)
    plan = Plan.of(signature.windowing, tags=len(recorded.roles))
    features = [extractor.vector(window.values) for window in windows_of(recorded.samples, plan)]

Both give the same windows wherever samples came within `lateness_ns`; what comes later than that
is too late at the line alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from edge_core.contracts.artefact import Windowing
from edge_core.features.grid import ROWS_MAX, Grid, GridCounts, GridSpec, period_ns
from edge_core.features.quality import Screen, StuckWatch, TagRule
from edge_core.features.samples import Samples
from edge_core.features.window import Window, WindowCutter

FOREVER_NS = 10 * 365 * 86_400 * 1_000_000_000  # the source itself says when a value ends


@dataclass(frozen=True, slots=True)
class Plan:
    """How the samples of some tags become windows; `rules` and `spec.stale_ns` have one a tag."""

    windowing: Windowing
    spec: GridSpec
    rules: tuple[TagRule, ...]

    @classmethod
    def of(
        cls,
        windowing: Windowing,
        tags: int,
        *,
        rules: tuple[TagRule, ...] = (),
        stale_ns: tuple[int, ...] = (),
        lateness_ns: int = 0,
    ) -> Self:
        """A plan for so many tags; without rules anything goes, without limits for ever."""
        spec = GridSpec(
            period_ns=period_ns(windowing.period_s),
            stale_ns=stale_ns or (FOREVER_NS,) * tags,
            lateness_ns=lateness_ns,
        )
        return cls(windowing, spec, rules or (TagRule(),) * tags)


class WindowFeed:
    """Samples in as they arrive, windows out as they complete."""

    def __init__(self, plan: Plan, first_row: int) -> None:
        self._screen = Screen(plan.rules)
        self._grid = Grid(plan.spec, first_row)
        self._stuck = StuckWatch(plan.rules)
        self._cutter = WindowCutter(plan.windowing, plan.spec.tags)
        self._period_ns = plan.spec.period_ns

    def judge_by(self, rules: tuple[TagRule, ...]) -> None:
        """Hold values to other rules from now on; how long one has stood still is counted anew."""
        self._screen = Screen(rules)
        self._stuck = StuckWatch(rules)

    @property
    def counts(self) -> GridCounts:
        """What was late, ahead, too much or unknown since the start."""
        return self._grid.counts

    @property
    def open_ns(self) -> int:
        """The first source time that changes no row which is closed already."""
        return (self._grid.next_row - 1) * self._period_ns + 1

    def add(self, samples: Samples) -> None:
        """Take samples in any order.

        Raises:
            ColumnError: a sample has a tag number without a rule.
        """
        self._grid.add(self._screen.mark(samples))

    def advance(self, now_ns: int) -> Iterator[Window]:
        """The windows that are complete at *now_ns*, each valid until the next one; exhaust it."""
        while len(rows := self._grid.advance(now_ns)):
            yield from self._cutter.push(self._stuck.mark(rows))


def windows_of(samples: Samples, plan: Plan) -> Iterator[Window]:
    """Every whole window of a recording, each valid until the next one.

    Args:
        samples: in any order; the first row is the first at or after the earliest of them.
        plan: `lateness_ns` is of no effect.

    Raises:
        ColumnError: a sample has a tag number without a rule.
    """
    if len(samples) == 0:
        return
    spec = plan.spec
    ordered = samples.take(np.argsort(samples.times_ns, kind="stable"))
    first_row = -(-int(ordered.times_ns[0]) // spec.period_ns)
    last_row = spec.row_at(int(ordered.times_ns[-1]))
    whole = GridSpec(spec.period_ns, spec.stale_ns, pending_max=len(ordered))
    feed = WindowFeed(Plan(plan.windowing, whole, plan.rules), first_row)
    done = 0
    for row in range(first_row, last_row + 1, ROWS_MAX):
        end_ns = min(row + ROWS_MAX - 1, last_row) * spec.period_ns
        due = int(np.searchsorted(ordered.times_ns, end_ns, side="right"))
        feed.add(ordered.take(np.arange(done, due)))
        done = due
        yield from feed.advance(end_ns)
