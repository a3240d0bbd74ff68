"""Arrays as short JSON numbers: what is signed and shipped to thin links has seven digits."""

import numpy as np
from numpy.typing import NDArray


def compact(values: NDArray[np.float64]) -> list[float]:
    """One axis, each number with the seven digits that a float32 can hold."""
    return [float(f"{value:.7g}") + 0.0 for value in values.tolist()]


def compact_rows(values: NDArray[np.float64]) -> list[list[float]]:
    """Two axes, likewise."""
    return [compact(row) for row in values]
