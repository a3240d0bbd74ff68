"""A site's policy under a signed plan: of every setting the stricter of both."""

import math
from fractions import Fraction
from operator import ge, le
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import TrialPolicy
from edge_core.contracts.rollout import ApproverRole, CohortRule, OnFail, Policy
from edge_core.contracts.signed_plan import Terms
from edge_site_proxy.rollout.restrict import contradiction, restrict, stricter, terms_of
from tests.unit.site_proxy.plant.plant import POLICY

PAUSE, ITSELF = OnFail.PAUSE, OnFail.AUTO_ROLLBACK
Value = Any  # of a setting, whatever its type
Rows = dict[str, tuple[str, Value, Value, Value]]


def step(share: float, least: int = 1, name: str = "x") -> CohortRule:
    """One step of a ladder."""
    return CohortRule(name=name, share=share, least=least)


# Of each setting: one value, another, and the stricter of both.
GATE: Rows = {
    "more health windows": ("windows_min", 6, 288, 288),
    "more inferences": ("inferences_min", 300, 500, 500),
    "a longer soak": ("soak_min_s", 60.0, 3600.0, 3600.0),
    "a person is asked sooner": ("soak_max_s", 7200.0, 86_400.0, 7200.0),
    "more of the windows that are due": ("coverage_min", 0.9, 0.95, 0.95),
    "fewer errors": ("error_share_max", 0.005, 0.01, 0.005),
    "less latency": ("latency_p99_us_max", 20_000, 50_000, 20_000),
    "less disagreement": ("disagreement_share_max", 0.05, 0.1, 0.05),
    "less outside of what it was trained on": ("out_of_domain_share_max", 0.1, 0.2, 0.1),
    "a bad one fails sooner": ("alpha_fail", 0.01, 0.05, 0.05),
    "a bad one passes more seldom": ("alpha_pass", 0.01, 0.05, 0.01),
    "fewer bad windows": ("bad_windows_max", 0.05, 0.1, 0.05),
    "a smaller harm fails": ("ratio_fail", 1.05, 1.1, 1.05),
    "a smaller harm passes": ("ratio_pass", 1.2, 1.5, 1.2),
    "a single gateway less worse": ("ratio_worst", 2.0, 3.0, 2.0),
    "fewer restarts": ("restarts_per_day_max", 0.5, 1.0, 0.5),
    "fewer anomalies": ("anomaly_share_max", 0.1, 0.2, 0.1),
    "any bound of anomalies rather than none": ("anomaly_share_max", None, 0.2, 0.2),
    "no bound of anomalies where neither has one": ("anomaly_share_max", None, None, None),
    "a higher floor of the KPI": ("kpi_min", 80.0, 90.0, 90.0),
    "any floor rather than none": ("kpi_min", None, -5.0, -5.0),
    "a floor of nought rather than none": ("kpi_min", 0.0, None, 0.0),
    "a lower ceiling of the KPI": ("kpi_max", 95.0, 99.0, 95.0),
    "any ceiling rather than none": ("kpi_max", None, 5.0, 5.0),
    "fewer overrides page": ("overrides_page_min", 2, 3, 2),
    "a longer history": ("history_days_min", 3, 7, 7),
    "no older history": ("history_days_max", 10, 14, 10),
    "a history of more windows": ("history_windows_min", 12, 24, 24),
    "every recipe that either asks for": ("regimes", ["a", "b"], ["b", "c"], ["a", "b", "c"]),
    "more windows of each recipe": ("regime_windows_min", 6, 12, 12),
    "more whole shifts": ("shifts_min", 1, 3, 3),
}
THE_SITES = {
    "shifts": (("05:00", "17:00"), ("06:00", "14:00", "22:00")),
    "shift_zone": ("Europe/Madrid", "UTC"),
}
TRIAL: Rows = {
    "more inferences on trial": ("inferences_min", 50, 500, 500),
    "a longer trial": ("duration_min_s", 60.0, 300.0, 300.0),
    "a trial that ends sooner": ("duration_max_s", 600.0, 3600.0, 600.0),
    "fewer errors on trial": ("error_share_max", 0.01, 0.02, 0.01),
    "fewer tries": ("tries", 1, 3, 1),
}
WHOLE: Rows = {
    "a longer lag before a safety zone": ("safety_lag_s", 0.0, 600.0, 600.0),
    "more pairs": ("shadow_pairs_min", 0, 250, 250),
    "more approvals": ("approvals", 1, 2, 2),
    "back by itself rather than held": ("on_fail", PAUSE, ITSELF, ITSELF),
    "held where both hold": ("on_fail", PAUSE, PAUSE, PAUSE),
}
LADDERS: dict[str, tuple[list[CohortRule], list[CohortRule], list[CohortRule]]] = {
    "the same": ([step(0.1), step(1.0)], [step(0.1), step(1.0)], [step(0.1), step(1.0)]),
    "a smaller share": ([step(0.02), step(1.0)], [step(0.1), step(1.0)], [step(0.02), step(1.0)]),
    "a smaller number": (
        [step(0, 1), step(1.0)],
        [step(0, 3), step(1.0)],
        [step(0, 1), step(1.0)],
    ),
    "of one the share, of the other the number": (
        [step(0.1, 1), step(1.0)],
        [step(0.01, 5), step(1.0)],
        [step(0.01, 1), step(1.0)],
    ),
    "more steps": (
        [step(0.01), step(1.0)],
        [step(0.05), step(0.2, 3), step(1.0)],
        [step(0.01), step(0.2, 3), step(1.0)],
    ),
    "steps rather than everybody at once": (
        [step(1.0)],
        [step(0.05, 2), step(1.0)],
        [step(0.05, 2), step(1.0)],
    ),
    "more of the last have to succeed": ([step(1.0, 1)], [step(1.0, 9)], [step(1.0, 9)]),
    "whoever is left is left whatever the share": ([step(0.5, 1)], [step(1.0, 1)], [step(1.0, 1)]),
}


