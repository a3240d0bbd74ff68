"""Each goal by itself: what fails it, what meets it, what is asked only where the plan says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edge_core.contracts.gates import GateLimits, GateReport, Measurement, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.compare import chance
from edge_site_proxy.rollout.gates.evidence import Counts, Tally
from edge_site_proxy.rollout.gates.gate import judge
from edge_site_proxy.rollout.gates.statistics import mean_bets
from tests.unit.site_proxy.rollout.test_gate import GOOD, LIMITS, RECIPE, past, ran, tally

PASS, WAIT, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL
ASKED = msgspec.structs.replace(LIMITS, anomaly_share_max=0.5, kpi_min=0.8)


def bad(way: str, count: int, windows: int = 400) -> Tally:
    """So many windows of one recipe, so many of them bad in one way."""
    counts = msgspec.structs.replace(Counts(windows), **{way: count})
    return msgspec.structs.replace(tally(windows), strata={RECIPE: counts})


def history(way: str, count: int) -> Subject:
    """A subject whose past had so many of 2000 windows bad in that way."""
    counts = msgspec.structs.replace(Counts(2000), **{way: count})
    return replace(GOOD, history=msgspec.structs.replace(past(2000, 0), recent={RECIPE: counts}))


def others(way: str, count: int) -> list[Control]:
    """Five gateways with that past, of which now one window in twenty is bad in that way."""
    recent = history(way, count).history
    assert recent is not None
    return [Control(recent, bad(way, 50, 1000)) for _ in range(5)]


@dataclass(frozen=True)
class Row:
    """What ran, and against whom; one gate's verdict, value and words."""

    running: Tally
    gate: str
    verdict: Verdict
    value: float
    words: str = ""
    controls: Sequence[Control] = field(default=())
    way: str = ""


OVERRIDDEN = "120 of 400 windows overridden by operators"
ROWS = {
    "hardly ever overridden": Row(bad("overridden", 10), "overrides", PASS, 0.025),
    "overridden in more windows than one in ten": Row(
        bad("overridden", 120),
        "overrides",
        FAIL,
        0.3,
        "120 of 400 windows overridden by operators",
    ),
    "overridden no more than is allowed, but far more than before": Row(
        bad("overridden", 32),
        "overrides",
        FAIL,
        0.08,
        "32 of 400 windows overridden by operators, worse than its own history",
        [Control(past(2000, 0), ran(1000)) for _ in range(5)],
        "overridden",
    ),
    "few anomalies": Row(bad("anomalous", 0), "anomalies", PASS, 0.0),
    "anomalies in too many windows": Row(
        bad("anomalous", 120), "anomalies", FAIL, 0.3, "120 of 400 windows with many anomalies"
    ),
    "the line does as well as before": Row(bad("kpi", 0), "kpi", PASS, 0.0),
    "the line does worse": Row(
        bad("kpi", 120), "kpi", FAIL, 0.3, "120 of 400 windows with the KPI out of bounds"
    ),
    "slow windows no oftener than ever": Row(
        bad("slow", 20), "latency", PASS, 2000.0, "", others("slow", 100), "slow"
    ),
    "slow windows oftener than ever": Row(
        bad("slow", 100),
        "latency",
        FAIL,
        2000.0,
        "100 of 400 windows over the limit, worse than its own history",
        others("slow", 100),
        "slow",
    ),
    "as often outside as ever": Row(
        bad("outside", 20), "domain", PASS, 0.0, "", others("outside", 100), "outside"
    ),
    "no restart": Row(tally(400), "restarts", PASS, 0.0),
    "one restart proves nothing": Row(
        msgspec.structs.replace(tally(400), cut_short=1), "restarts", PASS, 7.2
    ),
    "restarts far over the limit": Row(
        msgspec.structs.replace(tally(400), cut_short=300),
        "restarts",
        FAIL,
        2160.0,
        "300 of 400 windows cut short, in 0.14 device-days",
    ),
    "as many restarts as the others have": Row(
        msgspec.structs.replace(tally(400), cut_short=8),
        "restarts",
        PASS,
        57.6,
        "",
        [Control(past(10, 0), msgspec.structs.replace(tally(400), cut_short=8))] * 9,
    ),
    "restarts where the others have none": Row(
        msgspec.structs.replace(tally(400), cut_short=8),
        "restarts",
        FAIL,
        57.6,
        "8 of 400 windows cut short, in 0.14 device-days",
        [Control(past(10, 0), tally(400))] * 9,
    ),
}


def report_of(
    running: Tally, controls: Sequence[Control] = (), *, limits: GateLimits = ASKED, way: str = ""
) -> GateReport:
    """The report over one gateway, which had one bad window in twenty where *way* is given."""
    before = history(way, 100 if controls and way != "overridden" else 0) if way else GOOD
    subject = replace(before, running=running)
    return judge(Case("canary", limits, {"g1": subject}, controls=controls))


def row_of(report: GateReport, gate: str) -> Measurement:
    """The one measurement of that gate."""
    (row,) = (row for row in report.measurements if row.gate == gate)
    return row


