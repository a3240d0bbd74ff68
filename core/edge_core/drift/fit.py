"""The drift reference: what normal looks like, and a bar that normal seldom crosses.

The bar comes from a nested stationary block bootstrap (Politis and Romano 1994, JASA 89) over the
windows of the validation stretch. Each replicate draws a pseudo reference and then a whole
horizon of windows, all tags together: so the dependence of rows, the number of tags and the
reference's own error are all in the bar, which no per-tag threshold can have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Domain, DriftReference, ModeReference
from edge_core.drift.charts import (
    FAST,
    SCALE_FLOOR,
    SLOW,
    STATISTICS,
    Array,
    Mask,
    RowModel,
    accumulate,
    window_statistics,
)
from edge_core.drift.compact import compact, compact_rows
from edge_core.drift.errors import ReferenceRefusedError
from edge_core.drift.psi import histogram, inner_edges
from edge_core.features.quality import flat_lengths

RIDGE = 0.01  # added to the diagonal of the correlation
RIDGE_FULL_ROLES = 64  # above it each row of the ridge keeps only its largest entries
RIDGE_ENTRIES = 32
SHRINK_WINDOWS = 10  # a recipe's sd counts fully only with many more windows than this
SCALE_QUANTILE = 0.9
TRUST_BLOCKS = 30  # so many blocks of windows make a scale half its own
SD_FLOORS = (1e-3, 0.05, 0.15, 1e-3, 0.15)  # of the five statistics over windows
TAU_ROWS = 30  # a reference should hold so many times the rows over which a tag remembers
TAU_LAGS_MAX = 65536


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How to fit. The defaults are for windows of an hour: a month's horizon, blocks of a shift.

    Lengths count windows. With `thin_allowed` a reference too short is marked instead of refused.
    """

    seed: int
    replicates: int = 160
    block_windows: int = 8
    horizon_windows: int = 720
    quantile: float = 0.95
    settle_windows: int = 4
    quiet_windows: int = 8
    good_share_min: float = 0.8
    windows_a_mode_min: int = 25
    thin_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive tumbling windows of normal running, as they came.

    `values` has shape (window, row, role); `fit`, shape (window, row), says which rows are usable
    in every role; `modes` names each window's recipe ("" where there are none, None where it
    changed inside the window).
    """

    values: NDArray[np.float32]
    fit: Mask
    modes: Sequence[str | None]


def fit(
    stretch: Stretch, *, roles: Sequence[str], row_period_s: float, domain: Domain, plan: FitPlan
) -> DriftReference:
    """Make the reference of one model from its validation stretch. The same seed, the same bytes.

    Raises:
        ReferenceRefusedError: shapes do not fit, a usable row holds no number, a recipe has too
            few windows, or the stretch is too short and the plan does not allow a thin one.
    """
    _expect_shapes(stretch, roles)
    kept = _scored(stretch, plan)
    rows = kept.values[kept.fit].astype(np.float64)
    model = _row_model(rows)
    names = sorted({str(name) for name in kept.modes})
    mode = np.array([names.index(str(name)) for name in kept.modes])
    counts = np.bincount(mode, minlength=len(names))
    tau = _tau_rows(kept)
    thin = _thin(names, counts, len(rows), tau, plan)
    table = np.stack(
        [window_statistics(*window, model) for window in zip(kept.values, kept.fit, strict=True)]
    )
    mean, sd = mode_tables(table, mode, len(names))
    scale, bar = _calibrate(table, mode, (mean, sd), plan)
    bins = [inner_edges(column) for column in rows.T]
    return DriftReference(
        roles=list(roles),
        window_rows=stretch.values.shape[1],
        row_period_s=row_period_s,
        edges=[compact(edges) for edges in bins],
        counts=[
            histogram(column, np.array(compact(edges))).tolist()
            for column, edges in zip(rows.T, bins, strict=True)
        ],
        row_mean=compact(model.mean),
        row_sd=compact(model.sd),
        ridge=compact_rows(model.ridge),
        modes=[
            ModeReference(
                mode=name,
                windows=int(counts[at]),
                mean=compact_rows(mean[at]),
                sd=compact_rows(sd[at]),
            )
            for at, name in enumerate(names)
        ],
        flat_run_max=_longest_flat(stretch).tolist(),
        slow=compact_rows(scale[SLOW]),
        fast=compact_rows(scale[FAST]),
        bar=compact(np.array([bar]))[0],
        good_share_min=plan.good_share_min,
        settle_windows=plan.settle_windows,
        quiet_windows=plan.quiet_windows,
        horizon_windows=plan.horizon_windows,
        block_windows=plan.block_windows,
        replicates=plan.replicates,
        quantile=plan.quantile,
        seed=plan.seed,
        tau_int_rows=compact(np.array([tau]))[0],
        thin=thin,
        domain=domain,
    )


def _expect_shapes(stretch: Stretch, roles: Sequence[str]) -> None:
    shape = stretch.values.shape
    if len(shape) != 3 or shape[1] < 4 or shape[2] != len(roles) or len(roles) == 0:
        raise ReferenceRefusedError(
            f"windows: expected shape (window, 4 rows or more, {len(roles)}), found {shape}"
        )
    if stretch.fit.shape != shape[:2] or len(stretch.modes) != shape[0]:
        raise ReferenceRefusedError(
            f"windows: expected a mask of shape {shape[:2]} and {shape[0]} modes, found "
            f"{stretch.fit.shape} and {len(stretch.modes)}"
        )
    if not np.isfinite(stretch.values[stretch.fit]).all():
        raise ReferenceRefusedError("windows: expected numbers in every usable row, found others")


def _scored(stretch: Stretch, plan: FitPlan) -> Stretch:
    """The windows that a gateway would score: one recipe, settled, enough usable rows."""
    kept: list[int] = []
    mode: str | None = None
    age = 0
    for number, name in enumerate(stretch.modes):
        age = age + 1 if name == mode and name is not None else 0
        mode = name
        enough = stretch.fit[number].mean() >= plan.good_share_min - 1e-9
        if name is not None and age >= plan.settle_windows and enough:
            kept.append(number)
    if len(kept) < 2:
        raise ReferenceRefusedError(
            f"windows: expected two or more that are settled and good, found {len(kept)} of "
            f"{len(stretch.modes)}"
        )
    return Stretch(stretch.values[kept], stretch.fit[kept], [stretch.modes[at] for at in kept])


def _thin(
    names: list[str], counts: NDArray[np.int64], rows: int, tau: float, plan: FitPlan
) -> bool:
    """Whether the stretch is too short to be trusted; refuses it unless the plan allows that."""
    for name, count in zip(names, counts.tolist(), strict=True):
        if count < 2 or (count < plan.windows_a_mode_min and not plan.thin_allowed):
            raise ReferenceRefusedError(
                f"recipe {name or 'of the line'!r}: expected {plan.windows_a_mode_min} settled "
                f"windows, found {count}"
            )
    short = rows < TAU_ROWS * tau
    if short and not plan.thin_allowed:
        raise ReferenceRefusedError(
            f"windows: expected {TAU_ROWS} times the {tau:.0f} rows that a tag remembers, "
            f"found {rows} rows"
        )
    return bool(short or counts.min() < plan.windows_a_mode_min)


def _row_model(rows: Array) -> RowModel:
    mean = rows.mean(axis=0)
    sd = np.maximum(rows.std(axis=0), 1e-6 * np.maximum(np.abs(mean), 1.0))
    z = (rows - mean) / sd
    size = z.shape[1]
    precision = np.linalg.inv(z.T @ z / len(z) + RIDGE * np.eye(size))
    ridge = precision / np.diag(precision)[:, None]
    if size > RIDGE_FULL_ROLES:
        least = np.sort(np.abs(ridge), axis=1)[:, -RIDGE_ENTRIES][:, None]
        ridge = np.where(np.abs(ridge) >= least, ridge, 0.0)
    return RowModel(mean, sd, ridge)


def mode_tables(table: Array, mode: NDArray[np.int64], modes: int) -> tuple[Array, Array]:
    """Mean and standard deviation of the statistics in each recipe, (mode, 5, role) each.

    A recipe with few windows borrows from the others: its sd is shrunk to the pooled one with
    weight n / (n + 10) and widened by sqrt(1 + 1/n). One without any has mean and sd of all.
    """
    mean = np.repeat(table.mean(axis=0)[None], modes, axis=0)
    for at in range(modes):
        if np.any(mode == at):
            mean[at] = table[mode == at].mean(axis=0)
    pooled = np.sqrt(np.mean((table - mean[mode]) ** 2, axis=0))
    sd = np.empty_like(mean)
    floor = np.array(SD_FLOORS)[:, None]
    for at in range(modes):
        mine = table[mode == at]
        count = len(mine)
        weight = count / (count + SHRINK_WINDOWS)
        own = mine.std(axis=0, ddof=1) if count > 1 else pooled
        shrunk = (weight * own + (1 - weight) * pooled) * np.sqrt(1 + 1 / max(count, 1))
        sd[at] = np.maximum(shrunk, floor)
    return mean, sd


def _draw(
    rng: np.random.Generator, count: int, shape: tuple[int, int], block: int
) -> NDArray[np.int64]:
    """Stationary bootstrap: runs of consecutive windows, geometric in length, wrapped around."""
    start = rng.integers(0, count, shape)
    fresh = rng.random(shape) < 1 / block
    fresh[:, 0] = True
    step = np.arange(shape[1])
    last_fresh = np.maximum.accumulate(np.where(fresh, step, 0), axis=1)
    begun = np.take_along_axis(start, last_fresh, axis=1)
    return np.asarray((begun + step - last_fresh) % count)


def _calibrate(
    table: Array, mode: NDArray[np.int64], known: tuple[Array, Array], plan: FitPlan
) -> tuple[Array, float]:
    """Scale of every chart cell, shape (2, 5, role), and the one bar over all of them."""
    rng = np.random.default_rng(plan.seed)
    count, modes = len(table), len(known[0])
    pseudo = _draw(rng, count, (plan.replicates, count), plan.block_windows)
    stream = _draw(rng, count, (plan.replicates, plan.horizon_windows), plan.block_windows)
    tables = [_pseudo_tables(table[drawn], mode[drawn], known, modes) for drawn in pseudo]
    mean, sd = np.stack([t[0] for t in tables]), np.stack([t[1] for t in tables])
    replicate = np.arange(plan.replicates)
    charts = np.zeros((plan.replicates, 2, 2, len(STATISTICS), table.shape[2]))
    highest = np.zeros_like(charts)
    for drawn in stream.T:
        at = mode[drawn]
        charts = accumulate(charts, (table[drawn] - mean[replicate, at]) / sd[replicate, at])
        np.maximum(highest, charts, out=highest)
    peak = highest.max(axis=2)  # over the two sides
    scale = _steadied(np.quantile(peak, SCALE_QUANTILE, axis=0), count / plan.block_windows)
    bar = np.quantile((peak / scale).reshape(plan.replicates, -1).max(axis=1), plan.quantile)
    # A bar below one would call the scales themselves an alarm.
    return scale, max(float(bar), 1.0)


def _steadied(own: Array, blocks: float) -> Array:
    """Scales of chart cells, drawn to the middle of their chart where blocks are few.

    From a dozen blocks some of hundreds of cells look far calmer than they are, and these give
    most of the false alarms. Measured on autoregressive tags with a reference of 150 windows: 15
    instead of 27 horizons of 96 have an alarm, and a shift is found one window later.
    """
    middle = np.median(own, axis=(1, 2), keepdims=True)
    trust = blocks / (blocks + TRUST_BLOCKS)
    drawn = trust * own + (1 - trust) * middle
    return np.asarray(drawn + np.array(SCALE_FLOOR)[:, None, None])


def _pseudo_tables(
    table: Array, mode: NDArray[np.int64], known: tuple[Array, Array], modes: int
) -> tuple[Array, Array]:
    """Tables of a drawn reference; a recipe that was not drawn keeps what is really known."""
    mean, sd = mode_tables(table, mode, modes)
    missing = np.bincount(mode, minlength=modes) == 0
    mean[missing], sd[missing] = known[0][missing], known[1][missing]
    return mean, sd


def _longest_flat(stretch: Stretch) -> NDArray[np.int64]:
    """Rows over which each tag repeated one value exactly, at most; windows taken as one run."""
    rows = stretch.values[stretch.fit]
    roles = rows.shape[1]
    lengths = flat_lengths(rows, np.full(roles, np.nan, np.float32), np.zeros(roles, np.int64))
    return np.asarray(lengths.max(axis=0))


def _tau_rows(stretch: Stretch) -> float:
    """Integrated autocorrelation time in rows, median over tags, each recipe less its mean.

    1 + 2 sum of autocorrelations up to the first below 0.05, by FFT.
    """
    rows = stretch.values[stretch.fit].astype(np.float64)
    names = [str(mode) for mode in stretch.modes]
    owner = np.repeat(np.array(names), stretch.fit.sum(axis=1))
    for name in set(names):
        mine = owner == name
        if mine.any():
            rows[mine] -= rows[mine].mean(axis=0)
    rows = rows[-TAU_LAGS_MAX:]
    power = np.abs(np.fft.rfft(rows, 2 * len(rows), axis=0)) ** 2
    covariance = np.fft.irfft(power, axis=0)[: len(rows)]
    moving = covariance[0] > 1e-12
    if not moving.any():
        return 1.0
    correlation = covariance[:, moving] / covariance[0, moving]
    counted = np.logical_and.accumulate(correlation >= 0.05, axis=0)
    return float(np.median(2 * np.sum(correlation * counted, axis=0) - 1))
