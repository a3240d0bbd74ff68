"""What a signed plan makes of a site's policy: of every setting the stricter of both; pure.

The site can only restrict the plan, and the plan the site. Stricter is what lets a worse release
less far, for less long, or on fewer people's word:

- What a release must show: more of it (windows, inferences, soak, shifts, coverage, pairs, trial,
  history), every recipe that either asks for.
- What a release may do: less of it (errors, latency, disagreement, restarts, bad windows, the
  ratios against its own history). No bound at all is the loosest.
- `alpha_fail` is the share of good releases that may be failed: more fails a bad one sooner.
  `alpha_pass` is the share of bad ones that may pass: less.
- `soak_max_s` and `duration_max_s`: shorter. Who cannot tell by then asks a person, or goes back.
- `history_days_max`: shorter. What is older than either allows counts for neither.
- Cohorts: step by step the smaller share and the smaller `least`, and as many steps as the longer
  of both, so that no step ever reaches more gateways than either alone would let it. The gate
  asks for its windows and inferences however few they are.
- `on_fail`: `auto_rollback`, not `pause`. What failed its gate is in charge for less long, what
  comes instead has run there before, and going back needs neither bytes nor anybody's leave.
- More approvals, a longer lag before a safety zone, fewer tries.

Where shifts begin is a fact of the plant and no limit: there the site alone counts. So do the
names of cohorts of its own steps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import TrialPolicy
from edge_core.contracts.rollout import CohortRule, OnFail, Policy
from edge_core.contracts.signed_plan import Terms

Pick = Callable[[Any, Any], Any]  # two values of one setting, whatever its type


def _least(first: float | None, second: float | None) -> float | None:
    """The lower bound of both; None is no bound."""
    bounds = [each for each in (first, second) if each is not None]
    return min(bounds, default=None)


def _most(first: float | None, second: float | None) -> float | None:
    """The higher bound of both; None is no bound."""
    bounds = [each for each in (first, second) if each is not None]
    return max(bounds, default=None)


def _both(first: Sequence[str], second: Sequence[str]) -> list[str]:
    return sorted({*first, *second})


def _first(first: object, _: object) -> object:
    return first


GATE: Final[Mapping[str, Pick]] = {
    "windows_min": max,
    "inferences_min": max,
    "soak_min_s": max,
    "soak_max_s": min,
    "coverage_min": max,
    "error_share_max": min,
    "latency_p99_us_max": min,
    "disagreement_share_max": min,
    "out_of_domain_share_max": min,
    "alpha_fail": max,
    "alpha_pass": min,
    "bad_windows_max": min,
    "ratio_fail": min,
    "ratio_pass": min,
    "ratio_worst": min,
    "restarts_per_day_max": min,
    "anomaly_share_max": _least,
    "kpi_min": _most,
    "kpi_max": _least,
    "overrides_page_min": min,
    "history_days_min": max,
    "history_days_max": min,
    "history_windows_min": max,
    "regimes": _both,
    "regime_windows_min": max,
    "shifts": _first,
    "shift_zone": _first,
    "shifts_min": max,
}
TRIAL: Final[Mapping[str, Pick]] = {
    "inferences_min": max,
    "duration_min_s": max,
    "duration_max_s": min,
    "error_share_max": min,
    "tries": min,
}


def restrict(terms: Terms, policy: Policy) -> Policy:
    """*policy* with the stricter of both wherever *terms* speak; its cohorts are worked out."""
    strict = stricter(terms_of(policy), terms)
    return replace(
        policy,
        cohorts=strict.cohorts,
        gate=strict.gate,
        trial=strict.trial,
        safety_lag_s=strict.safety_lag_s,
        shadow_pairs_min=strict.shadow_pairs_min,
        on_fail=strict.on_fail,
        approvals=strict.approvals,
    )


def terms_of(policy: Policy) -> Terms:
    """The part of *policy* that a signed plan speaks of too; its cohorts are worked out."""
    return Terms(
        cohorts=policy.cohorts,
        gate=policy.gate,
        trial=policy.trial,
        safety_lag_s=policy.safety_lag_s,
        shadow_pairs_min=policy.shadow_pairs_min,
        on_fail=policy.on_fail,
        approvals=policy.approvals,
    )


def stricter(first: Terms, second: Terms) -> Terms:
    """Of every setting the stricter of both; *first* says where shifts begin."""
    itself = OnFail.AUTO_ROLLBACK in {first.on_fail, second.on_fail}
    return Terms(
        cohorts=_steps(first.cohorts, second.cohorts),
        gate=GateLimits(**_picked(GATE, first.gate, second.gate)),
        trial=TrialPolicy(**_picked(TRIAL, first.trial, second.trial)),
        safety_lag_s=max(first.safety_lag_s, second.safety_lag_s),
        shadow_pairs_min=max(first.shadow_pairs_min, second.shadow_pairs_min),
        on_fail=OnFail.AUTO_ROLLBACK if itself else OnFail.PAUSE,
        approvals=max(first.approvals, second.approvals),
    )


def contradiction(policy: Policy) -> str | None:
    """What in a restricted *policy* no release could ever meet, in words; None if nothing."""
    gate, trial = policy.gate, policy.trial
    pairs: dict[str, tuple[float | None, float | None]] = {
        "gate.soak_min_s, gate.soak_max_s": (gate.soak_min_s, gate.soak_max_s),
        "gate.kpi_min, gate.kpi_max": (gate.kpi_min, gate.kpi_max),
        "gate.history_days_min, gate.history_days_max": (
            gate.history_days_min,
            gate.history_days_max,
        ),
        "trial.duration_min_s, trial.duration_max_s": (trial.duration_min_s, trial.duration_max_s),
        "approvals, approver_roles": (
            policy.approvals,
            len(policy.approver_roles) if policy.approver_roles else None,
        ),
    }
    for names, (low, high) in pairs.items():
        if low is not None and high is not None and low > high:
            return f"{names}: expected the first to be no more, found {low:g} and {high:g}"
    return None


def _picked(table: Mapping[str, Pick], first: object, second: object) -> dict[str, Any]:
    return {
        name: pick(getattr(first, name), getattr(second, name)) for name, pick in table.items()
    }


def _steps(first: Sequence[CohortRule], second: Sequence[CohortRule]) -> list[CohortRule]:
    """Step by step the smaller of both; where one of them is at its last step, the other's.

    The last step takes whoever is left, whatever its share; its `least` asks how many of them
    have to succeed, so there more is stricter.
    """
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    steps = [
        replace(one, share=min(one.share, other.share), least=min(one.least, other.least))
        for one, other in zip(longer[:-1], shorter[:-1], strict=False)
    ]
    left = list(longer[len(steps) :])
    if len(longer) == len(shorter):
        last, other = longer[-1], shorter[-1]
        least = max(last.least, other.least)
        left = [replace(last, share=max(last.share, other.share), least=least)]
    return [*steps, *left]
