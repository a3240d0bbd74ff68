"""Distribution distances for the screen, each one a named convention; none of them decides.

A number called "PSI" is a tuple of edges, zero rule, direction and base, so every function says
its own. With nothing changed, n recent rows against N reference rows in K bins give an expected
PSI of about (K - 1) (1/n + 1/N) for independent rows, and far more for a real plant's: a fixed
bar such as 0.2 is a statement about n. Rows that are not finite are dropped before anything else.
"""

import numpy as np
from numpy.typing import NDArray

from edge_core.drift.errors import BinsError

DISTINCT_MAX = 20  # up to so many distinct values each has a bin of its own
SHARE_FLOOR = 1e-4  # of psi_refq10_floor: an empty bin counts as this share
DECILES = np.arange(1, 10) / 10

Rows = NDArray[np.float32] | NDArray[np.float64]
Counts = NDArray[np.int64]


def finite(rows: Rows) -> NDArray[np.float64]:
    """The rows that are numbers, in double precision."""
    wide = np.asarray(rows, np.float64)
    return wide[np.isfinite(wide)]


def inner_edges(reference: Rows) -> NDArray[np.float64]:
    """Edges between bins, the end bins being open: shape (bin - 1,), ascending.

    Up to 20 distinct values: half way between neighbours, so each value has its bin. Otherwise the
    distinct inner deciles of the reference, linearly interpolated.

    Raises:
        BinsError: the reference has no finite row.
    """
    rows = finite(reference)
    if len(rows) == 0:
        raise BinsError("reference: expected at least one finite row, found none")
    distinct = np.unique(rows)
    if len(distinct) <= DISTINCT_MAX:
        return np.asarray((distinct[1:] + distinct[:-1]) / 2)
    return np.unique(np.quantile(rows, DECILES))


def histogram(rows: Rows, edges: NDArray[np.float64]) -> Counts:
    """How many rows fall into each bin; a row on an edge belongs to the bin above it."""
    at = np.searchsorted(edges, finite(rows), side="right")
    return np.bincount(at, minlength=len(edges) + 1).astype(np.int64)


def _smoothed(counts: Counts) -> NDArray[np.float64]:
    """Shares under Jeffreys' prior, (n + 1/2) / (N + K/2): no bin is ever empty."""
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def _expect_same_bins(reference: Counts, recent: Counts) -> None:
    if reference.shape != recent.shape:
        raise BinsError(f"bins: expected {reference.shape[0]}, found {recent.shape[0]}")


def population_stability(reference: Counts, recent: Counts) -> float:
    """PSI of two histograms with Jeffreys' smoothing on both sides, in nats.

    sum((q - p) ln(q / p)) over bins: 0 only where all smoothed shares are equal, never negative.

    Args:
        reference: shape (bin,), rows a bin.
        recent: shape (bin,), rows in the same bins.

    Raises:
        BinsError: the bins differ in number.
    """
    _expect_same_bins(reference, recent)
    p, q = _smoothed(reference), _smoothed(recent)
    return float(np.sum((q - p) * np.log(q / p)))


def psi_auto_jeffreys(reference: Rows, recent: Rows) -> float:
    """Our default: bins of `inner_edges`, Jeffreys' smoothing on both sides, nats.

    Raises:
        BinsError: the reference has no finite row.
    """
    edges = inner_edges(reference)
    return population_stability(histogram(reference, edges), histogram(recent, edges))


def psi_refq10_floor(reference: Rows, recent: Rows) -> float:
    """Ten reference deciles whatever the data, empty bins floored at 1e-4, not renormalised.

    It cannot see a rare binary tag become frequent: all deciles fall on one value.

    Raises:
        BinsError: one of the two has no finite row.
    """
    known, new = finite(reference), finite(recent)
    if len(known) == 0 or len(new) == 0:
        raise BinsError("rows: expected at least one finite row on both sides, found none")
    edges = np.quantile(known, DECILES)
    p = np.maximum(histogram(known, edges) / len(known), SHARE_FLOOR)
    q = np.maximum(histogram(new, edges) / len(new), SHARE_FLOOR)
    return float(np.sum((q - p) * np.log(q / p)))


def js_distance(reference: Counts, recent: Counts) -> float:
    """Jensen-Shannon distance (a root, not the divergence) of raw shares, base 2: 0 to 1.

    Raises:
        BinsError: the bins differ in number, or one histogram is empty.
    """
    _expect_same_bins(reference, recent)
    if reference.sum() == 0 or recent.sum() == 0:
        raise BinsError("histogram: expected at least one row on both sides, found none")
    p, q = reference / reference.sum(), recent / recent.sum()
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / q[some])))


def _both_cdfs(
    reference: Rows, recent: Rows
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """All values in order, and the share of either side at or below each."""
    known, new = np.sort(finite(reference)), np.sort(finite(recent))
    if len(known) == 0 or len(new) == 0:
        raise BinsError("rows: expected at least one finite row on both sides, found none")
    values = np.sort(np.concatenate([known, new]))
    below_known = np.searchsorted(known, values, side="right") / len(known)
    below_new = np.searchsorted(new, values, side="right") / len(new)
    return values, below_known, below_new


def ks_stat(reference: Rows, recent: Rows) -> float:
    """Kolmogorov-Smirnov D: the largest distance of the two distribution functions, exact.

    Raises:
        BinsError: one of the two has no finite row.
    """
    _, known, new = _both_cdfs(reference, recent)
    return float(np.max(np.abs(known - new)))


def wasserstein_over_sd(reference: Rows, recent: Rows) -> float:
    """Exact first Wasserstein distance in standard deviations (ddof 0) of the reference.

    A standard deviation below 0.001 counts as 0.001, so a still tag does not divide by zero.

    Raises:
        BinsError: one of the two has no finite row.
    """
    values, known, new = _both_cdfs(reference, recent)
    area = float(np.sum(np.abs(known - new)[:-1] * np.diff(values)))
    return area / max(float(np.std(finite(reference))), 1e-3)
