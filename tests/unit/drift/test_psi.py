"""The shown distances: published values, independent oracles, and what must hold for any rows."""

import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from edge_core.drift.errors import BinsError
from edge_core.drift.psi import (
    histogram,
    inner_edges,
    js_distance,
    ks_stat,
    population_stability,
    psi_auto_jeffreys,
    psi_refq10_floor,
    wasserstein_over_sd,
)

Rows = NDArray[np.float64]


def cases() -> dict[str, tuple[Rows, Rows, tuple[float, float, float | None]]]:
    """2000 against 500 rows of one seeded stream: PSI, floored PSI, KS as measured elsewhere."""
    rng = np.random.default_rng(20261122)
    drawn = [(rng.standard_normal(2000), rng.standard_normal(500)) for _ in range(3)]
    (same, same_), (shift, shift_), (scale, scale_) = drawn
    return {
        "nothing changed": (same, same_, (0.0376, 0.0384, 0.0605)),
        "a shift of 0.3 sd": (shift, shift_ + 0.3, (0.0882, 0.0901, 0.1155)),
        "a spread of 1.5": (scale, scale_ * 1.5, (0.1489, 0.1518, 0.1005)),
        "nothing in common": (same, same_ + 50.0, (6.156, 8.283, 1.0)),
        "a stuck value": (same, np.full(500, 0.25), (6.156, 8.283, None)),
    }


CASES = cases()


@pytest.mark.parametrize(("reference", "recent", "known"), CASES.values(), ids=CASES.keys())
def test_known_values(
    reference: Rows, recent: Rows, known: tuple[float, float, float | None]
) -> None:
    """The numbers are those of the published table, to its last digit."""
    psi, floored, ks = known
    digits = 3 if psi > 1 else 4
    assert round(psi_auto_jeffreys(reference, recent), digits) == psi
    assert round(psi_refq10_floor(reference, recent), digits) == floored
    if ks is not None:
        assert round(ks_stat(reference, recent), 4) == ks


def slow_psi(reference: list[float], recent: list[float]) -> float:
    """The definition, read aloud: no array, no search."""
    distinct = sorted(set(reference))
    if len(distinct) <= 20:
        edges = [(low + high) / 2 for low, high in itertools.pairwise(distinct)]
    else:
        edges = sorted(set(np.quantile(reference, [k / 10 for k in range(1, 10)]).tolist()))
    bins = len(edges) + 1
    total = 0.0
    for number in range(bins):
        low = edges[number - 1] if number else -math.inf
        high = edges[number] if number < len(edges) else math.inf
        before = sum(low <= value < high for value in reference)
        after = sum(low <= value < high for value in recent)
        p = (before + 0.5) / (len(reference) + 0.5 * bins)
        q = (after + 0.5) / (len(recent) + 0.5 * bins)
        total += (q - p) * math.log(q / p)
    return total


few = st.sampled_from([0.0, 1.0, 2.5, -3.0])
many = st.floats(-100, 100)
some_rows = st.one_of(
    st.lists(few, min_size=1, max_size=40), st.lists(many, min_size=1, max_size=60)
)


@given(some_rows, some_rows)
def test_definition(reference: list[float], recent: list[float]) -> None:
    """The fast form equals the definition."""
    found = psi_auto_jeffreys(np.array(reference), np.array(recent))
    assert found == pytest.approx(slow_psi(reference, recent), abs=1e-9)


counts = st.lists(st.integers(0, 500), min_size=1, max_size=12)


@given(st.data())
def test_never_negative_zero_only_when_equal(data: st.DataObject) -> None:
    """PSI is zero exactly where all smoothed shares are equal, and positive elsewhere."""
    one = np.array(data.draw(counts), np.int64)
    other = np.array(
        data.draw(st.lists(st.integers(0, 500), min_size=len(one), max_size=len(one))), np.int64
    )
    psi = population_stability(one, other)
    bins = len(one)
    p, q = ((side + 0.5) / (side.sum() + 0.5 * bins) for side in (one, other))
    assert psi >= 0
    if np.array_equal(p, q):
        assert psi == 0
    elif not np.allclose(p, q, rtol=1e-6, atol=0):
        assert psi > 0
    assert psi == pytest.approx(population_stability(other, one), abs=1e-12)


