"""What people order: hold, resume, cancel, switch, roll back; checked, then a step; pure.

Every order carries the digest of what its sender saw. If that has changed nothing is done.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.gates import Verdict
from edge_core.contracts.plant import Inventory
from edge_core.contracts.rollout import Hold, Meaning, Plan, RolloutState, Signature
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.cohorts import safety_zones
from edge_site_proxy.rollout.errors import OrderRefusedError, RolloutChangedError, TooLateError
from edge_site_proxy.rollout.facts import Facts, green_waiting
from edge_site_proxy.rollout.holds import BY_GATE, hold_key
from edge_site_proxy.rollout.records import IN_PROGRESS, Rollout, Step, etag_of, moved
from edge_site_proxy.rollout.strategies import blue_green

BY_HAND = BY_GATE | {Hold.OPERATOR, Hold.CONFLICT}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who orders, and what they saw.

    Attributes:
        who: the name that the kernel and the user list give.
        saw: the etag of what they decided on, None if they sent none.
        name: their printed name.
        groups: the Unix groups they are in at this moment.
        pin: whether they have just given their own PIN.
    """

    who: str
    saw: str | None
    name: str = ""
    groups: frozenset[str] = frozenset()
    pin: bool = False


def said(who: str, did: str, reason: str, now: datetime) -> str:
    """Who ordered what, in words for whoever comes a moment later."""
    return f"{who} {did} at {now:%H:%M:%S} UTC: {reason}"[:500]


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
            f"it is now {rollout.state.value}{_last(rollout)}; look again"
        )


def _last(rollout: Rollout) -> str:
    return f", {rollout.header.last_order}" if rollout.header.last_order else ""


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
    last = said(sender.who, "held it", reason, now)
    return moved(rollout, now, event, holds=holds, why=why, last_order=last)


