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
# Most of the stake where a release is bad enough to matter and not so bad that anything finds it.
_WORSE_WEIGHTS = (0.1, 0.1, 0.2, 0.25, 0.2, 0.1, 0.05)
# Half the stake on "hardly ever": most models that pass have no bad events at all.
_BETTER_WEIGHTS = (0.1, 0.1, 0.1, 0.1, 0.1, 0.5)
BETS = (0.05, 0.1, 0.2, 0.4, 0.8)  # stakes of the bounded-mean test, as shares of the largest
_EDGE = 1e-9  # keeps a probability inside (0, 1)
_STEPS_MAX = 40  # of Newton's method, which takes five or so
_NEAR = 1e-9


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


@dataclass(frozen=True, slots=True)
class Stakes:
    """Logarithms of what each alternative's bet has made, and the share staked on each.

    They are linear in the evidence: twice the same evidence doubles them, and those of several
    sites on the same alternatives are added.
    """

    logs: tuple[float, ...]
    weights: tuple[float, ...]


def log_wealth(stakes: Stakes) -> float:
    """What all bets have made together."""
    return _mix(stakes.logs, stakes.weights)


def growth(stakes: Stakes, wanted: float) -> float:
    """To how many times the evidence it takes until wealth is *wanted*, if all goes on like this.

    Below 1 it was enough earlier; infinite if no alternative explains the evidence better.
    """
    if wanted <= 0:
        return 0.0
    if max(stakes.logs) <= 0:
        return math.inf
    # The best bet alone is enough at this factor. Log-wealth is convex in it, so Newton's steps
    # come down from here to where it is *wanted* and never pass it.
    grown = (wanted - math.log(min(stakes.weights))) / max(stakes.logs)
    for _ in range(_STEPS_MAX):
        wealth, slope = _grown(stakes, grown)
        step = (wealth - wanted) / slope
        grown -= step
        if step < _NEAR * grown:
            break
    return grown


def _grown(stakes: Stakes, factor: float) -> tuple[float, float]:
    """Log-wealth at *factor* times the evidence, and how fast it grows there."""
    logs = [factor * each for each in stakes.logs]
    top = max(logs)
    made = [weight * math.exp(log - top) for log, weight in zip(logs, stakes.weights, strict=True)]
    slope = math.fsum(one * log for one, log in zip(made, stakes.logs, strict=True))
    return top + math.log(sum(made)), slope / sum(made)


def worse_by(logs: Sequence[float]) -> Stakes:
    """Bets on the alternatives of WORSE, of which the last may be left out."""
    weights = _WORSE_WEIGHTS[: len(logs)]
    return Stakes(tuple(logs), tuple(each / sum(weights) for each in weights))


def ratio_worse(arms: Arms, ratio: float) -> Stakes:
    """Bets against "the canary is at most *ratio* times as bad as control", in every stratum."""
    return worse_by(_ratio_logs(arms, ratio, WORSE))


def ratio_better(arms: Arms, ratio: float) -> Stakes:
    """Bets against "the canary is at least *ratio* times as bad as control", likewise."""
    logs = _ratio_logs(arms, ratio, BETTER)
    return Stakes(logs, (1 / len(logs),) * len(logs))


def _ratio_logs(arms: Arms, ratio: float, grid: Sequence[float]) -> tuple[float, ...]:
    """The log-likelihood ratio at each step of a grid that is common to all strata.

    Given the total, the canary's Poisson count is binomial. Windows that are bad or not make it
    no less valid: 1 + x is at most e^x, so a bet on yes or no is worth no more than the same bet
    on a Poisson count of the same mean.
    """
    bad, both = np.asarray(arms.bad, float), np.asarray(arms.both, float)
    expected = np.asarray(arms.expected, float)
    control = np.asarray(arms.expected_control, float)
    null = _share(ratio, expected, control)
    shares = _share(ratio * np.asarray(grid)[:, None], expected, control)
    terms = bad * np.log(shares / null) + (both - bad) * np.log((1 - shares) / (1 - null))
    return tuple(terms.sum(axis=1).tolist())


