"""The grid: samples placed on rows of equal distance by source time, holes made visible.

Row i stands for the instant i * period since the Unix epoch, on every gateway and after every
restart. Its cell holds the last usable value at or before that instant ("stepped" in OPC UA
aggregates) and when that was at its source; the quality is that of the last sample, STALE where
that is older than the stale limit, GAP where there was none. A masked cell keeps the last usable
value, NaN if there was none.

Order of arrival never decides: samples are ordered by source time, and of several with one tag and
one source time the better quality counts, then the larger value. `Grid` is `place` over chunks,
with what is still needed carried over as samples, so both give the same rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError
from edge_core.features.samples import CellQuality, Samples, join, usable

ROWS_MAX = 4096  # rows made at once: a clock that leaps a day must not ask for a day of memory
NO_TIME_NS = -(2**62)  # the source time of no value: its age is beyond any limit

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GridSpec:
    """How samples become rows.

    `stale_ns` has one limit a tag, beyond which a held value is stale. A row is closed
    `lateness_ns` after its instant, so samples may come that late and in any order. Samples
    more than `ahead_ns` in the future are dropped, as are samples beyond `pending_max` waiting.
    """

    period_ns: int
    stale_ns: tuple[int, ...]
    lateness_ns: int = 0
    ahead_ns: int = 60_000_000_000
    pending_max: int = 1_000_000

    @property
    def tags(self) -> int:
        """How many columns a row has."""
        return len(self.stale_ns)

    def row_at(self, time_ns: int) -> int:
        """The last row at or before an instant."""
        return time_ns // self.period_ns


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows, row 0 is number `first`; the columns have shape (row, tag).

    `source_ns` is when a cell's value was at its source, `NO_TIME_NS` where there is no value.
    """

    first: int
    period_ns: int
    values: NDArray[np.float32]
    quality: NDArray[np.uint8]
    source_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class GridCounts:
    """What did not become a row as it should: for counters and the flight recorder."""

    late: int = 0
    ahead: int = 0
    overflow: int = 0
    unknown_tag: int = 0


def period_ns(period_s: float) -> int:
    """A row period in nanoseconds, from the seconds of a signature."""
    return round(period_s * 1e9)


def _sound(samples: Samples) -> Samples:
    """The same samples, with what is not a finite number marked bad."""
    unsound = ~np.isfinite(samples.values) & usable(samples.quality)
    if not unsound.any():
        return samples
    quality = np.where(unsound, np.uint8(CellQuality.BAD), samples.quality)
    return Samples(samples.tags, samples.values, quality, samples.times_ns)


def _by_time(samples: Samples) -> Samples:
    if bool(np.all(samples.times_ns[1:] >= samples.times_ns[:-1])):
        return samples
    return samples.take(np.argsort(samples.times_ns, kind="stable"))


def _by_merit(samples: Samples) -> Samples:
    """By source time; where that is equal, better quality, then a larger value, comes last."""
    merit = -samples.quality.astype(np.int16)
    return samples.take(np.lexsort((samples.values, merit, samples.times_ns)))


def _latest(
    samples: Samples, cell: Indices, chosen: Indices, shape: tuple[int, int]
) -> tuple[Indices, bool]:
    """For each cell the newest of the chosen samples at or before it, and whether a tie decided.

    Args:
        samples: in order of time.
        cell: shape (sample,), the flat number of the cell that each sample falls into.
        chosen: positions of samples, ascending.
        shape: of the grid.

    Returns:
        Positions of samples, -1 where there is none.
    """
    newest = np.full(shape[0] * shape[1], -1, np.int64)
    at = cell[chosen]
    newest[at] = chosen  # ascending in time, and of repeated cells the last one stays
    rival = newest[at]
    times_ns = samples.times_ns
    tied = bool(np.any((times_ns[rival] == times_ns[chosen]) & (rival != chosen)))
    return np.maximum.accumulate(newest.reshape(shape), axis=0), tied


def _holders(
    samples: Samples, spec: GridSpec, first: int, rows: int
) -> tuple[Samples, Indices, Indices]:
    """Samples in order, and for each cell the last sample and the last usable one."""
    ordered = _by_time(samples)
    seen, held, tied = _newest(ordered, spec, first, rows)
    if tied:
        # Sorting by merit costs several times as much and is due only where a tie decided.
        ordered = _by_merit(ordered)
        seen, held, _ = _newest(ordered, spec, first, rows)
    return ordered, seen, held