def resume(
    rollout: Rollout,
    reason: str,
    sender: Sender,
    now: datetime,
    *,
    people: int = 1,
    shown: str | None = None,
) -> Step:
    """Take away the holds that a person may take away, by name and with a reason.

    A cohort held by its gate is thereby moved on in spite of it, once *people* have signed that,
    and the log says who. Its failed members get a new attempt.

    Args:
        rollout: that is held.
        reason: why it may go on.
        sender: who says so.
        now: wall time.
        people: how many have to waive a gate.
        shown: digest of what was on the sender's screen.

    Raises:
        TooLateError: it has ended, or is rolling back.
        OrderRefusedError: there is nothing to take away, or the sender has waived it already.
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
    by_gate = BY_GATE & set(gone)
    if not by_gate:
        return _resumed(rollout, reason, sender, now, gone)
    waivers = _waived(rollout, reason, sender, now, by_gate, shown)
    if len(_of(rollout, by_gate, waivers)) < people:
        return _waits_for_more(rollout, waivers, now, people)
    return _resumed(rollout, reason, sender, now, gone, waivers)


def _resumed(
    rollout: Rollout,
    reason: str,
    sender: Sender,
    now: datetime,
    gone: list[Hold],
    waivers: list[Signature] | None = None,
) -> Step:
    left = {each: why for each, why in rollout.header.holds.items() if each not in gone}
    by_gate = BY_GATE & set(gone)
    waived = _judged(rollout, by_gate)
    facts = {
        "holds": sorted(each.value for each in gone),
        "reason": reason,
        "name": sender.name,
        "pin": sender.pin,
        "waived": _names(rollout, waived) or None,
        "waived_by": [each.who for each in _of(rollout, by_gate, waivers or [])],
    }
    made = moved(
        rollout,
        now,
        Event("rollout.resumed", rollout.id, facts),
        holds=left,
        waived=[*rollout.header.waived, *waived],
        waivers=rollout.header.waivers if waivers is None else waivers,
        attempts=_new_attempts(rollout, waived),
        requesters=sorted({*rollout.header.requesters, sender.who}),
        why="",
        last_order=said(sender.who, "resumed it", reason, now),
    )
    keys = tuple(hold_key(rollout, each) for each in sorted(by_gate))
    return Step(made.rollout, made.event, (), keys)


def _judged(rollout: Rollout, by_gate: AbstractSet[Hold]) -> list[int]:
    """The cohorts whose gates hold; one that failed may be an earlier one than the present."""
    found = {rollout.header.cohort} if Hold.GATE_INCONCLUSIVE in by_gate else set()
    if Hold.GATE_FAIL in by_gate:
        names = [part.name for part in rollout.plan.cohorts]
        failed = [each for each in rollout.header.gates if each.verdict is Verdict.FAIL]
        found.add(names.index(failed[-1].cohort) if failed else rollout.header.cohort)
    return sorted(found)


def _names(rollout: Rollout, cohorts: Sequence[int]) -> str:
    return ", ".join(rollout.plan.cohorts[number].name for number in cohorts)


def _about(rollout: Rollout, by_gate: AbstractSet[Hold]) -> str:
    """What exactly is waived: these gates, over these cohorts."""
    return f"{_names(rollout, _judged(rollout, by_gate))}: {', '.join(sorted(by_gate))}"


def _of(
    rollout: Rollout, by_gate: AbstractSet[Hold], waivers: Sequence[Signature]
) -> list[Signature]:
    return [each for each in waivers if each.about == _about(rollout, by_gate)]


def _waived(
    rollout: Rollout,
    reason: str,
    sender: Sender,
    now: datetime,
    by_gate: AbstractSet[Hold],
    shown: str | None,
) -> list[Signature]:
    """The waivers with one more; nobody waives the same twice."""
    waivers = rollout.header.waivers
    if any(each.who == sender.who for each in _of(rollout, by_gate, waivers)):
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected another person, {sender.who} has waived this already"
        )
    signature = Signature(
        who=sender.who,
        name=sender.name,
        at=now,
        meaning=Meaning.WAIVED,
        reason=reason,
        about=_about(rollout, by_gate),
        shown=shown,
        pin=sender.pin,
    )
    return [*waivers, signature]


def _waits_for_more(
    rollout: Rollout, waivers: list[Signature], now: datetime, people: int
) -> Step:
    """The gate stays until enough people have waived it."""
    newest = waivers[-1]
    facts = {
        "about": newest.about,
        "reason": newest.reason,
        "name": newest.name,
        "pin": newest.pin,
        "people": people,
    }
    return moved(
        rollout,
        now,
        Event("rollout.waiver_signed", rollout.id, facts),
        waivers=waivers,
        last_order=said(newest.who, "waived its gate", newest.reason, now),
    )


def _answer_vetoes(rollout: Rollout, reason: str, now: datetime) -> Step:
    """Vetoes that came after the end are answered; whoever said one may try once more."""
    why = rollout.header.holds[Hold.GATE_FAIL]
    attempts = dict(rollout.header.attempts)
    for serial in {veto.partition(":")[0] for veto in rollout.header.vetoes if veto in why}:
        attempts[serial] = attempts.get(serial, 1) + 1
    holds = {each: why for each, why in rollout.header.holds.items() if each is not Hold.GATE_FAIL}
    event = Event("rollout.vetoes_answered", rollout.id, {"vetoes": why, "reason": reason})
    made = moved(rollout, now, event, holds=holds, attempts=attempts, why="")
    return Step(made.rollout, made.event, (), (hold_key(rollout, Hold.GATE_FAIL),))


def _new_attempts(rollout: Rollout, cohorts: Sequence[int]) -> dict[str, int]:
    attempts = dict(rollout.header.attempts)
    for number in cohorts:
        for serial in rollout.plan.cohorts[number].members:
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
    return moved(
        rollout,
        now,
        event,
        state=RolloutState.CANCELLED,
        why=f"{sender.who}: {reason}",
        last_order=said(sender.who, "cancelled it", reason, now),
    )


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
        raise TooLateError(f"rollout {rollout.id} is being rolled back already{_last(rollout)}")
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
        last_order=said(sender.who, "rolled it back", reason, now),
    )


def switch(rollout: Rollout, facts: Facts, reason: str, sender: Sender, now: datetime) -> Step:
    """Green takes over, under the same permits as ever; blue stays as the way back.

    Raises:
        OrderRefusedError: the plan is not blue-green, is held, or green is not ready.
        TooLateError: it is not being staged, or was switched already.
        RolloutChangedError: it is not what they saw.
    """
    if not blue_green(rollout.plan):
        raise OrderRefusedError(f"rollout {rollout.id}: expected a blue-green plan to switch")
    if rollout.state is not RolloutState.STAGING or rollout.header.switched:
        found = "switched already" if rollout.header.switched else rollout.state.value
        raise TooLateError(f"rollout {rollout.id}: expected one that is staged, found {found}")
    check_seen(rollout, sender)
    if rollout.header.holds:
        held = ", ".join(sorted(rollout.header.holds))
        raise OrderRefusedError(f"rollout {rollout.id}: expected no hold, found {held}")
    waiting = green_waiting(rollout, facts)
    if waiting:
        named = ", ".join(waiting[:5])
        raise OrderRefusedError(
            f"rollout {rollout.id}: expected every gateway that is heard staged, smoked and seen "
            f"beside the present release, found {len(waiting)} that are not: {named}"
        )
    event = Event("rollout.switched", rollout.id, {"reason": reason})
    return moved(rollout, now, event, switched=True, why=f"{sender.who}: {reason}")


def supersede(rollout: Rollout, by: str, now: datetime) -> Step:
    """A newer release was approved, or another signed, while this one had not begun."""
    event = Event("rollout.superseded", rollout.id, {"by": by})
    return moved(rollout, now, event, state=RolloutState.SUPERSEDED, why=f"superseded by {by}")


def _check_open(rollout: Rollout) -> None:
    if not rollout.open:
        raise TooLateError(
            f"rollout {rollout.id} has ended: {rollout.state.value}{_last(rollout)}"
        )