def both_ways(first: Terms, second: Terms) -> tuple[Terms, Terms]:
    """The stricter of both, whichever comes first."""
    return stricter(first, second), stricter(second, first)


@pytest.mark.parametrize("name", GATE)
def test_gate(name: str) -> None:
    """Of each limit the stricter, whoever set it; nothing else of the gate changes."""
    field, one, other, wanted = GATE[name]
    first, second = (
        Terms(cohorts=[step(1.0)], gate=replace(GateLimits(), **{field: value}))
        for value in (one, other)
    )
    expected = replace(GateLimits(), **{field: wanted})
    assert [each.gate for each in both_ways(first, second)] == [expected, expected]


@pytest.mark.parametrize("field", THE_SITES)
def test_where_shifts_begin_is_the_sites(field: str) -> None:
    """It is a fact of the plant, and no plan says otherwise."""
    mine, theirs = THE_SITES[field]
    site = replace(POLICY, gate=replace(POLICY.gate, **{field: mine}))
    plan = replace(terms_of(POLICY), gate=replace(POLICY.gate, **{field: theirs}))
    assert getattr(restrict(plan, site).gate, field) == mine


@pytest.mark.parametrize("name", TRIAL)
def test_trial(name: str) -> None:
    """Of each bound of a trial the stricter."""
    field, one, other, wanted = TRIAL[name]
    first, second = (
        Terms(cohorts=[step(1.0)], trial=replace(TrialPolicy(), **{field: value}))
        for value in (one, other)
    )
    expected = replace(TrialPolicy(), **{field: wanted})
    assert [each.trial for each in both_ways(first, second)] == [expected, expected]


@pytest.mark.parametrize("name", WHOLE)
def test_the_rest(name: str) -> None:
    """Of everything else the stricter; nothing else changes."""
    field, one, other, wanted = WHOLE[name]
    plain = Terms(cohorts=[step(1.0)])
    found = both_ways(replace(plain, **{field: one}), replace(plain, **{field: other}))
    assert list(found) == [replace(plain, **{field: wanted})] * 2


