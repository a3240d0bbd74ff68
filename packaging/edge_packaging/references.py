"""What a release carries to be judged by: smoke vectors, drift reference, and the domain."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import (
    DriftReference,
    ModelSignature,
    SmokeCase,
    SmokeVectors,
)
from edge_core.drift.domain import fit_domain
from edge_core.drift.fit import FitPlan, Stretch, fit
from edge_packaging.config import ReferenceConfig
from edge_packaging.inputs import Windows


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


def smoke_vectors(
    features: NDArray[np.float32], scores: NDArray[np.float32], cases: int
) -> SmokeVectors:
    """*cases* rows spread evenly over what the model has seen, and the scores they must give.

    Args:
        features: shape (window, feature).
        scores: shape (window, class), of the source model.
        cases: how many.
    """
    chosen = np.unique(np.linspace(0, len(features) - 1, min(cases, len(features))).astype(int))
    return SmokeVectors(
        cases=[
            SmokeCase(inputs=features[at].tolist(), outputs=scores[at].tolist()) for at in chosen
        ]
    )


def encoded(document: msgspec.Struct) -> bytes:
    """A document of ours as its one canonical form, so equal is equal."""
    return msgspec.json.encode(document, order="sorted")
