"""A mandate that lapses holds the rollout, and one that stands again lets it go."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from edge_core.contracts.api import Priority
from edge_core.contracts.rollout import Approval, ChangeType, Hold, Revocation, RolloutState
from edge_site_proxy.rollout.facts import Facts
from edge_site_proxy.rollout.machine import step
from edge_site_proxy.rollout.records import Rollout
from tests.unit.site_proxy.rollout.test_machine import NOW, YES, rollout

S = RolloutState
DAY = timedelta(days=1)
OLD = msgspec.structs.replace(YES, at=NOW - 30 * DAY)
LONE = msgspec.structs.replace(YES, change=ChangeType.EMERGENCY, at=NOW - DAY)
SECOND = msgspec.structs.replace(LONE, who="bob", at=NOW)
OVER = msgspec.structs.replace(YES, change=ChangeType.TEMPORARY, until=NOW)
RENEWED = msgspec.structs.replace(OVER, until=NOW + DAY)
TAKEN = [Revocation(who="olga", name="", at=NOW, reason="wrong", roll_back=False, voided=[YES])]
HELD = {Hold.APPROVAL: "because"}


def signed(state: RolloutState, *approvals: Approval, **header: Any) -> Rollout:
    """A rollout in *state* under these signatures."""
    return rollout(state, approvals=list(approvals), **header)


LAPSED = {
    "under way, its approval grown old": signed(S.SOAKING, OLD),
    "under way, its emergency not countersigned": signed(S.SOAKING, LONE),
    "under way, its time over": signed(S.STAGING, OVER),
    "about to begin, its time over": signed(S.APPROVED, OVER),
    "at its end, its time over: return or renew": signed(S.COMPLETED, OVER),
    "at its end, its emergency not countersigned": signed(S.COMPLETED, LONE),
}


@pytest.mark.parametrize("name", LAPSED)
def test_held(name: str) -> None:
    """One transition with its event, and one alarm."""
    made = step(LAPSED[name], Facts(), NOW)
    assert made is not None
    assert (made.event.kind, made.event.facts["hold"]) == ("rollout.held", "approval")
    assert made.rollout.header.holds[Hold.APPROVAL] == made.event.facts["cause"]
    assert made.rollout.state is LAPSED[name].state
    (alarm,) = made.alarms
    assert (alarm.key, alarm.priority) == ("rollout/r/approval", Priority.P2)
    assert alarm.runbook == "rollout-held"


LET_GO = {
    "countersigned at last": (signed(S.SOAKING, LONE, SECOND, holds=HELD), Facts()),
    "renewed": (signed(S.COMPLETED, OVER, RENEWED, holds=HELD), Facts()),
    "taken back and approved anew before it began": (
        signed(S.APPROVED, YES, holds=HELD, revocations=TAKEN),
        Facts(),
    ),
    "replaced by another release: nothing to return from": (
        signed(S.COMPLETED, OVER, holds=HELD),
        Facts(in_service=False),
    ),
}


@pytest.mark.parametrize("name", LET_GO)
def test_let_go(name: str) -> None:
    """The hold goes with its cause, and the alarm with it."""
    before, facts = LET_GO[name]
    made = step(before, facts, NOW)
    assert made is not None
    assert (made.event.kind, made.rollout.header.holds) == ("rollout.hold_cleared", {})
    assert (made.cleared, made.alarms) == (("rollout/r/approval",), ())


STAYS = {
    "taken back: held until it is approved anew": signed(S.SOAKING, holds=HELD, revocations=TAKEN),
    "never signed moves nothing, so there is nothing to hold": signed(S.SOAKING),
    "everybody reached, its approval grown old": signed(S.COMPLETED, OLD),
    "everybody reached under a plain approval": signed(S.COMPLETED, YES),
    "ended": signed(S.CANCELLED, OVER),
    "lapsed and held already": signed(S.COMPLETED, OVER, holds=HELD),
    "lapsed and held already, under way": signed(S.SOAKING, OVER, holds=HELD),
}


@pytest.mark.parametrize("name", STAYS)
def test_nothing_follows(name: str) -> None:
    """No event, no alarm."""
    assert step(STAYS[name], Facts(), NOW) is None
