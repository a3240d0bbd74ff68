"""A/A: whom the gate is asked about, over which day, and when it can no longer be believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gates import GateCheck, GateLimits, Verdict
from edge_core.contracts.gateway import HealthWindow
from edge_site_proxy.rollout.gates.aa import (
    SHOWN,
    Day,
    aa_case,
    cohort,
    eligible,
    realised,
    untrue,
)
from edge_site_proxy.rollout.gates.evidence import EMPTY, Counts, Tally, add
from edge_site_proxy.rollout.gates.gate import judge
from tests.unit.site_proxy.rollout.test_evidence import PLAIN

LIMITS = GateLimits(shifts=("00:00",), history_days_min=2)
YESTERDAY = date(2026, 11, 24)
NAMES = [f"g{number:03}" for number in range(400)]


def windows(day: int, *, errors: int = 0) -> list[HealthWindow]:
    """Every five minutes of a day of November 2026."""
    start = datetime(2026, 11, day, tzinfo=UTC)
    return [
        msgspec.structs.replace(
            PLAIN,
            number=number,
            started=start + timedelta(minutes=5 * number),
            ended=start + timedelta(minutes=5 * number + 5),
            scored=100 - errors,
            errors=errors,
        )
        for number in range(288)
    ]


def told(*days: Sequence[HealthWindow]) -> Tally:
    """All of it."""
    return add(EMPTY, list(chain.from_iterable(days)), LIMITS)


STEADY = told(windows(22), windows(23), windows(24), windows(25))
NEW = told(windows(23), windows(24))
AWAY = told(windows(22), windows(23), windows(25))
WORSE = told(windows(22), windows(23), windows(24, errors=50))


def on(**tallies: Tally) -> Day:
    """Yesterday, with these gateways."""
    return Day(YESTERDAY, LIMITS, tallies, dict.fromkeys(tallies, "plain, fast"), 300.0)


def test_who_is_asked_about() -> None:
    """Gateways that ran all day and had a history before; not today's windows, nor newcomers'."""
    assert eligible(on(steady=STEADY, new=NEW, away=AWAY, none=EMPTY)) == ["steady"]
    day = on(new=NEW)
    some = msgspec.structs.replace(LIMITS, history_days_min=0)
    assert eligible(Day(day.day, some, day.tallies, day.kinds, 300.0)) == ["new"]


def test_what_is_asked() -> None:
    """The day before against the days before it, canary and control alike."""
    day = on(canary=STEADY, other=STEADY)
    case = aa_case(day, {"canary": told(windows(24))}, ["other"])
    canary, (control,) = case.subjects["canary"], case.controls
    past = {"shift 00:00": Counts(576)}
    assert canary.history is not None
    assert (canary.history.days, canary.history.recent, canary.history.at) == (2, past, day.start)
    assert (control.history.recent, control.history.at) == (past, day.start)
    assert (control.tally.strata, control.tally.exposure_s) == (
        {"shift 00:00": Counts(288)},
        86_400.0,
    )
    assert (control.tally.windows, control.tally.last) == (288, day.end)
    assert (canary.kind, control.kind, case.window_s) == ("plain, fast", "plain, fast", 300.0)
    assert not case.shadow_needed
    errors = next(row for row in judge(case).measurements if row.gate == "errors")
    (stratum,) = errors.strata
    assert (stratum.expected, stratum.expected_control) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("canary", "verdict"),
    [(windows(24), Verdict.INCONCLUSIVE), (windows(24, errors=50), Verdict.FAIL)],
    ids=["nothing changed: nobody is blamed", "a gateway that went bad is blamed"],
)
def test_verdict(canary: list[HealthWindow], verdict: Verdict) -> None:
    """The same gate as in a rollout."""
    day = on(canary=STEADY, bad=WORSE, other=STEADY)
    assert judge(aa_case(day, {"canary": told(canary)}, ["other"])).verdict is verdict


@given(st.integers(0, 400), st.integers(0, 9))
def test_cohorts(count: int, number: int) -> None:
    """One in a hundred, at least three, at most ten; nobody where too few are left."""
    names = NAMES[:count]
    chosen = cohort("pump", YESTERDAY, number, names)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(names)
    assert len(chosen) == (0 if count < 6 else 3 if count <= 300 else 4)


def test_cohorts_are_chosen_by_nobody() -> None:
    """The same for the same day, another for another; every gateway gets its turn."""
    one = cohort("pump", YESTERDAY, 0, NAMES[:20])
    assert one == cohort("pump", YESTERDAY, 0, NAMES[:20])
    days = [YESTERDAY + timedelta(days=number) for number in range(30)]
    turns = {serial for day in days for serial in cohort("pump", day, 0, NAMES[:20])}
    assert turns == set(NAMES[:20])
    others = [cohort("fan", YESTERDAY, 0, NAMES[:20]), cohort("pump", YESTERDAY, 1, NAMES[:20])]
    assert one not in others
    assert len(cohort("pump", YESTERDAY, 0, [f"{at:05}" for at in range(5000)])) == 10


def check(
    number: int, verdict: Verdict = Verdict.INCONCLUSIVE, day: str = "2026-11-24"
) -> GateCheck:
    """One check."""
    return GateCheck(
        day=day,
        number=number,
        model="pump",
        digest=PLAIN.digest,
        members=["g1"],
        verdict=verdict,
        by=["errors"],
    )


@dataclass(frozen=True)
class Row:
    """So many checks, so many of which failed; whether the gate is to be believed."""

    runs: int
    failed: int
    untrue: bool


ROWS = {
    "no check yet": Row(0, 0, untrue=False),
    "one blamed of ten: nobody can tell yet": Row(10, 1, untrue=False),
    "one blamed of a hundred: as promised": Row(100, 1, untrue=False),
    "two blamed of a hundred: more than promised": Row(100, 2, untrue=True),
    "two blamed of ninety-nine: nobody can tell yet": Row(99, 2, untrue=False),
    "two blamed of two hundred: as promised": Row(200, 2, untrue=False),
}


@pytest.mark.parametrize("name", ROWS)
def test_realised(name: str) -> None:
    """The share that failed, and whether it is more than alpha."""
    row = ROWS[name]
    checks = [
        check(number, Verdict.FAIL if number < row.failed else Verdict.PASS)
        for number in range(row.runs)
    ]
    found = realised(checks, 0.01)
    assert (found.runs, found.failed, found.alpha) == (row.runs, row.failed, 0.01)
    assert found.share == (row.failed / row.runs if row.runs else None)
    assert untrue(found) is row.untrue


def test_the_newest_are_shown() -> None:
    """So many, newest first, and since when there are any."""
    checks = [check(number % 10, day=f"2026-11-{1 + number // 10:02}") for number in range(60)]
    found = realised(checks, 0.01)
    assert found.since == "2026-11-01"
    assert found.newest == checks[:39:-1]
    assert len(found.newest) == SHOWN
    assert realised([], 0.01).since is None
