"""A verified release made ready to score: contract, domain, drift charts and worker."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Digest, DriftReference, ModelSignature, ReleaseRef
from edge_core.drift.domain import TrainedDomain
from edge_core.drift.wcusum import Monitor, monitor
from edge_core.features.contract import Conversion, conversion
from edge_core.features.frame import assess_picture, tensor
from edge_core.features.samples import usable
from edge_core.features.statistics import Extractor
from edge_core.features.window import Assessment, Window, assess
from edge_core.features.words import name, word_of
from edge_runtime.inference.engine import ModelWorker

ROLE_COMMITTED = "committed"
ROLE_TRIAL = "trial"
ROLE_SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Model:
    """One loaded model and everything its contract needs of this gateway's windows.

    Attributes:
        release: which one.
        signature: its contract.
        reference: what normal looked like, None where the release has none.
        columns: where each of its roles stands in a window of this gateway, shape (role,).
        regime_column: where the recipe stands, None where its line has none.
        worker: the process that runs it.
    """

    release: ReleaseRef
    signature: ModelSignature
    reference: DriftReference | None
    columns: NDArray[np.intp]
    regime_column: int | None
    conversion: Conversion
    extractor: Extractor
    domain: TrainedDomain | None
    monitor: Monitor | None
    worker: ModelWorker

    @property
    def digest(self) -> Digest:
        """The release's."""
        return self.release.digest

    @property
    def seen(self) -> tuple[str, ...]:
        """Every role that it looks at: tags, or the one camera."""
        frame = self.signature.frame
        return self.signature.roles if frame is None else (frame.role,)

    def own(self, window: Window) -> Window:
        """The window with this model's columns only, in its units."""
        own = window.columns(self.columns)
        return replace(own, values=self.conversion.apply(own.values))

    def assess(self, own: Window, gaps: Mapping[str, str] | None = None) -> Assessment:
        """Whether a window of its own columns may be scored; *gaps* as in `features.window`."""
        frame = self.signature.frame
        if frame is not None:
            return assess_picture(own, frame.role, (gaps or {}).get(frame.role, ""))
        return assess(own, self.signature.windowing, self.signature.roles, gaps)

    def input(self, own: Window) -> NDArray[Any]:  # Any: float32, or what a picture is asked in
        """What the worker is given of a window of its own columns: features, or a picture."""
        if self.signature.frame is not None and own.picture is not None:
            return tensor(own.picture, self.signature.frame)
        return self.extractor.vector(own.values).reshape(1, -1)

    def regime(self, window: Window) -> str | None:
        """The recipe of a window: "" where the line has none, None where it changed.

        A recipe that nobody knows for any row of the window is None as well.
        """
        if self.regime_column is None:
            return ""
        values = window.values[:, self.regime_column]
        known = usable(window.quality[:, self.regime_column]).all() and not np.isnan(values).any()
        if not known or np.any(values != values[0]):
            return None
        return word_of(float(values[0]))


def ready(
    release: ReleaseRef,
    signature: ModelSignature,
    reference: DriftReference | None,
    units: dict[str, str],
    worker: ModelWorker,
) -> Model:
    """Put a model together for the tags of this gateway.

    Args:
        release: which one.
        signature: from the release.
        reference: from the release.
        units: the unit of each role, in the order of this gateway's columns.
        worker: has loaded it.

    Raises:
        ContractError: the tags cannot supply what it asks for.
        ReferenceRefusedError: its reference contradicts itself.
    """
    places = {role: column for column, role in enumerate(units)}
    regime = signature.regime_role
    if reference is not None:
        name(mode.mode for mode in reference.modes)
    return Model(
        release=release,
        signature=signature,
        reference=reference,
        conversion=conversion(signature, units),
        columns=np.array([places[role] for role in signature.roles], np.intp),
        regime_column=None if regime is None else places[regime],
        extractor=Extractor(signature),
        domain=None if reference is None else TrainedDomain(reference.domain),
        monitor=None if reference is None else monitor(reference),
        worker=worker,
    )
