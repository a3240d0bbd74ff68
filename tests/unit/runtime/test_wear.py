"""What telemetry may cost the disk: never more than allowed, and never given up for it."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.wear import COMMIT_BYTES, DAY_S, WearBudget, pause_s

HOURLY = 7200  # bytes; two a second are then allowed


@dataclass(frozen=True)
class Spending:
    """What was written when, and how the budget stands at `now_s`."""

    wrote: list[tuple[float, int]]
    now_s: float
    wait_s: float
    used: float


SPENDINGS = {
    "a fresh start: an hour's worth at once": Spending([], 0.0, wait_s=0.0, used=0.0),
    "a quarter of it written": Spending([(0.0, 1800)], 0.0, wait_s=0.0, used=0.25),
    "all of it written: now is early enough": Spending([(0.0, 7200)], 0.0, wait_s=0.0, used=1.0),
    "two hundred too many: a hundred seconds": Spending(
        [(0.0, 7400)], 0.0, wait_s=100.0, used=1.0 + 1 / 36
    ),
    "and forty seconds later": Spending([(0.0, 7400)], 40.0, wait_s=60.0, used=1.0 + 1 / 60),
    "half an hour gives half of it back": Spending([(0.0, 7200)], 1800.0, wait_s=0.0, used=0.5),
    "what is written slowly is never too much": Spending(
        [(0.0, 7200), (600.0, 1200), (1200.0, 1200)], 1200.0, wait_s=0.0, used=1.0
    ),
    "a quiet week gives no more than an hour's worth": Spending(
        [(604_800.0, 7220)], 604_800.0, wait_s=10.0, used=1.0 + 1 / 360
    ),
    "a clock that stands gives nothing back": Spending(
        [(60.0, 3600), (60.0, 3600), (60.0, 120)], 60.0, wait_s=60.0, used=1.0 + 1 / 60
    ),
}


@pytest.mark.parametrize("name", SPENDINGS)
def test_budget(name: str) -> None:
    """Each row is what was written, how long to wait then, and what share is used up."""
    case = SPENDINGS[name]
    waits, uses = (WearBudget(24 * HOURLY, 0.0) for _ in range(2))
    for at_s, size in case.wrote:
        waits.spend(size, at_s)
        uses.spend(size, at_s)
    assert waits.wait_s(case.now_s) == pytest.approx(case.wait_s)
    assert uses.used(case.now_s) == pytest.approx(case.used)


PACES: dict[str, tuple[float, float, float]] = {
    "an empty journal: as configured": (0.0, 0.0, 60.0),
    "exactly half full: still as configured": (0.5, 0.0, 60.0),
    "half full: half as often": (0.51, 0.0, 120.0),
    "three quarters full: a quarter": (0.76, 0.0, 240.0),
    "exactly seven eighths full: a quarter still": (0.875, 0.0, 240.0),
    "full: hardly ever": (1.0, 0.0, 3840.0),
    "the wear budget is overdrawn: when it allows": (0.0, 500.0, 500.0),
    "it never allows: every hour all the same": (0.0, 1e9, 3600.0),
}


@pytest.mark.parametrize("name", PACES)
def test_pace(name: str) -> None:
    """Each row is how the journal and the budget stand, and how long until the next batch."""
    fill, wait_s, expected = PACES[name]
    assert pause_s(60.0, fill, wait_s) == expected


@given(st.lists(st.tuples(st.floats(0, 4000), st.integers(0, 2**20)), max_size=60))
def test_wear_budget_holds(writes: list[tuple[float, int]]) -> None:
    """Whoever waits as told never writes more than an hour's worth above the allowance."""
    a_day = 24 * 2**20
    budget, now_s, written = WearBudget(a_day, 0.0), 0.0, 0
    for pause, size in writes:
        now_s += pause
        now_s += budget.wait_s(now_s)
        budget.spend(size, now_s)
        written += size
        assert written <= a_day * (now_s / DAY_S + 1 / 24) + size + 1
        assert budget.used(now_s) >= 0.0


DAYS: dict[str, tuple[int, range, range]] = {
    "the usual allowance: every minute": (128 * 2**20, range(1430, 1441), range(550, 601)),
    "a fortieth of that: rarer, and larger": (3 * 2**20, range(100, 170), range(5_000, 9_000)),
    "less than they cost at all: every hour": (2**20, range(24, 60), range(14_000, 36_001)),
}


@pytest.mark.parametrize("name", DAYS)
def test_a_day_of_batches(name: str) -> None:
    """Each row is an allowance, and how many batches of which size a day then has.

    What waits for a batch is in it when it comes: nothing is lost by being late.
    """
    a_day, count, size = DAYS[name]
    budget, now_s, told = WearBudget(a_day, 0.0), 0.0, 0.0
    batches: list[float] = []
    while now_s < DAY_S:
        now_s += pause_s(60.0, 0.0, budget.wait_s(now_s))
        batches.append(10.0 * (now_s - told))  # so many bytes come together a second
        told = now_s
        budget.spend(int(batches[-1]) + COMMIT_BYTES, now_s)
    assert len(batches) in count
    assert int(sum(batches) / len(batches)) in size
    assert sum(batches) == pytest.approx(10.0 * now_s)
