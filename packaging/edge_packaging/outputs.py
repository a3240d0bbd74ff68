"""Judges what a model gave for many windows, by what its contract says that an output means.

Pure: arrays of shape (window, value) in, the values of one window being the first row of the
model's first output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.outcome import Anomaly, Classification, Regression, Segmentation
from edge_core.features.errors import OutputError
from edge_core.features.outcome import Reading, read_output
from edge_packaging.errors import NotReproducedError

TOLERANCE_LEAST: Final = 1e-4  # of scores between zero and one
TOLERANCE_SHARE: Final = 1e-5  # of the largest output: float32 has seven digits, a sum loses two
QUANTILES: Final = (0.05, 0.5, 0.95)

Outputs = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said of all windows together.

    Attributes:
        shares: of the windows, by class, every class of the contract in its order.
        quantiles: 5 %, 50 % and 95 % of the one number of a regression or an anomaly; else None.
    """

    shares: dict[str, float]
    quantiles: tuple[float, ...] | None


def readings(signature: ModelSignature, outputs: Outputs) -> list[Reading]:
    """What each window is, by the very reading of a gateway.

    Raises:
        NotReproducedError: an output is no number.
    """
    shape = signature.outputs[0].shape
    read = []
    for at, row in enumerate(outputs):
        try:
            read.append(read_output(signature, np.broadcast_to(row.reshape(shape[1:]), shape)))
        except OutputError as error:
            raise NotReproducedError(f"window {at}: {error}") from None
    return read


def said(signature: ModelSignature, read: Sequence[Reading]) -> Said:
    """All of *read*, which is not empty, in a few numbers."""
    labels = [reading.label for reading in read]
    shares = {label: labels.count(label) / len(labels) for label in signature.classes}
    if not isinstance(signature.outcome, Regression | Anomaly):
        return Said(shares, None)
    numbers = np.quantile([reading.scores[0] for reading in read], QUANTILES)
    return Said(shares, tuple(numbers.tolist()))


def tolerance(outputs: Outputs) -> float:
    """How far two runtimes may be apart on outputs of this size."""
    return max(TOLERANCE_LEAST, TOLERANCE_SHARE * float(np.abs(outputs).max()))


def agreement(signature: ModelSignature, expected: Outputs, found: Outputs) -> float:
    """The share, 0 to 1, of what a target says as its source does.

    Of windows that get the same class; for a regression or an anomaly of windows whose number
    lies within `tolerance`; for a segmentation of places that get the same class.
    """
    match signature.outcome:
        case Classification() | Segmentation():
            classes = len(signature.classes)
            one, other = (
                each.reshape(len(each), classes, -1).argmax(axis=1) for each in (expected, found)
            )
            return float((one == other).mean())
        case Regression() | Anomaly():
            return float((np.abs(expected - found) <= tolerance(expected)).mean())
