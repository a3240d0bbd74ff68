"""Rules that find bad input before any model or drift chart sees it.

`Screen` works on samples, before the grid: a sentinel such as 888.8 or -9999 and a value outside
what the instrument can show become IMPOSSIBLE, so the grid holds the last good value instead.
`StuckWatch` works on rows: a value that repeats exactly for too long is marked STUCK.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_core.features.errors import ColumnError
from edge_core.features.grid import Rows
from edge_core.features.samples import CellQuality, Samples, usable

SENTINELS = (888.8, -88.8, -999.9, -9999.0)  # what loggers write where a sensor gave nothing


@dataclass(frozen=True, slots=True)
class TagRule:
    """What one tag can never show, in its own unit; no `flat_rows_max`: it may stand still."""

    sentinels: tuple[float, ...] = ()
    low: float = -float("inf")
    high: float = float("inf")
    flat_rows_max: int | None = None


class Screen:
    """The rules of every tag, made ready for one batch of samples after the other."""

    def __init__(self, rules: tuple[TagRule, ...]) -> None:
        most = np.finfo(np.float32).max  # what is beyond is infinite, and no instrument shows that
        self._low = np.array([max(rule.low, -most) for rule in rules], np.float32)
        self._high = np.array([min(rule.high, most) for rule in rules], np.float32)
        every = sorted({sentinel for rule in rules for sentinel in rule.sentinels})
        self._sentinels = [
            (np.float32(each), np.array([each in rule.sentinels for rule in rules]))
            for each in every
        ]

    def mark(self, samples: Samples) -> Samples:
        """The same samples with impossible values marked; values and order stay as they are.

        Raises:
            ColumnError: a sample has a tag number without a rule.
        """
        tags, value, rules = samples.tags, samples.values, len(self._low)
        if len(tags) and not 0 <= int(tags.min()) <= int(tags.max()) < rules:
            raise ColumnError(f"rules: expected one a tag, found {rules}")
        # Not a number is neither at least the one nor at most the other.
        wrong = ~((value >= self._low.take(tags)) & (value <= self._high.take(tags)))
        for sentinel, has in self._sentinels:
            # A float32 keeps seven digits, and some gateways scale before they send.
            near = np.float32(1e-6 * max(1.0, abs(float(sentinel))))
            alike = np.abs(value - sentinel) <= near
            if alike.any():
                wrong |= alike & has[tags]
        wrong &= usable(samples.quality)
        if not wrong.any():
            return samples
        quality = np.where(wrong, np.uint8(CellQuality.IMPOSSIBLE), samples.quality)
        return replace(samples, quality=quality)


def flat_lengths(
    values: NDArray[np.float32], before: NDArray[np.float32], run: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How long each cell's value has stood still, the cell itself counted.

    Args:
        values: shape (row, tag).
        before: shape (tag,), the row before the first; NaN where there was none.
        run: shape (tag,), how long that row had stood still; 0 where there was none.
    """
    if len(values) == 0:
        return np.empty(values.shape, np.int64)
    earlier = np.concatenate([before[None], values[:-1]])
    row = np.arange(len(values), dtype=np.int64)[:, None]
    last_change = np.maximum.accumulate(np.where(values == earlier, -run[None], row), axis=0)
    return row - last_change + 1


class StuckWatch:
    """Counts how long each tag has repeated one value exactly, over any number of chunks."""

    def __init__(self, rules: tuple[TagRule, ...]) -> None:
        no_limit = np.iinfo(np.int64).max
        self._limit = np.array(
            [no_limit if rule.flat_rows_max is None else rule.flat_rows_max for rule in rules],
            np.int64,
        )
        self._before = np.full(len(rules), np.nan, np.float32)
        self._run = np.zeros(len(rules), np.int64)

    @property
    def runs(self) -> NDArray[np.int64]:
        """Shape (tag,): for how many rows the present value has stood still."""
        return self._run.copy()

    def mark(self, rows: Rows) -> Rows:
        """The same rows, with usable cells beyond the limit marked STUCK."""
        if len(rows) == 0:
            return rows
        lengths = flat_lengths(rows.values, self._before, self._run)
        self._before, self._run = rows.values[-1].copy(), lengths[-1]
        stuck = (lengths > self._limit) & usable(rows.quality)
        if not stuck.any():
            return rows
        quality = np.where(stuck, np.uint8(CellQuality.STUCK), rows.quality)
        return replace(rows, quality=quality)
