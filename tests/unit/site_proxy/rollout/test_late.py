"""What comes late: deadlines, gateways that catch up, and vetoes after the end; row by row."""

from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec
import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.errors import ConflictError
from edge_core.contracts.gateway import Outcome, UpdateState
from edge_core.contracts.rollout import TERMINAL, Hold, RolloutState
from edge_site_proxy.rollout import orders
from edge_site_proxy.rollout.deadlines import BACK_S, LOAD_S, SLACK_S, deadline_s, overdue_s
from edge_site_proxy.rollout.facts import Facts, Standing
from edge_site_proxy.rollout.machine import step
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.permits import CatchUp, Deferred, Granted, decide, expiry
from edge_site_proxy.rollout.records import Rollout, etag_of
from tests.unit.site_proxy.plant.plant import ALWAYS, POLICY
from tests.unit.site_proxy.rollout.test_machine import (
    AWAY,
    COMMITTED,
    NOW,
    TRYING,
    YES,
    canary,
    rollout,
)
from tests.unit.site_proxy.rollout.test_permits import ASK, SHUT, SIGNED, windowed, with_

S = RolloutState
ENDS = {
    UpdateState.COMMITTED,
    UpdateState.ROLLED_BACK,
    UpdateState.FAILED_NO_CHANGE,
    UpdateState.ROLLBACK_FAILED,
    UpdateState.FAIL_SAFE,
    UpdateState.CANCELLED,
}
DEADLINES = {
    UpdateState.IDLE: POLICY.stage_deadline_s,
    UpdateState.ASSIGNED: POLICY.stage_deadline_s,
    UpdateState.DOWNLOADING: POLICY.stage_deadline_s,
    UpdateState.VERIFIED: POLICY.stage_deadline_s,
    UpdateState.STAGED: POLICY.stage_deadline_s,
    UpdateState.AWAITING_PERMIT: POLICY.stage_deadline_s,
    UpdateState.ACTIVATING: POLICY.permit_valid_s + LOAD_S,
    UpdateState.TRIAL: POLICY.trial.duration_max_s + SLACK_S,
    UpdateState.ROLLING_BACK: BACK_S,
}


@pytest.mark.parametrize("state", UpdateState)
def test_every_state_has_a_deadline(state: UpdateState) -> None:
    """Every state that is not an end has one, and an end has none (P1)."""
    assert deadline_s(state, POLICY) == (None if state in ENDS else DEADLINES[state])


@pytest.mark.parametrize("state", UpdateState)
def test_how_far_beyond(state: UpdateState) -> None:
    """Nothing before the deadline nor at it, then what is beyond; an end is never overdue."""
    limit_s = DEADLINES.get(state, 0.0)
    beyond = [overdue_s(state, limit_s + over, POLICY) for over in (-1.0, 0.0, 7.0)]
    assert beyond == [0.0, 0.0, 0.0 if state in ENDS else 7.0]


TODAY = CatchUp(policy=POLICY)
SIGNED_AT = SIGNED.at + timedelta(seconds=POLICY.catch_up_s)
SHORT = msgspec.structs.replace(POLICY, catch_up_s=3600.0)
CATCH_UPS = {
    "nobody else, approved lately": (replace(ASK, catch_up=TODAY), ""),
    "its earlier results come first": (
        replace(ASK, catch_up=replace(TODAY, drained=False)),
        "still coming in",
    ),
    "in the last second of its approval": (
        replace(ASK, catch_up=TODAY, now=SIGNED_AT - timedelta(seconds=1)),
        "",
    ),
    "when its approval is over": (replace(ASK, catch_up=TODAY, now=SIGNED_AT), "has expired"),
    "today approvals cover less": (
        replace(ASK, catch_up=CatchUp(policy=SHORT), now=SIGNED.at + timedelta(hours=1)),
        "covered late gateways until 2026-11-23 09:00 UTC",
    ),
    "in its own rollout too an approval that is over has to be renewed": (
        replace(ASK, now=SIGNED_AT + timedelta(days=1)),
        "approved anew",
    ),
    "two others are at it": (replace(ASK, catch_up=replace(TODAY, others=["g8", "g9"])), ""),
    "as many as may are at it": (
        replace(ASK, catch_up=replace(TODAY, others=["g7", "g8", "g9"])),
        "g7, g8, g9 are catching up",
    ),
    "today two have to approve": (
        replace(ASK, catch_up=CatchUp(policy=msgspec.structs.replace(POLICY, approvals=2))),
        "needs 2 approvals",
    ),
    "a safety zone whose window is shut today": (
        replace(
            ASK,
            safety=True,
            catch_up=CatchUp(policy=msgspec.structs.replace(POLICY, windows=SHUT)),
        ),
        "inside a change window",
    ),
    "a safety zone whose window was shut in the plan": (
        replace(
            ASK,
            safety=True,
            rollout=windowed(SHUT),
            catch_up=CatchUp(policy=msgspec.structs.replace(POLICY, windows=[ALWAYS])),
        ),
        "inside a change window",
    ),
    "a safety zone inside both": (replace(ASK, safety=True, catch_up=TODAY), ""),
    "held alone": (replace(ASK, held="CONFLICT: more"), "CONFLICT: more"),
}


