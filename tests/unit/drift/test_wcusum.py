"""The monitor: what alarms, what does not, who is named, and that a restart forgets nothing."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.contracts.errors import RefusedError
from edge_core.drift.charts import RESID, STATISTICS, window_statistics
from edge_core.drift.errors import StateRefusedError
from edge_core.drift.fit import fit
from edge_core.drift.state import DriftState
from edge_core.drift.wcusum import DriftWindow, begin, drift_window, monitor, step
from edge_core.features.grid import Rows
from edge_core.features.samples import CellQuality
from edge_core.features.window import window_of
from tests.unit.drift.plants import (
    ANY_DOMAIN,
    NOISE,
    PLAN,
    ROLES,
    WINDOW_ROWS,
    plant,
    reference,
    stretch,
    watch,
)

Values = NDArray[np.float32]
READY = monitor(reference(recipes=("low", "high")))
ONSET = 15


def shifted(role: str, sds: float) -> Callable[[Values], Values]:
    """A bias of one tag, in standard deviations of its rows."""
    bias = np.zeros(len(ROLES), np.float32)
    bias[ROLES.index(role)] = sds * NOISE[ROLES.index(role)] / np.sqrt(1 - 0.7**2)
    return lambda values: np.asarray(values + bias)


def scaled(role: str, factor: float) -> Callable[[Values], Values]:
    """A gain of one tag, as after a change of unit or a wrong calibration."""
    gain = np.ones(len(ROLES), np.float32)
    gain[ROLES.index(role)] = factor
    return lambda values: values * gain


def noisy(values: Values) -> Values:
    """Twice the noise on the current."""
    extra = np.random.default_rng(9).normal(size=values.shape) * np.array([0, 0, 0.15, 0])
    return np.asarray(values + extra, np.float32)


def frozen(values: Values) -> Values:
    """The vibration stands still at its usual value."""
    still = values.copy()
    still[:, :, 3] = 0.02
    return still


def swapped(values: Values) -> Values:
    """Flow and pressure change places, as two wires do."""
    return np.asarray(values[:, :, [1, 0, 2, 3]])


CHANGES = {
    "a bias of two sd": (shifted("flow", 2.0), 6, "flow"),
    "a bias downwards": (shifted("pressure", -2.0), 6, "pressure"),
    "a gain of 1.2": (scaled("pressure", 1.2), 3, "pressure"),
    "another unit": (scaled("flow", 1.8), 2, "flow"),
    "more noise": (noisy, 4, "current"),
    "a frozen sensor": (frozen, 2, "vibration"),
    "two tags swapped": (swapped, 2, None),
}


@pytest.mark.parametrize(("change", "windows", "named"), CHANGES.values(), ids=CHANGES.keys())
def test_found(change: Callable[[Values], Values], windows: int, named: str | None) -> None:
    """Each change is found within so many windows, and the changed tag is named first."""
    values = plant(40, seed=77)
    run = watch(READY, np.concatenate([values[:ONSET], change(values[ONSET:])]))
    first = run.alarms[0]
    assert ONSET <= first.number < ONSET + windows
    assert first.since <= first.number
    assert named is None or first.tags[0] == named


def test_false_alarms_are_rare() -> None:
    """Of twenty unchanged runs as long as the horizon, few have an alarm."""
    runs = [watch(READY, plant(60, seed=500 + seed)) for seed in range(20)]
    assert sum(bool(run.alarms) for run in runs) <= 3


def test_nothing_before_settling() -> None:
    """The first windows, and those after a recipe change, are not scored."""
    values = np.concatenate([plant(5, "low", 3), plant(5, "high", 4)])
    run = watch(READY, values, ["low"] * 4 + [None] + ["high"] * 5)
    assert run.statuses == (["settling"] * 2 + ["scored"] * 2 + ["settling"] * 3 + ["scored"] * 3)
    told = [(score.number, score.mode, score.reason) for score in run.scores if score.reason]
    assert told == [
        (0, "low", "recipe just began"),
        (1, "low", "recipe just began"),
        (4, None, "recipe changes inside the window"),
        (5, "high", "recipe just began"),
        (6, "high", "recipe just began"),
    ]


def test_tagged_recipe_change_is_no_drift() -> None:
    """With its tag, another recipe is judged by its own reference."""
    values = np.concatenate([plant(20, "low", 3), plant(20, "high", 4)])
    assert not watch(READY, values, ["low"] * 20 + ["high"] * 20).alarms


def test_untagged_recipe_change_is_one_notice() -> None:
    """Without its tag, it is drift; and one notice, not one a window."""
    values = np.concatenate([plant(10, "low", 3), plant(6, "high", 4)])
    run = watch(READY, values)
    assert [score.number for score in run.alarms] == [10]
    assert run.statuses[11:] == ["quiet"] * 5


def test_unknown_recipe_alarms_at_once() -> None:
    """A recipe without a reference is named, once a quiet period."""
    run = watch(READY, plant(9), ["low"] * 3 + ["rinse"] * 6)
    assert run.statuses[3:] == ["alarm"] + ["held"] * 5
    assert (run.scores[3].kind, run.scores[3].reason) == (
        "recipe",
        "recipe 'rinse' has no reference",
    )


def test_quiet_ends_and_a_lasting_change_is_told_again() -> None:
    """After the quiet period the charts start from zero and find what is still there."""
    run = watch(READY, scaled("flow", 1.8)(plant(20)))
    assert run.statuses == (
        ["settling"] * 2 + ["alarm"] + (["quiet"] * 5 + ["alarm"]) * 2 + ["quiet"] * 5
    )
    # It gathers all through the quiet period, and afresh after it.
    assert [score.since for score in run.scores[3:9]] == [3, 3, 3, 3, 3, 8]


def test_over_the_bar_is_an_alarm() -> None:
    """A chart over its bar alarms, one at the bar or below does not, and no other thing does."""
    for sds in (0.5, 1.0, 2.0):
        for score in watch(READY, shifted("flow", sds)(plant(60, seed=8))).scores:
            if score.status in {"scored", "alarm"}:
                assert (score.status == "alarm") is (score.ratio > 1)


def test_who_leads_and_since_when() -> None:
    """The chart nearest to its bar leads, told since it left zero; residuals name the tags."""
    state, left = begin(READY), np.zeros(begin(READY).charts.shape, np.int64)
    values, usable = plant(40, seed=8), np.ones(WINDOW_ROWS, np.bool_)
    low, kinds = READY.modes["low"], set()
    for number, rows in enumerate(values):
        state, score = step(READY, state, DriftWindow(number, rows, usable, "low"))
        if score.status == "settling":
            continue
        assert score.status == "scored"
        left = np.where(state.charts > 0, left, number + 1)
        ratios = state.charts / READY.scale[:, None] / READY.bars[0]
        at = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
        assert score.ratio == ratios[at]
        assert score.kind == STATISTICS[int(at[2])]
        assert score.since == min(max(int(left[at]), 2), number)
        z = (window_statistics(rows, usable, READY.model) - READY.mean[low]) / READY.sd[low]
        shown = np.abs(z[RESID if score.kind in {"level", "resid"} else int(at[2])])
        assert score.tags == tuple(ROLES[tag] for tag in np.argsort(-shown, kind="stable"))
        kinds.add(score.kind)
    assert {"level", "resid"} & kinds
    assert kinds - {"level", "resid"}


STILL = {
    "as long as it may": (0, "scored", ""),
    "a row longer": (1, "alarm", "value frozen"),
}


@pytest.mark.parametrize("name", STILL)
def test_a_value_that_stands_still(name: str) -> None:
    """A tag may stand still for as long as it may, over any windows, and not a row longer."""
    more, status, reason = STILL[name]
    # No chart alarms, so that only the standing still is left.
    deaf = replace(READY, bars=np.full(2, 1e9))
    rows = int(deaf.flat_limit[3]) + more
    values = plant(8, seed=8)
    flat = values.reshape(-1, len(ROLES))
    start = 4 * WINDOW_ROWS - 3  # the last three rows of a window, and on into the next
    flat[start : start + rows, 3] = 0.02
    assert rows < WINDOW_ROWS
    run = watch(deaf, values)
    assert set(run.statuses[2:4]) == {"scored"}
    score = run.scores[4]
    assert (score.status, score.reason) == (status, reason)
    if more:
        assert (score.kind, score.tags, score.since) == ("flat", ("vibration",), 4)


def test_a_window_without_one_good_row() -> None:
    """It is held, and what was counted before it stays, in a checkpoint too."""
    values, usable = plant(4, seed=8), np.ones(WINDOW_ROWS, np.bool_)
    state = begin(READY)
    for number in range(3):
        state, _ = step(READY, state, DriftWindow(number, values[number], usable, "low"))
    after, score = step(READY, state, DriftWindow(3, values[3], ~usable, "low"))
    assert (score.status, score.reason) == ("held", "0 % good rows, 80 % needed")
    assert after.to_bytes() == replace(state, next_number=4, age=state.age + 1).to_bytes()
    empty = DriftWindow(4, values[3][:0], usable[:0], "low")
    assert step(READY, after, empty)[1].reason == "0 % good rows, 80 % needed"


def test_set_point_may_stand_still() -> None:
    """A tag that never moved in the reference raises no alarm by not moving."""
    one = stretch(40)
    one.values[:, :, 3] = 50.0
    still = monitor(fit(one, roles=ROLES, row_period_s=1.0, domain=ANY_DOMAIN, plan=PLAN))
    values = plant(150, seed=6)
    values[:, :, 3] = 50.0
    assert not [score for score in watch(still, values).alarms if score.kind == "flat"]


def test_too_few_good_rows_hold() -> None:
    """A window with less than the needed share of good rows changes no chart."""
    values = plant(12)
    usable = np.ones(values.shape[:2], np.bool_)
    usable[5, : WINDOW_ROWS // 3] = False
    values[5, : WINDOW_ROWS // 3] = np.nan
    run = watch(READY, values, fit_rows=usable)
    assert run.statuses[5] == "held"
    assert run.scores[5].reason == "66 % good rows, 80 % needed"
    assert set(run.statuses[6:]) == {"scored"}


@settings(max_examples=20)
@given(st.integers(1, 30), st.floats(0, 3))
def test_restart_forgets_nothing(cut: int, sds: float) -> None:
    """From a checkpoint, with the last windows offered again, the scores go on as if nothing."""
    values = shifted("flow", sds)(plant(32, seed=4))
    usable = np.ones(WINDOW_ROWS, np.bool_)
    state = resumed = begin(READY)
    for number in range(32):
        window = DriftWindow(number, values[number], usable, "low")
        state, score = step(READY, state, window)
        if number == cut:
            resumed = DriftState.from_bytes(resumed.to_bytes(), len(ROLES))
            again = DriftWindow(number - 1, values[number - 1], usable, "low")
            resumed, repeated = step(READY, resumed, again)
            assert (repeated.status, repeated.reason) == ("held", "taken before")
        resumed, resumed_score = step(READY, resumed, window)
        assert resumed_score == score
    assert resumed.to_bytes() == state.to_bytes()


@given(st.binary(max_size=60))
def test_foreign_checkpoint_is_refused(encoded: bytes) -> None:
    """Bytes that are no checkpoint are refused in one line."""
    with pytest.raises(StateRefusedError):
        DriftState.from_bytes(encoded, len(ROLES))


def test_checkpoint_of_other_roles_is_refused() -> None:
    """A checkpoint of another model's charts is refused, with both numbers."""
    with pytest.raises(StateRefusedError, match="expected 4 roles, found 7"):
        DriftState.from_bytes(DriftState.empty(7).to_bytes(), 4)


