"""A real pump: a closing valve is found within minutes, another recipe is not familiar."""

from functools import cache

import numpy as np
import pytest

from edge_core.contracts.artefact import Windowing
from edge_core.drift.domain import TrainedDomain, fit_domain
from edge_core.drift.fit import FitPlan, Stretch, fit
from edge_core.drift.wcusum import DriftScore, Monitor, begin, drift_window, monitor, step
from edge_core.features.window import Window, windows
from tests.unit.drift.skab import ROLES, SECOND_NS, features, folder, load

pytestmark = pytest.mark.skipif(
    not folder().is_dir(),
    reason=f"no recorded pump at {folder()}: EDGE_SHARED names the folder that has data/skab-pump",
)

WINDOW = Windowing(period_s=1, length_rows=30, stride_rows=30, gap_rows_max=29)
RECIPE = "32-l-min"
PLAN = FitPlan(seed=1, horizon_windows=240, settle_windows=1, quiet_windows=8, thin_allowed=True)


@cache
def domain() -> TrainedDomain:
    """Trained on seven experiments of the 32 l/min recipe, valve faults included."""
    return TrainedDomain(
        fit_domain(np.concatenate([features(f"valve1/{number}.csv") for number in range(7)]))
    )


@cache
def ready() -> Monitor:
    """A monitor whose reference is the time before the fault in six experiments."""
    normal: list[Window] = []
    for number in range(1, 7):
        recording = load(f"valve1/{number}.csv")
        cut = windows(recording.rows, WINDOW)
        normal += [window for window in cut if window.end_ns < recording.onset_ns]
    taken = [drift_window(window, RECIPE) for window in normal]
    stretch = Stretch(
        np.stack([window.values for window in taken]),
        np.stack([window.fit for window in taken]),
        [window.mode for window in taken],
    )
    reference = fit(
        stretch,
        roles=ROLES,
        row_period_s=1.0,
        domain=fit_domain(features("valve1/1.csv")),
        plan=PLAN,
    )
    return monitor(reference)


def watched(name: str) -> list[tuple[int, DriftScore]]:
    """Alarms of one experiment with their delay after the label, in seconds."""
    recording = load(name)
    state = begin(ready())
    alarms: list[tuple[int, DriftScore]] = []
    for window in windows(recording.rows, WINDOW):
        state, score = step(ready(), state, drift_window(window, RECIPE))
        if score.status == "alarm":
            alarms.append(((window.end_ns - recording.onset_ns) // SECOND_NS, score))
    return alarms


@pytest.mark.parametrize("number", [7, 8, 9, 10])
def test_closing_valve_is_found(number: int) -> None:
    """In experiments the reference never saw, the alarm comes within three minutes, not before."""
    delay_s, alarm = watched(f"valve1/{number}.csv")[0]
    assert 0 <= delay_s <= 180
    assert "flow" in alarm.tags[:3]


@pytest.mark.parametrize("number", [7, 8, 10])
def test_own_recipe_lies_inside(number: int) -> None:
    """Unseen experiments of the trained recipe, with their faults, are mostly familiar."""
    assert domain().share_inside(features(f"valve1/{number}.csv")) > 0.85


@pytest.mark.parametrize("name", ["other/1.csv", "other/3.csv", "other/5.csv", "other/14.csv"])
def test_other_recipes_lie_outside(name: str) -> None:
    """At 76 and at 125 l/min nothing is familiar, though a model may call all of it normal."""
    assert domain().share_inside(features(name)) == 0
