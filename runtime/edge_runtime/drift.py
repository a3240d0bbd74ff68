"""The drift charts of the model in charge, through every window and every end of the process.

Drift routes windows to review and decides nothing. The charts of a reference go on after a
restart, and under a release that brings the same reference; another reference begins anew.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
import structlog

from edge_core.contracts.artefact import DriftReference, Windowing
from edge_core.contracts.gateway import DriftNotice
from edge_core.drift.errors import StateRefusedError
from edge_core.drift.state import DriftState
from edge_core.drift.wcusum import DriftScore, DriftStatus, DriftWindow, Monitor, begin, step
from edge_core.features.samples import usable
from edge_core.features.window import Window
from edge_runtime.model import Model
from edge_runtime.scoring import Scored, instant
from edge_runtime.windows import BACKWARDS_NS

log = structlog.get_logger(__name__)

NOTICES_MAX: Final = 8  # what one heartbeat carries


class Checkpoint(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="charts/1"
):
    """The charts as they are kept; `reference` is the digest of what they are held against."""

    reference: str
    last_end_ns: int
    ratio: float
    state: bytes


@dataclass(frozen=True, slots=True)
class _Chart:
    reference: str
    state: DriftState
    last_end_ns: int | None = None
    ratio: float = 0.0

    def has(self, window: Window) -> bool:
        """Whether these rows were taken before: after a power cut the last ones may come again."""
        behind_ns = -1 if self.last_end_ns is None else self.last_end_ns - window.end_ns
        return 0 <= behind_ns <= BACKWARDS_NS


class DriftWatch:
    """One step of the charts every window that shares no row with the last one."""

    def __init__(self, kept: Checkpoint | None = None) -> None:
        self._kept = kept
        self._chart: _Chart | None = None
        self._held_for: DriftReference | None = None
        self._notices: list[DriftNotice] = []

    def take(self, scored: Scored) -> DriftScore | None:
        """Take one window; what it said, None if it does not count for drift.

        Raises:
            ReferenceRefusedError: the model's reference contradicts its own signature.
        """
        model, window = scored.route.effective, scored.cut.window
        if model is None or model.monitor is None or model.reference is None:
            return None
        windowing = model.signature.windowing
        apart = -(-windowing.length_rows // windowing.stride_rows)
        number, remainder = divmod(window.number, apart)
        if remainder or model.reference.window_rows != windowing.length_rows:
            return None
        chart = self._of(model.monitor, model.reference, windowing)
        if chart.has(window):
            return None
        # A clock that was set back gives numbers again, of rows that nobody has seen.
        known = replace(chart.state, next_number=min(chart.state.next_number, number))
        drift = _drift_window(model, model.reference.roles, scored, number)
        state, score = step(model.monitor, known, drift)
        self._chart = _Chart(chart.reference, state, window.end_ns, score.ratio)
        if score.status is DriftStatus.ALARM:
            self._note(model, score, scored)
        return score

    @property
    def height(self) -> float:
        """How high the charts stand; 1 is an alarm."""
        return 0.0 if self._chart is None else self._chart.ratio

    def notices(self) -> list[DriftNotice]:
        """What has to be told to the site, and is told once."""
        told, self._notices = self._notices, []
        return told

    def checkpoint(self) -> Checkpoint | None:
        """The charts as they stand; None before the first window."""
        chart = self._chart
        if chart is None or chart.last_end_ns is None:
            return None
        return Checkpoint(
            reference=chart.reference,
            last_end_ns=chart.last_end_ns,
            ratio=chart.ratio,
            state=chart.state.to_bytes(),
        )

    def _of(self, ready: Monitor, reference: DriftReference, windowing: Windowing) -> _Chart:
        """The charts of a reference: those at hand, those kept, or fresh ones."""
        if self._chart is not None and self._held_for is reference:
            return self._chart
        digest = reference_digest(reference, windowing)
        self._held_for = reference
        if self._chart is None or self._chart.reference != digest:
            kept = self._restored(digest, len(reference.roles))
            self._chart = kept or _Chart(digest, begin(ready))
        return self._chart

    def _restored(self, digest: str, roles: int) -> _Chart | None:
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        if kept.reference != digest:
            # Another model runs than when the charts were kept: what a rollout is for.
            log.info("drift.checkpoint_refused", expected=digest, found=kept.reference)
            return None
        try:
            state = DriftState.from_bytes(kept.state, roles)
        except StateRefusedError as error:
            log.warning("drift.checkpoint_refused", expected=digest, reason=str(error))
            return None
        return _Chart(digest, state, kept.last_end_ns, kept.ratio)

    def _note(self, model: Model, score: DriftScore, scored: Scored) -> None:
        notice = DriftNotice(
            digest=model.digest,
            kind=score.kind,
            tags=list(score.tags),
            since=instant(scored.cut.window.end_ns),
            mode=(score.mode or "")[:40],
            height=score.ratio,
        )
        self._notices = [*self._notices, notice][-NOTICES_MAX:]


def reference_digest(reference: DriftReference, windowing: Windowing) -> str:
    """Of all that gives the numbers in a chart their meaning."""
    meaning = hashlib.sha256(msgspec.json.encode([reference, windowing]))
    return f"sha256:{meaning.hexdigest()}"


def _drift_window(model: Model, roles: list[str], scored: Scored, number: int) -> DriftWindow:
    own = model.own(scored.cut.window)
    at = {role: column for column, role in enumerate(model.signature.roles)}
    columns = [at[role] for role in roles]
    fit = np.asarray(usable(own.quality).all(axis=1) & ~np.isnan(own.values).any(axis=1))
    return DriftWindow(number, own.values[:, columns], fit, scored.mode)