@pytest.mark.parametrize("name", ROWS)
def test_goal(name: str) -> None:
    """The verdict, the figure and the words of one goal."""
    row = ROWS[name]
    found = row_of(report_of(row.running, row.controls, way=row.way), row.gate)
    assert (found.verdict, found.explanation) == (row.verdict, row.words)
    assert found.value == pytest.approx(row.value)


def test_what_the_plan_does_not_bound_is_not_asked() -> None:
    """Anomalies and the KPI are goals only with a bound; either bound of the KPI is one."""
    usual = {row.gate for row in report_of(tally(40), limits=LIMITS).measurements}
    assert not {"anomalies", "kpi"} & usual
    high = msgspec.structs.replace(LIMITS, kpi_max=1.2)
    assert row_of(report_of(tally(40), limits=high), "kpi").verdict is PASS


@pytest.mark.parametrize("limits", [LIMITS, ASKED], ids=["six goals", "eight"])
def test_alpha_is_split(limits: GateLimits) -> None:
    """Half for errors and latency, half for all the rest: the more goals, the less for each."""
    soft = 2 * (len(OTHERS[limits is ASKED]) + 2)
    for way, gate, parts in (("slow", "latency", 4), ("overridden", "overrides", soft)):
        wanted = math.log(parts / limits.alpha_fail)
        for count in range(10, 60):
            running = bad(way, count, 100)
            bets = tuple(
                count * one + (100 - count) * other
                for one, other in zip(mean_bets(1.0, 0.1), mean_bets(0.0, 0.1), strict=True)
            )
            if way == "slow":
                running = msgspec.structs.replace(running, slow_bets=bets)
            row = row_of(report_of(running, limits=limits), gate)
            assert row.log_e is not None
            assert (row.verdict is FAIL) == (row.log_e >= wanted), (way, count)


OTHERS = {
    False: ["domain", "overrides", "disagreement"],
    True: ["domain", "overrides", "anomalies", "kpi", "disagreement"],
}


WAYS = ("errors", "slow", "outside", "overridden", "anomalous", "kpi")


@pytest.mark.parametrize("way", WAYS)
def test_the_worst_gateway_in_every_way(way: str) -> None:
    """Whatever a gateway got far worse in, it is named with it."""
    subjects = {f"g{number}": replace(history(way, 2), running=bad(way, 0)) for number in range(9)}
    subjects["bad"] = replace(history(way, 2), running=bad(way, 12))
    report = judge(Case("canary", LIMITS, subjects))
    row = row_of(report, "worst_gateway")
    assert row.explanation == f"bad: 12 of 400 windows bad ({way}), before 2 of 2000"
    assert (row.verdict, row.value) == (FAIL, 0.03)
    assert row.limit == pytest.approx(0.003)


CROWD = [Control(past(2000, 20), ran(1000, 10 + number % 3)) for number in range(20)]


def last_look(
    *bad_windows: int, controls: Sequence[Control] = CROWD, confirm: bool = True
) -> GateReport:
    """The report on gateways with so many bad windows of 400, at the end of their soak."""
    subjects = {
        f"g{number}": replace(GOOD, running=ran(400, count), history=past(2000, 20))
        for number, count in enumerate(bad_windows)
    }
    return judge(Case("canary", LIMITS, subjects, controls=controls, confirm=confirm))


def test_the_last_look_is_shown_and_decides_nothing() -> None:
    """How many canaries chosen at random would look worse, once everything has passed."""
    good, worse = last_look(3, 3, 4), last_look(8, 8, 8)
    assert (good.verdict, worse.verdict) == (PASS, PASS)
    assert "permutation" not in good.by
    ordinary, unusual = (row_of(each, "permutation") for each in (good, worse))
    assert (ordinary.verdict, unusual.verdict) == (PASS, PASS)
    assert ordinary.value is not None
    assert unusual.value is not None
    assert unusual.value < 0.01
    assert ordinary.value > 0.5
    assert ordinary.n == 23
    assert last_look(3, 3, 4) == good


UNSEEN = {
    "one of twenty: too few ways to choose it": last_look(4),
    "not at the end of a soak": last_look(4, 4, 4, confirm=False),
    "not while something is undecided": judge(
        Case("canary", LIMITS, {"g1": Subject()}, controls=CROWD, confirm=True)
    ),
    "nobody to compare with": last_look(4, 4, 4, controls=[]),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_no_last_look(name: str) -> None:
    """It is not taken where it would say nothing."""
    assert "permutation" not in [row.gate for row in UNSEEN[name].measurements]


@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=6),
    st.lists(st.floats(-3, 3), min_size=8, max_size=12),
)
@settings(max_examples=25)
def test_chance_is_that_of_a_permutation_test(canary: list[float], control: list[float]) -> None:
    """It is what `scipy.stats.permutation_test` finds, as far as so many choices can tell."""
    found = stats.permutation_test(
        (canary, control),
        lambda left, right, axis: np.mean(left, axis=axis) - np.mean(right, axis=axis),
        n_resamples=10_000,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    assert chance(canary, control) == pytest.approx(found.pvalue, abs=0.07)
