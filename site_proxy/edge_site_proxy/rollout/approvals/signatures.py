"""What people sign: a plan, and a shift's acknowledgement of it; pure.

Nobody approves what they made, signed or had go on. The first signer says what kind of change it
is and under which ticket, and the others sign the same. Whether a PIN was right is proved by the
caller, who then says so in the sender.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.plant import Inventory
from edge_core.contracts.rollout import (
    Approval,
    ApproverRole,
    ChangeType,
    Meaning,
    Policy,
    RolloutState,
    Signature,
)
from edge_core.contracts.signing import ApproveRequest
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.approvals.mandate import (
    RENEWABLE,
    Mandate,
    mandate,
    needs_pin,
    open_roles,
)
from edge_site_proxy.rollout.errors import (
    OrderRefusedError,
    OwnRolloutError,
    RolloutChangedError,
    TooLateError,
)
from edge_site_proxy.rollout.orders import Sender, check_seen, lines_of, said, touches_safety
from edge_site_proxy.rollout.records import Rollout, Step, moved
from edge_site_proxy.rollout.windows import describe, open_span

OF_A_PLAN = frozenset({Meaning.REVIEWED, Meaning.APPROVED, Meaning.WITNESSED})
FOR_A_SHIFT = RENEWABLE | {RolloutState.AWAITING_APPROVAL}


@dataclass(frozen=True, slots=True)
class Here:
    """What a signature depends on besides the rollout.

    Attributes:
        inventory: of the plant.
        clock_trusted: whether wall time may open a change window.
        tzdata: version of the time zones that windows are computed by.
        shown: digest of what the site would show now.
    """

    inventory: Inventory
    clock_trusted: bool
    tzdata: str
    shown: str


def approve(
    rollout: Rollout, request: ApproveRequest, sender: Sender, here: Here, now: datetime
) -> Step:
    """One more signature; with the last one that is needed the rollout is approved, or goes on.

    Raises:
        TooLateError: nothing waits for a signature.
        RolloutChangedError: the plan, or what was shown of it, is another one.
        OwnRolloutError: the sender made it, signed it or had it go on.
        OrderRefusedError: line, ticket, kind of change, role, PIN or change window.
    """
    before = mandate(rollout, now)
    _check_waits(rollout, before)
    _check_in_time(rollout, now)
    check_seen(rollout, sender)
    _check_plan(rollout, request)
    check_shown(rollout, request.shown, here)
    check_independent(rollout, sender)
    _check_words(rollout, request, before, now)
    _check_place(rollout, request, here, now)
    check_signed(rollout, request.shown, sender, here.inventory)
    role = _role(rollout, request, sender, before)
    approval = Approval(
        who=sender.who,
        at=now,
        ticket=request.ticket,
        reason=request.reason,
        plan_digest=rollout.plan_digest,
        name=sender.name,
        meaning=request.meaning,
        role=role,
        change=request.change,
        until=request.until,
        shown=request.shown,
        pin=sender.pin,
    )
    return _signed(rollout, approval, here, now)


def _check_in_time(rollout: Rollout, now: datetime) -> None:
    """A signed plan that has expired lets nothing begin; what has begun under it goes on."""
    signed = rollout.plan.signed
    begins = rollout.state is RolloutState.AWAITING_APPROVAL
    if begins and signed is not None and now >= signed.expires:
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected a signed plan in time, found that plan "
            f"{signed.sequence} expired {signed.expires:%Y-%m-%dT%H:%M:%SZ}; ask for a newer one"
        )


def _signed(rollout: Rollout, approval: Approval, here: Here, now: datetime) -> Step:
    approvals = [*rollout.header.approvals, approval]
    last = said(approval.who, f"{approval.meaning.value} it", approval.reason, now)
    signed = moved(rollout, now, Event("rollout.signed", rollout.id), approvals=approvals)
    after = mandate(signed.rollout, now)
    begins = rollout.state is RolloutState.AWAITING_APPROVAL and after.lapse is None
    facts: dict[str, object] = {
        "plan": approval.plan_digest,
        "ticket": approval.ticket,
        "reason": approval.reason,
        "name": approval.name,
        "meaning": approval.meaning.value,
        "role": approval.role,
        "change": approval.change.value,
        "until": None if approval.until is None else approval.until.isoformat(),
        "shown": approval.shown,
        "pin": approval.pin,
        "clock_synchronised": here.clock_trusted,
        "tzdata": here.tzdata,
        "open": list(after.open),
    }
    return moved(
        rollout,
        now,
        Event("rollout.approved" if begins else "rollout.signed", rollout.id, facts),
        approvals=approvals,
        state=RolloutState.APPROVED if begins else rollout.state,
        why="" if begins else rollout.header.why,
        last_order=last,
    )


def _check_waits(rollout: Rollout, before: Mandate) -> None:
    waits = rollout.state is RolloutState.AWAITING_APPROVAL or (
        rollout.state in RENEWABLE and not before.complete
    )
    if not waits:
        raise TooLateError(
            f"rollout {rollout.id}: expected awaiting_approval, found {rollout.state.value}"
            f"{_by(rollout)}"
        )


def _by(rollout: Rollout) -> str:
    return f"; {rollout.header.last_order}" if rollout.header.last_order else ""


def _check_plan(rollout: Rollout, request: ApproveRequest) -> None:
    digest = rollout.plan_digest
    if request.plan_digest != digest:
        raise RolloutChangedError(
            f"rollout {rollout.id}: expected the plan {digest}, found {request.plan_digest}"
        )


def check_shown(rollout: Rollout, shown: str | None, here: Here) -> None:
    """See that what was signed is what the site would show now, where the sender says what.

    Raises:
        RolloutChangedError: it is not.
    """
    if shown is not None and shown != here.shown:
        raise RolloutChangedError(
            f"rollout {rollout.id}: expected a signature under what is shown now, {here.shown}, "
            f"found one under {shown}; look again"
        )


def check_independent(rollout: Rollout, sender: Sender) -> None:
    """See that the sender had no hand in what they are to approve.

    Raises:
        OwnRolloutError: they made it, hold a key that signed it, or had it go on.
    """
    plan, policy = rollout.plan, rollout.plan.policy
    ordered = plan.signed.signers if plan.signed is not None else []
    hands = {
        "its author": [plan.author],
        "who signed the release": [*plan.signers, *_holders(policy, [plan.author, *plan.signers])],
        "who signed how it goes": [*ordered, *_holders(policy, ordered)],
        "who had it go on": rollout.header.requesters,
    }
    for words, people in hands.items():
        if sender.who in people:
            raise OwnRolloutError(
                f"rollout {rollout.id}: expected an approver other than {words}, "
                f"found {sender.who}"
            )


def _holders(policy: Policy, keys: Iterable[str]) -> list[str]:
    return [person for key in keys for person in policy.key_holders.get(key, [])]


def _check_words(
    rollout: Rollout, request: ApproveRequest, before: Mandate, now: datetime
) -> None:
    pattern = rollout.plan.policy.ticket_pattern
    if re.fullmatch(pattern, request.ticket) is None:
        raise OrderRefusedError(
            f"ticket {request.ticket!r}: expected one that matches {pattern}, found another form"
        )
    if request.meaning not in OF_A_PLAN:
        raise OrderRefusedError(
            f"meaning {request.meaning.value}: expected one of "
            f"{', '.join(sorted(OF_A_PLAN))} under a plan"
        )
    temporary = request.change is ChangeType.TEMPORARY
    if temporary and (request.until is None or request.until <= now):
        raise OrderRefusedError(
            "a temporary change: expected the time when it ends, later than now, "
            f"found {'none' if request.until is None else request.until.isoformat()}"
        )
    if request.until is not None and not temporary:
        raise OrderRefusedError(
            f"a {request.change.value} change: expected no end, found {request.until.isoformat()}"
        )
    _check_same(rollout, request, before)


def _check_same(rollout: Rollout, request: ApproveRequest, before: Mandate) -> None:
    """All signers sign the same change."""
    if not before.valid:
        return
    first = before.valid[0]
    for word, expected, found in (
        ("kind of change", first.change, request.change),
        ("end", first.until, request.until),
        ("ticket", first.ticket, request.ticket),
    ):
        if expected != found:
            raise OrderRefusedError(
                f"rollout {rollout.id}: expected the {word} that {first.who} signed, "
                f"{expected}, found {found}"
            )


def _role(rollout: Rollout, request: ApproveRequest, sender: Sender, before: Mandate) -> str:
    """The voice that this signature lends; empty where the site has no roles."""
    if any(each.who == sender.who for each in before.valid):
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected another person, {sender.who} has signed already"
        )
    policy = rollout.plan.policy
    if not policy.approver_roles and not request.role:
        return ""
    free = [role for role in open_roles(policy, before.valid) if _may_lend(role, request, sender)]
    if not free:
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected {sender.who} to be in the group of a role that is "
            f"still open, {' or '.join(before.open) or 'none is'}; "
            f"found {request.role or 'no such group'}"
        )
    return free[0].name


def _may_lend(role: ApproverRole, request: ApproveRequest, sender: Sender) -> bool:
    asked = request.role in {"", role.name}
    return asked and role.group in sender.groups and role.meaning is request.meaning


def _check_place(rollout: Rollout, request: ApproveRequest, here: Here, now: datetime) -> None:
    lines = lines_of(rollout.plan, here.inventory)
    if request.line not in lines:
        raise OrderRefusedError(
            f"line {request.line!r}: expected one of {', '.join(lines)}, typed by hand"
        )
    if not touches_safety(rollout.plan, here.inventory):
        return
    windows = rollout.plan.policy.windows
    if not here.clock_trusted:
        raise OrderRefusedError(
            f"rollout {rollout.id} touches a safety zone: expected a synchronised clock, "
            f"found one that is not; {describe(windows, now)}"
        )
    if open_span(windows, now) is None:
        raise OrderRefusedError(
            f"rollout {rollout.id} touches a safety zone: expected an open change window, "
            f"found none; {describe(windows, now)}"
        )


def check_signed(
    rollout: Rollout, shown: str | None, sender: Sender, inventory: Inventory
) -> None:
    """See that the signature is as strong as the policy asks: a PIN, and what was shown.

    Raises:
        OrderRefusedError: it is not.
    """
    safety = touches_safety(rollout.plan, inventory)
    if not needs_pin(rollout.plan.policy, safety=safety):
        return
    if not sender.pin:
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected {sender.who}'s PIN under this signature, found none; "
            "set one with edgetui pin"
        )
    if shown is None:
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected the digest of what was shown, found none"
        )


def acknowledge(rollout: Rollout, reason: str, sender: Sender, now: datetime) -> Step:
    """A shift says that it knows what will change, before its gateways in safety zones move.

    Raises:
        TooLateError: there is no plan yet, or it has ended.
        RolloutChangedError: it is not what they saw.
    """
    if rollout.state not in FOR_A_SHIFT:
        raise TooLateError(
            f"rollout {rollout.id}: expected one that is planned or under way, "
            f"found {rollout.state.value}"
        )
    check_seen(rollout, sender)
    signature = Signature(
        who=sender.who,
        name=sender.name,
        at=now,
        meaning=Meaning.ACKNOWLEDGED,
        reason=reason,
        about=rollout.plan_digest,
        pin=sender.pin,
    )
    facts = {"plan": rollout.plan_digest, "reason": reason, "name": sender.name}
    return moved(
        rollout,
        now,
        Event("rollout.acknowledged", rollout.id, facts),
        acknowledgements=[*rollout.header.acknowledgements, signature],
        last_order=said(sender.who, "acknowledged it", reason, now),
    )
