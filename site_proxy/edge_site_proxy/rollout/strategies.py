"""A strategy in a word becomes the rules of a plan: "1/9/90", "10/30/100", blue-green; pure.

A strategy says in which steps, never under which guards: those of the permits always hold.
"""

import re
from collections.abc import Sequence
from fractions import Fraction

from msgspec.structs import replace

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import CohortRule, Plan, Policy

BLUE_GREEN = "blue-green"
LEAST = 3  # gateways in a cohort: fewer are no evidence
SMALL = 30  # gateways below which a canary of three would be a tenth of the plant
SHADOW_PAIRS_MIN = 100  # where a plant is too small for statistics, pairs are the evidence
_NAMES = ("canary", "early")
_STEPS_MAX = 8  # a plan of more cohorts than that ends in another year
_PERCENTS = re.compile(r"[0-9]{1,3}(/[0-9]{1,3})*\Z")


def check(policy: Policy) -> None:
    """See that a site says in one way how it rolls out.

    Raises:
        ConfigurationError: in two ways, or the steps do not come to the whole plant.
    """
    if policy.strategy is None:
        return
    if policy.cohorts:
        raise ConfigurationError("rollout.policy: expected `strategy` or `cohorts`, found both")
    if policy.strategy != BLUE_GREEN:
        _shares(policy.strategy)


def expand(policy: Policy, count: int) -> Policy:
    """*policy* with the rules that its strategy means for a plant of *count* gateways.

    Below `SMALL` gateways the canaries move one at a time, and the shadow is not optional.

    Raises:
        ConfigurationError: the steps do not come to the whole plant.
    """
    strategy = policy.strategy
    if strategy is None:
        return policy
    if strategy == BLUE_GREEN:
        return replace(policy, cohorts=[CohortRule(name="green", share=1.0, least=LEAST)])
    shares = _shares(strategy)
    if count >= SMALL:
        return replace(policy, cohorts=_rules(shares))
    pairs = max(policy.shadow_pairs_min, SHADOW_PAIRS_MIN)
    return replace(policy, cohorts=_one_at_a_time(), shadow_pairs_min=pairs)


def blue_green(plan: Plan) -> bool:
    """Whether everybody is staged beside the present release before anybody switches.

    The first release of a plant has nothing to be staged beside.
    """
    return plan.policy.strategy == BLUE_GREEN and plan.rollback_to is not None


def _shares(strategy: str | Sequence[float]) -> list[Fraction]:
    """The share of each cohort. Numbers that end in the whole say what is reached by then."""
    if isinstance(strategy, str):
        percents = strategy.split("/") if _PERCENTS.match(strategy) else []
        steps = [Fraction(int(percent), 100) for percent in percents]
    else:
        steps = [Fraction(str(share)) for share in strategy]
    before = [Fraction(0), *steps[:-1]]
    if steps and steps[-1] == 1:
        steps = [step - last for step, last in zip(steps, before, strict=True)]
    if len(steps) > _STEPS_MAX or sum(steps) != 1 or min(steps) <= 0:
        written = strategy[:40] if isinstance(strategy, str) else list(strategy)
        raise ConfigurationError(
            "rollout.policy.strategy: expected blue-green, growing steps that end with the whole "
            "plant, or shares that sum to it, for example 10/30/100 or 1/9/90, at most "
            f"{_STEPS_MAX}; found {written!r}"
        )
    return steps


def _rules(shares: Sequence[Fraction]) -> list[CohortRule]:
    names = [*_NAMES, *(f"early-{number}" for number in range(2, len(shares)))]
    made = zip(names, shares[:-1], strict=False)
    rules = [CohortRule(name=name, share=float(share), least=LEAST) for name, share in made]
    return [*rules, CohortRule(name="rest", share=1.0, least=LEAST)]


def _one_at_a_time() -> list[CohortRule]:
    canaries = [
        CohortRule(name=f"canary-{number}", share=0.0, least=1) for number in range(1, LEAST + 1)
    ]
    return [*canaries, CohortRule(name="rest", share=1.0, least=1)]
