"""The pages of daily work: alarms, audit, review queue, and what needs somebody now."""

from collections.abc import Sequence
from datetime import datetime

from edge_core.contracts.api import AlarmState, AlarmView, AuditEvent, Overview, Priority
from edge_core.contracts.review import ReviewItem
from edge_core.contracts.rollout import TERMINAL, RolloutState
from edgetui.present.tables import Column, table
from edgetui.present.words import ALARM_WORDS, PRIORITY_MARKS, age, clock, fit, inert, instant


def alarm_columns(now: datetime) -> Sequence[Column[AlarmView]]:
    """The alarm list; each row says what it means and what to do."""
    return (
        Column("P", lambda a: PRIORITY_MARKS[a.priority], 3),
        Column("state", lambda a: ALARM_WORDS[a.state], 8),
        Column("raised", lambda a: clock(a.raised), 9, rank=3),
        Column("source", lambda a: a.source, 18),
        Column("what", lambda a: a.what, 44),
        Column("consequence", lambda a: a.consequence, 34, rank=2),
        Column("do", lambda a: a.runbook, 20, rank=1),
        Column("age", lambda a: age((now - a.raised).total_seconds()), 9, right=True, rank=4),
        Column("id", lambda a: str(a.id), 6, right=True),
    )


def facts(event: AuditEvent) -> str:
    """The facts of an event on one line; digests are cut, `--json` has them whole."""
    pairs = (f"{key}={_brief(value)}" for key, value in sorted(event.facts.items()))
    return "  ".join(pairs)


def _brief(value: object) -> str:
    text = inert(str(value))
    return text.removeprefix("sha256:")[:12] if text.startswith("sha256:") else text


AUDIT_COLUMNS: Sequence[Column[AuditEvent]] = (
    Column("#", lambda e: str(e.sequence), 8, right=True),
    Column("at", lambda e: instant(e.at) + ("" if e.clock_synchronised else " ?"), 22),
    Column("who", lambda e: e.who, 18),
    Column("what", lambda e: e.kind, 28),
    Column("subject", lambda e: e.subject, 30),
    Column("facts", facts, 60, rank=1),
)

QUEUE_COLUMNS: Sequence[Column[ReviewItem]] = (
    Column("item", lambda i: str(i.item), 6, right=True),
    Column("state", lambda i: i.state.value, 9),
    Column("asset", lambda i: i.asset, 16),
    Column("line", lambda i: i.line, 12, rank=2),
    Column("at", lambda i: instant(i.window.started), 20, rank=1),
    Column("proposal", lambda i: i.window.prediction, 14),
    Column("shadow", lambda i: i.window.shadow_prediction or "-", 14, rank=3),
    Column("why here", lambda i: i.window.why, 40),
)


def alarm_banner(alarms: Sequence[AlarmView]) -> str:
    """Counts by priority; what nobody has seen yet is said first."""
    open_ones = [a for a in alarms if a.state is not AlarmState.CLEARED]
    unseen = [a for a in open_ones if a.state in (AlarmState.UNACK, AlarmState.RETURNED_UNACK)]
    shelved = sum(a.state is AlarmState.SHELVED for a in open_ones)
    counts = "  ".join(
        f"{PRIORITY_MARKS[p]} {sum(a.priority is p for a in open_ones)}" for p in Priority
    )
    return f"alarms  {counts}  unacknowledged {len(unseen)}  shelved {shelved}"


def needs_you(view: Overview, cells: int) -> list[str]:
    """What waits for a person: approvals, held rollouts, unseen alarms, windows to label."""
    wanted = [
        f"APPROVE  {r.release.model} {r.release.version}  ({r.id})"
        for r in view.rollouts
        if r.state is RolloutState.AWAITING_APPROVAL
    ]
    wanted += [
        f"DECIDE   {r.release.model} {r.release.version} is held: {r.why}"
        for r in view.rollouts
        if r.holds and r.state not in TERMINAL
    ]
    wanted += [
        f"ALARM    {PRIORITY_MARKS[a.priority]} {a.source}: {a.what}"
        for a in view.alarms
        if a.state is AlarmState.UNACK
    ]
    if view.queue.open:
        wanted.append(f"LABEL    {view.queue.open} windows")
    return [fit(f"  {n} {line}", cells).rstrip() for n, line in enumerate(wanted, 1)]


def alarms_page(alarms: Sequence[AlarmView], now: datetime, cells: int) -> list[str]:
    """The alarm list."""
    return [alarm_banner(alarms), *table(alarm_columns(now), alarms, cells)]


def audit_page(events: Sequence[AuditEvent], cells: int) -> list[str]:
    """The tail of the audit log."""
    return table(AUDIT_COLUMNS, events, cells)


def queue_page(items: Sequence[ReviewItem], cells: int) -> list[str]:
    """The review queue."""
    return table(QUEUE_COLUMNS, items, cells)
