"""Wealth against its definition, spelled out with SciPy's binomials: every term, every weight."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from edge_site_proxy.rollout.gates.statistics import (
    BETS,
    BETTER,
    WORSE,
    Arms,
    log_wealth,
    log_wealth_any,
    log_wealth_better,
    log_wealth_mean,
    log_wealth_worse,
    mean_bets,
    oftener_stakes,
    rarer_stakes,
    ratio_better,
    ratio_worse,
)

HEAVY = [0.1, 0.1, 0.2, 0.25, 0.2, 0.1, 0.05]  # stakes on the alternatives of WORSE

counts = st.integers(0, 200).flatmap(
    lambda count: st.tuples(st.integers(0, count), st.just(count))
)


def mixed(logs: Sequence[float], weights: Sequence[float]) -> float:
    """The logarithm of a weighted sum of what *logs* are the logarithms of."""
    return float(special.logsumexp(logs, b=weights))


def likelihood(bad: int, count: int, share: float) -> float:
    """The logarithm of how likely so many bad ones are."""
    return float(stats.binom.logpmf(bad, count, share))


@given(counts, st.floats(0.001, 0.7))
def test_worse(seen: tuple[int, int], limit: float) -> None:
    """The mean over every alternative above the limit that is a share at all."""
    bad, count = seen
    shares = [limit * step for step in WORSE if limit * step < 1]
    logs = [likelihood(bad, count, each) - likelihood(bad, count, limit) for each in shares]
    weights = [each / sum(HEAVY[: len(logs)]) for each in HEAVY[: len(logs)]]
    expected = mixed(logs, weights)
    assert log_wealth_worse(bad, count, limit) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_nothing_is_worse_than_nearly_always() -> None:
    """Above a limit of nine in ten there is no alternative, and so no bet."""
    assert log_wealth_worse(50, 50, 0.9) == 0.0
    assert log_wealth_worse(50, 50, 0.8) == 0.0  # 0.8 times 1.25 is certainty, not a share


@given(counts, st.floats(0.001, 0.99))
def test_better(seen: tuple[int, int], limit: float) -> None:
    """Half the stake on "hardly ever", the other half spread evenly."""
    bad, count = seen
    logs = [
        likelihood(bad, count, limit * step) - likelihood(bad, count, limit) for step in BETTER
    ]
    expected = mixed(logs, [0.1] * 5 + [0.5])
    assert log_wealth_better(bad, count, limit) == pytest.approx(expected, rel=1e-9, abs=1e-9)


Strata = list[tuple[int, int, float, float]]  # bad, of the control, expected of both
strata = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.floats(0.1, 50), st.floats(0.1, 50)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(strata, st.floats(0.2, 5.0))
def test_ratio(listed: Strata, ratio: float) -> None:
    """Given both arms' total, the canary's bad windows are binomial, in each stratum by itself."""
    bad, other, expected, control = zip(*listed, strict=True)
    both = [one + two for one, two in zip(bad, other, strict=True)]
    arms = Arms(bad, both, expected, control)

    def total(step: float) -> float:
        shares = [
            ratio * step * mine / (ratio * step * mine + theirs)
            for mine, theirs in zip(expected, control, strict=True)
        ]
        return sum(map(likelihood, bad, both, shares))

    for bets, grid, weights in (
        (ratio_worse, WORSE, HEAVY),
        (ratio_better, BETTER, [1 / len(BETTER)] * len(BETTER)),
    ):
        logs = [total(step) - total(1.0) for step in grid]
        stakes = bets(arms, ratio)
        assert stakes.logs == pytest.approx(tuple(logs), rel=1e-7, abs=1e-7)
        found = log_wealth(stakes)
        assert found == pytest.approx(mixed(logs, weights), rel=1e-7, abs=1e-7)


@given(st.integers(0, 40), st.floats(0.1, 50), st.floats(0.05, 4))
def test_rates(events: int, days: float, limit: float) -> None:
    """Events of a Poisson process, against its limit, at every alternative."""
    for bets, grid, weights in (
        (oftener_stakes, WORSE, HEAVY),
        (rarer_stakes, BETTER, [0.1] * 5 + [0.5]),
    ):
        logs = [
            stats.poisson.logpmf(events, limit * step * days)
            - stats.poisson.logpmf(events, limit * days)
            for step in grid
        ]
        found = log_wealth(bets(events, days, limit))
        assert found == pytest.approx(mixed(logs, weights), rel=1e-6, abs=1e-6)


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_bets(value: float, limit: float) -> None:
    """Each bet gains in proportion to how far the value lies above the limit."""
    gains = [1 + share / limit * (value - limit) for share in BETS]
    assert mean_bets(value, limit) == pytest.approx([math.log(gain) for gain in gains])


CERTAIN: dict[str, Callable[[], float]] = {
    "a limit of nothing": lambda: log_wealth_mean(mean_bets(1.0, 0.0)),
    "a limit of everything": lambda: log_wealth_mean(mean_bets(1.0, 1.0)),
    "nothing seen": lambda: log_wealth_mean(mean_bets(0.0, 0.5)),
    "better than nothing": lambda: log_wealth_better(0, 10, 0.0),
    "better than certain": lambda: log_wealth_better(10, 10, 1.0),
    "an arm that can have none": lambda: log_wealth(ratio_worse(Arms([1], [2], [0.0], [1.0]), 1)),
    "an arm that has them all": lambda: log_wealth(ratio_worse(Arms([1], [2], [1.0], [0.0]), 1)),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_certainty_is_a_number(name: str) -> None:
    """A limit or a share of nothing or of all gives no infinity and no error."""
    assert math.isfinite(CERTAIN[name]())


@given(st.lists(st.floats(-3, 3), min_size=5, max_size=5))
def test_mean(bets: list[float]) -> None:
    """The mean of the bets' wealth."""
    expected = mixed(bets, [0.2] * 5)
    assert log_wealth_mean(np.array(bets)) == pytest.approx(expected, abs=1e-12)


def test_any_part() -> None:
    """Half the stake on the pool, half shared by its parts; without parts all on the pool."""
    pool, quiet, loud = [-1.0] * 5, [-2.0] * 5, [9.0] * 5
    assert log_wealth_any(pool, []) == pytest.approx(-1.0)
    assert log_wealth_any(pool, [quiet, loud]) == pytest.approx(
        mixed([-1.0, -2.0, 9.0], [0.5, 0.25, 0.25])
    )


def test_strong_evidence_does_not_overflow() -> None:
    """Ten thousand bad windows of as many are no error, only certain."""
    assert math.isfinite(log_wealth_worse(10_000, 10_000, 0.01))
    assert log_wealth_worse(10_000, 10_000, 0.01) > 1000
