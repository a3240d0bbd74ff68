"""The arithmetic of the charts: plain formulas, monotone sums, clipped steps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.drift.charts import (
    CLIP,
    DRIFT,
    FAST,
    LEVEL,
    RESID,
    RESIDSPREAD,
    ROUGH,
    SD_LEAST,
    SLOW,
    SPREAD,
    RowModel,
    accumulate,
    window_statistics,
)

z_values = st.lists(st.floats(-50, 50), min_size=1, max_size=40)


def run(z: list[float], add: float = 0.0) -> NDArray[np.float64]:
    """One cell through a list of z: charts after each, shape (window, 2, 2)."""
    charts = np.zeros((2, 2, 5, 1))
    after = []
    for value in z:
        charts = accumulate(charts, np.full((5, 1), value + add))
        after.append(charts[:, :, 0, 0])
    return np.array(after)


@given(z_values, st.floats(0, 20))
def test_monotone_in_shift(z: list[float], shift: float) -> None:
    """A shift upward never lowers the upper sums and never raises the lower ones."""
    plain, shifted = run(z), run(z, shift)
    assert np.all(shifted[:, :, 0] >= plain[:, :, 0] - 1e-9)
    assert np.all(shifted[:, :, 1] <= plain[:, :, 1] + 1e-9)


@given(z_values)
def test_mirror(z: list[float]) -> None:
    """What the upper side says of z, the lower says of -z."""
    one, other = run(z), run([-value for value in z])
    np.testing.assert_array_equal(one[:, :, 0], other[:, :, 1])


@given(z_values)
def test_one_window_adds_no_more_than_its_clip(z: list[float]) -> None:
    """No single window adds more than its clip less k, and no sum is below zero."""
    sums = run(z)
    steps = np.diff(np.concatenate([np.zeros((1, 2, 2)), sums]), axis=0)
    assert np.all(sums >= 0)
    for chart in (SLOW, FAST):
        assert np.all(steps[:, chart] <= CLIP[chart] - DRIFT[chart] + 1e-12)


def test_textbook_sum() -> None:
    """The classic recursion, by hand: k 0.5, clip 4."""
    assert run([1.0, 2.0, -1.0, 9.0])[:, SLOW, 0].tolist() == [0.5, 2.0, 0.5, 4.0]


def test_five_statistics() -> None:
    """Each statistic is what its formula says, on rows that count only."""
    rng = np.random.default_rng(3)
    values = rng.normal(5, 2, (20, 2)).astype(np.float32)
    ridge = np.array([[1.0, -0.5], [0.25, 1.0]])
    model = RowModel(np.array([5.0, 4.0]), np.array([2.0, 3.0]), ridge)
    fit = np.ones(20, np.bool_)
    fit[15:] = False
    found = window_statistics(values, fit, model)
    z = (values[:15].astype(np.float64) - model.mean) / model.sd
    residual = np.array([[row[0] - 0.5 * row[1], 0.25 * row[0] + row[1]] for row in z])
    expected = {
        LEVEL: z.mean(axis=0),
        ROUGH: np.log(np.diff(z, axis=0).std(axis=0)),
        SPREAD: np.log(z.std(axis=0)),
        RESID: residual.mean(axis=0),
        RESIDSPREAD: np.log(residual.std(axis=0)),
    }
    for statistic, value in expected.items():
        assert found[statistic] == pytest.approx(value)


def test_dropped_rows_do_not_look_rough() -> None:
    """A jump across dropped rows is no difference: a ramp stays as smooth as it is."""
    ramp = np.arange(20, dtype=np.float32)[:, None]
    model = RowModel(np.zeros(1), np.ones(1), np.eye(1))
    fit = np.ones(20, np.bool_)
    fit[5:9] = False
    whole = window_statistics(ramp, np.ones(20, np.bool_), model)
    assert window_statistics(ramp, fit, model)[ROUGH] == pytest.approx(whole[ROUGH])
    spoilt = ramp.copy()
    spoilt[5:9] = 1000.0
    assert window_statistics(spoilt, fit, model)[ROUGH] == pytest.approx(whole[ROUGH])


def test_no_two_rows_in_a_row() -> None:
    """Where no neighbours are left there is nothing rough: the least that a logarithm takes."""
    model = RowModel(np.zeros(2), np.ones(2), np.eye(2))
    rows = np.random.default_rng(3).normal(size=(6, 2)).astype(np.float32)
    every_other = np.arange(6) % 2 == 0
    found = window_statistics(rows, every_other, model)
    assert found[ROUGH].tolist() == [math.log(SD_LEAST)] * 2


def test_still_window_is_finite() -> None:
    """A window without any motion has statistics that are numbers."""
    model = RowModel(np.zeros(1), np.ones(1), np.eye(1))
    still = window_statistics(np.ones((6, 1), np.float32), np.ones(6, np.bool_), model)
    assert np.isfinite(still).all()
