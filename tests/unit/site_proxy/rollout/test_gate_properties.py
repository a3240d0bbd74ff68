"""What holds of every verdict, whatever the evidence: S19 and L7 of the gate."""

from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gates import GateLimits, GateReport, Verdict
from edge_site_proxy.rollout.gates.case import Case, Control, Subject
from edge_site_proxy.rollout.gates.evidence import EMPTY, Counts, Tally
from edge_site_proxy.rollout.gates.gate import judge
from tests.unit.site_proxy.rollout.test_gate import GOOD, RECIPE, past, tally

LONGER = GateLimits()  # as at a plant
LOW = GateLimits(
    windows_min=1,
    inferences_min=1,
    soak_min_s=0.0,
    error_share_max=0.05,
    latency_p99_us_max=10_000,
    restarts_per_day_max=1e6,
    history_days_min=0,
    shifts_min=0,
)

tallies = st.builds(
    tally,
    st.integers(0, 40),
    errors=st.integers(0, 3),
    outside=st.integers(0, 10),
    pairs=st.integers(0, 40),
    disagreed=st.integers(0, 5),
    latency_us=st.sampled_from([1000, 30_000]),
    skip=st.integers(1, 2),
)
subjects = st.builds(
    Subject,
    running=tallies,
    shadow=tallies,
    history=st.none() | st.builds(past, st.integers(1, 2000), st.integers(0, 1)),
    activated=st.booleans(),
    silent_s=st.sampled_from([0.0, 60.0]),
)
cases = st.builds(
    Case,
    cohort=st.just("canary"),
    limits=st.sampled_from([LONGER, LOW]),
    subjects=st.dictionaries(st.sampled_from(["g1", "g2", "g3"]), subjects),
    controls=st.lists(
        st.builds(Control, st.builds(past, st.integers(1, 2000), st.integers(0, 1)), tallies),
        max_size=3,
    ),
)


@given(cases)
def test_a_verdict_is_a_function(case: Case) -> None:
    """The same evidence gives the same report, in whatever order its members stand (S19)."""
    turned = replace(
        case,
        subjects=dict(reversed(list(case.subjects.items()))),
        controls=tuple(reversed(case.controls)),
    )
    one, other = judge(case), judge(turned)
    assert judge(case) == one
    assert (other.verdict, other.by, other.needs) == (one.verdict, one.by, one.needs)


@given(cases)
def test_nothing_missing_ever_passes(case: Case) -> None:
    """Without a window in charge, with a bound unmet or a test undecided, it is no PASS (S19)."""
    report = judge(case)
    verdicts = {row.verdict for row in report.measurements}
    assert (report.verdict is Verdict.PASS) == (verdicts == {Verdict.PASS})
    assert (report.verdict is Verdict.FAIL) == (Verdict.FAIL in verdicts)
    if report.verdict is Verdict.PASS:
        assert report.windows >= case.limits.windows_min
        assert any(each.running.scored for each in case.subjects.values())
    if report.verdict is Verdict.INCONCLUSIVE:
        assert report.needs


@given(cases, st.sampled_from(["veto", "smoke: outputs differ"]))
def test_a_veto_is_never_outweighed(case: Case, words: str) -> None:
    """Whatever else was seen, one veto is a FAIL."""
    vetoed = replace(case, subjects={**case.subjects, "bad": replace(GOOD, veto=words)})
    assert judge(vetoed).verdict is Verdict.FAIL


def grown(share: float, windows: int) -> GateReport:
    """The verdict on three canaries with so many bad windows, where the control has one in 50."""

    def ran(count: int, bad: float) -> Tally:
        counts = {RECIPE: Counts(count, round(bad * count))}
        return msgspec.structs.replace(
            EMPTY,
            windows=count,
            scored=60 * count,
            exposure_s=300.0 * count,
            first=GOOD.running.first,
            last=None if GOOD.running.first is None else GOOD.running.first,
            strata=counts,
        )

    canary = replace(GOOD, running=ran(windows, share), history=past(4000, 80))
    controls = [Control(past(4000, 80), ran(windows, 0.02)) for _ in range(20)]
    limits = msgspec.structs.replace(LOW, coverage_min=0.0)
    named = {f"g{number}": canary for number in range(3)}
    return judge(Case("canary", limits, named, controls=controls, shadow_needed=False))


@given(st.sampled_from([0.0, 0.01, 0.02, 0.025, 0.06, 0.1, 0.3]))
def test_evidence_decides_in_the_end(share: float) -> None:
    """While it accrues and the truth is outside the margins, the gate does not wait for ever (L7).

    Below one and a half times the control it passes, well above 1.1 times it fails; the more
    harm, the sooner.
    """
    verdicts = [grown(share, 50 * 2**step).verdict for step in range(10)]
    wanted = Verdict.PASS if share < 0.03 else Verdict.FAIL
    assert verdicts[-1] is wanted
    assert set(verdicts) <= {wanted, Verdict.INCONCLUSIVE}
    first = verdicts.index(wanted)
    assert all(verdict is wanted for verdict in verdicts[first:])


def test_the_need_shrinks_as_evidence_grows() -> None:
    """What is still needed is never more than before by much, and at last nothing."""
    needs = [grown(0.0, windows).device_hours for windows in (2, 4, 6, 8)]
    assert all(each is not None for each in needs)
    hours = [each or 0.0 for each in needs]
    assert hours == sorted(hours, reverse=True)
    assert grown(0.0, 40).device_hours is None
