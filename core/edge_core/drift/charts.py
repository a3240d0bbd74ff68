"""The arithmetic of the window CUSUM, shared by the packager that fits and the gateway that steps.

Five numbers a window and tag, of rows z = (x - row mean) / row sd and residuals r = ridge z:

    level        mean(z)
    rough        log sd(z_i - z_{i-1})
    spread       log sd(z)
    resid        mean(r)
    residspread  log sd(r)

They are standardised per recipe and summed by two charts (Page 1954, Biometrika 41), clipped so
that one window cannot alarm alone on the slow one: C+ = max(0, C+ + clip(z) - k), and C- for -z.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("level", "rough", "spread", "resid", "residspread")
LEVEL, ROUGH, SPREAD, RESID, RESIDSPREAD = range(5)
SLOW, FAST = range(2)
DRIFT = (0.5, 4.0)  # k: what each window must exceed, slow and fast
CLIP = (4.0, 20.0)
SCALE_FLOOR = (2.0, 4.0)  # added to the scale of a chart: a quiet cell must not become touchy
SD_LEAST = 1e-3  # of row standard deviations; a still window has a finite logarithm

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RowModel:
    """How rows are standardised; `mean` and `sd` have shape (role,), `ridge` (role, role)."""

    mean: Array
    sd: Array
    ridge: Array


def _log_sd(values: Array) -> Array:
    return np.asarray(np.log(np.maximum(values.std(axis=0), SD_LEAST)))


def window_statistics(values: NDArray[np.float32], fit: Mask, model: RowModel) -> Array:
    """The five statistics of one window.

    Args:
        values: shape (row, role).
        fit: shape (row,), which rows count; at least two of them must.
        model: how rows are standardised.

    Returns:
        Shape (5, role), in the order of `STATISTICS`.
    """
    every = (values.astype(np.float64) - model.mean) / model.sd
    rows = every[fit]
    # A difference counts where both rows do: dropping rows must not make a tag look rough.
    steps = np.diff(every, axis=0)[fit[1:] & fit[:-1]]
    residuals = rows @ model.ridge.T
    return np.stack(
        [
            rows.mean(axis=0),
            _log_sd(steps) if len(steps) else np.full(values.shape[1], np.log(SD_LEAST)),
            _log_sd(rows),
            residuals.mean(axis=0),
            _log_sd(residuals),
        ]
    )


def accumulate(charts: Array, z: Array) -> Array:
    """One window further: charts of shape (..., 2 charts, 2 sides, 5, role), z (..., 5, role)."""
    after = np.empty_like(charts)
    for chart in (SLOW, FAST):
        step = np.clip(z, -CLIP[chart], CLIP[chart])
        for side, signed in enumerate((step, -step)):
            after[..., chart, side, :, :] = np.maximum(
                0.0, charts[..., chart, side, :, :] + signed - DRIFT[chart]
            )
    return after
