"""What a model's output says about a window: a label, and for some models a quantity.

Pure, and the same in validation and at the line: arrays in, values out. What is no number, or not
as many numbers as the signature says, is an error of the model and never a label.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.outcome import Anomaly, Classification, Regression, Segmentation
from edge_core.features.errors import ContractError, OutputError


@dataclass(frozen=True, slots=True)
class Reading:
    """What one window is.

    Attributes:
        label: one of the signature's classes.
        scores: as the model gave them, one a class; for a segmentation the share of each class;
            for a regression or an anomaly the one number.
        margin: 0 to 1 and beyond: how far from another label, for who looks for doubtful windows.
        confidence: 0 to 1, or None where the model says nothing of the kind.
        value: of a regression, in its unit.
    """

    label: str
    scores: tuple[float, ...]
    margin: float
    confidence: float | None = None
    value: float | None = None


def read_output(signature: ModelSignature, output: NDArray[np.generic]) -> Reading:
    """What the first row of *output* says.

    Args:
        signature: as checked by `check_outcome`.
        output: the model's first, of its shape; of any other it is refused.

    Raises:
        OutputError: not of that shape, or not numbers.
    """
    spec = signature.outputs[0]
    if list(output.shape) != spec.shape:
        raise OutputError(f"output {spec.name}: expected {spec.shape}, found {list(output.shape)}")
    row = output.reshape(spec.shape[0], -1)[0].astype(np.float64)
    if not np.isfinite(row).all():
        raise OutputError(f"output {spec.name}: expected numbers, found NaN or infinity")
    match signature.outcome:
        case Classification():
            return _classified(signature, row)
        case Regression(bounds=bounds):
            return _banded(signature, float(row[0]), bounds)
        case Anomaly(threshold=threshold):
            return _judged(signature, float(row[0]), threshold)
        case Segmentation(share_min=share_min):
            places = row.reshape(len(signature.classes), -1)
            return _covered(signature, places, share_min)


def _classified(signature: ModelSignature, scores: NDArray[np.float64]) -> Reading:
    best, second = np.sort(scores)[:-3:-1]
    return Reading(
        label=signature.classes[int(np.argmax(scores))],
        scores=tuple(scores.tolist()),
        margin=float(best - second),
        confidence=min(1.0, max(0.0, float(best))),
    )


def _banded(signature: ModelSignature, value: float, bounds: list[float]) -> Reading:
    nearest = min(bounds, key=lambda bound: abs(value - bound))
    # One bound has no neighbour to measure against, so it is measured against itself.
    scale = (bounds[-1] - bounds[0]) / (len(bounds) - 1) if len(bounds) > 1 else abs(bounds[0])
    return Reading(
        label=signature.classes[bisect_left(bounds, value)],
        scores=(value,),
        margin=_relative(abs(value - nearest), scale),
        value=value,
    )


def _judged(signature: ModelSignature, score: float, threshold: float) -> Reading:
    strange = next(each for each in signature.classes if each != signature.normal_class)
    return Reading(
        label=strange if score > threshold else signature.normal_class,
        scores=(score,),
        margin=_relative(abs(score - threshold), abs(threshold)),
    )


def _covered(signature: ModelSignature, places: NDArray[np.float64], share_min: float) -> Reading:
    """*places* has shape (class, place)."""
    count = len(signature.classes)
    found = np.bincount(np.argmax(places, axis=0), minlength=count) / places.shape[1]
    normal = signature.classes.index(signature.normal_class)
    others = found.copy()
    others[normal] = -1.0
    most = int(np.argmax(others))
    covered = bool(others[most] >= share_min)
    return Reading(
        label=signature.classes[most if covered else normal],
        scores=tuple(found.tolist()),
        margin=_relative(abs(float(others[most]) - share_min), share_min),
    )


def _relative(distance: float, scale: float) -> float:
    return distance / scale if scale > 0 else math.inf


def check_outcome(signature: ModelSignature) -> None:
    """Refuse a signature whose first output cannot be read as it says.

    Raises:
        ContractError: naming the output, what was expected and what was found.
    """
    spec = signature.outputs[0]
    if not spec.shape:
        raise ContractError(f"output {spec.name!r}: expected a first dimension, the batch")
    expected, fits = _expected(signature)
    if not fits:
        raise ContractError(f"output {spec.name!r}: expected {expected}, found {spec.shape}")


def _expected(signature: ModelSignature) -> tuple[str, bool]:
    """What the first output must be, in words, and whether it is."""
    shape, classes = signature.outputs[0].shape, len(signature.classes)
    match signature.outcome:
        case Classification():
            return f"[batch, {classes}], one score a class", _wide(shape) == classes
        case Regression(bounds=bounds):
            _check_bounds(bounds, classes)
            return "[batch, 1], the quantity", _wide(shape) == 1
        case Anomaly():
            if classes != 2:
                raise ContractError(f"anomaly: expected two classes, found {classes}")
            return "[batch, 1], the score", _wide(shape) == 1
        case Segmentation():
            words = f"[batch, {classes}, ...], one score a class and place"
            return words, len(shape) > 2 and shape[1] == classes


def _wide(shape: list[int]) -> int:
    """Values a row of the batch."""
    return math.prod(shape[1:])


def _check_bounds(bounds: list[float], classes: int) -> None:
    ascending = all(low < high for low, high in pairwise(bounds))
    if len(bounds) != classes - 1 or not ascending or not all(map(math.isfinite, bounds)):
        raise ContractError(
            f"regression: expected {classes - 1} ascending bounds for {classes} classes, "
            f"found {bounds[:8]}"
        )
