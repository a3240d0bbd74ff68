"""What people order: approve, hold, resume, cancel, roll back; each is checked, then a step; pure.

Every order carries the digest of what its sender saw. If that has changed nothing is done.
"""

from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.api import ApproveRequest
from edge_core.contracts.plant import Inventory
from edge_core.contracts.rollout import Approval, Hold, Plan, RolloutState
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.cohorts import safety_zones
from edge_site_proxy.rollout.errors import (
    OrderRefusedError,
    OwnRolloutError,
    RolloutChangedError,
    TooLateError,
)
from edge_site_proxy.rollout.facts import current
from edge_site_proxy.rollout.records import IN_PROGRESS, Rollout, Step, etag_of, moved
from edge_site_proxy.rollout.windows import describe, open_span

BY_HAND = frozenset(
    {Hold.OPERATOR, Hold.GATE_FAIL, Hold.GATE_INCONCLUSIVE, Hold.APPROVAL, Hold.CONFLICT}
)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who orders, and what they saw."""

    who: str
    saw: str | None


def lines_of(plan: Plan, inventory: Inventory) -> list[str]:
    """The lines that *plan* touches; an approver types one of them."""
    members = {serial for cohort in plan.cohorts for serial in cohort.members}
    return sorted({place.position.line for place in inventory.gateways if place.serial in members})


def touches_safety(plan: Plan, inventory: Inventory) -> bool:
    """Whether any member stands in a safety zone."""
    zones = safety_zones(inventory)
    members = {serial for cohort in plan.cohorts for serial in cohort.members}
    return any(place.serial in members and place.zone in zones for place in inventory.gateways)


def check_seen(rollout: Rollout, sender: Sender) -> None:
    """See that the sender decides on what is there.

    Raises:
        OrderRefusedError: no If-Match was sent.
        RolloutChangedError: it is not what they saw.
    """
    if sender.saw is None:
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected If-Match with the etag that was seen, found none"
        )
    etag = etag_of(rollout)
    if sender.saw.strip('"') != etag:
        raise RolloutChangedError(
            f"rollout {rollout.id} changed meanwhile: expected {sender.saw[:80]}, found {etag}; "
            f"it is now {rollout.state.value}; look again"
        )


def approve(
    rollout: Rollout,
    request: ApproveRequest,
    sender: Sender,
    inventory: Inventory,
    *,
    clock_trusted: bool,
    now: datetime,
) -> Step:
    """One more signature; with the last one the rollout is approved.

    Raises:
        TooLateError: nothing waits for approval.
        RolloutChangedError: the plan is another one.
        OwnRolloutError: the sender made the release.
        OrderRefusedError: wrong line, a second signature, or outside the change window.
    """
    if rollout.state is not RolloutState.AWAITING_APPROVAL:
        raise TooLateError(
            f"rollout {rollout.id}: expected awaiting_approval, found {rollout.state.value}"
        )
    check_seen(rollout, sender)
    digest = rollout.plan_digest
    if request.plan_digest != digest:
        raise RolloutChangedError(
            f"rollout {rollout.id}: expected the plan {digest}, found {request.plan_digest}"
        )
    _check_person(rollout, sender)
    _check_place(rollout, request, inventory, now, clock_trusted=clock_trusted)
    approval = Approval(
        who=sender.who,
        at=now,
        ticket=request.ticket,
        reason=request.reason,
        plan_digest=digest,
    )
    approvals = [*rollout.header.approvals, approval]
    enough = len(approvals) >= rollout.plan.policy.approvals
    facts = {"plan": digest, "ticket": request.ticket, "reason": request.reason}
    event = Event("rollout.approved" if enough else "rollout.signed", rollout.id, facts)
    state = RolloutState.APPROVED if enough else rollout.state
    return moved(rollout, now, event, approvals=approvals, state=state, why="")


def _check_person(rollout: Rollout, sender: Sender) -> None:
    if sender.who == rollout.plan.author:
        raise OwnRolloutError(
            f"rollout {rollout.id}: expected an approver other than its author, found {sender.who}"
        )
    if any(approval.who == sender.who for approval in rollout.header.approvals):
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected another person, {sender.who} has signed already"
        )


def _check_place(
    rollout: Rollout,
    request: ApproveRequest,
    inventory: Inventory,
    now: datetime,
    *,
    clock_trusted: bool,
) -> None:
    lines = lines_of(rollout.plan, inventory)
    if request.line not in lines:
        raise OrderRefusedError(
            f"line {request.line!r}: expected one of {', '.join(lines)}, typed by hand"
        )
    if not touches_safety(rollout.plan, inventory):
        return
    if not clock_trusted:
        raise OrderRefusedError(
            f"rollout {rollout.id} touches a safety zone: expected a synchronised clock, "
            "found one that is not"
        )
    windows = rollout.plan.policy.windows
    if open_span(windows, now) is None:
        raise OrderRefusedError(
            f"rollout {rollout.id} touches a safety zone: expected an open change window, "
            f"found none; {describe(windows, now)}"
        )


def hold(rollout: Rollout, reason: str, sender: Sender, now: datetime) -> Step:
    """No more permits until a person says so; trials that run go on.

    Raises:
        TooLateError: it has ended.
        RolloutChangedError: it is not what they saw.
    """
    _check_open(rollout)
    check_seen(rollout, sender)
    why = f"{sender.who}: {reason}"
    event = Event("rollout.held", rollout.id, {"hold": Hold.OPERATOR.value, "reason": reason})
    holds = {**rollout.header.holds, Hold.OPERATOR: why}
    return moved(rollout, now, event, holds=holds, why=why)


def resume(rollout: Rollout, reason: str, sender: Sender, now: datetime) -> Step:
    """Take away the holds that a person may take away, by name and with a reason.

    A cohort held by its gate is thereby moved on in spite of it, and the log says by whom. Its
    failed members get a new attempt.

    Raises:
        TooLateError: it has ended, or is rolling back.
        OrderRefusedError: there is nothing to take away.
    """
    vetoed = rollout.state is RolloutState.COMPLETED and Hold.GATE_FAIL in rollout.header.holds
    if not vetoed:
        _check_open(rollout)
    if rollout.state is RolloutState.ROLLING_BACK:
        raise TooLateError(
            f"rollout {rollout.id}: expected one that can go on, it is rolling back"
        )
    check_seen(rollout, sender)
    if vetoed:
        return _answer_vetoes(rollout, reason, now)
    gone = [each for each in rollout.header.holds if each in BY_HAND]
    if not gone:
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected a hold that a person can take away, "
            f"found {', '.join(sorted(rollout.header.holds)) or 'none'}"
        )
    left = {each: why for each, why in rollout.header.holds.items() if each not in gone}
    by_gate = {Hold.GATE_FAIL, Hold.GATE_INCONCLUSIVE} & set(gone)
    number = rollout.header.cohort
    waived = [*rollout.header.waived, number] if by_gate else rollout.header.waived
    facts = {
        "holds": sorted(each.value for each in gone),
        "reason": reason,
        "waived": rollout.plan.cohorts[number].name if by_gate else None,
    }
    made = moved(
        rollout,
        now,
        Event("rollout.resumed", rollout.id, facts),
        holds=left,
        waived=waived,
        attempts=_new_attempts(rollout) if by_gate else rollout.header.attempts,
        why="",
    )
    words = {Hold.GATE_FAIL: "gate", Hold.GATE_INCONCLUSIVE: "inconclusive"}
    keys = tuple(f"rollout/{rollout.id}/{words[each]}" for each in sorted(by_gate))
    return Step(made.rollout, made.event, (), keys)


def _answer_vetoes(rollout: Rollout, reason: str, now: datetime) -> Step:
    """Vetoes that came after the end are answered; whoever said one may try once more."""
    why = rollout.header.holds[Hold.GATE_FAIL]
    attempts = dict(rollout.header.attempts)
    for serial in {veto.partition(":")[0] for veto in rollout.header.vetoes if veto in why}:
        attempts[serial] = attempts.get(serial, 1) + 1
    holds = {each: why for each, why in rollout.header.holds.items() if each is not Hold.GATE_FAIL}
    event = Event("rollout.vetoes_answered", rollout.id, {"vetoes": why, "reason": reason})
    made = moved(rollout, now, event, holds=holds, attempts=attempts, why="")
    return Step(made.rollout, made.event, (), (f"rollout/{rollout.id}/gate",))


def _new_attempts(rollout: Rollout) -> dict[str, int]:
    attempts = dict(rollout.header.attempts)
    for serial in current(rollout).members:
        attempts[serial] = attempts.get(serial, 1) + 1
    return attempts


def cancel(rollout: Rollout, reason: str, sender: Sender, now: datetime) -> Step:
    """End a rollout that has changed nothing yet.

    Raises:
        TooLateError: gateways may have changed already; only a rollback undoes that.
    """
    _check_open(rollout)
    if rollout.state in IN_PROGRESS and rollout.state is not RolloutState.STAGING:
        raise TooLateError(
            f"rollout {rollout.id}: expected one that has changed no gateway, "
            f"found {rollout.state.value}; roll it back instead"
        )
    if rollout.state is RolloutState.STAGING and rollout.header.cohort > 0:
        raise TooLateError(f"rollout {rollout.id}: its first cohort has changed; roll it back")
    check_seen(rollout, sender)
    event = Event("rollout.cancelled", rollout.id, {"reason": reason})
    return moved(rollout, now, event, state=RolloutState.CANCELLED, why=f"{sender.who}: {reason}")


def roll_back(rollout: Rollout, reason: str, sender: Sender, epoch: int, now: datetime) -> Step:
    """Take every member off this release; outranks every hold and every other order.

    A completed rollout can be rolled back too. *saw* may be missing: taking back must not wait.

    Raises:
        TooLateError: it never began, or is rolled back already.
        RolloutChangedError: what they saw is not what is there.
    """
    if rollout.state not in {*IN_PROGRESS, RolloutState.COMPLETED}:
        raise TooLateError(
            f"rollout {rollout.id}: expected one that has begun, found {rollout.state.value}"
        )
    if rollout.state is RolloutState.ROLLING_BACK:
        raise TooLateError(f"rollout {rollout.id} is being rolled back already")
    if sender.saw is not None:
        check_seen(rollout, sender)
    target = rollout.plan.rollback_to
    facts = {
        "from": rollout.digest,
        "to": target.digest if target else None,
        "reason": reason,
        "epoch": epoch,
    }
    return moved(
        rollout,
        now,
        Event("rollout.rollback_ordered", rollout.id, facts),
        state=RolloutState.ROLLING_BACK,
        rollback_epoch=epoch,
        rollback_reason=reason,
        why=f"{sender.who}: {reason}",
    )


def revoke(rollout: Rollout, who: str, reason: str, now: datetime) -> Step:
    """An approval is taken back: no more permits, and those unused are void.

    Raises:
        TooLateError: it has ended.
    """
    _check_open(rollout)
    why = f"{who} took the approval back: {reason}"
    event = Event("rollout.approval_revoked", rollout.id, {"by": who, "reason": reason})
    holds = {**rollout.header.holds, Hold.APPROVAL: why}
    return moved(rollout, now, event, holds=holds, why=why)


def supersede(rollout: Rollout, by: str, now: datetime) -> Step:
    """A newer release of the same model was approved while this one had not begun."""
    event = Event("rollout.superseded", rollout.id, {"by": by})
    return moved(rollout, now, event, state=RolloutState.SUPERSEDED, why=f"superseded by {by}")


def _check_open(rollout: Rollout) -> None:
    if not rollout.open:
        raise TooLateError(f"rollout {rollout.id} has ended: {rollout.state.value}")
