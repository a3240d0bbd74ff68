"""Tallies: the same windows give the same tally, in whatever order, and never a large one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import HealthWindow
from edge_site_proxy.rollout.gates.evidence import (
    DAYS_MAX,
    EMPTY,
    OTHER,
    OVERRIDDEN_MAX,
    SHIFTS_MAX,
    STRATA_MAX,
    Counts,
    History,
    Tally,
    add,
    history_of,
    less,
    pooled,
    since,
    summed,
)

START = datetime(2026, 11, 23, 6, tzinfo=UTC)
LIMITS = GateLimits(
    error_share_max=0.02,
    latency_p99_us_max=10_000,
    out_of_domain_share_max=0.2,
    anomaly_share_max=0.5,
    kpi_min=0.8,
    kpi_max=1.2,
)
PLAIN = HealthWindow(
    epoch=1,
    number=0,
    digest="sha256:" + "a" * 64,
    role="committed",
    started=START,
    ended=START + timedelta(seconds=300),
    scored=100,
    latency_p99_us=2000,
)


def window(minutes: float = 0.0, **changes: object) -> HealthWindow:
    """PLAIN, so many minutes later, with *changes*."""
    moved = {
        "started": PLAIN.started + timedelta(minutes=minutes),
        "ended": PLAIN.ended + timedelta(minutes=minutes),
    }
    return msgspec.structs.replace(PLAIN, **{**moved, **changes})


def told(windows: Sequence[HealthWindow], limits: GateLimits = LIMITS) -> Tally:
    """All of *windows*."""
    return add(EMPTY, windows, limits)


@dataclass(frozen=True)
class Row:
    """What a window shows; in which ways it is bad."""

    seen: HealthWindow
    bad: Counts


ROWS = {
    "a window like any other": Row(window(), Counts(1)),
    "errors at the limit": Row(window(scored=98, errors=2), Counts(1)),
    "errors over the limit": Row(window(scored=97, errors=3), Counts(1, errors=1)),
    "nothing but errors": Row(window(scored=0, errors=1), Counts(1, errors=1)),
    "nothing tried counts for nothing": Row(window(scored=0, no_verdict=100), Counts()),
    "at the latency that is allowed": Row(window(latency_p99_us=10_000), Counts(1)),
    "slow": Row(window(latency_p99_us=10_001), Counts(1, slow=1)),
    "as far outside as is allowed": Row(window(out_of_domain=20), Counts(1)),
    "outside the domain": Row(window(out_of_domain=21), Counts(1, outside=1)),
    "one override": Row(window(overrides=1), Counts(1, overridden=1)),
    "half of it anomalous": Row(window(anomalies=50), Counts(1)),
    "more than half anomalous": Row(window(anomalies=51), Counts(1, anomalous=1)),
    "the KPI at its lower bound": Row(window(kpi_sum=8.0, kpi_rows=10), Counts(1)),
    "the KPI too low": Row(window(kpi_sum=7.9, kpi_rows=10), Counts(1, kpi=1)),
    "the KPI at its upper bound": Row(window(kpi_sum=12.0, kpi_rows=10), Counts(1)),
    "the KPI too high": Row(window(kpi_sum=12.1, kpi_rows=10), Counts(1, kpi=1)),
}


@pytest.mark.parametrize("name", ROWS)
def test_bad_windows(name: str) -> None:
    """A window is bad by the plan's limits, and counted in its shift."""
    row = ROWS[name]
    tally = told([row.seen])
    assert tally.counts == row.bad
    assert tally.strata == ({"shift 06:00": row.bad} if row.bad.windows else {})


def test_what_the_plan_does_not_bound_is_not_bad() -> None:
    """Anomalies and the KPI count only where the plan says how much is too much."""
    seen = [window(anomalies=100), window(kpi_sum=-1e9, kpi_rows=1)]
    assert told(seen, GateLimits(error_share_max=0.02)).counts == Counts(2)


def test_a_recipe_goes_before_the_shift() -> None:
    """Windows that tell a recipe are compared by it, the others by their shift."""
    tally = told([window(), window(regime="32 l/min"), window(8 * 60), window(regime="32 l/min")])
    assert {name: counts.windows for name, counts in tally.strata.items()} == {
        "shift 06:00": 1,
        "recipe 32 l/min": 2,
        "shift 14:00": 1,
    }


def test_what_is_no_number_is_counted() -> None:
    """In every role, since one is enough."""
    assert told([window(broken=1, errors=1), window(5, broken=2, errors=2)]).broken == 3


