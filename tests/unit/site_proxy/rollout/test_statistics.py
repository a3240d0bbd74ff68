"""The tests behind the gate: valid at every look, and quick enough to be of use."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge_site_proxy.rollout.statistics import (
    BETTER,
    WORSE,
    Arms,
    log_wealth_better,
    log_wealth_mean,
    log_wealth_ratio,
    log_wealth_worse,
    mean_bets,
)


@pytest.mark.parametrize(("ratio", "most"), [(0.5, 1.0), (1.0, 1.0), (1.1, 1.0000001)])
def test_ratio_wealth_is_fair(ratio: float, most: float) -> None:
    """Under its own hypothesis the wealth has expectation at most one: found by enumeration."""
    count, canary, control = 40, 1.0, 49.0
    share = ratio * canary / (ratio * canary + control)
    bad = np.arange(count + 1)
    chances = stats.binom.pmf(bad, count, share)
    wealth = [
        math.exp(log_wealth_ratio(Arms([int(each)], [count], [canary], [control]), 1.1, WORSE))
        for each in bad
    ]
    assert float(np.sum(chances * wealth)) <= most


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.3])
def test_one_sample_wealth_is_fair(limit: float) -> None:
    """At the limit itself, neither "worse" nor "better" can be expected to grow."""
    count = 60
    bad = range(count + 1)
    chances = stats.binom.pmf(np.arange(count + 1), count, limit)
    for test in (log_wealth_worse, log_wealth_better):
        wealth = np.array([math.exp(test(each, count, limit)) for each in bad])
        assert float(np.sum(chances * wealth)) <= 1 + 1e-9


@given(st.floats(0.01, 0.9), st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_mean_wealth_ignores_order(limit: float, values: list[float]) -> None:
    """The bets are a sum, so evidence may come in any order."""
    forth = sum((mean_bets(value, limit) for value in values), np.zeros(5))
    back = sum((mean_bets(value, limit) for value in reversed(values)), np.zeros(5))
    assert np.allclose(forth, back)


def test_mean_wealth_is_fair() -> None:
    """One observation at the limit on average leaves the wealth where it was."""
    limit, chance = 0.2, 0.2
    wealth = [math.exp(log_wealth_mean(mean_bets(value, limit))) for value in (0.0, 1.0)]
    assert (1 - chance) * wealth[0] + chance * wealth[1] <= 1 + 1e-6


LOOKS = {"a limit of one in a hundred": (0.01, 367), "a limit of one in ten": (0.1, 35)}


@pytest.mark.parametrize("row", LOOKS.values(), ids=LOOKS.keys())
def test_how_much_a_pass_takes(row: tuple[float, int]) -> None:
    """Without one bad event, this many are enough at alpha 0.05, and one in ten fewer is not."""
    limit, count = row
    assert log_wealth_better(0, count, limit) >= math.log(20)
    assert log_wealth_better(0, round(count * 0.9), limit) < math.log(20)


def test_peeking_is_free() -> None:
    """Looking after each of 200 events at the limit, hardly one run in a hundred ever fails."""
    rng = np.random.default_rng(7)
    crossed = 0
    for _ in range(200):
        bad = np.cumsum(rng.random(200) < 0.05)
        crossed += any(
            log_wealth_worse(int(each), number + 1, 0.05) >= math.log(100)
            for number, each in enumerate(bad)
        )
    assert crossed <= 6


def test_harm_is_found() -> None:
    """Windows that disagree by half, against a limit of a tenth, are found within eight."""
    bets = np.zeros(5)
    for number in range(1, 9):
        bets += mean_bets(0.5, 0.1)
        if log_wealth_mean(bets) >= math.log(400):
            assert number >= 3
            return
    raise AssertionError(bets)


def test_grids_lie_on_their_side() -> None:
    """Every alternative is worse than the limit in one grid, better in the other."""
    assert min(WORSE) > 1 > max(BETTER)