@settings(max_examples=40)
@given(some_rows, some_rows)
def test_other_libraries_agree(reference: list[float], recent: list[float]) -> None:
    """KS and Wasserstein are what SciPy computes."""
    one, other = np.array(reference), np.array(recent)
    with warnings.catch_warnings():
        # The oracle complains about its p values of a few rows; only its statistic is compared.
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = stats.ks_2samp(one, other, method="asymp").statistic
    assert ks_stat(one, other) == pytest.approx(expected, abs=1e-12)
    distance = stats.wasserstein_distance(one, other) / max(one.std(), 1e-3)
    assert wasserstein_over_sd(one, other) == pytest.approx(distance, rel=1e-9, abs=1e-9)


@given(st.data())
def test_jensen_shannon(data: st.DataObject) -> None:
    """What SciPy computes: between 0 and 1, symmetric, and 1 where no bin is shared."""
    size = data.draw(st.integers(1, 8))
    sides = st.lists(st.integers(0, 50), min_size=size, max_size=size).filter(any)
    one, other = (np.array(data.draw(sides), np.int64) for _ in range(2))
    distance = js_distance(one, other)
    assert 0 <= distance <= 1 + 1e-12
    assert distance == pytest.approx(jensenshannon(one, other, base=2), abs=1e-7)
    assert distance == pytest.approx(js_distance(other, one), abs=1e-9)
    assert js_distance(one, one) == pytest.approx(0, abs=1e-7)
    if not np.any((one > 0) & (other > 0)):
        assert distance == pytest.approx(1)


def test_rare_binary_tag() -> None:
    """From 2 % to 5 % of ones: our default sees it, deciles cannot."""
    reference, recent = np.array([0.0] * 980 + [1.0] * 20), np.array([0.0] * 475 + [1.0] * 25)
    assert psi_auto_jeffreys(reference, recent) > 0.02
    assert psi_refq10_floor(reference, recent) == 0


def test_one_outlier_moves_no_bin() -> None:
    """One row at 1e4 counts as one row: edges come from the reference alone."""
    rng = np.random.default_rng(5)
    reference, recent = rng.normal(size=2000), rng.normal(size=500)
    spoiled = np.append(recent[:-1], 1e4)
    assert psi_auto_jeffreys(reference, spoiled) == pytest.approx(
        psi_auto_jeffreys(reference, recent), abs=0.01
    )


def test_what_is_no_number_is_dropped() -> None:
    """A gap is a matter of data quality, not of drift."""
    rows = np.array([1.0, 2.0, 3.0] * 20)
    holed = np.append(rows, [np.nan, np.inf])
    assert psi_auto_jeffreys(holed, rows) == 0
    assert ks_stat(rows, holed) == 0


def test_one_row_is_enough_to_compare_with() -> None:
    """A reference of one row is poor, and no reason to refuse."""
    assert psi_refq10_floor(np.ones(1), np.ones(3)) == 0


def test_bins() -> None:
    """Edges lie half way between few values, at deciles of many; an edge belongs above."""
    assert inner_edges(np.array([1.0, 3.0, 3.0, 7.0])).tolist() == [2.0, 5.0]
    assert inner_edges(np.array([4.0])).tolist() == []
    assert [len(inner_edges(np.arange(count))) for count in (20.0, 21.0, 100.0)] == [19, 9, 9]
    assert histogram(np.array([1.9, 2.0, 9.0]), np.array([2.0, 5.0])).tolist() == [1, 1, 1]


EMPTY = np.empty(0)
REFUSED: dict[str, Callable[[], float]] = {
    "no reference rows": lambda: psi_auto_jeffreys(EMPTY, np.ones(3)),
    "no recent rows for deciles": lambda: psi_refq10_floor(np.ones(3), EMPTY),
    "no rows for KS": lambda: ks_stat(np.ones(3), EMPTY),
    "other bins": lambda: population_stability(np.ones(3, np.int64), np.ones(4, np.int64)),
    "an empty histogram": lambda: js_distance(np.ones(3, np.int64), np.zeros(3, np.int64)),
}


@pytest.mark.parametrize("compare", REFUSED.values(), ids=REFUSED.keys())
def test_refused(compare: Callable[[], float]) -> None:
    """What cannot be compared is refused, not called zero."""
    with pytest.raises(BinsError):
        compare()