def log_wealth_worse(bad: int, count: int, limit: float) -> float:
    """Wealth against "the share is at most *limit*": *bad* of *count* independent events."""
    steps = [step for step in WORSE if limit * step < 1]
    if not steps:
        return 0.0
    return log_wealth(worse_by([_binomial(bad, count, limit * step, limit) for step in steps]))


def better_stakes(bad: int, count: int, limit: float) -> Stakes:
    """Bets against "the share is *limit* or more": what a PASS needs.

    Without a bad event it takes about ln(2 / alpha) / -ln(1 - limit) events: 367 for a limit of
    0.01 and 35 for one of 0.1, at alpha 0.05.
    """
    logs = tuple(_binomial(bad, count, limit * step, limit) for step in BETTER)
    return Stakes(logs, _BETTER_WEIGHTS)


def log_wealth_better(bad: int, count: int, limit: float) -> float:
    """Wealth of `better_stakes`."""
    return log_wealth(better_stakes(bad, count, limit))


def rarer_stakes(events: int, exposure: float, limit: float) -> Stakes:
    """Bets against "the rate of a Poisson process is *limit* or more": what a rare event needs.

    *exposure* is in the unit that *limit* is per. Without an event it takes about 3.5 device-days
    to prove less than one a day, and 35 for one in ten, at alpha 0.05.
    """
    logs = tuple(_poisson(events, exposure * limit, step) for step in BETTER)
    return Stakes(logs, _BETTER_WEIGHTS)


def oftener_stakes(events: int, exposure: float, limit: float) -> Stakes:
    """Bets against "the rate of a Poisson process is at most *limit*"."""
    return worse_by([_poisson(events, exposure * limit, step) for step in WORSE])


def mean_bets(value: float, limit: float) -> list[float]:
    """What one observation in [0, 1] adds to each bet that its mean is above *limit*.

    One entry a bet. Summing over observations gives the state of the test, whatever the dependence
    inside one observation (Waudby-Smith and Ramdas, "Estimating means of bounded random variables
    by betting", section 4, with constant stakes).
    """
    limit = min(max(limit, _EDGE), 1 - _EDGE)
    gain = value / limit - 1
    return [math.log1p(max(stake * gain, -1 + _EDGE)) for stake in BETS]


def log_wealth_mean(bets: Sequence[float] | Floats) -> float:
    """Wealth against "the mean is at most the limit", from summed `mean_bets`."""
    return _mix([float(bet) for bet in bets], [1 / len(BETS)] * len(BETS))


def log_wealth_any(pool: Sequence[float], parts: Sequence[Sequence[float]]) -> float:
    """Half the stake on the pool, half spread over its parts: a small bad part is found too.

    A mean of e-processes is one, so nothing need be paid for looking at each part.
    """
    if not len(parts):
        return log_wealth_mean(pool)
    logs = np.asarray(parts, float)
    each = logs.max(axis=1) + np.log(
        np.mean(np.exp(logs - logs.max(axis=1, keepdims=True)), axis=1)
    )
    share = 0.5 / len(parts)
    return _mix([log_wealth_mean(pool), *each.tolist()], [0.5, *(share for _ in parts)])


def besides(main: float, other: float) -> float:
    """Three quarters of a stake on one e-process, the rest on another: their mean is one too."""
    return _mix([main, other], [0.75, 0.25])


def _share(ratio: float | Floats, expected: Floats, control: Floats) -> Floats:
    share = ratio * expected / (ratio * expected + control)
    return np.asarray(np.clip(share, _EDGE, 1 - _EDGE))


def _poisson(events: int, expected: float, step: float) -> float:
    return events * math.log(step) + expected * (1 - step)


def _binomial(bad: int, count: int, share: float, null: float) -> float:
    share, null = (min(max(each, _EDGE), 1 - _EDGE) for each in (share, null))
    return bad * math.log(share / null) + (count - bad) * math.log((1 - share) / (1 - null))


def _mix(logs: Sequence[float], weights: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(
        sum(weight * math.exp(log - top) for log, weight in zip(logs, weights, strict=True))
    )
