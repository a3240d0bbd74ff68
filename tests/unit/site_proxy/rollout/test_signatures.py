"""Who may sign what under which words; each refusal says what was expected."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.rollout import (
    Approval,
    ApproverRole,
    ChangeType,
    ChangeWindow,
    Cohort,
    Hold,
    Meaning,
    PinRule,
    Plan,
    RolloutState,
    SignedPlanRef,
)
from edge_core.contracts.signing import ApproveRequest
from edge_site_proxy.rollout.approvals.revocation import Taken, revoke
from edge_site_proxy.rollout.approvals.signatures import Here, acknowledge, approve
from edge_site_proxy.rollout.errors import (
    OrderRefusedError,
    OwnRolloutError,
    RolloutChangedError,
    TooLateError,
)
from edge_site_proxy.rollout.orders import Sender, resume
from edge_site_proxy.rollout.records import Header, Rollout, Step, etag_of, plan_digest
from tests.unit.site_proxy.plant.plant import INVENTORY, POLICY, V1, V2

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)  # a Saturday
BEFORE = NOW - timedelta(hours=2)
SHOWN, OTHER = "sha256:" + "5" * 64, "sha256:" + "6" * 64
WEEKDAYS = [ChangeWindow(days=[1, 2, 3, 4, 5], start="06:00", end="14:00", zone="Europe/Madrid")]
HERE = Here(inventory=INVENTORY, clock_trusted=True, tzdata="2026a", shown=SHOWN)
S = RolloutState


def planned(**policy: object) -> Plan:
    """A plan that touches the safety zone, under POLICY with changes."""
    strict = {"pin": PinRule.SAFETY, "key_holders": {"key-b": ["kim"]}, **policy}
    return Plan(
        rollout="r",
        release=V2,
        rollback_to=V1,
        author="ci",
        created=BEFORE,
        policy=msgspec.structs.replace(POLICY, **strict),
        cohorts=[Cohort(name="all", members=["g1", "g5"], safety=True)],
        signers=["key-a", "key-b"],
    )


def under(expires: datetime, key: str = "key-p") -> Plan:
    """A plan that is restricted by a signed one until *expires*."""
    signed = SignedPlanRef(digest="sha256:" + "9" * 64, sequence=8, expires=expires, signers=[key])
    return msgspec.structs.replace(planned(), signed=signed, signers=["key-a"])


def rollout(
    state: RolloutState = S.AWAITING_APPROVAL, plan: Plan | None = None, **header: object
) -> Rollout:
    """A rollout in *state*."""
    made = Header(id="r", state=state, created=BEFORE, changed=BEFORE)
    return Rollout(header=msgspec.structs.replace(made, **header), plan=plan or planned())


def by(who: str, plan: Plan, **changes: object) -> Approval:
    """Somebody's approval of *plan*."""
    made = Approval(
        who=who, at=BEFORE, ticket="CHG-1042", reason="ok", plan_digest=plan_digest(plan)
    )
    return msgspec.structs.replace(made, **changes)


REQUEST = ApproveRequest(
    ticket="CHG-1042",
    reason="as agreed",
    plan_digest="sha256:" + "0" * 64,
    line="L1",
    shown=SHOWN,
)
ANA = Sender("ana", None, "Ana Ruiz", frozenset({"p-safety"}), pin=True)


@dataclass(frozen=True)
class Case:
    """One attempt to sign, with what is not as usual; plan and etag are those that are there."""

    rollout: Rollout = field(default_factory=rollout)
    request: dict[str, object] = field(default_factory=dict)
    sender: Sender = ANA
    here: Here = HERE
    etag: str | None = None


def sign(case: Case) -> Step:
    """Try it."""
    asked = {"plan_digest": case.rollout.plan_digest, **case.request}
    request = msgspec.structs.replace(REQUEST, **asked)
    sender = replace(case.sender, saw=case.etag or etag_of(case.rollout))
    return approve(case.rollout, request, sender, case.here, NOW)


