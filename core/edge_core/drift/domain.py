"""Whether one feature vector lies where the model was trained.

Two tests in one score, above 1 is outside. Bounds name the feature that left the range seen in
training. A Mahalanobis distance under a shrunk correlation sees a combination that training never
had although every single value is familiar: flow of one recipe with the pressure of another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Domain
from edge_core.drift.compact import compact, compact_rows
from edge_core.drift.errors import ReferenceRefusedError

RANGE_MARGIN = 0.5  # of the range seen, on both sides
DISTANCE_MARGIN = 1.5  # over the far tail of the training windows
DISTANCE_QUANTILE = 0.995
SHRINKAGE = 0.1  # towards independence: windows overlap, so there are fewer than they seem
WIDTH_LEAST = 1e-3  # of the centre's size: a feature that stood still in training may still jitter


@dataclass(frozen=True, slots=True)
class DomainVerdict:
    """Inside or not; `score` above 1 is outside, `worst` is the feature that says so most."""

    inside: bool
    score: float
    worst: int


def fit_domain(features: NDArray[np.float32]) -> Domain:
    """The domain of training windows, all classes and all recipes: shape (window, feature).

    Raises:
        ReferenceRefusedError: fewer than two windows, or a value that is not finite.
    """
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise ReferenceRefusedError(
            f"domain: expected two or more windows of finite features, found {features.shape}"
        )
    table = features.astype(np.float64)
    centre = table.mean(axis=0)
    least = WIDTH_LEAST * np.maximum(np.abs(centre), WIDTH_LEAST)
    scale = np.maximum(table.std(axis=0), least)
    z = (table - centre) / scale
    share = (1 - SHRINKAGE) * (z.T @ z / len(z)) + SHRINKAGE * np.eye(z.shape[1])
    precision = np.linalg.inv(share)
    far = float(np.quantile(_distance(z, precision), DISTANCE_QUANTILE))
    low, high = table.min(axis=0), table.max(axis=0)
    margin = np.maximum(RANGE_MARGIN * (high - low), least)
    return Domain(
        low=compact(low - margin),
        high=compact(high + margin),
        centre=compact(centre),
        scale=compact(scale),
        precision=[row[: number + 1] for number, row in enumerate(compact_rows(precision))],
        distance_max=compact(np.array([max(DISTANCE_MARGIN * far, WIDTH_LEAST)]))[0],
        windows=len(table),
    )


def _distance(z: NDArray[np.float64], precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """sqrt(z' P z / feature) of each row: about 1 for a typical training window."""
    squared = np.sum((z @ precision) * z, axis=1) / z.shape[1]
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


class TrainedDomain:
    """A domain made ready for one vector after the other."""

    def __init__(self, domain: Domain) -> None:
        """Unpack a domain.

        Raises:
            ReferenceRefusedError: its arrays do not fit together.
        """
        size = len(domain.low)
        lengths = {len(domain.high), len(domain.centre), len(domain.scale), len(domain.precision)}
        ragged = any(len(row) != at + 1 for at, row in enumerate(domain.precision))
        if lengths != {size} or ragged or size == 0 or min(domain.scale) <= 0:
            raise ReferenceRefusedError(
                f"domain: expected arrays for {size} features, a lower triangle and scales above "
                f"zero, found lengths {sorted(lengths)}"
            )
        self._middle = (np.array(domain.high) + np.array(domain.low)) / 2
        self._reach = np.maximum((np.array(domain.high) - np.array(domain.low)) / 2, 1e-12)
        self._centre, self._scale = np.array(domain.centre), np.array(domain.scale)
        self._precision = np.zeros((size, size))
        for at, row in enumerate(domain.precision):
            self._precision[at, : at + 1] = self._precision[: at + 1, at] = row
        self._distance_max = domain.distance_max

    def judge(self, features: NDArray[np.float32]) -> DomainVerdict:
        """Judge one vector of shape (feature,); anything not finite is outside.

        Raises:
            ReferenceRefusedError: it has another number of features than the domain.
        """
        if features.shape != self._centre.shape:
            raise ReferenceRefusedError(
                f"features: expected {len(self._centre)} as in the domain, found {features.shape}"
            )
        lost = ~np.isfinite(features)
        if lost.any():
            return DomainVerdict(inside=False, score=float("inf"), worst=int(np.argmax(lost)))
        wide = features.astype(np.float64)
        excess = np.abs(wide - self._middle) / self._reach
        z = (wide - self._centre) / self._scale
        pull = self._precision @ z
        distance = float(np.sqrt(max(float(z @ pull), 0.0) / len(z))) / self._distance_max
        by_bounds = float(excess.max())
        worst = int(np.argmax(excess if by_bounds >= distance else z * pull))
        score = max(by_bounds, distance)
        return DomainVerdict(inside=score <= 1.0, score=score, worst=worst)

    def share_inside(self, features: NDArray[np.float32]) -> float:
        """The share of vectors, shape (window, feature), that lie inside."""
        return sum(self.judge(row).inside for row in features) / max(len(features), 1)
