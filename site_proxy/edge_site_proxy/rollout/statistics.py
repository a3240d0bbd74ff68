"""Tests that may be looked at at any time: e-processes for counts and for bounded means.

An e-process is a bet against a hypothesis: under it the wealth has expectation at most 1 at every
look, so wealth above 1/alpha is evidence at level alpha, however often one looks (Ville). All
values here are natural logarithms of wealth. Order does not matter and state is a few sums, so
evidence can be merged, repeated after a restart, and added up over sites.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WORSE = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
BETTER = (0.8, 0.6, 0.4, 0.2, 0.1, 0.02)
# Half the stake on "hardly ever": most models that pass have no bad events at all.
_BETTER_WEIGHTS = (0.1, 0.1, 0.1, 0.1, 0.1, 0.5)
BETS = (0.05, 0.1, 0.2, 0.4, 0.8)  # stakes of the bounded-mean test, as shares of the largest
_EDGE = 1e-9  # keeps a probability inside (0, 1)


@dataclass(frozen=True, slots=True)
class Arms:
    """Bad windows of canary and control, one entry a stratum.

    Attributes:
        bad: in the canary arm.
        both: in both arms.
        expected: of the canary arm, from each gateway's own history and present exposure.
        expected_control: likewise for the control arm.
    """

    bad: Sequence[float]
    both: Sequence[float]
    expected: Sequence[float]
    expected_control: Sequence[float]


def log_wealth_ratio(arms: Arms, ratio: float, grid: Sequence[float]) -> float:
    """Wealth against "canary over control is *ratio* in every stratum", on a common grid.

    With a grid above 1 it is evidence that canary gateways are worse than *ratio* times control;
    with a grid below 1, that they are better. Given the total, the canary's count is binomial.
    """
    bad, both = np.asarray(arms.bad, float), np.asarray(arms.both, float)
    expected = np.asarray(arms.expected, float)
    control = np.asarray(arms.expected_control, float)
    null = _share(ratio, expected, control)
    wealth = [
        float(_log_likelihood_ratio(bad, both, _share(ratio * step, expected, control), null))
        for step in grid
    ]
    return _mix(wealth, [1 / len(grid)] * len(grid))


def log_wealth_worse(bad: int, count: int, limit: float) -> float:
    """Wealth against "the share is at most *limit*": *bad* of *count* independent events."""
    steps = [step for step in WORSE if limit * step < 1]
    if not steps:
        return 0.0
    return _mix(
        [_binomial(bad, count, limit * step, limit) for step in steps],
        [1 / len(steps)] * len(steps),
    )


def log_wealth_better(bad: int, count: int, limit: float) -> float:
    """Wealth against "the share is *limit* or more": what a PASS needs.

    Without a bad event it takes about ln(2 / alpha) / -ln(1 - limit) events: 367 for a limit of
    0.01 and 35 for one of 0.1, at alpha 0.05.
    """
    return _mix([_binomial(bad, count, limit * step, limit) for step in BETTER], _BETTER_WEIGHTS)


def mean_bets(value: float, limit: float) -> Floats:
    """What one observation in [0, 1] adds to each bet that its mean is above *limit*.

    Shape (bet,). Summing over observations gives the state of the test, whatever the dependence
    inside one observation (Waudby-Smith and Ramdas, "Estimating means of bounded random variables
    by betting", section 4, with constant stakes).
    """
    limit = min(max(limit, _EDGE), 1 - _EDGE)
    stakes = np.asarray(BETS) / limit
    return np.asarray(np.log1p(np.maximum(stakes * (value - limit), -1 + _EDGE)))


def log_wealth_mean(bets: Floats) -> float:
    """Wealth against "the mean is at most the limit", from summed `mean_bets`."""
    return _mix([float(bet) for bet in bets], [1 / len(BETS)] * len(BETS))


def log_wealth_any(pool: Floats, parts: Sequence[Floats]) -> float:
    """Half the stake on the pool, half spread over its parts: a small bad part is found too.

    A mean of e-processes is one, so nothing need be paid for looking at each part.
    """
    if not parts:
        return log_wealth_mean(pool)
    each = 0.5 / len(parts)
    return _mix(
        [log_wealth_mean(pool), *(log_wealth_mean(part) for part in parts)],
        [0.5, *(each for _ in parts)],
    )


def _share(ratio: float, expected: Floats, control: Floats) -> Floats:
    share = ratio * expected / (ratio * expected + control)
    return np.asarray(np.clip(share, _EDGE, 1 - _EDGE))


def _log_likelihood_ratio(bad: Floats, both: Floats, share: Floats, null: Floats) -> np.float64:
    terms = bad * np.log(share / null) + (both - bad) * np.log((1 - share) / (1 - null))
    return np.float64(np.sum(terms))


def _binomial(bad: int, count: int, share: float, null: float) -> float:
    share, null = (min(max(each, _EDGE), 1 - _EDGE) for each in (share, null))
    return bad * math.log(share / null) + (count - bad) * math.log((1 - share) / (1 - null))


def _mix(logs: Sequence[float], weights: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(
        sum(weight * math.exp(log - top) for log, weight in zip(logs, weights, strict=True))
    )
