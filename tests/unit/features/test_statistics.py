"""Statistics: the formulas against plain arithmetic, one window against a batch, to the bit."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.artefact import ModelSignature, Statistic
from edge_core.features.errors import ColumnError
from edge_core.features.statistics import FORMULAS, Extractor, feature_names
from tests.unit.features.strategies import signature

EVERY = list(Statistic)


def plain(values: list[float], period_s: float) -> dict[Statistic, float]:
    """The same seven numbers, from Python's own arithmetic."""
    count = len(values)
    mean = math.fsum(values) / count
    time_s = [number * period_s for number in range(count)]
    middle = math.fsum(time_s) / count
    steps = [abs(after - before) for before, after in itertools.pairwise(values)]
    rise = math.fsum((t - middle) * (x - mean) for t, x in zip(time_s, values, strict=True))
    return {
        Statistic.MEAN: mean,
        Statistic.SD: statistics.pstdev(values),
        Statistic.MIN: min(values),
        Statistic.MAX: max(values),
        Statistic.MEAN_ABS_DIFF: math.fsum(steps) / (count - 1),
        Statistic.SLOPE: rise / math.fsum((t - middle) ** 2 for t in time_s),
        Statistic.LAST: values[-1],
    }


def every_statistic(roles: list[str]) -> ModelSignature:
    """A signature that asks for all of every role, statistic by statistic."""
    return signature([(role, "1", statistic) for statistic in EVERY for role in roles])


reasonable = st.floats(-1e4, 1e4, width=32)


def test_every_statistic_has_a_formula() -> None:
    """No statistic of the contract is without a meaning."""
    assert set(FORMULAS) == set(Statistic)


@given(st.lists(reasonable, min_size=2, max_size=80))
def test_formulas(values: list[float]) -> None:
    """Each statistic is what its formula says, to the precision of a float32."""
    vector = Extractor(every_statistic(["flow"])).vector(np.array(values, np.float32)[:, None])
    expected = plain(values, 1.0)
    for found, statistic in zip(vector.tolist(), EVERY, strict=True):
        assert found == pytest.approx(expected[statistic], rel=1e-5, abs=1e-3)


@given(
    count=st.integers(1, 5),
    rows=st.integers(2, 70),
    tags=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_one_is_like_many(count: int, rows: int, tags: int, seed: int) -> None:
    """A window gives the same bits alone, in a batch, and as a view into something larger."""
    rng = np.random.default_rng(seed)
    windows = rng.normal(20, 5, (count, rows, tags)).astype(np.float32)
    extractor = Extractor(every_statistic([f"tag{number}" for number in range(tags)]))
    matrix = extractor.matrix(windows)
    assert matrix.dtype == np.float32
    for number in range(count):
        np.testing.assert_array_equal(matrix[number], extractor.vector(windows[number]))
    fortran = np.asfortranarray(windows[0])
    np.testing.assert_array_equal(matrix[0], extractor.vector(fortran))
    wider = np.zeros((rows, tags + 2), np.float32)
    wider[:, 1:-1] = windows[0]
    np.testing.assert_array_equal(matrix[0], extractor.vector(wider[:, 1:-1]))


def test_sums_run_in_double_precision() -> None:
    """Small values beside one that fills a float32 still count."""
    window = np.array([[2.0**24], [1.0], [1.0]], np.float32)
    mean = Extractor(signature([("flow", "1", Statistic.MEAN)])).vector(window)
    assert mean.tolist() == [np.float32((2**24 + 2) / 3)]


@pytest.mark.parametrize("rows", [9, 70, 500])
def test_a_lone_column_is_summed_like_one_of_many(rows: int) -> None:
    """Row by row in order of time, to the last bit, however many columns there are."""
    columns = np.random.default_rng(rows).normal(20, 5, (rows, 3))
    in_order = list(itertools.accumulate(columns[:, 0].tolist()))[-1] / rows
    for width in (1, 2, 3):
        assert FORMULAS[Statistic.MEAN](columns[:, :width], 1.0)[0] == in_order


def test_a_slope_is_a_second() -> None:
    """With rows half a second apart, one unit a row is two units a second."""
    columns = np.arange(10.0)[:, None]
    assert FORMULAS[Statistic.SLOPE](columns, 0.5).tolist() == pytest.approx([2.0])


def test_order_of_the_signature() -> None:
    """Features come in the order of the signature, and columns by the first use of a role."""
    asked = signature(
        [
            ("flow", "l/min", Statistic.MAX),
            ("pressure", "bar", Statistic.LAST),
            ("flow", "l/min", Statistic.SLOPE),
        ]
    )
    window = np.array([[0, 7], [2, 8], [4, 9]], np.float32)
    assert asked.roles == ("flow", "pressure")
    assert Extractor(asked).vector(window).tolist() == [4.0, 9.0, 2.0]
    assert feature_names(asked) == ("flow.max", "pressure.last", "flow.slope")


def test_shape_is_checked() -> None:
    """A window of other roles is refused with both shapes."""
    extractor = Extractor(every_statistic(["flow"]))
    with pytest.raises(ColumnError, match=r"2 rows or more, 1\), found \(1, 10, 2\)"):
        extractor.vector(np.zeros((10, 2), np.float32))
    with pytest.raises(ColumnError, match=r"expected shape \(row, role\)"):
        extractor.vector(np.zeros(10, np.float32))
