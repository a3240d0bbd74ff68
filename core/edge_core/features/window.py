"""Windows: cut once each, numbered for good, and judged before anything scores them.

Window k covers rows k * stride to k * stride + length - 1. Rows count from the Unix epoch, so k is
the same window before and after a restart, in training and at the line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Windowing
from edge_core.features.errors import ColumnError, RowOrderError
from edge_core.features.grid import NO_TIME_NS, Rows
from edge_core.features.samples import CellQuality, usable

_CAUSES = {
    CellQuality.BAD: "bad status",
    CellQuality.GAP: "nothing is known",
    CellQuality.STUCK: "value frozen",
    CellQuality.STALE: "nothing recent arrived",
    CellQuality.IMPOSSIBLE: "sentinel or impossible value",
    CellQuality.OFF_TIME: "source time is not of now",
    CellQuality.UNIT: "unit changed at its source",
}
FIRST = -(2**62)  # below every window's number: there are windows before 1970
_ALMOST = 1e-9  # a share that is exactly enough must not fail by its last bit


@dataclass(frozen=True, slots=True)
class Window:
    """Window *number*. The columns have shape (row, tag), what is said of them shape (tag,).

    From a cutter the columns are views that the next row overwrites: `copied()` outlives it.
    `end_ns` is the last row's instant, `source_ns` when each value was at its source.
    `good_share` counts good and uncertain rows, `uncertain_share` only the uncertain ones;
    `gap_rows` is the longest run of rows without a usable sample, `gap` says whether a source
    recorded one, or never said anything. `age_max_ns` is the age of the oldest value held,
    beyond `TIME_MAX_NS` where there is a row without any. `picture`, shape (row, column, 3), is
    what there is instead where pictures are the windows.
    """

    number: int
    start_ns: int
    end_ns: int
    values: NDArray[np.float32]
    quality: NDArray[np.uint8]
    source_ns: NDArray[np.int64]
    good_share: NDArray[np.float64]
    uncertain_share: NDArray[np.float64]
    gap_rows: NDArray[np.int64]
    gap: NDArray[np.bool_]
    age_max_ns: NDArray[np.int64]
    picture: NDArray[np.uint8] | None = None

    def copied(self) -> "Window":
        """The same window with columns of its own."""
        return replace(
            self,
            values=self.values.copy(),
            quality=self.quality.copy(),
            source_ns=self.source_ns.copy(),
        )

    def columns(self, chosen: NDArray[np.intp]) -> "Window":
        """The window of these tags only, in this order, with columns of its own."""
        return replace(
            self,
            values=self.values[:, chosen],
            quality=self.quality[:, chosen],
            source_ns=self.source_ns[:, chosen],
            good_share=self.good_share[chosen],
            uncertain_share=self.uncertain_share[chosen],
            gap_rows=self.gap_rows[chosen],
            gap=self.gap[chosen],
            age_max_ns=self.age_max_ns[chosen],
        )

    @property
    def source_span_ns(self) -> tuple[int, int] | None:
        """Source times of the oldest value in the first row and of the newest in the last.

        A value is never older than the one before it, so they bound the window; None of no value.
        """
        ends = self.source_ns[[0, -1]]
        held = ends[ends != NO_TIME_NS]
        return (int(held.min()), int(held.max())) if held.size else None


def of_picture(picture: NDArray[np.uint8], at_ns: int, tags: int) -> Window:
    """The window that a picture is: one row in which nothing is known of any tag."""
    return replace(of_silence(at_ns, at_ns, tags), picture=picture)


def of_silence(start_ns: int, end_ns: int, tags: int) -> Window:
    """The window in which there was neither a picture nor anything of any tag: one row."""
    return Window(
        number=0,
        start_ns=start_ns,
        end_ns=end_ns,
        values=np.full((1, tags), np.nan, np.float32),
        quality=np.full((1, tags), CellQuality.GAP, np.uint8),
        source_ns=np.full((1, tags), NO_TIME_NS, np.int64),
        good_share=np.zeros(tags),
        uncertain_share=np.zeros(tags),
        gap_rows=np.ones(tags, np.int64),
        gap=np.zeros(tags, np.bool_),
        age_max_ns=np.zeros(tags, np.int64),
    )


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether a window may be scored; if not, `reason` says which tag, what was found and needed.

    `bad` names every role that forbids it, the one in `reason` first, and `why` says of each what
    is wrong with it. `uncertain` names roles whose good rows alone would not have been enough:
    score, but say so.
    """

    scorable: bool
    reason: str = ""
    bad: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()