TWO = planned(approvals=2)
ONE_OF_TWO = rollout(plan=TWO, approvals=[by("bob", TWO)])
VOICES = planned(
    approvals=2,
    approver_roles=[
        ApproverRole(name="process", group="p-safety", required=True),
        ApproverRole(name="quality", group="quality", meaning=Meaning.REVIEWED),
    ],
)
SHUT = planned(windows=WEEKDAYS)
UNTIL = NOW + timedelta(days=3)
TEMPORARY = {"change": ChangeType.TEMPORARY, "until": UNTIL}
QUICK = planned(second_signature_s=7200.0)
EMERGENCY = by("bob", QUICK, change=ChangeType.EMERGENCY)
OLD = by("bob", TWO, at=NOW - timedelta(days=40))

REFUSED: dict[str, tuple[Case, type[EdgeError], str]] = {
    "what is not planned yet": (
        Case(rollout(S.VERIFYING)),
        TooLateError,
        "expected awaiting_approval, found verifying",
    ),
    "what has been approved": (
        Case(rollout(S.APPROVED, approvals=[by("bob", planned())], last_order="bob approved it")),
        TooLateError,
        "found approved; bob approved it",
    ),
    "what has ended": (Case(rollout(S.CANCELLED)), TooLateError, "found cancelled"),
    "what is going back": (Case(rollout(S.ROLLING_BACK)), TooLateError, "found rolling_back"),
    "without having looked": (
        Case(etag="something else"),
        RolloutChangedError,
        "it is now awaiting_approval; look again",
    ),
    "after somebody else": (
        Case(
            msgspec.structs.replace(
                ONE_OF_TWO,
                header=msgspec.structs.replace(
                    ONE_OF_TWO.header, last_order="bob approved it at 07:00:00 UTC: ok"
                ),
            ),
            etag="from before",
        ),
        RolloutChangedError,
        "it is now awaiting_approval, bob approved it at 07:00:00 UTC: ok; look again",
    ),
    "another plan": (
        Case(request={"plan_digest": OTHER}),
        RolloutChangedError,
        f"expected the plan sha256:.*found {OTHER}",
    ),
    "what was not shown": (
        Case(request={"shown": OTHER}),
        RolloutChangedError,
        f"expected a signature under what is shown now, {SHOWN}, found one under {OTHER}",
    ),
    "its author": (
        Case(sender=replace(ANA, who="ci")),
        OwnRolloutError,
        "other than its author, found ci",
    ),
    "who signed the release": (
        Case(sender=replace(ANA, who="key-a")),
        OwnRolloutError,
        "other than who signed the release, found key-a",
    ),
    "who holds a key that signed it": (
        Case(sender=replace(ANA, who="kim")),
        OwnRolloutError,
        "other than who signed the release, found kim",
    ),
    "who signed how it goes": (
        Case(
            rollout(plan=under(NOW + timedelta(days=1), "key-b")), sender=replace(ANA, who="kim")
        ),
        OwnRolloutError,
        "other than who signed how it goes, found kim",
    ),
    "under a signed plan that has expired": (
        Case(rollout(plan=under(NOW))),
        OrderRefusedError,
        "expected a signed plan in time, found that plan 8 expired 2026-11-28T09:00:00Z",
    ),
    "who had it go on": (
        Case(rollout(requesters=["ana"])),
        OwnRolloutError,
        "other than who had it go on, found ana",
    ),
    "a ticket of another form": (
        Case(request={"ticket": "1042"}),
        OrderRefusedError,
        "ticket '1042': expected one that matches",
    ),
    "a ticket and more": (
        Case(request={"ticket": "CHG-1042 and so on"}),
        OrderRefusedError,
        "expected one that matches",
    ),
    "a ticket of another site": (
        Case(rollout(plan=planned(ticket_pattern=r"SAP [0-9]{8}"))),
        OrderRefusedError,
        r"ticket 'CHG-1042': expected one that matches SAP \[0-9\]\{8\}",
    ),
    "with a meaning of something else": (
        Case(request={"meaning": Meaning.WAIVED}),
        OrderRefusedError,
        "meaning waived: expected one of approved, reviewed, witnessed",
    ),
    "a temporary change without an end": (
        Case(request={"change": ChangeType.TEMPORARY}),
        OrderRefusedError,
        "expected the time when it ends, later than now, found none",
    ),
    "a temporary change that has ended": (
        Case(request={**TEMPORARY, "until": NOW}),
        OrderRefusedError,
        "later than now, found 2026-11-28T09:00:00",
    ),
    "a lasting change with an end": (
        Case(request={"until": UNTIL}),
        OrderRefusedError,
        "a normal change: expected no end",
    ),
    "another kind of change than the first signer": (
        Case(ONE_OF_TWO, {"change": ChangeType.LIKE_FOR_LIKE}),
        OrderRefusedError,
        "expected the kind of change that bob signed, normal, found like_for_like",
    ),
    "under another ticket than the first signer": (
        Case(ONE_OF_TWO, {"ticket": "CHG-7"}),
        OrderRefusedError,
        "expected the ticket that bob signed, CHG-1042, found CHG-7",
    ),
    "to another end than the first signer": (
        Case(
            rollout(plan=TWO, approvals=[by("bob", TWO, **TEMPORARY)]),
            {**TEMPORARY, "until": NOW + timedelta(days=4)},
        ),
        OrderRefusedError,
        "expected the end that bob signed",
    ),
    "twice": (
        Case(rollout(plan=TWO, approvals=[by("ana", TWO)])),
        OrderRefusedError,
        "expected another person, ana has signed already",
    ),
    "a line that it does not touch": (
        Case(request={"line": "L9"}),
        OrderRefusedError,
        "line 'L9': expected one of L1, L2, typed by hand",
    ),
    "on Saturday": (
        Case(rollout(plan=SHUT)),
        OrderRefusedError,
        r"expected an open change window, found none; .* 2026-11-30 05:00 UTC \(Mon 06:00 Eur",
    ),
    "by a clock that nobody trusts": (
        Case(rollout(plan=SHUT), here=replace(HERE, clock_trusted=False)),
        OrderRefusedError,
        "expected a synchronised clock, found one that is not; the next change window opens",
    ),
    "without a PIN": (
        Case(sender=replace(ANA, pin=False)),
        OrderRefusedError,
        "expected ana's PIN under this signature, found none",
    ),
    "without saying what was shown": (
        Case(request={"shown": None}),
        OrderRefusedError,
        "expected the digest of what was shown, found none",
    ),
    "for a role where there are none": (
        Case(request={"role": "process"}),
        OrderRefusedError,
        "still open, 1 more approver; found process",
    ),
    "without a role's group": (
        Case(rollout(plan=VOICES), sender=replace(ANA, groups=frozenset({"staff"}))),
        OrderRefusedError,
        r"still open, process \(group p-safety\) or 1 more of quality",
    ),
    "for somebody else's role": (
        Case(rollout(plan=VOICES), {"role": "quality", "meaning": Meaning.REVIEWED}),
        OrderRefusedError,
        "found quality",
    ),
    "with another meaning than the role's": (
        Case(rollout(plan=VOICES), {"meaning": Meaning.WITNESSED}),
        OrderRefusedError,
        "found no such group",
    ),
    "for a role that was heard": (
        Case(rollout(plan=VOICES, approvals=[by("bob", VOICES, role="process")])),
        OrderRefusedError,
        "still open, 1 more of quality",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Nobody signs so."""
    case, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        sign(case)


@dataclass(frozen=True)
class Signed:
    """What follows from a signature."""

    case: Case
    state: RolloutState = S.APPROVED
    event: str = "rollout.approved"
    open: tuple[str, ...] = ()


LAPSED = rollout(S.SOAKING, TWO, approvals=[OLD], holds={Hold.APPROVAL: "expired"})
ACCEPTED = {
    "the only signature approves": Signed(Case()),
    "the first of two waits for the second": Signed(
        Case(rollout(plan=TWO)), S.AWAITING_APPROVAL, "rollout.signed", ("1 more approver",)
    ),
    "the second approves": Signed(Case(ONE_OF_TWO)),
    "a review is kept and approves nothing": Signed(
        Case(request={"meaning": Meaning.REVIEWED}),
        S.AWAITING_APPROVAL,
        "rollout.signed",
        ("1 more approver",),
    ),
    "an emergency begins on the first": Signed(
        Case(rollout(plan=TWO), {"change": ChangeType.EMERGENCY}), open=("1 more approver",)
    ),
    "an emergency's second is taken while it is under way": Signed(
        Case(rollout(S.SOAKING, QUICK, approvals=[EMERGENCY]), {"change": ChangeType.EMERGENCY}),
        S.SOAKING,
        "rollout.signed",
    ),
    "and when it has reached everybody": Signed(
        Case(rollout(S.COMPLETED, QUICK, approvals=[EMERGENCY]), {"change": ChangeType.EMERGENCY}),
        S.COMPLETED,
        "rollout.signed",
    ),
    "a temporary change has an end": Signed(Case(request=TEMPORARY)),
    "what grew old is renewed where it stands": Signed(
        Case(LAPSED), S.SOAKING, "rollout.signed", ("1 more approver",)
    ),
    "by the same person too": Signed(
        Case(rollout(S.SOAKING, TWO, approvals=[msgspec.structs.replace(OLD, who="ana")])),
        S.SOAKING,
        "rollout.signed",
        ("1 more approver",),
    ),
    "under a new ticket": Signed(
        Case(LAPSED, {"ticket": "CHG-7"}), S.SOAKING, "rollout.signed", ("1 more approver",)
    ),
    "a role is found by its group": Signed(
        Case(rollout(plan=VOICES)), S.AWAITING_APPROVAL, "rollout.signed", ("1 more of quality",)
    ),
    "a role may be named": Signed(
        Case(rollout(plan=VOICES), {"role": "process"}),
        S.AWAITING_APPROVAL,
        "rollout.signed",
        ("1 more of quality",),
    ),
    "no PIN where none is asked for": Signed(
        Case(
            rollout(plan=planned(pin=PinRule.NONE)),
            {"shown": None},
            replace(ANA, pin=False),
        )
    ),
}


@pytest.mark.parametrize("row", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(row: Signed) -> None:
    """A signature is kept with all that it says, and moves the rollout when it is the last."""
    step = sign(row.case)
    assert (step.rollout.state, step.event.kind) == (row.state, row.event)
    assert step.event.facts["open"] == list(row.open)
    kept = step.rollout.header.approvals[-1]
    asked = msgspec.structs.replace(
        REQUEST, plan_digest=row.case.rollout.plan_digest, **row.case.request
    )
    assert (kept.who, kept.name, kept.at, kept.pin) == (
        "ana",
        "Ana Ruiz",
        NOW,
        row.case.sender.pin,
    )
    for name in ("ticket", "reason", "plan_digest", "meaning", "change", "until", "shown"):
        assert getattr(kept, name) == getattr(asked, name)
    assert step.rollout.header.last_order == (
        f"ana {asked.meaning.value} it at 09:00:00 UTC: as agreed"
    )


def test_the_event_says_what_was_signed() -> None:
    """An auditor finds every part of it, and of the PIN only that it was given."""
    facts = sign(Case(request=TEMPORARY)).event.facts
    assert facts == {
        "plan": rollout().plan_digest,
        "ticket": "CHG-1042",
        "reason": "as agreed",
        "name": "Ana Ruiz",
        "meaning": "approved",
        "role": "",
        "change": "temporary",
        "until": "2026-12-01T09:00:00+00:00",
        "shown": SHOWN,
        "pin": True,
        "clock_synchronised": True,
        "tzdata": "2026a",
        "open": [],
        "state": "approved",
        "cohort_number": 0,
        "holds": [],
    }


def test_a_role_is_kept() -> None:
    """Whose voice it was."""
    assert sign(Case(rollout(plan=VOICES))).rollout.header.approvals[-1].role == "process"


# Taking back.

FLYING = rollout(S.ACTIVATING, approvals=[by("bob", planned())], holds={Hold.OPERATOR: "wait"})


def taken_back(before: Rollout, *, roll_back: bool = False, etag: str | None = None) -> Step:
    """Olga takes it back."""
    taken = Taken("wrong ticket", roll_back, ("g3", "g1"))
    sender = Sender("olga", etag or etag_of(before), "Olga K")
    return revoke(before, taken, sender, NOW)


@pytest.mark.parametrize("roll_back", [False, True])
def test_revoked(roll_back: bool) -> None:  # noqa: FBT001 - a row of the table
    """It is held, every signature is void, and the choice about committed gateways is recorded."""
    step = taken_back(FLYING, roll_back=roll_back)
    header = step.rollout.header
    assert header.approvals == []
    assert header.holds == {
        Hold.OPERATOR: "wait",
        Hold.APPROVAL: "olga took the approval back: wrong ticket",
    }
    assert step.rollout.state is S.ACTIVATING
    revocation = header.revocations[-1]
    assert (revocation.who, revocation.name, revocation.roll_back) == ("olga", "Olga K", roll_back)
    assert (revocation.at, revocation.voided) == (NOW, FLYING.header.approvals)
    assert step.event.kind == "rollout.approval_revoked"
    assert step.event.facts["committed"] == ("roll_back" if roll_back else "stay")
    assert step.event.facts["permits_cancelled"] == ["g1", "g3"]
    assert (step.event.facts["voided"], step.event.facts["reason"]) == (["bob"], "wrong ticket")
    assert header.last_order == "olga took the approval back at 09:00:00 UTC: wrong ticket"


def test_revoked_before_it_was_approved() -> None:
    """One of two signatures is taken back: it waits for both again, and is not held."""
    step = taken_back(ONE_OF_TWO)
    assert (step.rollout.state, step.rollout.header.approvals) == (S.AWAITING_APPROVAL, [])
    assert step.rollout.header.holds == {}


NOT_TAKEN: dict[str, tuple[Callable[[], Step], type[EdgeError], str]] = {
    "what nobody signed": (
        lambda: taken_back(rollout(S.SOAKING)),
        TooLateError,
        "expected a signature to take back, found none",
    ),
    "what has ended": (
        lambda: taken_back(rollout(S.CANCELLED)),
        TooLateError,
        "expected one that is approved, found cancelled",
    ),
    "what is going back": (
        lambda: taken_back(rollout(S.ROLLING_BACK)),
        TooLateError,
        "rolling_back",
    ),
    "what they did not see": (
        lambda: taken_back(FLYING, etag="x"),
        RolloutChangedError,
        "look again",
    ),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_not_revoked(name: str) -> None:
    """There is nothing to take back."""
    call, kind, words = NOT_TAKEN[name]
    with pytest.raises(kind, match=words):
        call()


# Waiving a gate, and the shift's word.

HELD = rollout(S.SOAKING, holds={Hold.GATE_FAIL: "bad", Hold.OPERATOR: "wait"})


def waived(before: Rollout, who: str = "ana", people: int = 2) -> Step:
    """Somebody lets it go on."""
    sender = Sender(who, etag_of(before), who.title(), pin=True)
    return resume(before, "seen by the owner", sender, NOW, people=people, shown=SHOWN)


def test_two_people_waive_a_gate() -> None:
    """The first signs and all holds stay; the second, somebody else, has it go on."""
    first = waived(HELD)
    assert first.event.kind == "rollout.waiver_signed"
    assert (first.rollout.header.holds, first.rollout.header.waived) == (HELD.header.holds, [])
    signature = first.rollout.header.waivers[0]
    assert (signature.who, signature.meaning, signature.about) == (
        "ana",
        Meaning.WAIVED,
        "all: gate_fail",
    )
    assert (signature.shown, signature.pin, signature.name) == (SHOWN, True, "Ana")
    assert etag_of(first.rollout) != etag_of(HELD)
    with pytest.raises(OrderRefusedError, match="ana has waived this already"):
        waived(first.rollout)
    second = waived(first.rollout, "bob")
    assert second.event.kind == "rollout.resumed"
    assert second.event.facts["waived_by"] == ["ana", "bob"]
    assert (second.rollout.header.holds, second.rollout.header.waived) == ({}, [0])
    assert second.rollout.header.requesters == ["bob"]
    assert second.rollout.header.attempts == {"g1": 2, "g5": 2}


def test_a_waiver_is_of_what_was_held() -> None:
    """What one waived before another gate failed as well is not that."""
    first = waived(rollout(S.SOAKING, holds={Hold.GATE_INCONCLUSIVE: "cannot tell"})).rollout
    worse = msgspec.structs.replace(
        first,
        header=msgspec.structs.replace(
            first.header, holds={**first.header.holds, Hold.GATE_FAIL: "bad"}
        ),
    )
    assert waived(worse, "bob").event.kind == "rollout.waiver_signed"


def test_one_person_is_enough_elsewhere() -> None:
    """Where no safety zone is touched."""
    step = waived(HELD, people=1)
    assert (step.event.kind, step.rollout.header.waived) == ("rollout.resumed", [0])
    assert step.cleared == ("rollout/r/gate",)


def test_an_operators_hold_needs_one() -> None:
    """It is no gate."""
    step = waived(rollout(S.SOAKING, holds={Hold.OPERATOR: "wait"}))
    assert (step.event.kind, step.rollout.header.waived) == ("rollout.resumed", [])
    assert step.rollout.header.waivers == []


def test_resuming_is_not_approving() -> None:
    """A lapsed approval is renewed by signatures, not waved on."""
    with pytest.raises(OrderRefusedError, match="found approval"):
        waived(LAPSED)


SHIFT_STATES = {
    S.AWAITING_APPROVAL: True,
    S.APPROVED: True,
    S.SOAKING: True,
    S.COMPLETED: True,
    S.VERIFYING: False,
    S.CANCELLED: False,
    S.ROLLING_BACK: False,
}


@pytest.mark.parametrize("state", SHIFT_STATES)
def test_acknowledged(state: RolloutState) -> None:
    """A shift says that it knows of a plan, from when there is one until it has ended."""
    before = rollout(state)
    sender = Sender("ole", etag_of(before), "Ole")
    if not SHIFT_STATES[state]:
        with pytest.raises(TooLateError, match=f"found {state.value}"):
            acknowledge(before, "told at the handover", sender, NOW)
        return
    step = acknowledge(before, "told at the handover", sender, NOW)
    kept = step.rollout.header.acknowledgements[-1]
    assert (kept.who, kept.name, kept.at, kept.reason) == (
        "ole",
        "Ole",
        NOW,
        "told at the handover",
    )
    assert (kept.meaning, kept.about) == (Meaning.ACKNOWLEDGED, before.plan_digest)
    assert (step.event.kind, step.rollout.state) == ("rollout.acknowledged", state)
    assert step.rollout.header.last_order == (
        "ole acknowledged it at 09:00:00 UTC: told at the handover"
    )
    # Whoever has the approval open meanwhile is not sent away by it.
    assert etag_of(step.rollout) == etag_of(before)


def test_an_expired_plan_stops_nothing_that_goes_on() -> None:
    """It lets nothing begin; what has begun under it is approved anew as ever."""
    plan = under(NOW - timedelta(days=1))
    held = rollout(S.SOAKING, plan, holds={Hold.APPROVAL: "revoked"})
    assert sign(Case(held)).rollout.header.approvals
    in_time = rollout(plan=under(NOW + timedelta(seconds=1)))
    assert sign(Case(in_time)).rollout.header.approvals
