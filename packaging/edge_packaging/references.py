"""What a release carries to be judged by: smoke vectors, drift reference, and the domain."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import (
    DOCUMENT_BYTES_MAX,
    DriftReference,
    ModelSignature,
    SmokeCase,
    SmokeVectors,
)
from edge_core.drift.domain import fit_domain
from edge_core.drift.fit import FitPlan, Stretch, fit
from edge_packaging.config import ReferenceConfig
from edge_packaging.errors import NotBuildableError
from edge_packaging.inputs import Windows
from edge_packaging.outputs import tolerance

SMOKE_BYTES = 2 * 1024 * 1024  # every gateway fetches them, and over a thin link
VALUE_BYTES = 6  # of one value in JSON, most of a picture having three digits


def drift_reference(
    windows: Windows,
    features: NDArray[np.float32],
    signature: ModelSignature,
    config: ReferenceConfig,
) -> DriftReference:
    """The reference of one model.

    Args:
        windows: the validation windows.
        features: shape (window, feature), of `windows.trained`.
        signature: the model's contract.
        config: how to fit.

    Raises:
        ReferenceRefusedError: the stretch is too short and the configuration does not say thin.
    """
    plan = FitPlan(
        seed=config.seed,
        replicates=config.replicates,
        block_windows=config.block_windows,
        horizon_windows=config.horizon_windows,
        quantile=config.quantile,
        settle_windows=config.settle_windows,
        quiet_windows=config.quiet_windows,
        thin_allowed=config.thin,
    )
    usable = np.ones(windows.normal.shape[:2], dtype=np.bool_)
    return fit(
        Stretch(values=windows.normal, fit=usable, modes=windows.modes),
        roles=signature.roles,
        row_period_s=signature.windowing.period_s,
        domain=fit_domain(features),
        plan=plan,
    )


def smoke_places(windows: int, cases: int, values: int) -> NDArray[np.intp]:
    """Which of *windows* are smoke cases: up to *cases*, spread evenly, fewer where they are long.

    Args:
        windows: how many there are to choose from.
        cases: how many are asked for.
        values: inputs and outputs of one case.
    """
    most = max(1, SMOKE_BYTES // (VALUE_BYTES * values))
    return np.unique(np.linspace(0, windows - 1, min(cases, windows, most)).astype(np.intp))


def coarse(values: NDArray[Any]) -> NDArray[Any]:  # Any: the type of a model's input, kept
    """Three digits of each value: a picture written in them is half as long."""
    size = np.abs(values.astype(np.float64))
    last = np.power(10.0, np.floor(np.log10(np.where(size > 0, size, 1.0))) - 2)
    short: NDArray[Any] = (np.rint(values / last) * last).astype(values.dtype)
    return short


def smoke_vectors(
    rows: NDArray[Any],  # Any: of the input's type
    outputs: NDArray[np.float32],
) -> SmokeVectors:
    """What a loaded model must give.

    Args:
        rows: shape (case, ...), what the model is given.
        outputs: shape (case, value), what it gives.

    Raises:
        NotBuildableError: it is more than a gateway will read.
    """
    made = SmokeVectors(
        cases=[_case(*each) for each in zip(rows, outputs, strict=True)],
        absolute_tolerance=tolerance(outputs),
    )
    length = len(encoded(made))
    if length > DOCUMENT_BYTES_MAX:
        raise NotBuildableError(
            f"smoke.json: expected at most {DOCUMENT_BYTES_MAX} bytes, found {length} for "
            f"{len(rows)} of {rows[0].size} inputs and {outputs[0].size} outputs"
        )
    return made


def _case(row: NDArray[Any], outputs: NDArray[np.float32]) -> SmokeCase:  # Any: as above
    """One case in few digits: inputs exactly, outputs far within any tolerance."""
    inputs = row.reshape(-1)
    return SmokeCase(
        inputs=(inputs if inputs.dtype.kind in "iu" else _short(inputs)).tolist(),
        outputs=np.round(outputs.astype(np.float64), 6).tolist(),
    )


def _short(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The number with the fewest digits that is read as the same float32, shape kept."""
    made = values.astype(np.float64)
    wide = made.copy()
    top = np.floor(np.log10(np.where(wide == 0, 1.0, np.abs(wide))))
    left = np.ones(values.shape, np.bool_)
    for digits in range(3, 10):  # nine are enough for any float32
        by = np.power(10.0, digits - 1 - top)
        rounded = np.rint(wide * by) / by
        with np.errstate(over="ignore"):  # rounded up beyond the last float32, it is another
            fits = left & (rounded.astype(np.float32) == values)
        made[fits] = rounded[fits]
        left &= ~fits
    return made


def encoded(document: msgspec.Struct) -> bytes:
    """A document of ours as its one canonical form, so equal is equal."""
    return msgspec.json.encode(document, order="sorted")
