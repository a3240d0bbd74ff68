"""Windows: cut once each, numbered for good, and judged before anything scores them.

Window k covers rows k * stride to k * stride + length - 1. Rows count from the Unix epoch, so k is
the same window before and after a restart, in training and at the line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Windowing
from edge_core.features.errors import ColumnError, RowOrderError
from edge_core.features.grid import Rows
from edge_core.features.samples import CellQuality, usable

_CAUSES = {
    CellQuality.BAD: "bad status or impossible value",
    CellQuality.GAP: "nothing recent arrived",
    CellQuality.STUCK: "value frozen",
}


@dataclass(frozen=True, slots=True)
class Window:
    """Window *number*. `values` and `quality` have shape (row, tag); the others shape (tag,).

    From a cutter the two arrays are views that the next row overwrites: `copied()` outlives it.
    `good_share` counts good and uncertain rows, `uncertain_share` only the uncertain ones;
    `gap_rows` is the longest run of rows without a usable sample. `end_ns` is the last row's.
    """

    number: int
    start_ns: int
    end_ns: int
    values: NDArray[np.float32]
    quality: NDArray[np.uint8]
    good_share: NDArray[np.float64]
    uncertain_share: NDArray[np.float64]
    gap_rows: NDArray[np.int64]

    def copied(self) -> "Window":
        """The same window with arrays of its own."""
        return replace(self, values=self.values.copy(), quality=self.quality.copy())


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether a window may be scored; if not, `reason` says which tag, what was found and needed.

    `uncertain` names roles whose good rows alone would not have been enough: score, but say so.
    """

    scorable: bool
    reason: str = ""
    uncertain: tuple[str, ...] = ()


def longest_runs(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The longest run of true down each column, shape (row, tag) to shape (tag,)."""
    if not marked.any():
        return np.zeros(marked.shape[1], np.int64)
    row = np.arange(len(marked), dtype=np.int64)[:, None]
    last_clear = np.maximum.accumulate(np.where(marked, np.int64(-1), row), axis=0)
    return np.asarray((row - last_clear).max(axis=0))


def _window(
    number: int,
    first_row: int,
    period_ns: int,
    values: NDArray[np.float32],
    quality: NDArray[np.uint8],
) -> Window:
    fit = usable(quality)
    return Window(
        number=number,
        start_ns=first_row * period_ns,
        end_ns=(first_row + len(values) - 1) * period_ns,
        values=values,
        quality=quality,
        good_share=fit.mean(axis=0),
        uncertain_share=(quality == CellQuality.UNCERTAIN).mean(axis=0),
        gap_rows=longest_runs(~fit),
    )


def windows(rows: Rows, windowing: Windowing) -> Iterator[Window]:
    """Every whole window inside *rows*, as views: the batch form of `WindowCutter`."""
    length, stride = windowing.length_rows, windowing.stride_rows
    first = -(-rows.first // stride)
    last = (rows.first + len(rows) - length) // stride
    for number in range(first, last + 1):
        at = number * stride - rows.first
        span = slice(at, at + length)
        yield _window(
            number, number * stride, rows.period_ns, rows.values[span], rows.quality[span]
        )


class WindowCutter:
    """A mirrored ring of rows: each row is written twice, so that any window is one slice."""

    def __init__(self, windowing: Windowing, tags: int, *, next_number: int = 0) -> None:
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
        self._next_row: int | None = None
        self._held = 0

    @property
    def next_number(self) -> int:
        """No window below this number will come: checkpoint it with the window's results."""
        return self._next_number

    def push(self, rows: Rows) -> Iterator[Window]:
        """Take all rows; yields each window as it completes, valid until the next one.

        Exhaust it: rows after the last window taken are otherwise not in the ring.

        Raises:
            RowOrderError: a row is older than one already taken.
            ColumnError: the rows have another number of tags.
        """
        for offset in range(len(rows)):
            window = self.push_row(
                rows.first + offset, rows.period_ns, rows.values[offset], rows.quality[offset]
            )
            if window is not None:
                yield window

    def push_row(
        self,
        row: int,
        period_ns: int,
        values: NDArray[np.float32],
        quality: NDArray[np.uint8],
    ) -> Window | None:
        """Take one row of shape (tag,); the window it completes, valid until the next row.

        Rows that jump ahead start the ring anew: no window is ever cut across a hole.

        Raises:
            RowOrderError: the row is older than one already taken.
            ColumnError: the row has another number of tags.
        """
        self._expect(row, values)
        at = row % self._length
        self._values[at] = self._values[at + self._length] = values
        self._quality[at] = self._quality[at + self._length] = quality
        self._next_row = row + 1
        self._held += 1
        first_row = row + 1 - self._length
        number, remainder = divmod(first_row, self._stride)
        if remainder or self._held < self._length or number < self._next_number:
            return None
        self._next_number = number + 1
        span = slice(at + 1, at + 1 + self._length)
        return _window(number, first_row, period_ns, self._values[span], self._quality[span])

    def _expect(self, row: int, values: NDArray[np.float32]) -> None:
        if values.shape != (self._values.shape[1],):
            raise ColumnError(
                f"row {row}: expected {self._values.shape[1]} tags, found shape {values.shape}"
            )
        if self._next_row is None or row > self._next_row:
            self._held = 0
        elif row < self._next_row:
            raise RowOrderError(f"row {row}: expected {self._next_row} or later")


def assess(window: Window, windowing: Windowing, roles: tuple[str, ...]) -> Assessment:
    """Whether *window* may be scored under a model's contract; never over a gap too long."""
    empty = np.isnan(window.values).any(axis=0)
    if empty.any():
        role = roles[int(np.argmax(empty))]
        return Assessment(scorable=False, reason=f"input bad: {role} has no good value yet")
    scarce = int(np.argmin(window.good_share))
    share, needed = float(window.good_share[scarce]), windowing.good_share_min
    if share < needed - 1e-9:
        return Assessment(
            scorable=False,
            reason=f"input bad: {roles[scarce]} {int(100 * share)} % good, "
            f"{round(100 * needed)} % needed ({_cause(window.quality[:, scarce])})",
        )
    holed = int(np.argmax(window.gap_rows))
    if window.gap_rows[holed] > windowing.gap_rows_max:
        return Assessment(
            scorable=False,
            reason=f"input bad: {roles[holed]} missing for {int(window.gap_rows[holed])} rows, "
            f"{windowing.gap_rows_max} allowed ({_cause(window.quality[:, holed])})",
        )
    doubtful = window.good_share - window.uncertain_share < needed - 1e-9
    return Assessment(
        scorable=True, uncertain=tuple(roles[column] for column in np.flatnonzero(doubtful))
    )


def _cause(quality: NDArray[np.uint8]) -> str:
    """The commonest cause of unusable rows in one column of shape (row,)."""
    counts = {cause: int(np.count_nonzero(quality == cause)) for cause in _CAUSES}
    return _CAUSES[max(counts, key=lambda cause: counts[cause])]