def longest_runs(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The longest run of true down each column, shape (row, tag) to shape (tag,)."""
    if not marked.any():
        return np.zeros(marked.shape[1], np.int64)
    row = np.arange(len(marked), dtype=np.int64)[:, None]
    last_clear = np.maximum.accumulate(np.where(marked, np.int64(-1), row), axis=0)
    return np.asarray((row - last_clear).max(axis=0))


def window_of(number: int, rows: Rows) -> Window:
    """Window *number*, which consists of *rows*, with all that is to be said of its tags."""
    fit = usable(rows.quality)
    at_ns = (rows.first + np.arange(len(rows), dtype=np.int64))[:, None] * rows.period_ns
    return Window(
        number=number,
        start_ns=rows.first * rows.period_ns,
        end_ns=(rows.first + len(rows) - 1) * rows.period_ns,
        values=rows.values,
        quality=rows.quality,
        source_ns=rows.source_ns,
        good_share=fit.mean(axis=0),
        uncertain_share=(rows.quality == CellQuality.UNCERTAIN).mean(axis=0),
        gap_rows=longest_runs(~fit),
        gap=(rows.quality == CellQuality.GAP).any(axis=0),
        age_max_ns=(at_ns - rows.source_ns).max(axis=0),
    )


def windows(rows: Rows, windowing: Windowing) -> Iterator[Window]:
    """Every whole window inside *rows*, as views: the batch form of `WindowCutter`."""
    length, stride = windowing.length_rows, windowing.stride_rows
    first = -(-rows.first // stride)
    last = (rows.first + len(rows) - length) // stride
    for number in range(first, last + 1):
        at = number * stride - rows.first
        yield window_of(number, _cut(rows, at, length))


def _cut(rows: Rows, at: int, count: int) -> Rows:
    span = slice(at, at + count)
    return Rows(
        rows.first + at,
        rows.period_ns,
        rows.values[span],
        rows.quality[span],
        rows.source_ns[span],
    )


class WindowCutter:
    """A mirrored ring of rows: each row is written twice, so that any window is one slice."""

    def __init__(self, windowing: Windowing, tags: int, *, next_number: int = FIRST) -> None:
        """Start empty.

        Args:
            windowing: length and stride, from the model's signature.
            tags: columns of a row.
            next_number: windows below it were cut before a restart and never come again.
        """
        self._length = windowing.length_rows
        self._stride = windowing.stride_rows
        self._next_number = next_number
        self._values = np.full((2 * self._length, tags), np.nan, np.float32)
        self._quality = np.full((2 * self._length, tags), CellQuality.GAP, np.uint8)
        self._source_ns = np.full((2 * self._length, tags), NO_TIME_NS, np.int64)
        self._next_row: int | None = None
        self._since_row = 0

    @property
    def next_number(self) -> int:
        """No window below this number will come: checkpoint it with the window's results."""
        return self._next_number

    def push(self, rows: Rows) -> Iterator[Window]:
        """Take all rows; yields each window as it completes, valid until the next one.

        Exhaust it: rows after the last window taken are otherwise not in the ring. Rows that jump
        ahead start the ring anew: no window is ever cut across a hole.

        Raises:
            RowOrderError: a row is older than one already taken.
            ColumnError: the rows have another number of tags.
        """
        self._expect(rows)
        taken = 0
        while taken < len(rows):
            due_row = self._due_row()
            block = _cut(rows, taken, due_row + 1 - (rows.first + taken))
            self._write(block)
            taken += len(block)
            if self._next_row == due_row + 1:
                yield self._window(due_row, rows.period_ns)

    def _expect(self, rows: Rows) -> None:
        if rows.values.shape[1] != self._values.shape[1]:
            raise ColumnError(
                f"row {rows.first}: expected {self._values.shape[1]} tags, "
                f"found shape {rows.values.shape}"
            )
        if self._next_row is None or rows.first > self._next_row:
            self._since_row = rows.first
        elif rows.first < self._next_row:
            raise RowOrderError(f"row {rows.first}: expected {self._next_row} or later")

    def _due_row(self) -> int:
        """The last row of the next window: the first that is whole and was not cut yet."""
        whole = -(-self._since_row // self._stride)
        return max(whole, self._next_number) * self._stride + self._length - 1

    def _write(self, rows: Rows) -> None:
        """Put rows where they belong, twice; of more than a ring only the last are of use."""
        rows = _cut(rows, max(0, len(rows) - self._length), self._length)
        at = rows.first % self._length
        straight = min(len(rows), self._length - at)
        for ring, column in (
            (self._values, rows.values),
            (self._quality, rows.quality),
            (self._source_ns, rows.source_ns),
        ):
            for copy in (0, self._length):
                ring[copy + at : copy + at + straight] = column[:straight]
                ring[copy : copy + len(rows) - straight] = column[straight:]
        self._next_row = rows.first + len(rows)

    def _window(self, last_row: int, period_ns: int) -> Window:
        first_row = last_row + 1 - self._length
        number = first_row // self._stride
        self._next_number = number + 1
        at = first_row % self._length
        span = slice(at, at + self._length)
        return window_of(
            number,
            Rows(
                first_row,
                period_ns,
                self._values[span],
                self._quality[span],
                self._source_ns[span],
            ),
        )


def assess(
    window: Window,
    windowing: Windowing,
    roles: tuple[str, ...],
    gaps: Mapping[str, str] | None = None,
) -> Assessment:
    """Whether *window* may be scored under a model's contract; never over a gap too long.

    Args:
        window: its columns are *roles*.
        windowing: how many good rows are needed, and how long a hole may be.
        roles: by name.
        gaps: why each role's source recorded a gap that touches the window, as far as it said.
    """
    needed = windowing.good_share_min - _ALMOST
    empty = np.asarray(np.isnan(window.values).any(axis=0))
    scarce = np.asarray(window.good_share < needed)
    holed = np.asarray(window.gap_rows > windowing.gap_rows_max)
    bad = np.flatnonzero(empty | scarce | holed)
    if bad.size == 0:
        doubtful = window.good_share - window.uncertain_share < needed
        return Assessment(
            scorable=True, uncertain=tuple(roles[column] for column in np.flatnonzero(doubtful))
        )
    # The one that says least first: without any value, then with the fewest good rows.
    order = bad[np.lexsort((-window.gap_rows[bad], window.good_share[bad], ~empty[bad]))]
    worst = int(order[0])
    if empty[worst]:
        found = "has no good value yet"
    elif scarce[worst]:
        share = int(100 * window.good_share[worst])
        found = f"{share} % good, {round(100 * windowing.good_share_min)} % needed"
    else:
        found = f"missing for {int(window.gap_rows[worst])} rows, {windowing.gap_rows_max} allowed"
    named = tuple(roles[column] for column in order)
    why = tuple(
        _cause(window.quality[:, column], (gaps or {}).get(roles[column], "")) for column in order
    )
    also = f"; also {', '.join(named[1:])}" if len(named) > 1 else ""
    return Assessment(
        scorable=False,
        reason=f"no verdict: input bad: {named[0]} {found} ({why[0]}){also}",
        bad=named,
        why=why,
    )


def _cause(quality: NDArray[np.uint8], gap: str) -> str:
    """The commonest cause of unusable rows in one column of shape (row,)."""
    counts = np.bincount(quality, minlength=len(CellQuality))
    worst = max(_CAUSES, key=lambda cause: int(counts[cause]))
    return gap if gap and worst is CellQuality.GAP else _CAUSES[worst]