@pytest.mark.parametrize("row", CATCH_UPS)
def test_catching_up(row: str) -> None:
    """A gateway that comes late gets a permit by the rules of its plan and of today, or waits."""
    ask, why = CATCH_UPS[row]
    answer = decide(ask)
    if not why:
        assert isinstance(answer, Granted)
    else:
        assert isinstance(answer, Deferred)
        assert why in answer.reason


def test_an_unsigned_rollout_covers_nobody() -> None:
    """Without a signature there is no day on which it ends."""
    assert expiry(with_(approvals=[]), POLICY) is None


LATE_TRIAL = replace(TRYING, overdue_s=1.0)
SILENT_TRIAL = Standing(UpdateState.TRIAL, runs=True, overdue_s=1.0)
STUCK = Standing(UpdateState.ROLLBACK_FAILED, Outcome.FAILED_ROLLBACK, reachable=True, runs=True)
KEEPS = replace(COMMITTED, overdue_s=1.0)


@dataclass(frozen=True)
class Row:
    """What is seen of a rollout, and the state, holds and late members that follow."""

    rollout: Rollout
    facts: Facts
    state: RolloutState | None
    holds: tuple[Hold, ...] = ()
    late: tuple[str, ...] = ()
    pages: int = 0


ROWS = {
    "one is still on trial: wait": Row(
        rollout(S.ACTIVATING), Facts(canary(COMMITTED, COMMITTED, TRYING)), None
    ),
    "one is on trial for too long: the others go on": Row(
        rollout(S.ACTIVATING),
        Facts(canary(COMMITTED, COMMITTED, LATE_TRIAL)),
        S.SOAKING,
        late=("g3",),
    ),
    "one fell silent on its trial too long ago: the others go on": Row(
        rollout(S.ACTIVATING),
        Facts(canary(COMMITTED, COMMITTED, SILENT_TRIAL)),
        S.SOAKING,
        late=("g3",),
    ),
    "one is overdue and another on trial: wait": Row(
        rollout(S.ACTIVATING), Facts(canary(COMMITTED, LATE_TRIAL, TRYING)), None
    ),
    "too few would be left: held": Row(
        rollout(S.ACTIVATING),
        Facts(canary(COMMITTED, LATE_TRIAL, LATE_TRIAL)),
        S.ACTIVATING,
        holds=(Hold.BLAST,),
    ),
    "one does not go back yet: wait": Row(
        rollout(S.ROLLING_BACK), Facts(canary(AWAY, AWAY, COMMITTED)), None
    ),
    "one does not go back at all: said, and the way is free for another release": Row(
        rollout(S.ROLLING_BACK), Facts(canary(AWAY, AWAY, KEEPS)), S.ROLLBACK_INCOMPLETE, pages=1
    ),
    "one cannot go back: it has said so itself": Row(
        rollout(S.ROLLING_BACK), Facts(canary(AWAY, AWAY, STUCK)), S.ROLLBACK_INCOMPLETE
    ),
    "one cannot and another does not: that other is said": Row(
        rollout(S.ROLLING_BACK), Facts(canary(AWAY, KEEPS, STUCK)), S.ROLLBACK_INCOMPLETE, pages=1
    ),
    "one cannot and another has not yet: wait": Row(
        rollout(S.ROLLING_BACK), Facts(canary(AWAY, COMMITTED, STUCK)), None
    ),
    "completed, and nothing speaks against it": Row(rollout(S.COMPLETED), Facts(), None),
    "completed, and a veto comes": Row(
        rollout(S.COMPLETED),
        Facts(vetoes=("g7: smoke",)),
        S.COMPLETED,
        holds=(Hold.GATE_FAIL,),
        pages=1,
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_nobody_waits_for_ever(row: str) -> None:
    """Who is overdue is left behind and said; who is not is waited for (L4)."""
    case = ROWS[row]
    made = step(case.rollout, case.facts, NOW)
    if case.state is None:
        assert made is None
        return
    assert made is not None
    header = made.rollout.header
    found = (header.state, tuple(header.holds), tuple(header.late))
    assert found == (case.state, case.holds, case.late)
    assert sum(each.priority is Priority.P1 for each in made.alarms) == case.pages


def test_a_veto_is_told_once() -> None:
    """What was told, or was known when it was completed, is not told again; another is added."""
    known = rollout(S.GATED, cohort=2, waived=[0], approvals=[YES])
    done = step(known, Facts(vetoes=("g1: smoke",)), NOW)
    assert done is not None
    assert (done.rollout.state, done.rollout.header.vetoes) == (S.COMPLETED, ["g1: smoke"])
    first = step(done.rollout, Facts(vetoes=("g2: crash",)), NOW)
    assert first is not None
    second = step(first.rollout, Facts(vetoes=("g3: load",)), NOW)
    assert second is not None
    header = second.rollout.header
    assert header.vetoes == ["g1: smoke", "g2: crash", "g3: load"]
    assert header.holds == {Hold.GATE_FAIL: "g2: crash; g3: load"}
    assert [each.key for each in (*first.alarms, *second.alarms)] == ["rollout/r/gate"] * 2
    sender = Sender("olga", etag_of(second.rollout))
    answered = orders.resume(second.rollout, "one bad disk", sender, NOW)
    assert answered.rollout.header.holds == {}
    assert answered.rollout.header.attempts == {"g2": 2, "g3": 2}
    assert answered.cleared == ("rollout/r/gate",)
    assert step(answered.rollout, Facts(), NOW) is None


def test_only_a_veto_reopens_what_has_ended() -> None:
    """A completed rollout that nothing holds cannot be resumed."""
    ended = rollout(S.COMPLETED)
    with pytest.raises(ConflictError, match="has ended"):
        orders.resume(ended, "again", Sender("olga", etag_of(ended)), NOW)


CANCELS = {
    **dict.fromkeys((S.VERIFYING, S.PLANNED, S.AWAITING_APPROVAL, S.APPROVED), ""),
    S.STAGING: "",
    S.ACTIVATING: "found activating",
    S.SOAKING: "found soaking",
    S.GATED: "found gated",
    S.SAFETY_LAG: "found safety_lag",
    S.ROLLING_BACK: "found rolling_back",
    **dict.fromkeys(TERMINAL, "has ended"),
}


@pytest.mark.parametrize("state", RolloutState)
def test_cancel_answers_at_once(state: RolloutState) -> None:
    """In every state a cancellation is done there and then, or too late, which names the state."""
    before = rollout(state)
    sender = Sender("olga", etag_of(before))
    if not CANCELS[state]:
        assert orders.cancel(before, "not now", sender, NOW).rollout.state is S.CANCELLED
        return
    with pytest.raises(ConflictError, match=CANCELS[state]):
        orders.cancel(before, "not now", sender, NOW)


def test_cancel_after_the_first_cohort() -> None:
    """While a later cohort stages, earlier ones have changed: too late."""
    later = rollout(S.STAGING, cohort=1)
    with pytest.raises(ConflictError, match="its first cohort has changed"):
        orders.cancel(later, "not now", Sender("olga", etag_of(later)), NOW)
