"""Statistics of a window: the one place where a feature gets its meaning.

With x_0 ... x_{n-1} the n rows of one tag, and T the row period in seconds:

    mean           m = sum(x_i) / n
    sd             sqrt(sum((x_i - m)^2) / n)                          (ddof 0)
    min, max       the smallest and the largest x_i
    mean_abs_diff  sum(|x_i - x_{i-1}|, i = 1 ... n-1) / (n - 1)
    slope          sum((t_i - mean(t)) (x_i - m)) / sum((t_i - mean(t))^2),  t_i = i T
    last           x_{n-1}

Every statistic has the unit of its tag, but `slope` has that unit per second. Sums run in double
precision, row by row in order of time, and only the result is rounded to float32. So one window
alone and the same window inside a batch give the same bits.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature, Statistic
from edge_core.features.errors import ColumnError

Columns = NDArray[np.float64]  # (row, column)
Result = NDArray[np.float64]  # (column,)


def _total(columns: Columns) -> Result:
    # numpy adds a lone column pairwise but several row by row: two roundings for one window.
    if columns.shape[1] == 1:
        return np.asarray(np.add.accumulate(columns, axis=0)[-1])
    return np.asarray(np.add.reduce(columns, axis=0))


def _mean(columns: Columns, _period_s: float) -> Result:
    return _total(columns) / len(columns)


def _sd(columns: Columns, _period_s: float) -> Result:
    mean = _total(columns) / len(columns)
    return np.sqrt(_total((columns - mean) ** 2) / len(columns))


def _min(columns: Columns, _period_s: float) -> Result:
    return np.asarray(columns.min(axis=0))


def _max(columns: Columns, _period_s: float) -> Result:
    return np.asarray(columns.max(axis=0))


def _mean_abs_diff(columns: Columns, _period_s: float) -> Result:
    return _total(np.abs(np.diff(columns, axis=0))) / (len(columns) - 1)


def _slope(columns: Columns, period_s: float) -> Result:
    rows = len(columns)
    time_s = (np.arange(rows, dtype=np.float64) - (rows - 1) / 2) * period_s
    mean = _total(columns) / rows
    return _total((columns - mean) * time_s[:, None]) / float(np.sum(time_s * time_s))


def _last(columns: Columns, _period_s: float) -> Result:
    return np.asarray(columns[-1])


FORMULAS: dict[Statistic, Callable[[Columns, float], Result]] = {
    Statistic.MEAN: _mean,
    Statistic.SD: _sd,
    Statistic.MIN: _min,
    Statistic.MAX: _max,
    Statistic.MEAN_ABS_DIFF: _mean_abs_diff,
    Statistic.SLOPE: _slope,
    Statistic.LAST: _last,
}


def feature_names(signature: ModelSignature) -> tuple[str, ...]:
    """The features by name, `role.statistic`, in the order of the model's input."""
    return tuple(f"{feature.role}.{feature.statistic}" for feature in signature.features)


class Extractor:
    """The features of one signature, from windows whose columns are `signature.roles` in order."""

    def __init__(self, signature: ModelSignature) -> None:
        roles = signature.roles
        self._period_s = signature.windowing.period_s
        self._roles = len(roles)
        self._wanted = tuple(dict.fromkeys(feature.statistic for feature in signature.features))
        column = {role: number for number, role in enumerate(roles)}
        line = {statistic: number for number, statistic in enumerate(self._wanted)}
        self._lines = np.array([line[feature.statistic] for feature in signature.features])
        self._columns = np.array([column[feature.role] for feature in signature.features])

    def vector(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of one window.

        Args:
            window: shape (row, role), in the units of the signature; at least two rows, no NaN.

        Returns:
            Shape (feature,), in the order of the signature.

        Raises:
            ColumnError: the window does not have two dimensions, or not one column a role.
        """
        if window.ndim != 2:
            raise ColumnError(f"window: expected shape (row, role), found {window.shape}")
        vector: NDArray[np.float32] = self.matrix(window[None])[0]
        return vector

    def matrix(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of many windows: shape (window, row, role) to shape (window, feature).

        Raises:
            ColumnError: the windows do not have one column a role, or fewer than two rows.
        """
        if windows.ndim != 3 or windows.shape[2] != self._roles or windows.shape[1] < 2:
            raise ColumnError(
                f"windows: expected shape (window, 2 rows or more, {self._roles}), "
                f"found {windows.shape}"
            )
        count, rows, roles = windows.shape
        columns = np.ascontiguousarray(
            windows.transpose(1, 0, 2).reshape(rows, count * roles), dtype=np.float64
        )
        lines = [FORMULAS[name](columns, self._period_s) for name in self._wanted]
        table = np.stack(lines).reshape(len(lines), count, roles)
        return np.ascontiguousarray(table[self._lines, :, self._columns].T, dtype=np.float32)