def test_larger_shift_is_found_no_later() -> None:
    """The larger the bias, the sooner the alarm."""
    values = plant(60, seed=8)
    delays = [watch(READY, shifted("flow", sds)(values)).alarms[0].number for sds in (1, 2, 4, 8)]
    assert delays == sorted(delays, reverse=True)


def test_row_counts_if_every_tag_is_usable() -> None:
    """A window of the grid becomes one of the monitor, with bad rows left out."""
    quality = np.zeros((3, 2), np.uint8)
    quality[1, 0], quality[2, 1] = CellQuality.BAD, CellQuality.UNCERTAIN
    rows = Rows(0, 1, np.ones((3, 2), np.float32), quality, np.zeros((3, 2), np.int64))
    window = window_of(5, rows)
    taken = drift_window(window, "low")
    assert (taken.number, taken.mode, taken.fit.tolist()) == (5, "low", [True, False, True])
    assert drift_window(window).mode == ""


def test_window_of_other_roles_is_refused() -> None:
    """A window without one column a role is refused."""
    window = DriftWindow(0, np.ones((5, 3), np.float32), np.ones(5, np.bool_), "low")
    with pytest.raises(RefusedError, match="window 0: expected 4 roles"):
        step(READY, begin(READY), window)


REFERENCE = reference()
DAMAGE: dict[str, tuple[dict[str, object], str]] = {
    "a short row mean": ({"row_mean": [0.0]}, "row_mean expected numbers of shape"),
    "a short row sd": ({"row_sd": [1.0]}, "row_sd expected numbers of shape"),
    "a ragged ridge": ({"ridge": [[1.0], [1.0, 2.0], [], []]}, "ridge expected shape"),
    "slow scales of another shape": ({"slow": [[1.0] * 4] * 3}, "slow expected numbers"),
    "fast scales of another shape": ({"fast": [[1.0] * 4] * 3}, "fast expected numbers"),
    "longest runs of other roles": ({"flat_run_max": [1]}, "flat_run_max expected numbers"),
    "counts of other roles": ({"counts": [[1]]}, "counts expected numbers"),
    "a recipe mean of another shape": (
        {"modes": [msgspec.structs.replace(REFERENCE.modes[0], mean=[[1.0]])]},
        "mean expected numbers",
    ),
    "a recipe sd of another shape": (
        {"modes": [msgspec.structs.replace(REFERENCE.modes[0], sd=[[1.0]])]},
        "sd expected numbers",
    ),
    "an sd of zero": ({"row_sd": [0.0] * 4}, "expected sd and scales above zero"),
    "a number that is none": ({"row_mean": [float("nan")] * 4}, "row_mean expected numbers"),
}


@pytest.mark.parametrize(("changes", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_reference_at_odds_with_itself_is_refused(changes: dict[str, object], said: str) -> None:
    """A signed reference is still checked before it is used, and the part at odds is named."""
    with pytest.raises(RefusedError, match=f"reference: {said}"):
        monitor(msgspec.structs.replace(REFERENCE, **changes))


def test_a_recipe_may_have_a_bar_of_its_own() -> None:
    """The recipe selects the bar too: twice as high is half as near, in that recipe alone."""
    usual = reference(recipes=("low", "high"))
    modes = [
        msgspec.structs.replace(each, bar=2 * usual.bar) if each.mode == "high" else each
        for each in usual.modes
    ]
    ready = monitor(msgspec.structs.replace(usual, modes=modes))
    for recipe, factor in (("low", 1.0), ("high", 2.0)):
        values = plant(6, recipe, seed=3)
        found = watch(ready, values, recipe).scores[-1].ratio
        assert found > 0
        assert factor * found == pytest.approx(watch(READY, values, recipe).scores[-1].ratio)
