"""E1, E4 and E5: which changes there were, who signed them, and which could not wait; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from edge_core.contracts.audit import AuditEvent
from edge_site_proxy.audit.reports.changes import (
    EMERGENCY,
    Change,
    Happening,
    Signature,
    changes_of,
    text,
    within,
)
from edge_site_proxy.audit.reports.sheet import Cell, Sheet, sheet

Row = Mapping[str, Cell]
CHANGES = (
    "change",
    "what",
    "kind",
    "model",
    "version",
    "release",
    "plan",
    "author",
    "tickets",
    "approved_by",
    "approved_at",
    "first_activation_at",
    "approved_before_activation",
    "gateways",
    "state",
    "ended_at",
    "rollback_ordered_at",
    "rollback_ordered_by",
    "rollback_reason",
    "began_at",
    "first_event",
    "last_event",
)
MATRIX = ("author", "approver", "signatures", "same_person")
OVERRIDES = ("change", "at", "who", "what", "cohort", "holds", "reason", "event")
EMERGENCIES = (
    "change",
    "first_signature_at",
    "first_signature_by",
    "ticket",
    "reason",
    "second_signature_at",
    "second_signature_by",
    "hours_between",
    "first_activation_at",
    "state",
    "events",
)
NO_AUTHOR = "(no author in the log)"


def population(
    events: Iterable[AuditEvent], since: datetime | None, until: datetime | None
) -> Sheet:
    """E1: every change that moved in the period, one row each."""
    found = [each for each in changes_of(events) if each.touched(since, until)]
    return sheet("changes", CHANGES, (_change_row(each) for each in found))


def _change_row(change: Change) -> Row:
    signed = change.signatures
    activated = change.activations[0].at if change.activations else None
    order, ended = change.rolled_back, change.ended
    if order is None and change.what.startswith("rollback"):
        order = change.first
    members = {each.subject for each in change.activations}
    if change.what != "rollout":
        members = {change.first.subject}
    return {
        "change": change.id,
        "what": change.what,
        "kind": change.kind,
        "model": change.model,
        "version": change.version,
        "release": change.release,
        "plan": change.plan,
        "author": change.author,
        "tickets": _listed(each.ticket for each in signed),
        "approved_by": _listed(each.who for each in signed),
        "approved_at": signed[-1].at if signed else None,
        "first_activation_at": activated,
        "approved_before_activation": in_time(change),
        "gateways": len(members),
        "state": change.state,
        "ended_at": None if ended is None else ended.at,
        "rollback_ordered_at": None if order is None else order.at,
        "rollback_ordered_by": "" if order is None else order.who,
        "rollback_reason": "" if order is None else text(order.facts, "reason"),
        "began_at": change.first.at,
        "first_event": change.first.event,
        "last_event": max(each.event for each in [*change.happenings, *change.activations]),
    }


def in_time(change: Change) -> bool | None:
    """Whether somebody had approved before the first activation; None before there is one.

    By the log's order and not by its clock: an event cannot come before one with a smaller number.
    """
    if not change.activations:
        return None
    first = change.activations[0].event
    return any(each.event < first for each in change.signatures)


def duties(
    events: Iterable[AuditEvent], since: datetime | None, until: datetime | None
) -> list[Sheet]:
    """E4: who wrote and who signed, and every time somebody decided against the machine."""
    changes = changes_of(events)
    pairs = Counter(
        (change.author or NO_AUTHOR, each.who)
        for change in changes
        for each in change.signatures
        if within(each.at, since, until)
    )
    matrix: list[Row] = [
        {"author": one, "approver": other, "signatures": count, "same_person": one == other}
        for (one, other), count in sorted(pairs.items())
    ]
    against = [
        row
        for change in changes
        for each in change.happenings
        if within(each.at, since, until)
        for row in _override(change, each)
    ]
    return [sheet("duties", MATRIX, matrix), sheet("overrides", OVERRIDES, against)]


_AGAINST = {
    "rollout.resumed": "hold taken away",
    "rollout.approval_revoked": "approval taken back",
    "rollout.rollback_ordered": "rollback ordered",
    "rollout.cancelled": "cancelled",
    "gateway.rollback_ordered": "rollback of one gateway",
    "gateway.safe_mode_ordered": "safe mode",
}


def _override(change: Change, each: Happening) -> Iterator[Row]:
    what = _AGAINST.get(each.kind)
    if what is None:
        return
    waived = text(each.facts, "waived")
    holds = each.facts.get("holds")
    yield {
        "change": change.id,
        "at": each.at,
        "who": each.who,
        "what": "gate waived" if waived else what,
        "cohort": waived,
        "holds": _listed(holds) if isinstance(holds, list) else "",
        "reason": text(each.facts, "reason"),
        "event": each.event,
    }


def emergencies(
    events: Iterable[AuditEvent], since: datetime | None, until: datetime | None
) -> Sheet:
    """E5: changes that one person let go ahead, and who signed after them, if anybody did."""
    found = [
        each
        for each in changes_of(events)
        if each.kind == EMERGENCY and each.touched(since, until)
    ]
    return sheet("emergency", EMERGENCIES, (_emergency_row(each) for each in found))


def _emergency_row(change: Change) -> Row:
    first = next(each for each in change.signatures if each.change == EMERGENCY)
    second = _second(change.signatures, first)
    hours = None if second is None else round((second.at - first.at).total_seconds() / 3600, 2)
    return {
        "change": change.id,
        "first_signature_at": first.at,
        "first_signature_by": first.who,
        "ticket": first.ticket,
        "reason": first.reason,
        "second_signature_at": None if second is None else second.at,
        "second_signature_by": "" if second is None else second.who,
        "hours_between": hours,
        "first_activation_at": change.activations[0].at if change.activations else None,
        "state": change.state,
        "events": _listed(str(each.event) for each in (first, second) if each is not None),
    }


def _second(signatures: Sequence[Signature], first: Signature) -> Signature | None:
    """The first signature after *first* by somebody else."""
    later = (each for each in signatures if each.event > first.event and each.who != first.who)
    return next(later, None)


def _listed(words: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(word) for word in words if word))
