"""The tests behind the gate: valid at every look, and quick enough to be of use."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge_site_proxy.rollout.gates.statistics import (
    BETTER,
    WORSE,
    Arms,
    Stakes,
    besides,
    better_stakes,
    growth,
    log_wealth,
    log_wealth_better,
    log_wealth_mean,
    log_wealth_worse,
    mean_bets,
    oftener_stakes,
    rarer_stakes,
    ratio_better,
    ratio_worse,
    worse_by,
)

COUNT, CANARY, CONTROL = 40, 1.0, 49.0
FAIR = 1 + 1e-9


def expected_wealth(ratio: float, bets: Callable[[Arms], Stakes]) -> float:
    """Over all ways in which so many bad windows fall to two arms, at this true ratio."""
    share = ratio * CANARY / (ratio * CANARY + CONTROL)
    bad = np.arange(COUNT + 1)
    chances = stats.binom.pmf(bad, COUNT, share)
    arms = [Arms([int(each)], [COUNT], [CANARY], [CONTROL]) for each in bad]
    return float(np.sum(chances * [math.exp(log_wealth(bets(each))) for each in arms]))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.1])
def test_harm_is_not_won_by_chance(ratio: float) -> None:
    """At its boundary and inside it, betting on harm wins nothing: found by enumeration."""
    assert expected_wealth(ratio, lambda arms: ratio_worse(arms, 1.1)) <= FAIR


@pytest.mark.parametrize("ratio", [1.5, 2.0, 5.0])
def test_a_pass_is_not_won_by_chance(ratio: float) -> None:
    """Nor does betting on "no harm", where there is as much or more."""
    assert expected_wealth(ratio, lambda arms: ratio_better(arms, 1.5)) <= FAIR


def test_the_boundary_is_exact() -> None:
    """At the boundary itself nothing is given away either."""
    assert expected_wealth(1.1, lambda arms: ratio_worse(arms, 1.1)) == pytest.approx(1)
    assert expected_wealth(1.5, lambda arms: ratio_better(arms, 1.5)) == pytest.approx(1)


@pytest.mark.parametrize("chance", [0.01, 0.2, 0.6])
def test_windows_are_worth_no_more_than_counts(chance: float) -> None:
    """Windows that are bad or not, each by itself, at the boundary: the bets stay fair.

    Three canary windows and nine of the control, every outcome enumerated.
    """
    canary, control = 3, 9
    for bets, ratio in ((ratio_worse, 1.1), (ratio_better, 1.5)):
        total = sum(
            stats.binom.pmf(bad, canary, ratio * chance)
            * stats.binom.pmf(other, control, chance)
            * math.exp(log_wealth(bets(Arms([bad], [bad + other], [canary], [control]), ratio)))
            for bad in range(canary + 1)
            for other in range(control + 1)
        )
        assert total <= FAIR


@pytest.mark.parametrize("limit", [0.1, 1.0, 3.0])
def test_rare_events_are_fair(limit: float) -> None:
    """At the limit, neither "more often" nor "more rarely" can be expected to grow."""
    days = 5.0
    events = np.arange(900)
    chances = stats.poisson.logpmf(events, limit * days)
    for bets in (oftener_stakes, rarer_stakes):
        wealth = [log_wealth(bets(int(each), days, limit)) for each in events]
        assert float(np.sum(np.exp(chances + wealth))) == pytest.approx(1, abs=1e-6)


RARE = {
    "below one a day": (1.0, 3.5, 3.4),
    "below one in ten days": (0.1, 35.0, 34.0),
}


@pytest.mark.parametrize("name", RARE)
def test_how_long_nothing_must_happen(name: str) -> None:
    """Without an event so many device-days prove a rate, and fewer do not."""
    limit, enough, short = RARE[name]
    assert log_wealth(rarer_stakes(0, enough, limit)) >= math.log(20)
    assert log_wealth(rarer_stakes(0, short, limit)) < math.log(20)


@given(st.integers(0, 30), st.integers(31, 400), st.floats(0.02, 0.5))
def test_growth_is_what_it_takes(bad: int, count: int, limit: float) -> None:
    """Evidence grown by the factor is just enough; a hundredth less is not."""
    stakes, wanted = better_stakes(bad, count, limit), math.log(20)
    factor = growth(stakes, wanted)

    def grown(by: float) -> float:
        return log_wealth(Stakes(tuple(by * each for each in stakes.logs), stakes.weights))

    if math.isinf(factor):
        assert max(stakes.logs) <= 0
        assert grown(1e6) < wanted
        return
    assert grown(factor * 1.0001) >= wanted
    assert grown(factor * 0.99) < wanted


def test_no_growth_is_needed_for_nothing() -> None:
    """Wealth of one is there from the start."""
    assert growth(better_stakes(5, 10, 0.1), 0.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), min_size=2, max_size=5))
def test_sites_are_pooled_by_adding(sites: list[tuple[int, int]]) -> None:
    """What several sites found, added up alternative by alternative, is what one of all finds."""
    arms = [Arms([bad], [bad + other], [2.0], [40.0]) for bad, other in sites]
    added = [sum(each) for each in zip(*(ratio_worse(one, 1.1).logs for one in arms), strict=True)]
    both = [bad + other for bad, other in sites]
    many = Arms([bad for bad, _ in sites], both, [2.0] * len(sites), [40.0] * len(sites))
    assert log_wealth(worse_by(added)) == pytest.approx(log_wealth(ratio_worse(many, 1.1)))


def test_two_stakes() -> None:
    """Three quarters on the first, a quarter on the second."""
    assert besides(math.log(8), math.log(4)) == pytest.approx(math.log(7))


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
    forth = np.sum([mean_bets(value, limit) for value in values], axis=0)
    back = np.sum([mean_bets(value, limit) for value in reversed(values)], axis=0)
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
