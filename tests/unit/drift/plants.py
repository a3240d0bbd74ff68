"""Small plants that drift in known ways: what the drift tests watch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import Domain, DriftReference
from edge_core.drift.domain import fit_domain
from edge_core.drift.fit import FitPlan, Stretch, fit
from edge_core.drift.wcusum import DriftScore, DriftWindow, Monitor, begin, step

ROLES = ("flow", "pressure", "current", "vibration")
WINDOW_ROWS = 30
PLAN = FitPlan(
    seed=20261122,
    replicates=60,
    horizon_windows=120,
    settle_windows=2,
    quiet_windows=5,
    thin_allowed=True,
)
RECIPES = {"low": (30.0, 2.0, 1.3, 0.02), "high": (75.0, 3.5, 2.1, 0.04)}
NOISE = np.array([1.0, 0.1, 0.05, 0.002])
ANY_DOMAIN: Domain = fit_domain(np.array([[0.0], [1.0]], np.float32))


def plant(windows: int, recipe: str = "low", seed: int = 0) -> NDArray[np.float32]:
    """Correlated, slowly wandering tags: shape (window, row, role)."""
    rng = np.random.default_rng(seed)
    count = windows * WINDOW_ROWS
    white = rng.normal(size=(count, len(ROLES)))
    white[:, 1] = 0.6 * white[:, 0] + 0.8 * white[:, 1]
    white[:, 2] = 0.6 * white[:, 0] + 0.8 * white[:, 2]
    rows = np.zeros_like(white)
    for at in range(1, count):
        rows[at] = 0.7 * rows[at - 1] + white[at]
    values = np.array(RECIPES[recipe]) + NOISE * rows
    return values.reshape(windows, WINDOW_ROWS, len(ROLES)).astype(np.float32)


def stretch(windows: int = 150, *, seed: int = 0, recipes: Sequence[str] = ("low",)) -> Stretch:
    """One run of each recipe, one after the other, every row usable."""
    runs = [plant(windows, recipe, seed + at) for at, recipe in enumerate(recipes)]
    modes = [recipe for recipe in recipes for _ in range(windows)]
    values = np.concatenate(runs)
    return Stretch(values, np.ones(values.shape[:2], np.bool_), modes)


def reference(plan: FitPlan = PLAN, *, recipes: Sequence[str] = ("low",)) -> DriftReference:
    """A reference of that stretch."""
    return fit(
        stretch(recipes=recipes), roles=ROLES, row_period_s=1.0, domain=ANY_DOMAIN, plan=plan
    )


@dataclass(frozen=True)
class Run:
    """What a monitor said about consecutive windows."""

    scores: list[DriftScore]

    @property
    def statuses(self) -> list[str]:
        """One word a window."""
        return [str(score.status) for score in self.scores]

    @property
    def alarms(self) -> list[DriftScore]:
        """The alarms, in order."""
        return [score for score in self.scores if score.status == "alarm"]


def watch(
    ready: Monitor,
    values: NDArray[np.float32],
    modes: Sequence[str | None] | str = "low",
    fit_rows: NDArray[np.bool_] | None = None,
) -> Run:
    """Step through windows from a fresh state."""
    state = begin(ready)
    scores: list[DriftScore] = []
    every = [modes] * len(values) if isinstance(modes, str) else modes
    usable = np.ones(values.shape[:2], np.bool_) if fit_rows is None else fit_rows
    for number, mode in enumerate(every):
        window = DriftWindow(number, values[number], usable[number], mode)
        state, score = step(ready, state, window)
        scores.append(score)
    return Run(scores)