def test_exposure_by_shift() -> None:
    """A shift is known by the instant at which it began."""
    tally = told([window(), window(5), window(8 * 60), window(24 * 60)])
    assert tally.shifts == {
        "2026-11-23T06:00:00+00:00": 600.0,
        "2026-11-23T14:00:00+00:00": 300.0,
        "2026-11-24T06:00:00+00:00": 300.0,
    }


DAY = 24 * 60


def test_a_history_is_of_the_last_days() -> None:
    """Only days on which there were windows count, the newest ones, and by the same limits."""
    windows = [window(DAY * day, errors=90, scored=10) for day in range(0, 40, 2)]
    windows += [window(DAY * 40 + 5 * each) for each in range(3)]
    tally = told(windows)
    asked = msgspec.structs.replace(LIMITS, history_days_max=3)
    past = history_of(tally, asked, START)
    assert (past.days, past.recent) == (3, {"shift 06:00": Counts(5, errors=2)})
    assert (past.total, past.exposure_s, past.at) == (tally.strata, 23 * 300.0, START)
    other = msgspec.structs.replace(LIMITS, error_share_max=0.5)
    assert history_of(tally, other, START) == msgspec.structs.replace(past, days=0, recent={})


def test_only_what_decided_has_a_history() -> None:
    """A trial and a shadow are no past to be compared with."""
    assert told([window(role="trial"), window(role="shadow"), window(scored=0)]).days == {}


def test_since() -> None:
    """What came after a history was frozen, stratum by stratum."""
    before = told([window(regime="A"), window(regime="B", errors=50)])
    past = history_of(before, LIMITS, START)
    after = told([window(regime="A"), window(regime="C", overrides=2)])
    assert since(before, past) == {}
    assert since(pooled([before, after]), past) == {
        "recipe A": Counts(1),
        "recipe C": Counts(1, overridden=1),
    }
    assert since(after, History()) == after.strata


def test_sums() -> None:
    """Counts are added and taken apart field by field."""
    one, two = Counts(1, 2, 3, 4, 5, 6, 7), Counts(10, 20, 30, 40, 50, 60, 70)
    assert summed([one, two]) == Counts(11, 22, 33, 44, 55, 66, 77)
    assert less(summed([one, two]), one) == two
    assert summed([]) == Counts()


seen = st.builds(
    window,
    st.integers(0, 60 * 24 * 30).map(float),
    scored=st.integers(0, 60),
    errors=st.integers(0, 5),
    overrides=st.integers(0, 2),
    regime=st.sampled_from(["", *(f"r{number}" for number in range(STRATA_MAX + 4))]),
    role=st.sampled_from(["committed", "trial"]),
    shadow_pairs=st.integers(0, 4),
    cut_short=st.booleans(),
    broken=st.integers(0, 2),
)


@given(st.lists(seen, max_size=40), st.randoms(use_true_random=False), st.integers(0, 40))
def test_order_does_not_matter(windows: list[HealthWindow], random: object, first: int) -> None:
    """Nor does where one batch ends and the next begins; what is kept is the same, bets nearly."""
    shuffled = list(windows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random, which Hypothesis does not name
    one, other = told(windows), add(told(shuffled[:first]), shuffled[first:], LIMITS)
    for name in Tally.__struct_fields__:
        left, right = getattr(one, name), getattr(other, name)
        assert left == (pytest.approx(right) if name.endswith("_bets") else right), name


def test_a_hostile_gateway_makes_no_large_tally() -> None:
    """Thousands of recipes, days, shifts and overrides: only so many parts are kept."""
    windows = [window(DAY * number, regime=f"r{number:04}", overrides=1) for number in range(300)]
    tally = told(windows)
    assert len(tally.strata) == STRATA_MAX + 1
    assert tally.strata[OTHER] == Counts(300 - STRATA_MAX, overridden=300 - STRATA_MAX)
    assert tally.counts == Counts(300, overridden=300)
    assert min(tally.days)[:10] == "2027-09-03"
    assert len(tally.days) == DAYS_MAX
    assert (len(tally.shifts), min(tally.shifts)) == (SHIFTS_MAX, START.isoformat())
    assert (len(tally.overridden), min(tally.overridden)) == (OVERRIDDEN_MAX, START.isoformat())


def test_pooled() -> None:
    """Several tallies as one; a single one stays as it is, none is nothing."""
    one, two = told([window(regime="A", overrides=1)]), told([window(5, cut_short=True)])
    both = pooled([one, EMPTY, two])
    assert both == msgspec.structs.replace(
        told([window(regime="A", overrides=1), window(5, cut_short=True)]), days={}
    )
    assert pooled([EMPTY, one]) is one
    assert pooled([]) is EMPTY
