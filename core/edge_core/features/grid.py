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
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError
from edge_core.features.samples import CellQuality, Samples, join, usable

ROWS_MAX = 4096  # rows made at once: a clock that leaps a day must not ask for a day of memory
NONE = -1  # the index of no sample
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
    finite = np.isfinite(samples.values)
    if finite.all():
        return samples
    unsound = ~finite & usable(samples.quality)
    quality = np.where(unsound, np.uint8(CellQuality.BAD), samples.quality)
    return Samples(samples.tags, samples.values, quality, samples.times_ns)


def _known(samples: Samples, tags: int) -> bool:
    """Whether every one of some samples has one of *tags* columns."""
    return 0 <= int(samples.tags.min()) <= int(samples.tags.max()) < tags


def _newest_ns(samples: Samples) -> int:
    """The latest source time, `NO_TIME_NS` where there is no sample."""
    return int(samples.times_ns.max()) if len(samples) else NO_TIME_NS


def _holders(
    samples: Samples, newest_ns: int, spec: GridSpec, first: int, rows: int
) -> tuple[Indices, Indices]:
    """For each cell the last sample and the last usable one, shape (tag, row); or `NONE`.

    Cells lie tag by tag here, so that filling one tag's rows runs through consecutive memory.
    """
    period_ns = spec.period_ns
    # The first row at or after a sample; what is older than all rows falls into the first.
    at_row = samples.times_ns + (period_ns - 1 - first * period_ns)
    at_row //= period_ns
    if len(samples) and int(at_row.min()) < 0:
        np.maximum(at_row, 0, out=at_row)
    cell = np.multiply(samples.tags, rows, dtype=np.int64)
    cell += at_row
    index = _numbers(len(samples))
    quality = samples.quality
    if newest_ns > (first + rows - 1) * period_ns:
        within = at_row < rows
        index, cell, quality = index[within], cell[within], quality[within]
    newest = np.full(spec.tags * rows, NONE, np.int64)
    newest[cell] = index
    holes = np.flatnonzero(newest == NONE)
    order = index[:0]
    if len(newest) - len(holes) < len(index):
        # Order counts only where several samples fall into one cell.
        order = _in_order(samples, index, cell, newest[cell] != index)
        newest[cell[order]] = index[order]
    fit = usable(quality)
    unfit = np.flatnonzero(~fit)
    if len(unfit) == 0:
        seen = _filled(newest, holes, rows)
        return seen, seen
    usable_only = newest.copy()
    usable_only[cell[unfit]] = NONE
    again = order[fit[order]]
    usable_only[cell[again]] = index[again]
    unheld = np.flatnonzero(usable_only == NONE)
    return _filled(newest, holes, rows), _filled(usable_only, unheld, rows)


