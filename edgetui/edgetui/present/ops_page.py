"""The pages of daily work: alarms, audit, review queue, and what needs somebody now."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from edge_core.contracts.api import AlarmState, AlarmView, AuditEvent, Overview, Priority
from edge_core.contracts.review import ReviewItem
from edge_core.contracts.rollout import TERMINAL, RolloutState
from edgetui.present.lines import TONE_OF, Line, Target, Tone, folded, join, say
from edgetui.present.tables import Column, table
from edgetui.present.words import ALARM_WORDS, PRIORITY_MARKS, age, clock, fit, inert, instant

UNSEEN = frozenset({AlarmState.UNACK, AlarmState.RETURNED_UNACK})
URGENCY = {
    AlarmState.UNACK: 0,
    AlarmState.RETURNED_UNACK: 1,
    AlarmState.ACKED: 2,
    AlarmState.SHELVED: 3,
    AlarmState.CLEARED: 4,
}


def by_urgency(alarms: Iterable[AlarmView]) -> list[AlarmView]:
    """Unseen before seen before shelved, then by priority, then the newest first."""
    return sorted(
        alarms, key=lambda a: (URGENCY[a.state], a.priority.value, -a.raised.timestamp())
    )


def alarm_tone(alarm: AlarmView) -> Tone:
    """Colour while it stands and is not put aside."""
    settled = {AlarmState.SHELVED, AlarmState.CLEARED}
    return Tone.DIM if alarm.state in settled else TONE_OF[alarm.priority]


def alarm_columns(now: datetime) -> Sequence[Column[AlarmView]]:
    """The alarm list; each row says what it means and what to do."""
    return (
        Column("id", lambda a: str(a.id), 6, right=True),
        Column("P", lambda a: f"{PRIORITY_MARKS[a.priority]} ", 3, tone=alarm_tone),
        Column("state", alarm_words, 18, tone=alarm_tone),
        Column("raised", lambda a: clock(a.raised), 9, rank=3),
        Column("age", lambda a: standing(a, now), 9, right=True, rank=4),
        Column("source", lambda a: a.source, 18),
        Column("do", lambda a: a.runbook, 20, rank=1),
        Column("what", lambda a: a.what, 44),
        Column("consequence", lambda a: a.consequence, 60, rank=2),
    )


def standing(alarm: AlarmView, now: datetime) -> str:
    """For how long an alarm has stood; that is known, however long it is."""
    return age((now - alarm.raised).total_seconds()).removesuffix(" ?")


def alarm_words(alarm: AlarmView) -> str:
    """The state, and until when it is put aside."""
    until = f" to {alarm.until:%H:%MZ}" if alarm.until else ""
    return ALARM_WORDS[alarm.state] + (until if alarm.state is AlarmState.SHELVED else "")


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


def alarm_banner(alarms: Sequence[AlarmView], cells: int) -> Line:
    """Counts by priority; only what stands has colour, and what nobody has seen is counted."""
    open_ones = [a for a in alarms if a.state is not AlarmState.CLEARED]
    shelved = sum(a.state is AlarmState.SHELVED for a in open_ones)
    standing_ones = [a for a in open_ones if a.state is not AlarmState.SHELVED]
    counts = {p: sum(a.priority is p for a in standing_ones) for p in Priority}
    parts = [
        (f"{PRIORITY_MARKS[p]} {count}  ", TONE_OF[p] if count else Tone.PLAIN)
        for p, count in counts.items()
    ]
    unseen = sum(a.state in UNSEEN for a in open_ones)
    tail = (f"unacknowledged {unseen}  shelved {shelved}", Tone.PLAIN)
    return join([("alarms  ", Tone.PLAIN), *parts, tail], cells)


def needs_you(view: Overview, cells: int) -> list[Line]:
    """What waits for a person: approvals, held rollouts, unseen alarms, windows to label."""
    wanted = [
        (
            f"APPROVE  {r.release.model} {r.release.version}  ({r.id})",
            Tone.PLAIN,
            Target("rollout", r.id),
        )
        for r in view.rollouts
        if r.state is RolloutState.AWAITING_APPROVAL
    ]
    wanted += [
        (
            f"DECIDE   {r.release.model} {r.release.version} is held: {r.why}",
            Tone.P2,
            Target("rollout", r.id),
        )
        for r in view.rollouts
        if r.holds and r.state not in TERMINAL
    ]
    wanted += [
        (
            f"ALARM    {PRIORITY_MARKS[a.priority]} {a.source}: {a.what}",
            TONE_OF[a.priority],
            Target("alarm", str(a.id)),
        )
        for a in by_urgency(view.alarms)
        if a.state is AlarmState.UNACK
    ]
    if view.queue.open:
        words = f"LABEL    {view.queue.open} windows"
        wanted.append((words, Tone.PLAIN, Target("label", "")))
    return [
        say(f"  {n} {words}", cells, tone, target)
        for n, (words, tone, target) in enumerate(wanted, 1)
    ]


def alarms_page(alarms: Sequence[AlarmView], now: datetime, cells: int) -> list[Line]:
    """The alarm list."""
    listed = table(
        alarm_columns(now), by_urgency(alarms), cells, lambda a: Target("alarm", str(a.id))
    )
    return [alarm_banner(alarms, cells), *listed]


def alarm_page(alarm: AlarmView, now: datetime, cells: int) -> list[Line]:
    """One alarm in full: nothing of it is cut to a column."""
    return [
        join(
            (
                (f"{PRIORITY_MARKS[alarm.priority]} {alarm_words(alarm)}", alarm_tone(alarm)),
                (f"  {alarm.source}", Tone.PLAIN),
            ),
            cells,
        ),
        *folded("what         ", alarm.what, cells),
        *folded("consequence  ", alarm.consequence, cells),
        *folded("do           ", alarm.runbook, cells),
        say(f"raised       {instant(alarm.raised)}, {standing(alarm, now)} ago", cells),
        say(f"last change  {instant(alarm.changed)}  by {alarm.who or 'the site'}", cells),
        say(f"paged        {'yes' if alarm.paged else 'no'}", cells),
    ]


def audit_page(events: Sequence[AuditEvent], cells: int) -> list[Line]:
    """The tail of the audit log."""
    return table(AUDIT_COLUMNS, events, cells, lambda e: Target("event", str(e.sequence)))


def event_page(event: AuditEvent, cells: int) -> list[Line]:
    """One event with all its facts, each to its last letter."""
    quality = "" if event.clock_synchronised else "  (clock was not synchronised)"
    return [
        say(f"#{event.sequence}  {event.kind}", cells, Tone.TITLE),
        say(f"at        {instant(event.at)}{quality}", cells),
        *folded("who       ", event.who, cells),
        *folded("subject   ", event.subject, cells),
        *(
            line
            for key, value in sorted(event.facts.items())
            for line in folded(f"{fit(key, 9)} ", str(value), cells)
        ),
        *folded("previous  ", event.previous or "-", cells),
    ]


def queue_page(items: Sequence[ReviewItem], cells: int) -> list[Line]:
    """The review queue."""
    return table(QUEUE_COLUMNS, items, cells)
