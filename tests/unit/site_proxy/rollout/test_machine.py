"""The rollout machine: from each state, which transition follows from what is seen."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.gates import GateReport, Measurement, Stratum, Verdict
from edge_core.contracts.gateway import Outcome, UpdateState
from edge_core.contracts.rollout import (
    Approval,
    ChangeWindow,
    Cohort,
    CohortRule,
    Hold,
    OnFail,
    Plan,
    RolloutState,
    SignedPlanRef,
)
from edge_site_proxy.rollout import orders
from edge_site_proxy.rollout.facts import Facts, Standing
from edge_site_proxy.rollout.holds import numbers
from edge_site_proxy.rollout.machine import step
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import AlarmCall, Header, Rollout, etag_of, plan_digest
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # a Monday
BEFORE = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
SHUT = [ChangeWindow(days=[7], start="06:00", end="14:00")]
POLICY_HERE = msgspec.structs.replace(
    POLICY,
    cohorts=[
        CohortRule(name="canary", share=0.0, least=2),
        CohortRule(name="all", share=1.0, least=1),
    ],
    stage_deadline_s=300.0,
    safety_lag_s=10.0,
    shadow_pairs_min=100,
)
PLAN = Plan(
    rollout="r",
    release=V2,
    rollback_to=V1,
    author="ci",
    created=BEFORE,
    policy=POLICY_HERE,
    cohorts=[
        Cohort(name="canary", members=["g1", "g2", "g3"]),
        Cohort(name="all", members=["g4"]),
        Cohort(name="safety", members=["g5"], safety=True),
    ],
)
ITSELF = msgspec.structs.replace(
    PLAN, policy=msgspec.structs.replace(POLICY_HERE, on_fail=OnFail.AUTO_ROLLBACK)
)
FIRST_ITSELF = msgspec.structs.replace(ITSELF, rollback_to=None)
SIGNED = SignedPlanRef(digest="sha256:" + "9a" * 32, sequence=8, expires=NOW, signers=["key-a"])
OTHER_PLAN = msgspec.structs.replace(PLAN, excluded={"g6": "no target"})
YES = Approval(who="ana", at=BEFORE, ticket="T", reason="ok", plan_digest=plan_digest(PLAN))
S = RolloutState

STAGED = Standing(UpdateState.STAGED, reachable=True, pairs=100)
UNLIKE = replace(STAGED, pairs=0, unpaired=True)
COMMITTED = Standing(UpdateState.COMMITTED, Outcome.SUCCEEDED, reachable=True, runs=True)
DOWNLOADING = Standing(UpdateState.DOWNLOADING, reachable=True)
FAILED = Standing(UpdateState.FAILED_NO_CHANGE, reachable=True)
AWAY = Standing()
TRYING = Standing(UpdateState.TRIAL, reachable=True, runs=True)


def rollout(state: RolloutState, plan: Plan = PLAN, **changes: object) -> Rollout:
    """A rollout in *state*."""
    header = Header(id="r", state=state, why="before", created=BEFORE, changed=BEFORE)
    return Rollout(header=msgspec.structs.replace(header, **changes), plan=plan)


def under(windows: list[ChangeWindow]) -> Plan:
    """PLAN with other change windows."""
    return msgspec.structs.replace(
        PLAN, policy=msgspec.structs.replace(POLICY_HERE, windows=windows)
    )


def canary(*standings: Standing) -> dict[str, Standing]:
    """How the three of the canary stand."""
    return dict(zip(("g1", "g2", "g3"), standings, strict=True))


def report(verdict: Verdict, value: float = 0.0, cohort: str = "canary") -> GateReport:
    """A gate report with one measurement against a limit of 0.1."""
    row = Measurement(
        gate="disagreement",
        verdict=verdict,
        value=value,
        limit=0.1,
        unit="1",
        n=60,
        explanation="6 of 60 classed otherwise",
    )
    return GateReport(
        cohort=cohort,
        verdict=verdict,
        by=["disagreement"],
        measurements=[row, msgspec.structs.replace(row, gate="errors", explanation="none")],
        needs="8 more health windows",
    )


PASS, FAIL, UNSURE = (report(each) for each in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE))
OVER = report(Verdict.INCONCLUSIVE, value=0.1)
FEW_WINDOWS = msgspec.structs.replace(
    UNSURE, measurements=[PASS.measurements[0], UNSURE.measurements[1]]
)


@dataclass(frozen=True)
class Row:
    """A rollout and what is seen; the state and event that follow, "" where nothing does."""

    rollout: Rollout
    facts: Facts
    state: RolloutState
    event: str = ""
    cohort: int = 0
    holds: frozenset[Hold] = frozenset()


def stays(before: Rollout, facts: Facts) -> Row:
    """Nothing follows."""
    return Row(
        before, facts, before.state, "", before.header.cohort, frozenset(before.header.holds)
    )


def holds(before: Rollout, facts: Facts, hold: Hold) -> Row:
    """The machine holds, and stays where it is."""
    return Row(
        before, facts, before.state, "rollout.held", before.header.cohort, frozenset({hold})
    )


STAGING, ACTIVATING, SOAKING = rollout(S.STAGING), rollout(S.ACTIVATING), rollout(S.SOAKING)
SAFE = rollout(S.ACTIVATING, cohort=2)
GUARDED = rollout(S.ACTIVATING, under(SHUT), cohort=2)
HELD = {Hold.OPERATOR: "wait"}

ROWS = {
    "verifying while another rollout of the model moves: wait": stays(
        rollout(S.VERIFYING), Facts(waits_for="q", fresh=PLAN)
    ),
    "verifying, nothing known yet: wait": stays(rollout(S.VERIFYING), Facts()),
    "verified: planned, and put before the approvers": Row(
        rollout(S.VERIFYING), Facts(fresh=PLAN), S.AWAITING_APPROVAL, "rollout.planned"
    ),
    "cannot be planned: rejected": Row(
        rollout(S.VERIFYING), Facts(refusal="no lines"), S.REJECTED, "rollout.rejected"
    ),
    "awaiting approval of what would still be planned: wait": stays(
        rollout(S.AWAITING_APPROVAL), Facts(fresh=PLAN)
    ),
    "awaiting approval, the plant unknown for now: wait": stays(
        rollout(S.AWAITING_APPROVAL), Facts()
    ),
    "awaiting approval, the plant has changed: planned again": Row(
        rollout(S.AWAITING_APPROVAL, approvals=[YES]),
        Facts(fresh=OTHER_PLAN),
        S.AWAITING_APPROVAL,
        "rollout.planned",
    ),
    "awaiting approval, another rollout went first: planned when it has ended": Row(
        rollout(S.AWAITING_APPROVAL, approvals=[YES]),
        Facts(waits_for="q"),
        S.VERIFYING,
        "rollout.deferred",
    ),
    "approved: the canary is staged": Row(
        rollout(S.APPROVED), Facts(), S.STAGING, "rollout.staging"
    ),
    "approved behind another rollout: wait": stays(rollout(S.APPROVED), Facts(waits_for="q")),
    "approved and held: wait": stays(rollout(S.APPROVED, holds=HELD), Facts()),
    "awaiting approval, a signed plan names another release: it gives way": Row(
        rollout(S.AWAITING_APPROVAL, approvals=[YES]),
        Facts(fresh=PLAN, steered_away="signed plan 8 of pump"),
        S.SUPERSEDED,
        "rollout.superseded",
    ),
    "approved and not begun, a signed plan names another release: it gives way": Row(
        rollout(S.APPROVED, holds=HELD),
        Facts(steered_away="signed plan 8 of pump", waits_for="q"),
        S.SUPERSEDED,
        "rollout.superseded",
        0,
        frozenset({Hold.OPERATOR}),
    ),
    "begun, a signed plan names another release: it goes on": Row(
        STAGING,
        Facts(canary(STAGED, STAGED, STAGED), steered_away="signed plan 8 of pump"),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "awaiting approval, another plan was signed for it: planned again": Row(
        rollout(S.AWAITING_APPROVAL, approvals=[YES]),
        Facts(fresh=msgspec.structs.replace(PLAN, signed=SIGNED)),
        S.AWAITING_APPROVAL,
        "rollout.planned",
    ),
    "all staged: activate": Row(
        STAGING, Facts(canary(STAGED, STAGED, STAGED)), S.ACTIVATING, "rollout.activating"
    ),
    "staged but for one that can still be reached: wait": stays(
        STAGING, Facts(canary(STAGED, STAGED, DOWNLOADING))
    ),
    "staged but for one that is away: activate without it": Row(
        STAGING, Facts(canary(STAGED, STAGED, AWAY)), S.ACTIVATING, "rollout.activating"
    ),
    "staged but for one that failed: activate without it": Row(
        STAGING, Facts(canary(STAGED, STAGED, FAILED)), S.ACTIVATING, "rollout.activating"
    ),
    "enough staged at the deadline: activate without the slow one": Row(
        STAGING,
        Facts(canary(STAGED, STAGED, DOWNLOADING), phase_s=300.0),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "too few staged, nobody else in reach: wait": stays(
        STAGING, Facts(canary(STAGED, AWAY, AWAY))
    ),
    "too few staged at the deadline: held": holds(
        STAGING, Facts(canary(STAGED, AWAY, DOWNLOADING), phase_s=300.0), Hold.BLAST
    ),
    "too few left in staging: held": holds(
        STAGING, Facts(canary(STAGED, FAILED, FAILED)), Hold.BLAST
    ),
    "staged but hardly seen beside the present model: wait": stays(
        STAGING, Facts(canary(*[replace(STAGED, pairs=99)] * 3))
    ),
    "hardly seen until the deadline: a person decides": holds(
        STAGING,
        Facts(canary(*[replace(STAGED, pairs=99)] * 3), phase_s=300.0),
        Hold.GATE_INCONCLUSIVE,
    ),
    "just as many as needed, hardly seen until the deadline: a person decides": holds(
        STAGING,
        Facts(canary(replace(STAGED, pairs=99), replace(STAGED, pairs=99), AWAY), phase_s=300.0),
        Hold.GATE_INCONCLUSIVE,
    ),
    "never to be seen beside a model of other windows: a person decides at once": holds(
        STAGING, Facts(canary(*[UNLIKE] * 3)), Hold.GATE_INCONCLUSIVE
    ),
    "too few are left that can be seen beside it: a person decides": holds(
        STAGING, Facts(canary(UNLIKE, UNLIKE, STAGED)), Hold.GATE_INCONCLUSIVE
    ),
    "one alone is never to be seen beside it: the others are waited for": stays(
        STAGING, Facts(canary(UNLIKE, replace(STAGED, pairs=99), replace(STAGED, pairs=99)))
    ),
    "never to be seen beside it, and waived: activate": Row(
        rollout(S.STAGING, waived=[0]),
        Facts(canary(*[UNLIKE] * 3)),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "hardly seen, but nothing to be seen beside: activate": Row(
        rollout(S.STAGING, msgspec.structs.replace(PLAN, rollback_to=None)),
        Facts(canary(*[replace(STAGED, pairs=0)] * 3)),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "pairs that cannot tell yet, a moment before the deadline: more of them": stays(
        STAGING, Facts(canary(STAGED, STAGED, STAGED), {0: UNSURE}, phase_s=299.0)
    ),
    "pairs that cannot tell at the deadline: activate, and let the soak decide": Row(
        STAGING,
        Facts(canary(STAGED, STAGED, STAGED), {0: UNSURE}, phase_s=300.0),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "pairs that cannot tell yet, and a person moved on: activate": Row(
        rollout(S.STAGING, waived=[0]),
        Facts(canary(STAGED, STAGED, STAGED), {0: UNSURE}),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "the pairs have decided, other evidence has not: activate": Row(
        STAGING,
        Facts(canary(STAGED, STAGED, STAGED), {0: FEW_WINDOWS}),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "over a limit in shadow, not proved: watched for longer": stays(
        STAGING, Facts(canary(STAGED, STAGED, STAGED), {0: OVER})
    ),
    "over a limit in shadow until the deadline: a person decides": holds(
        STAGING,
        Facts(canary(STAGED, STAGED, STAGED), {0: OVER}, phase_s=300.0),
        Hold.GATE_INCONCLUSIVE,
    ),
    "over a limit in shadow, and a person moved on: activate": Row(
        rollout(S.STAGING, waived=[0]),
        Facts(canary(STAGED, STAGED, STAGED), {0: OVER}, phase_s=300.0),
        S.ACTIVATING,
        "rollout.activating",
    ),
    "nobody of a later cohort was heard by the deadline: it is passed over": Row(
        rollout(S.STAGING, cohort=1), Facts(phase_s=300.0), S.GATED, "rollout.cohort_absent", 1
    ),
    "nobody of a later cohort was heard yet: wait": stays(
        rollout(S.STAGING, cohort=1), Facts(phase_s=299.0)
    ),
    "nobody of the canary was heard by the deadline: held": holds(
        STAGING, Facts(phase_s=300.0), Hold.BLAST
    ),
    "one of a later cohort is in reach at the deadline: held": holds(
        rollout(S.STAGING, cohort=1), Facts({"g4": DOWNLOADING}, phase_s=300.0), Hold.BLAST
    ),
    "one of a later cohort may be changing at the deadline: held": holds(
        rollout(S.STAGING, cohort=1),
        Facts({"g4": Standing(permit_live=True)}, phase_s=300.0),
        Hold.BLAST,
    ),
    "held in staging: wait": stays(
        rollout(S.STAGING, holds=HELD), Facts(canary(STAGED, STAGED, STAGED))
    ),
    "all committed: soak": Row(
        ACTIVATING, Facts(canary(COMMITTED, COMMITTED, COMMITTED)), S.SOAKING, "rollout.soaking"
    ),
    "ran it already: counts as committed": Row(
        ACTIVATING,
        Facts(canary(COMMITTED, COMMITTED, Standing(runs=True, outcome=Outcome.ALREADY))),
        S.SOAKING,
        "rollout.soaking",
    ),
    "one still on trial: wait": stays(ACTIVATING, Facts(canary(COMMITTED, COMMITTED, TRYING))),
    "one still on trial and out of reach: wait": stays(
        ACTIVATING, Facts(canary(COMMITTED, COMMITTED, replace(TRYING, reachable=False)))
    ),
    "one that never started is in reach: wait": stays(
        ACTIVATING, Facts(canary(COMMITTED, COMMITTED, STAGED))
    ),
    "one that never started is away: soak without it": Row(
        ACTIVATING, Facts(canary(COMMITTED, COMMITTED, AWAY)), S.SOAKING, "rollout.soaking"
    ),
    "one that came late does not count": Row(
        rollout(S.ACTIVATING, late=["g3"]),
        Facts(canary(COMMITTED, COMMITTED, STAGED)),
        S.SOAKING,
        "rollout.soaking",
    ),
    "too few committed, nobody in reach: wait": stays(
        ACTIVATING, Facts(canary(COMMITTED, AWAY, AWAY))
    ),
    "too few left in activation: held": holds(
        ACTIVATING, Facts(canary(COMMITTED, FAILED, FAILED)), Hold.BLAST
    ),
    "as many left as needed: not held": stays(
        ACTIVATING, Facts(canary(COMMITTED, STAGED, FAILED))
    ),
    "no verdict yet: soak on": stays(SOAKING, Facts(gates={0: UNSURE})),
    "no report at all: soak on": stays(SOAKING, Facts()),
    "the gate passed: gated": Row(SOAKING, Facts(gates={0: PASS}), S.GATED, "rollout.gated"),
    "another cohort's pass is none": stays(SOAKING, Facts(gates={1: PASS})),
    "the gate cannot tell, a person moved on: gated": Row(
        rollout(S.SOAKING, waived=[0]), Facts(gates={0: UNSURE}), S.GATED, "rollout.gated"
    ),
    "no report, a person moved on: gated": Row(
        rollout(S.SOAKING, waived=[0]), Facts(), S.GATED, "rollout.gated"
    ),
    "the longest soak is over without a verdict: a person decides": holds(
        SOAKING, Facts(gates={0: UNSURE}, phase_s=600.0), Hold.GATE_INCONCLUSIVE
    ),
    "the longest soak is over without a report: a person decides": holds(
        SOAKING, Facts(phase_s=600.0), Hold.GATE_INCONCLUSIVE
    ),
    "the longest soak is over with a pass: gated": Row(
        SOAKING, Facts(gates={0: PASS}, phase_s=600.0), S.GATED, "rollout.gated"
    ),
    "the longest soak ends only then": stays(SOAKING, Facts(gates={0: UNSURE}, phase_s=599.0)),
    "an undecided gate stays held until a person moves on": stays(
        rollout(S.SOAKING, holds={Hold.GATE_INCONCLUSIVE: "x"}), Facts(gates={0: PASS})
    ),
    "gated: the next cohort is staged": Row(
        rollout(S.GATED), Facts(), S.STAGING, "rollout.staging", 1
    ),
    "gated before a safety zone: a stable interval first": Row(
        rollout(S.GATED, cohort=1), Facts(), S.SAFETY_LAG, "rollout.lagging", 1
    ),
    "gated before a safety zone, no interval asked: staged": Row(
        rollout(
            S.GATED,
            msgspec.structs.replace(
                PLAN, policy=msgspec.structs.replace(POLICY_HERE, safety_lag_s=0.0)
            ),
            cohort=1,
        ),
        Facts(),
        S.STAGING,
        "rollout.staging",
        2,
    ),
    "gated within the safety zones: no second interval": Row(
        rollout(
            S.GATED,
            msgspec.structs.replace(
                PLAN,
                cohorts=[
                    *PLAN.cohorts,
                    Cohort(name="safety-2", members=["g6"], safety=True),
                ],
            ),
            cohort=2,
        ),
        Facts(),
        S.STAGING,
        "rollout.staging",
        3,
    ),
    "the last cohort is gated: completed": Row(
        rollout(S.GATED, cohort=2), Facts(), S.COMPLETED, "rollout.completed", 2
    ),
    "the stable interval is not over: wait": stays(
        rollout(S.SAFETY_LAG, cohort=1), Facts(phase_s=9.9)
    ),
    "the stable interval is over: the safety zone is staged": Row(
        rollout(S.SAFETY_LAG, cohort=1), Facts(phase_s=10.0), S.STAGING, "rollout.staging", 2
    ),
    "a failed gate holds, whatever the state": Row(
        STAGING,
        Facts(canary(STAGED, STAGED, STAGED), {0: FAIL}),
        S.STAGING,
        "rollout.gate_failed",
        0,
        frozenset({Hold.GATE_FAIL}),
    ),
    "an earlier cohort's gate fails later: held": Row(
        rollout(S.SOAKING, cohort=1),
        Facts(gates={0: FAIL, 1: PASS}),
        S.SOAKING,
        "rollout.gate_failed",
        1,
        frozenset({Hold.GATE_FAIL}),
    ),
    "a failed gate is held once": stays(
        rollout(S.SOAKING, holds={Hold.GATE_FAIL: "x"}), Facts(gates={0: FAIL})
    ),
    "the plan takes itself back: a failed gate holds first": Row(
        rollout(S.SOAKING, ITSELF),
        Facts(gates={0: FAIL}, epoch=9),
        S.SOAKING,
        "rollout.gate_failed",
        0,
        frozenset({Hold.GATE_FAIL}),
    ),
    "then it is taken back, in spite of every hold": Row(
        rollout(S.SOAKING, ITSELF, cohort=1, holds={**HELD, Hold.GATE_FAIL: "canary failed"}),
        Facts(gates={0: FAIL}, clock_trusted=False, epoch=9),
        S.ROLLING_BACK,
        "rollout.rollback_ordered",
        1,
        frozenset({Hold.OPERATOR, Hold.GATE_FAIL}),
    ),
    "taken back before anybody was activated": Row(
        rollout(S.STAGING, ITSELF, holds={Hold.GATE_FAIL: "x"}),
        Facts(gates={0: FAIL}, epoch=9),
        S.ROLLING_BACK,
        "rollout.rollback_ordered",
        0,
        frozenset({Hold.GATE_FAIL}),
    ),
    "nothing to go back to: a failed gate stays held": stays(
        rollout(S.SOAKING, FIRST_ITSELF, holds={Hold.GATE_FAIL: "x"}), Facts(gates={0: FAIL})
    ),
    "a gate that cannot tell takes nothing back": Row(
        rollout(S.SOAKING, ITSELF),
        Facts(gates={0: UNSURE}, phase_s=600.0),
        S.SOAKING,
        "rollout.held",
        0,
        frozenset({Hold.GATE_INCONCLUSIVE}),
    ),
    "nor does it later": stays(
        rollout(S.SOAKING, ITSELF, holds={Hold.GATE_INCONCLUSIVE: "x"}),
        Facts(gates={0: UNSURE}, phase_s=601.0),
    ),
    "a failed gate that people waived takes nothing back": Row(
        rollout(S.SOAKING, ITSELF, waived=[0]), Facts(gates={0: FAIL}), S.GATED, "rollout.gated"
    ),
    "a veto after the end takes nothing back": stays(
        rollout(S.COMPLETED, ITSELF, holds={Hold.GATE_FAIL: "g1: smoke"}), Facts(epoch=9)
    ),
    "a failed gate that a person moved on from does not hold again": Row(
        rollout(S.SOAKING, waived=[0]),
        Facts(gates={0: FAIL}),
        S.GATED,
        "rollout.gated",
    ),
    "a safety zone outside its window: held": holds(GUARDED, Facts(), Hold.WINDOW),
    "a plain cohort outside the window: not held": stays(
        rollout(S.ACTIVATING, under(SHUT)), Facts(canary(STAGED, STAGED, STAGED))
    ),
    "a safety zone is staged at any time": stays(
        rollout(S.STAGING, under(SHUT), cohort=2), Facts({"g5": DOWNLOADING}, clock_trusted=False)
    ),
    "a safety zone by a clock nobody trusts: held for the clock alone": holds(
        GUARDED, Facts(clock_trusted=False), Hold.CLOCK
    ),
    "a plain cohort needs no clock": stays(
        ACTIVATING, Facts(canary(STAGED, STAGED, STAGED), clock_trusted=False)
    ),
    "the window opens: its hold goes": Row(
        rollout(S.ACTIVATING, cohort=2, holds={Hold.WINDOW: "x"}),
        Facts(),
        S.ACTIVATING,
        "rollout.hold_cleared",
        2,
    ),
    "one hold goes, the others stand": Row(
        rollout(S.ACTIVATING, cohort=2, holds={Hold.WINDOW: "x", Hold.OPERATOR: "wait"}),
        Facts(),
        S.ACTIVATING,
        "rollout.hold_cleared",
        2,
        frozenset({Hold.OPERATOR}),
    ),
    "in its window and staged: wait for the permit": stays(SAFE, Facts({"g5": STAGED})),
    "rolling back, one still runs it: wait": stays(
        rollout(S.ROLLING_BACK, holds=HELD), Facts(canary(COMMITTED, AWAY, AWAY))
    ),
    "rolling back, one is still in the air: wait": stays(
        rollout(S.ROLLING_BACK),
        Facts(canary(Standing(reachable=True, permit_live=True), AWAY, AWAY)),
    ),
    "rolling back, one that is away still runs it: it will hear when it is back": Row(
        rollout(S.ROLLING_BACK, holds=HELD),
        Facts(canary(replace(COMMITTED, reachable=False), AWAY, AWAY)),
        S.ROLLED_BACK,
        "rollout.rolled_back",
        0,
        frozenset({Hold.OPERATOR}),
    ),
    "rolling back, one is stuck: incomplete": Row(
        rollout(S.ROLLING_BACK),
        Facts(canary(Standing(UpdateState.FAIL_SAFE, reachable=True, runs=True), AWAY, AWAY)),
        S.ROLLBACK_INCOMPLETE,
        "rollout.rollback_incomplete",
    ),
    "rolling back, one is long overdue: incomplete": Row(
        rollout(S.ROLLING_BACK),
        Facts(canary(replace(COMMITTED, overdue_s=1.0), AWAY, AWAY)),
        S.ROLLBACK_INCOMPLETE,
        "rollout.rollback_incomplete",
    ),
    "rolling back, one in the last cohort still runs it: wait": stays(
        rollout(S.ROLLING_BACK), Facts({"g5": COMMITTED})
    ),
    "completed: nothing more": stays(rollout(S.COMPLETED), Facts(gates={0: FAIL})),
}


# Where a rollout goes on as planned, there is nothing left to explain.
GOES_ON = {
    f"rollout.{verb}"
    for verb in (
        "planned",
        "staging",
        "cohort_absent",
        "activating",
        "soaking",
        "gated",
        "lagging",
        "completed",
    )
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_step(row: Row) -> None:
    """One transition at a time, with its one event, or none."""
    made = step(row.rollout, row.facts, NOW)
    if not row.event:
        assert made is None
        return
    assert made is not None
    after = made.rollout
    assert (after.state, made.event.kind) == (row.state, row.event)
    assert (after.header.cohort, frozenset(after.header.holds)) == (row.cohort, row.holds)
    assert (made.event.subject, after.header.changed) == ("r", NOW)
    stands = {"state": after.state.value, "cohort_number": row.cohort}
    assert stands.items() <= made.event.facts.items()
    if row.event in GOES_ON:
        assert (after.header.why, made.event.facts.get("why")) == ("", None)


def alarms_of(name: str) -> tuple[AlarmCall, ...]:
    """Who is told in the row of that name."""
    row = ROWS[name]
    made = step(row.rollout, row.facts, NOW)
    assert made is not None
    return made.alarms


ALARMS: dict[str, tuple[str, Priority, str, str]] = {
    "cannot be planned: rejected": (
        "rollout/r/rejected",
        Priority.P2,
        "rollout-rejected",
        "cannot be planned: no lines",
    ),
    "a failed gate holds, whatever the state": (
        "rollout/r/gate",
        Priority.P1,
        "gate-failed",
        "cohort canary failed its gate (disagreement: 6 of 60 classed otherwise)",
    ),
    "too few left in staging: held": (
        "rollout/r/blast",
        Priority.P2,
        "rollout-held",
        "cohort canary needs 2 gateways staged, has 1, 2 failed",
    ),
    "too few left in activation: held": (
        "rollout/r/blast",
        Priority.P2,
        "rollout-held",
        "cohort canary needs 2 gateways, 1 are left",
    ),
    "the longest soak is over without a verdict: a person decides": (
        "rollout/r/inconclusive",
        Priority.P2,
        "rollout-held",
        "the gate cannot tell: 8 more health windows",
    ),
    "the longest soak is over without a report: a person decides": (
        "rollout/r/inconclusive",
        Priority.P2,
        "rollout-held",
        "the gate cannot tell: no evidence",
    ),
    "rolling back, one is long overdue: incomplete": (
        "rollout/r/rollback",
        Priority.P1,
        "rollback-failed",
        "rollback of r: long overdue on 1 of 5 gateways",
    ),
}


@pytest.mark.parametrize("name", ALARMS)
def test_who_is_told(name: str) -> None:
    """One alarm, that says what happened, how urgent it is, and where to read on."""
    key, priority, runbook, what = ALARMS[name]
    (alarm,) = alarms_of(name)
    assert (alarm.key, alarm.priority, alarm.runbook) == (key, priority, runbook)
    assert what in alarm.what
    assert alarm.consequence


SILENT = (
    "a safety zone outside its window: held",
    "a safety zone by a clock nobody trusts: held for the clock alone",
    "verified: planned, and put before the approvers",
)


@pytest.mark.parametrize("name", SILENT)
def test_nobody_is_told(name: str) -> None:
    """What comes round by itself disturbs nobody."""
    assert alarms_of(name) == ()


def made(name: str) -> tuple[Header, dict[str, object], tuple[str, ...]]:
    """Header, recorded facts and cleared alarms after the row of that name."""
    row = ROWS[name]
    after = step(row.rollout, row.facts, NOW)
    assert after is not None
    return after.rollout.header, dict(after.event.facts), after.cleared


def test_a_new_plan_needs_new_approvals() -> None:
    """What was approved is gone with the plan it was about."""
    header, facts, _ = made("awaiting approval, the plant has changed: planned again")
    assert (header.approvals, header.plan_digest) == ([], plan_digest(OTHER_PLAN))
    assert facts["plan"] == header.plan_digest
    assert (facts["release"], facts["rollback_to"]) == (V2.digest, V1.digest)
    assert facts["cohorts"] == {"canary": ["g1", "g2", "g3"], "all": ["g4"], "safety": ["g5"]}


def test_the_log_says_under_which_signed_plan() -> None:
    """By its digest; None where upstream signed none."""
    assert (
        made("awaiting approval, the plant has changed: planned again")[1]["signed_plan"] is None
    )
    _, facts, _ = made("awaiting approval, another plan was signed for it: planned again")
    assert facts["signed_plan"] == SIGNED.digest
    header, facts, _ = made("awaiting approval, a signed plan names another release: it gives way")
    assert (header.why, facts["by"]) == (
        "superseded by signed plan 8 of pump",
        "signed plan 8 of pump",
    )


def test_a_deferred_plan_loses_its_approvals() -> None:
    """It says what it waits for, and is approved anew when it is planned anew."""
    header, facts, _ = made(
        "awaiting approval, another rollout went first: planned when it has ended"
    )
    assert (header.approvals, header.why) == ([], "must be planned again when q has ended")
    assert facts["why"] == header.why


def test_a_slow_member_is_late() -> None:
    """Whoever is not staged when activation begins no longer counts; whoever failed is no wait."""
    assert made("enough staged at the deadline: activate without the slow one")[0].late == ["g3"]
    assert made("staged but for one that failed: activate without it")[0].late == []


def test_late_members_add_up() -> None:
    """Late members of this cohort come to those of the cohorts before."""
    before = rollout(S.STAGING, late=["g9"])
    after = step(before, Facts(canary(STAGED, STAGED, AWAY), phase_s=300.0), NOW)
    assert after is not None
    assert after.rollout.header.late == ["g9", "g3"]


def test_an_absent_cohort_is_late() -> None:
    """Its members come to those that no longer count, and catch up when they are back."""
    before = rollout(S.STAGING, cohort=1, late=["g9"])
    after = step(before, Facts(phase_s=300.0), NOW)
    assert after is not None
    assert after.rollout.header.late == ["g9", "g4"]


def test_a_rejected_plan_says_why() -> None:
    """The header and the log keep the reason; there is no cohort to speak of before a plan."""
    header, facts, _ = made("cannot be planned: rejected")
    assert header.why == "no lines"
    assert facts["why"] == "no lines"
    unplanned = msgspec.structs.replace(PLAN, cohorts=[])
    after = step(rollout(S.VERIFYING, unplanned), Facts(refusal="no lines"), NOW)
    assert after is not None
    assert "cohort" not in after.event.facts


def test_the_report_that_decided_is_kept() -> None:
    """The header keeps it, and the log keeps its figures."""
    header, facts, _ = made("the gate passed: gated")
    assert header.gates == [PASS]
    assert (facts["verdict"], facts["by"], facts["waived"]) == ("pass", ["disagreement"], False)
    assert facts["measurements"] == [
        {
            "gate": gate,
            "verdict": "pass",
            "value": 0.0,
            "limit": 0.1,
            "n": 60,
            "log_e": None,
            "log_e_good": None,
        }
        for gate in ("disagreement", "errors")
    ]
    header, facts, _ = made("a failed gate holds, whatever the state")
    assert header.gates == [FAIL]
    assert header.holds[Hold.GATE_FAIL] == header.why
    assert (facts["cohort"], facts["by"]) == ("canary", ["disagreement"])
    assert [row["gate"] for row in numbers(FAIL)] == ["disagreement", "errors"]
    assert facts["measurements"] == numbers(FAIL)


def test_the_log_keeps_what_a_verdict_rests_on() -> None:
    """The four numbers of each stratum, and the evidence at each alternative, for a comparison."""
    stratum = Stratum(name="recipe A", bad=3, both=9, expected=1.5, expected_control=20.0)
    worse, better = [0.1, 0.2], [-0.3, 0.4]
    compared = msgspec.structs.replace(
        PASS.measurements[0],
        log_e=1.25,
        log_e_good=3.5,
        strata=[stratum],
        worse=worse,
        better=better,
    )
    kept = numbers(msgspec.structs.replace(PASS, measurements=[compared]))
    assert kept == [
        {
            "gate": "disagreement",
            "verdict": "pass",
            "value": 0.0,
            "limit": 0.1,
            "n": 60,
            "log_e": 1.25,
            "log_e_good": 3.5,
            "strata": [["recipe A", 3, 9, 1.5, 20.0]],
            "worse": worse,
            "better": better,
        }
    ]
    assert numbers(None) == []


def test_a_hold_is_recorded_with_its_cause() -> None:
    """The log says which hold, and why; and which one went, without a word to anybody."""
    header, facts, _ = made("a safety zone by a clock nobody trusts: held for the clock alone")
    assert (facts["hold"], facts["cause"]) == ("clock", header.holds[Hold.CLOCK])
    assert made("the window opens: its hold goes")[1]["hold"] == "window"
    assert alarms_of("the window opens: its hold goes") == ()


def test_an_alarm_is_never_longer_than_it_may_be() -> None:
    """However much a gate has to say, an alarm holds five hundred characters of it."""
    wordy = msgspec.structs.replace(FAIL.measurements[0], explanation="x" * 490)
    verdict = msgspec.structs.replace(FAIL, measurements=[wordy])
    after = step(STAGING, Facts(gates={0: verdict}), NOW)
    assert after is not None
    assert [len(alarm.what) for alarm in after.alarms] == [500]


def test_who_took_it_back() -> None:
    """The order is the site's own, names the gate, and begins the epoch that it was given."""
    header, facts, cleared = made("then it is taken back, in spite of every hold")
    assert (header.rollback_epoch, facts["epoch"]) == (9, 9)
    assert (facts["from"], facts["to"]) == (V2.digest, V1.digest)
    reason = "on_fail is auto_rollback: canary failed"
    assert (header.rollback_reason, facts["reason"]) == (reason, reason)
    assert header.why == f"site-proxy: {reason}"
    assert header.last_order.startswith("site-proxy rolled it back")
    assert (alarms_of("then it is taken back, in spite of every hold"), cleared) == ((), ())