def _in_order(
    samples: Samples, index: Indices, cell: Indices, crowded: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Positions in *cell* of all samples that share theirs, the one that counts last of each.

    By source time; where that is equal, the better quality and then the larger value is later.
    """
    shared = np.zeros(int(cell.max()) + 1, np.bool_)
    shared[cell[crowded]] = True
    members = np.flatnonzero(shared[cell])
    at = index[members]
    merit = -samples.quality[at].astype(np.int16)
    return members[np.lexsort((samples.values[at], merit, samples.times_ns[at]))]


def _filled(newest: Indices, holes: Indices, rows: int) -> Indices:
    """Shape (tag, row): a row in *holes* gets that of the row before it. Fills in place."""
    if len(holes):
        opens = holes % rows == 0
        # A run of holes takes what stands before it; before a tag's first row nothing stands.
        before = np.where(opens, np.int64(NONE), newest[holes - 1])
        begins = opens
        begins[1:] |= np.diff(holes) != 1
        run = np.maximum.accumulate(np.where(begins, np.arange(len(holes)), 0))
        newest[holes] = before[run]
    return newest.reshape(len(newest) // rows, rows)


def _cells(samples: Samples, spec: GridSpec, first: int, seen: Indices, held: Indices) -> Rows:
    if len(samples) == 0:
        return _unknown(spec, first, held.shape[1])
    # Where there is `NONE` any will do until it is overwritten.
    values = samples.values.take(held, mode="wrap")
    source_ns = samples.times_ns.take(held, mode="wrap")
    cell = samples.quality.take(seen, mode="wrap")
    _bare(held, (values, np.float32(np.nan)), (source_ns, np.int64(NO_TIME_NS)))
    _bare(seen, (cell, np.uint8(CellQuality.GAP)))
    now_ns = (first + np.arange(held.shape[1], dtype=np.int64)) * spec.period_ns
    limits_ns = _limits(spec.stale_ns)
    # A tag's first row has its oldest value: what is young enough for the last row is never stale.
    old = np.flatnonzero(source_ns[:, 0] < now_ns[-1] - limits_ns)
    if len(old):
        # Where the last sample is usable it is the one that is held.
        stale = (source_ns[old] < now_ns - limits_ns[old, None]) & usable(cell[old])
        cell[old] = np.where(stale, np.uint8(CellQuality.STALE), cell[old])
    return Rows(first, spec.period_ns, values.T, cell.T, source_ns.T)


def _bare(found: Indices, *columns: tuple[NDArray[Any], Any]) -> None:  # Any: each its own dtype
    """Put what stands for nothing where nothing was *found*. Fills in place."""
    tags = np.flatnonzero(found[:, 0] == NONE)  # who has one in the first row has one in all
    if len(tags):
        none = found[tags] == NONE
        for column, nothing in columns:
            column[tags] = np.where(none, nothing, column[tags])


@lru_cache(maxsize=4)
def _numbers(count: int) -> Indices:
    """0 to *count* - 1, to be read only; one second brings as many samples as the next."""
    numbers = np.arange(count, dtype=np.int64)
    numbers.flags.writeable = False
    return numbers


@lru_cache(maxsize=64)
def _limits(stale_ns: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array(stale_ns, np.int64)


def _unknown(spec: GridSpec, first: int, rows: int) -> Rows:
    """Rows of which nothing is known at all."""
    shape = (rows, spec.tags)
    return Rows(
        first,
        spec.period_ns,
        np.full(shape, np.nan, np.float32),
        np.full(shape, CellQuality.GAP, np.uint8),
        np.full(shape, NO_TIME_NS, np.int64),
    )


def place(samples: Samples, spec: GridSpec, first: int, rows: int) -> Rows:
    """Rows *first* to *first* + *rows* - 1 from samples in any order.

    Raises:
        ColumnError: a sample has a tag number the grid does not have.
    """
    if len(samples) and not _known(samples, spec.tags):
        raise ColumnError(f"samples: expected tags below {spec.tags}, found {samples.tags.max()}")
    if rows == 0:
        return _unknown(spec, first, 0)
    sound = _sound(samples)
    return _cells(sound, spec, first, *_holders(sound, _newest_ns(sound), spec, first, rows))


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
        known = samples
        if len(samples) and not _known(samples, self._spec.tags):
            known = samples.take((samples.tags >= 0) & (samples.tags < self._spec.tags))
        open_ns = (self._next - 1) * self._spec.period_ns + 1
        late = len(known) and int(known.times_ns.min()) < open_ns
        room = max(0, self._spec.pending_max - self._size)
        was = self._counts
        self._counts = GridCounts(
            late=was.late + (int(np.count_nonzero(known.times_ns < open_ns)) if late else 0),
            ahead=was.ahead,
            overflow=was.overflow + max(0, len(known) - room),
            unknown_tag=was.unknown_tag + len(samples) - len(known),
        )
        kept = known if len(known) <= room else known.take(np.arange(room))
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
            return _unknown(self._spec, self._next, 0)
        samples = join(self._waiting)
        newest_ns = _newest_ns(samples)
        if newest_ns > now_ns + self._spec.ahead_ns:
            samples = self._drop_ahead(samples, now_ns + self._spec.ahead_ns)
            newest_ns = _newest_ns(samples)
        seen, held = _holders(samples, newest_ns, self._spec, self._next, rows)
        closed = _cells(samples, self._spec, self._next, seen, held)
        self._next += rows
        self._keep(samples, newest_ns, seen[:, -1], held[:, -1])
        return closed

    def _drop_ahead(self, samples: Samples, limit_ns: int) -> Samples:
        ahead = samples.times_ns > limit_ns
        dropped = int(np.count_nonzero(ahead))
        was = self._counts
        self._counts = GridCounts(was.late, was.ahead + dropped, was.overflow, was.unknown_tag)
        return samples.take(~ahead)

    def _keep(self, samples: Samples, newest_ns: int, seen: Indices, held: Indices) -> None:
        closed_ns = (self._next - 1) * self._spec.period_ns
        needed = np.zeros(len(samples), np.bool_)
        if newest_ns > closed_ns:
            needed = samples.times_ns > closed_ns
        for last in (seen, held):
            needed[last[last != NONE]] = True
        kept = samples.take(np.flatnonzero(needed))
        self._waiting, self._size = [kept], len(kept)