@pytest.mark.parametrize("name", WHOLE)
def test_plan_and_policy(name: str) -> None:
    """The same between a plan and a policy, whichever of them is the stricter."""
    field, one, other, wanted = WHOLE[name]
    for mine, theirs in ((one, other), (other, one)):
        site = replace(POLICY, **{field: mine})
        plan = replace(terms_of(POLICY), **{field: theirs})
        assert restrict(plan, site) == replace(POLICY, **{field: wanted})


@pytest.mark.parametrize("name", LADDERS)
def test_cohorts(name: str) -> None:
    """Step by step the smaller, and as many steps as the longer of both."""
    first, second, wanted = LADDERS[name]
    found = both_ways(Terms(cohorts=first), Terms(cohorts=second))
    assert [each.cohorts for each in found] == [wanted, wanted]


def test_steps_bear_the_names_of_the_longer_ladder() -> None:
    """Where both are as long, those of the site."""
    mine = [step(0.1, name="canary"), step(1.0, name="all")]
    theirs = [step(0.2, name="first"), step(1.0, name="rest")]
    longer = [step(0.2, name="first"), step(0.3, name="second"), step(1.0, name="rest")]
    site = replace(POLICY, cohorts=mine)
    named = [each.name for each in restrict(Terms(cohorts=theirs), site).cohorts]
    assert named == ["canary", "all"]
    named = [each.name for each in restrict(Terms(cohorts=longer), site).cohorts]
    assert named == ["first", "second", "rest"]


def test_every_setting_has_its_row() -> None:
    """A setting that is new needs an order, and a row here that says which."""
    rows = {field for field, *_ in GATE.values()} | THE_SITES.keys()
    assert rows == set(GateLimits.__struct_fields__)
    assert {field for field, *_ in TRIAL.values()} == set(TrialPolicy.__struct_fields__)
    whole = {field for field, *_ in WHOLE.values()} | {"gate", "trial", "cohorts"}
    assert whole == set(Terms.__struct_fields__)


def test_what_a_plan_does_not_speak_of_stays() -> None:
    """Windows, tickets, roles, PINs and everything else of the site is as it was."""
    strict = restrict(Terms(cohorts=[step(1.0)]), POLICY)
    spoken = set(Terms.__struct_fields__)
    for field in set(Policy.__struct_fields__) - spoken:
        assert getattr(strict, field) == getattr(POLICY, field), field
    assert restrict(terms_of(POLICY), POLICY) == POLICY
    assert terms_of(strict) == stricter(terms_of(POLICY), Terms(cohorts=[step(1.0)]))


# Any two policies.

SHARES = st.fractions(0, 1, max_denominator=100).map(float)
RULES = st.builds(CohortRule, name=st.just("x"), share=SHARES, least=st.integers(1, 9))
LADDER = st.lists(RULES, min_size=1, max_size=4).map(
    lambda rules: [*rules[:-1], replace(rules[-1], share=1.0)]
)


def some(rows: Rows) -> st.SearchStrategy[dict[str, Value]]:
    """Every setting of the rows, with any of the values that they have for it."""
    values: dict[str, list[Value]] = {}
    for field, *found in rows.values():
        values.setdefault(field, []).extend(found)
    return st.fixed_dictionaries({field: st.sampled_from(each) for field, each in values.items()})


GATES = some(GATE).map(lambda found: GateLimits(**found))
TRIALS = some(TRIAL).map(lambda found: TrialPolicy(**found))
TERMS = st.tuples(LADDER, GATES, TRIALS, some(WHOLE)).map(
    lambda found: Terms(cohorts=found[0], gate=found[1], trial=found[2], **found[3])
)


def reached(ladder: list[CohortRule], total: int, steps: int) -> list[int]:
    """How many gateways have the release after each step; all of them after the last."""
    sizes = [max(rule.least, math.ceil(Fraction(str(rule.share)) * total)) for rule in ladder[:-1]]
    sums = [min(total, sum(sizes[: number + 1])) for number in range(len(sizes))]
    return [*sums, *[total] * (steps - len(sums))]


BOUNDS = {"anomaly_share_max": le, "kpi_max": le, "kpi_min": ge}


