"""What the line itself says of our verdicts: the operator's decisions and a KPI, from tags.

Both come out of the rows of windows, each row once: a window adds the rows that the one before it
did not have. A decision is the tag's step to a code that names a class; it overrides when it names
another class than the verdict in force, which is that of the window before.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from edge_core.features.samples import usable
from edge_core.features.window import Window
from edge_runtime.model import Model
from edge_runtime.scoring import Scored

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kpi:
    """Sum and number of the usable rows."""

    total: float
    rows: int


@dataclass(frozen=True, slots=True)
class InForce:
    """The verdict that holds until the next, and whose it is."""

    label: str
    model: Model
    role: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What one window's fresh rows said."""

    kpi: Kpi | None = None
    overridden: tuple[InForce, ...] = ()


class LineWatch:
    """Follows the operator's tag and the KPI's; either may be absent.

    Args:
        kpi: column of the KPI in a window of this gateway.
        operator: column of the operator's decision.
        codes: what its values mean; one that is not named is no decision.
    """

    def __init__(
        self,
        kpi: int | None = None,
        operator: int | None = None,
        codes: Mapping[int, str] | None = None,
    ) -> None:
        self._kpi = kpi
        self._operator = operator
        self._codes = dict(codes or {})
        self._code: int | None = None
        self._seen_ns: int | None = None
        self._in_force: InForce | None = None

    def take(self, scored: Scored) -> Seen:
        """Look at the rows of one window that no window had before."""
        fresh = self._fresh(scored.cut.window)
        kpi = None if self._kpi is None else _summed(scored.cut.window, self._kpi, fresh)
        overridden: tuple[InForce, ...] = ()
        if self._operator is not None:
            overridden = self._decided(scored.cut.window, self._operator, fresh)
        opinion = scored.decisive
        if scored.verdict.decided and opinion is not None and opinion.label is not None:
            self._in_force = InForce(opinion.label, opinion.model, opinion.role)
        return Seen(kpi, overridden)

    def decided(self, label: str) -> InForce | None:
        """The operator said *label*; the verdict that this overrides, if it does."""
        if self._in_force is None or self._in_force.label == label:
            return None
        if label not in self._in_force.model.signature.classes:
            log.warning("decision.unknown", operator=label)
            return None
        log.info("verdict.overridden", verdict=self._in_force.label, operator=label)
        return self._in_force

    def _fresh(self, window: Window) -> int:
        """How many of its last rows were in no window before."""
        seen_ns, self._seen_ns = self._seen_ns, window.end_ns
        rows = len(window.values)
        if seen_ns is None or rows < 2 or not window.end_ns - seen_ns >= 0:
            return rows
        period_ns = (window.end_ns - window.start_ns) // (rows - 1)
        return min(rows, (window.end_ns - seen_ns) // max(1, period_ns))

    def _decided(self, window: Window, column: int, fresh: int) -> tuple[InForce, ...]:
        found: list[InForce | None] = []
        for value in _usable(window, column, fresh).tolist():
            code = int(value)
            stepped = self._code is not None and code != self._code
            self._code = code
            label = self._codes.get(code)
            if stepped and label is not None:
                found.append(self.decided(label))
        return tuple(each for each in found if each is not None)


def _usable(window: Window, column: int, fresh: int) -> NDArray[np.float32]:
    first = len(window.values) - fresh
    values = window.values[first:, column]
    return np.asarray(values[usable(window.quality[first:, column]) & np.isfinite(values)])


def _summed(window: Window, column: int, fresh: int) -> Kpi:
    values = _usable(window, column, fresh)
    return Kpi(float(values.sum(dtype=np.float64)), len(values))