def _newest(
    ordered: Samples, spec: GridSpec, first: int, rows: int
) -> tuple[Indices, Indices, bool]:
    shape = (rows, spec.tags)
    at_row = np.maximum(-(-ordered.times_ns // spec.period_ns) - first, 0)
    within = np.flatnonzero(at_row < rows).astype(np.int64, copy=False)
    cell = np.asarray(at_row * spec.tags + ordered.tags, np.int64)
    seen, seen_tied = _latest(ordered, cell, within, shape)
    fit = usable(ordered.quality[within])
    if fit.all():
        return seen, seen, seen_tied
    held, held_tied = _latest(ordered, cell, within[fit], shape)
    return seen, held, seen_tied or held_tied


def _cells(
    samples: Samples,
    spec: GridSpec,
    first: int,
    seen: Indices,
    held: Indices,
) -> Rows:
    # Index -1 means "none" and falls on the entry appended last.
    values = np.append(samples.values, np.float32(np.nan))
    quality = np.append(samples.quality, np.uint8(CellQuality.GAP))
    source_ns = np.append(samples.times_ns, np.int64(NO_TIME_NS))[held]
    now_ns = (first + np.arange(len(seen), dtype=np.int64))[:, None] * spec.period_ns
    cell = quality[seen]
    # Where the last sample is usable it is the one that is held.
    stale = (now_ns - source_ns > np.array(spec.stale_ns, np.int64)) & usable(cell)
    cell[stale] = CellQuality.STALE
    return Rows(first, spec.period_ns, values[held], cell, source_ns)


def place(samples: Samples, spec: GridSpec, first: int, rows: int) -> Rows:
    """Rows *first* to *first* + *rows* - 1 from samples in any order.

    Raises:
        ColumnError: a sample has a tag number the grid does not have.
    """
    if len(samples) and not 0 <= int(samples.tags.min()) <= int(samples.tags.max()) < spec.tags:
        raise ColumnError(f"samples: expected tags below {spec.tags}, found {samples.tags.max()}")
    ordered, seen, held = _holders(_sound(samples), spec, first, rows)
    return _cells(ordered, spec, first, seen, held)


class Grid:
    """Samples in as they arrive, closed rows out; remembers only what later rows may need."""

    def __init__(self, spec: GridSpec, first_row: int) -> None:
        self._spec = spec
        self._next = first_row
        self._waiting: list[Samples] = []
        self._size = 0
        self._counts = GridCounts()

    @property
    def next_row(self) -> int:
        """The first row that is not closed yet."""
        return self._next

    @property
    def counts(self) -> GridCounts:
        """What was late, ahead, too much or unknown since the start."""
        return self._counts

    def add(self, samples: Samples) -> None:
        """Take samples in any order; a late one no longer changes rows that are closed."""
        known = (samples.tags >= 0) & (samples.tags < self._spec.tags)
        if not known.all():
            samples = samples.take(known)
        closed_ns = (self._next - 1) * self._spec.period_ns
        room = max(0, self._spec.pending_max - self._size)
        was = self._counts
        self._counts = GridCounts(
            late=was.late + int(np.count_nonzero(samples.times_ns <= closed_ns)),
            ahead=was.ahead,
            overflow=was.overflow + max(0, len(samples) - room),
            unknown_tag=was.unknown_tag + int(np.count_nonzero(~known)),
        )
        kept = samples if len(samples) <= room else samples.take(np.arange(room))
        if len(kept):
            self._waiting.append(_sound(kept))
            self._size += len(kept)

    def advance(self, now_ns: int) -> Rows:
        """Close the rows that are due, at most `ROWS_MAX` of them; call again until none come.

        A clock that steps back closes nothing until it has caught up, so no row comes twice.
        """
        due = self._spec.row_at(now_ns - self._spec.lateness_ns) + 1 - self._next
        rows = min(max(due, 0), ROWS_MAX)
        if rows == 0:
            return _none(self._spec, self._next)
        samples = self._drop_ahead(join(self._waiting), now_ns + self._spec.ahead_ns)
        ordered, seen, held = _holders(samples, self._spec, self._next, rows)
        closed = _cells(ordered, self._spec, self._next, seen, held)
        self._next += rows
        self._keep(ordered, seen[-1], held[-1])
        return closed

    def _drop_ahead(self, samples: Samples, limit_ns: int) -> Samples:
        ahead = samples.times_ns > limit_ns
        dropped = int(np.count_nonzero(ahead))
        if dropped == 0:
            return samples
        was = self._counts
        self._counts = GridCounts(was.late, was.ahead + dropped, was.overflow, was.unknown_tag)
        return samples.take(~ahead)

    def _keep(self, samples: Samples, seen: Indices, held: Indices) -> None:
        closed_ns = (self._next - 1) * self._spec.period_ns
        needed = samples.times_ns > closed_ns
        for last in (seen, held):
            needed[last[last >= 0]] = True
        kept = samples.take(needed)
        self._waiting, self._size = [kept], len(kept)


def _none(spec: GridSpec, first: int) -> Rows:
    shape = (0, spec.tags)
    return Rows(
        first,
        spec.period_ns,
        np.empty(shape, np.float32),
        np.empty(shape, np.uint8),
        np.empty(shape, np.int64),
    )