def looser(rows: Rows) -> set[tuple[str, str]]:
    """Of each row whose values differ, the one that is not the stricter."""
    return {(row[0], str(each)) for row in rows.values() for each in row[1:3] if each != row[3]}


def no_looser(rows: Rows, field: str, mine: Value, theirs: Value) -> bool:
    """Whether *mine* lets through nothing that *theirs* stops."""
    if field == "regimes":
        return set(mine) >= set(theirs)
    if field in BOUNDS:
        return theirs is None or (mine is not None and bool(BOUNDS[field](mine, theirs)))
    return mine == theirs or (field, str(mine)) not in looser(rows)


@settings(deadline=None)  # a busy machine is no failure
@given(TERMS, TERMS, st.integers(1, 300))
def test_at_least_as_strict_as_either(first: Terms, second: Terms, total: int) -> None:
    """No setting is looser than either has it, and no step reaches more gateways."""
    strict = stricter(first, second)
    steps = len(strict.cohorts)
    assert steps == max(len(first.cohorts), len(second.cohorts))
    for each in (first, second):
        pairs = zip(
            reached(strict.cohorts, total, steps), reached(each.cohorts, total, steps), strict=True
        )
        assert all(mine <= theirs for mine, theirs in pairs)
        for part, rows in (("gate", GATE), ("trial", TRIAL)):
            for field, *_ in rows.values():
                mine, theirs = (getattr(getattr(t, part), field) for t in (strict, each))
                assert no_looser(rows, field, mine, theirs), (field, mine, theirs)
        for field, *_ in WHOLE.values():
            mine, theirs = getattr(strict, field), getattr(each, field)
            assert no_looser(WHOLE, field, mine, theirs), (field, mine, theirs)


@settings(deadline=None)  # a busy machine is no failure
@given(TERMS, TERMS, TERMS)
def test_in_any_order_and_as_often_as_you_like(first: Terms, second: Terms, third: Terms) -> None:
    """Twice is once, the order does not matter, and neither does who is put together first."""
    both = stricter(first, second)
    assert stricter(both, second) == stricter(both, first) == stricter(both, both) == both
    assert stricter(second, first) == both
    assert stricter(both, third) == stricter(first, stricter(second, third))
    site = replace(POLICY, cohorts=first.cohorts)
    once = restrict(second, site)
    assert restrict(second, once) == once


NO_WAY: dict[str, tuple[dict[str, Value], str | None]] = {
    "as it is": ({}, None),
    "the soak may not last as long as it must": (
        {"gate": GateLimits(soak_min_s=7200.0, soak_max_s=3600.0)},
        "gate.soak_min_s, gate.soak_max_s: expected the first to be no more, found 7200 and 3600",
    ),
    "the soak is to the second": ({"gate": GateLimits(soak_min_s=60.0, soak_max_s=60.0)}, None),
    "no KPI is in both bounds": ({"gate": GateLimits(kpi_min=9.0, kpi_max=8.0)}, "gate.kpi_min"),
    "one bound of a KPI is no contradiction": ({"gate": GateLimits(kpi_min=9.0)}, None),
    "no history is long and young enough": (
        {"gate": GateLimits(history_days_min=7, history_days_max=5)},
        "gate.history_days_min",
    ),
    "the trial may not last as long as it must": (
        {"trial": TrialPolicy(duration_min_s=900.0, duration_max_s=600.0)},
        "trial.duration_min_s",
    ),
    "more approvals than there are voices": (
        {"approvals": 3, "approver_roles": [ApproverRole(name=n, group=n) for n in "ab"]},
        "approvals, approver_roles: expected the first to be no more, found 3 and 2",
    ),
    "as many approvals as voices": (
        {"approvals": 2, "approver_roles": [ApproverRole(name=n, group=n) for n in "ab"]},
        None,
    ),
    "any number of approvals of anybody": ({"approvals": 5}, None),
}


@pytest.mark.parametrize("name", NO_WAY)
def test_contradictions(name: str) -> None:
    """Two that are strict each may leave nothing together; then it is said which."""
    changes, says = NO_WAY[name]
    found = contradiction(msgspec.structs.replace(POLICY, **changes))
    if says is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(says)