def test_a_gateway_can_read_why_it_is_taken_back() -> None:
    """However much the gate has to say, an order to go back holds five hundred characters."""
    held = rollout(S.SOAKING, ITSELF, holds={Hold.GATE_FAIL: "x" * 500})
    after = step(held, Facts(), NOW)
    assert after is not None
    assert len(after.rollout.header.rollback_reason) == 500


PAGED = {
    "held for a person": (PLAN, "the rollout is held"),
    "the site takes it back": (ITSELF, "the site takes back"),
    "nothing to take back to": (FIRST_ITSELF, "the rollout is held"),
}


@pytest.mark.parametrize("name", PAGED)
def test_the_page_says_what_follows(name: str) -> None:
    """Whoever is woken reads whether they have to do something at once."""
    plan, words = PAGED[name]
    after = step(rollout(S.SOAKING, plan), Facts(gates={0: FAIL}), NOW)
    assert after is not None
    (page,) = after.alarms
    assert words in page.consequence


def test_a_waived_gate_says_so() -> None:
    """Without a report there is nothing to keep but that a person moved on."""
    header, facts, _ = made("no report, a person moved on: gated")
    assert header.gates == []
    assert (facts["waived"], facts["measurements"]) == (True, [])
    assert "verdict" not in facts


def test_an_event_says_from_where_to_where() -> None:
    """The log alone tells how a rollout went."""
    facts = made("gated: the next cohort is staged")[1]
    assert facts == {
        "from": "gated",
        "to": "staging",
        "cohort": "all",
        "state": "staging",
        "cohort_number": 1,
        "holds": [],
    }


def test_what_is_over_is_cleared() -> None:
    """A hold that goes takes its alarm with it; so does a rollout that was rolled back."""
    assert made("the window opens: its hold goes")[2] == ()
    name = "rolling back, one that is away still runs it: it will hear when it is back"
    assert made(name)[2] == ("rollout/r/gate", "rollout/r/inconclusive")


def test_a_gate_that_fails_late_is_waived_itself() -> None:
    """The first cohort's gate fails while the second activates: it is waived, not the second's."""
    before = rollout(S.ACTIVATING, approvals=[YES], cohort=1)
    facts = Facts(gates={0: report(Verdict.FAIL), 1: report(Verdict.INCONCLUSIVE, cohort="all")})
    held = step(before, facts, NOW)
    assert held is not None
    sender = Sender("ana", etag_of(held.rollout))
    resumed = orders.resume(held.rollout, "the sensor was dirty", sender, NOW)
    assert resumed.event.facts["waived"] == "canary"
    assert (resumed.rollout.header.waived, resumed.rollout.header.holds) == ([0], {})
    again = step(resumed.rollout, facts, NOW)
    assert again is None or Hold.GATE_FAIL not in again.rollout.header.holds
