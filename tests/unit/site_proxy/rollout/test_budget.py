"""When a gateway may download, and that no period ever has more bytes than its budget."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_core.contracts.rollout import ChangeWindow
from edge_site_proxy.rollout.budget import (
    MIB,
    Downloads,
    Ledger,
    Pull,
    PullAsk,
    Wait,
    decide,
    metered,
    obtainable,
    size,
    takes_s,
    used,
)
from edge_site_proxy.rollout.budget import (
    given as give,
)
from tests.unit.site_proxy.plant.plant import POLICY

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # a Monday
DAY_S = 86_400.0
NIGHT = ChangeWindow(days=[1, 2, 3, 4, 5, 6, 7], start="22:00", end="06:00")
MORNING = ChangeWindow(days=[1], start="06:00", end="14:00")
NEVER = ChangeWindow(days=[], start="06:00", end="14:00")
LIMITS = Downloads(budget_bytes=100 * MIB, token_bytes=40 * MIB)


def ask(
    missing: int = 500 * MIB,
    *,
    spent: int = 0,
    pullers: tuple[str, ...] = (),
    begins: bool = True,
    since_last_s: float | None = None,
    now: datetime = NOW,
    clock_trusted: bool = True,
) -> PullAsk:
    """A question on Monday at eight, ten days into the ledger."""
    ledger = Ledger(clock_s=10 * DAY_S)
    if spent:
        ledger = give(ledger, LIMITS, spent)
    return PullAsk(
        missing=missing,
        pullers=pullers,
        begins=begins,
        since_last_s=since_last_s,
        ledger=ledger,
        now=now,
        clock_trusted=clock_trusted,
    )


@dataclass(frozen=True)
class Row:
    """A question; the bytes it gets, or why not and when to ask again."""

    ask: PullAsk
    bytes: int = 0
    why: str = ""
    retry_s: float = 0.0
    limits: Downloads = LIMITS
    windows: tuple[ChangeWindow, ...] = ()


CROWD = replace(LIMITS, pullers_max=2, stagger_s=10.0)
AT_HALF = replace(LIMITS, shift=[MORNING])
BUDGET = "the site's download budget of 105 MB in 24 h is given out"
ROWS = {
    "a token at a time": Row(ask(), 40 * MIB),
    "no more than is missing": Row(ask(30 * MIB), 30 * MIB),
    "little things are given a whole piece": Row(ask(10), MIB),
    "what is left of the budget": Row(ask(spent=90 * MIB), 10 * MIB),
    "a last piece": Row(ask(spent=99 * MIB), MIB),
    "nothing is left": Row(ask(spent=100 * MIB), why=BUDGET, retry_s=300.0),
    "too little is left": Row(ask(spent=99 * MIB + 1), why=BUDGET, retry_s=300.0),
    "without a budget there is no end": Row(
        ask(spent=10**15), 40 * MIB, limits=replace(LIMITS, budget_bytes=None)
    ),
    "on a shift half of it": Row(ask(spent=20 * MIB), 30 * MIB, limits=AT_HALF),
    "and that is given out": Row(
        ask(spent=50 * MIB),
        why="budget of 105 MB in 24 h, of which 50% during a shift, is given out",
        retry_s=300.0,
        limits=AT_HALF,
    ),
    "off the shift all of it": Row(
        ask(spent=50 * MIB, now=NOW.replace(hour=14)), 40 * MIB, limits=AT_HALF
    ),
    "a place is free": Row(ask(pullers=("g1",)), 40 * MIB, limits=CROWD),
    "all places are taken": Row(
        ask(pullers=("g2", "g1")),
        why="DEFER: 2 of 2 gateways download now (g1, g2)",
        retry_s=10.0,
        limits=CROWD,
    ),
    "of many the first three are named": Row(
        ask(pullers=("g4", "g3", "g2", "g1")),
        why="DEFER: 4 of 2 gateways download now (g1, g2, g3)",
        retry_s=10.0,
        limits=CROWD,
    ),
    "whoever has a place keeps it": Row(
        ask(pullers=("g1", "g2"), begins=False, since_last_s=0.0), 40 * MIB, limits=CROWD
    ),
    "another one just began": Row(
        ask(since_last_s=4.0),
        why="DEFER: another download began 4 s ago; one begins every 10 s",
        retry_s=6.0,
        limits=CROWD,
    ),
    "another one began long enough ago": Row(ask(since_last_s=10.0), 40 * MIB, limits=CROWD),
    "outside the download windows": Row(
        ask(now=NOW.replace(hour=21, minute=59)),
        why="DEFER: the next download window opens at 2026-11-23 22:00 UTC",
        retry_s=60.0,
        windows=(NIGHT,),
    ),
    "long before them": Row(
        ask(), why="the next download window opens", retry_s=300.0, windows=(NIGHT,)
    ),
    "in the middle of a download too": Row(
        ask(begins=False), why="the next download window opens", retry_s=300.0, windows=(NIGHT,)
    ),
    "inside them": Row(ask(now=NOW.replace(hour=23)), 40 * MIB, windows=(NIGHT,)),
    "by a clock nobody trusts": Row(
        ask(now=NOW.replace(hour=23), clock_trusted=False),
        why="not synchronised, so no download window can open",
        retry_s=300.0,
        windows=(NIGHT,),
    ),
    "without windows the clock does not matter": Row(ask(clock_trusted=False), 40 * MIB),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_decide(row: Row) -> None:
    """Each row is one question."""
    answer = decide(row.ask, row.limits, replace(POLICY, download_windows=list(row.windows)))
    if isinstance(answer, Pull):
        assert (answer.bytes, row.why) == (row.bytes, "")
    else:
        assert row.why
        assert row.why in answer.reason
        assert answer.retry_after_s == pytest.approx(row.retry_s)


def test_who_has_to_ask() -> None:
    """Nobody, unless something holds downloads back."""
    assert not metered(Downloads(), POLICY)
    assert metered(Downloads(budget_bytes=MIB), POLICY)
    assert metered(Downloads(pullers_max=1), POLICY)
    assert metered(Downloads(rate_bytes_s=1.0), POLICY)
    assert metered(Downloads(), replace(POLICY, download_windows=[NIGHT]))


@given(
    st.lists(st.tuples(st.floats(0, 50_000), st.integers(1, 60 * MIB)), max_size=60),
    st.lists(st.integers(0, 59), max_size=3),
)
def test_no_period_has_more_than_its_budget(
    asks: list[tuple[float, int]], restarts: list[int]
) -> None:
    """Wherever a period begins, over restarts as well (S15)."""
    ledger, real_s, log = Ledger(), 0.0, []
    for number, (wait_s, missing) in enumerate(asks):
        real_s += wait_s
        if number not in restarts:  # while we were away the ledger's clock stood still
            ledger = replace(ledger, clock_s=ledger.clock_s + wait_s)
        question = with_ledger(ledger, missing)
        answer = decide(question, LIMITS, POLICY)
        if isinstance(answer, Pull):
            ledger = give(ledger, LIMITS, answer.bytes)
            log.append((real_s, answer.bytes))
        else:
            assert answer.retry_after_s > 0
    for begin_s, _ in log:
        inside = sum(count for at_s, count in log if begin_s <= at_s <= begin_s + DAY_S)
        assert inside <= 100 * MIB
    assert len(ledger.slots) <= 26


def with_ledger(ledger: Ledger, missing: int) -> PullAsk:
    """A question with this ledger."""
    made = ask(missing)
    return PullAsk(
        missing=made.missing,
        pullers=(),
        begins=True,
        since_last_s=None,
        ledger=ledger,
        now=NOW,
        clock_trusted=True,
    )


def test_what_was_given_counts_for_a_period_and_no_longer() -> None:
    """A slot is an hour of a day; it goes a day after its end."""
    ledger = give(Ledger(clock_s=1800.0), LIMITS, 70)
    assert used(ledger, LIMITS) == 70
    assert used(replace(ledger, clock_s=3600.0 + DAY_S - 1), LIMITS) == 70
    assert used(replace(ledger, clock_s=3600.0 + DAY_S), LIMITS) == 0
    assert used(ledger, LIMITS, DAY_S) == 70
    assert used(ledger, LIMITS, DAY_S + 1800.0) == 0
    again = give(ledger, LIMITS, 5)
    assert again.slots == {0: 75}
    later = give(replace(again, clock_s=3600.0 + DAY_S), LIMITS, 7)
    assert later.slots == {25: 7}


RATE = Downloads(rate_bytes_s=10.0, pullers_max=2)
OBTAINABLE = {
    "no bound": (Downloads(), 3600.0, (), NOW, 0, None),
    "the rest of the budget": (LIMITS, 3600.0, (), NOW, 30 * MIB, 70 * MIB),
    "and the whole of the next period": (LIMITS, 25 * 3600.0, (), NOW, 30 * MIB, 170 * MIB),
    "never less than nothing": (LIMITS, 3600.0, (), NOW, 300 * MIB, 0),
    "the rate of all pullers": (RATE, 60.0, (), NOW, 0, 1200),
    "however small": (Downloads(rate_bytes_s=1.0, pullers_max=1), 60.0, (), NOW, 0, 60),
    "a rate without places is no bound": (Downloads(rate_bytes_s=9.0), 60.0, (), NOW, 0, None),
    "a window that never opens": (Downloads(), 60.0, (NEVER,), NOW, 0, 0),
    "and with a budget": (LIMITS, 60.0, (NEVER,), NOW, 0, 0),
    "for as long as the window is open": (
        RATE,
        7200.0,
        (NIGHT,),
        NOW.replace(hour=21, minute=30),
        0,
        20 * 5400,
    ),
    "or what is left of it": (RATE, 7200.0, (NIGHT,), NOW.replace(hour=5, minute=59), 0, 1200),
    "no window in time": (Downloads(), 3600.0, (NIGHT,), NOW, 0, 0),
    "a window in time": (Downloads(), 3600.0, (NIGHT,), NOW.replace(hour=23), 0, None),
    "a budget without a window in time": (LIMITS, 3600.0, (NIGHT,), NOW, 0, 0),
}


@pytest.mark.parametrize("row", OBTAINABLE.values(), ids=OBTAINABLE.keys())
def test_obtainable(
    row: tuple[Downloads, float, tuple[ChangeWindow, ...], datetime, int, int | None],
) -> None:
    """Each row is what the site can give out in some seconds."""
    limits, within_s, windows, now, spent, expected = row
    policy = replace(POLICY, download_windows=list(windows))
    assert obtainable(ask(spent=spent, now=now), limits, policy, within_s) == expected


TAKES = {
    "without bounds no time": (Downloads(), 10**9, 0.0),
    "a budget's worth a period": (LIMITS, 150 * MIB, 1.5 * DAY_S),
    "at the rate of all pullers": (RATE, 1000, 50.0),
    "a rate without places is no bound": (Downloads(rate_bytes_s=10.0), 1000, 0.0),
    "places without a rate are none either": (Downloads(pullers_max=2), 1000, 0.0),
    "whichever is slower": (replace(LIMITS, rate_bytes_s=1e9, pullers_max=1), 50 * MIB, DAY_S / 2),
}


@pytest.mark.parametrize("row", TAKES.values(), ids=TAKES.keys())
def test_takes(row: tuple[Downloads, int, float]) -> None:
    """How long so many bytes take."""
    limits, count, seconds = row
    assert takes_s(limits, count) == pytest.approx(seconds)


def test_obtainable_by_a_clock_nobody_trusts() -> None:
    """No window opens, so no byte comes."""
    policy = replace(POLICY, download_windows=[NIGHT])
    late = ask(now=NOW.replace(hour=23), clock_trusted=False)
    assert obtainable(late, Downloads(), policy, 3600.0) == 0


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (2.5e9, "2.5 GB"), (3e15, "3e+03 TB")],
)
def test_size(count: float, words: str) -> None:
    """Three digits and a unit."""
    assert size(count) == words


def test_a_wait_ends_when_the_oldest_bytes_no_longer_count() -> None:
    """Whoever waits is told to come back when there may be something."""
    full = give(give(Ledger(), LIMITS, 60 * MIB), LIMITS, 40 * MIB)
    later = give(replace(full, clock_s=7200.0), LIMITS, 1)
    answer = decide(
        with_ledger(replace(later, clock_s=3600.0 + DAY_S - 60.0), MIB), LIMITS, POLICY
    )
    assert isinstance(answer, Wait)
    assert answer.retry_after_s == pytest.approx(60.0)


def test_what_comes_back_early_in_a_period_is_given_out_twice() -> None:
    """In thirty hours: all that is free in six, and the whole of the next period."""
    old = give(Ledger(clock_s=9 * DAY_S + 4 * 3600.0), LIMITS, 30 * MIB)
    question = with_ledger(replace(old, clock_s=10 * DAY_S), MIB)
    assert obtainable(question, LIMITS, POLICY, 4 * 3600.0) == 70 * MIB
    assert obtainable(question, LIMITS, POLICY, 30 * 3600.0) == 200 * MIB
