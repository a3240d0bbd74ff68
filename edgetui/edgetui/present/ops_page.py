"""The pages of daily work: audit, review queue, and what needs somebody now."""

from collections.abc import Sequence

from edge_core.contracts.api import AlarmState, Overview
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.review import ReviewItem
from edge_core.contracts.rollout import RolloutState
from edgetui.present.alarms_page import by_urgency, causes, first_outs, more_words
from edgetui.present.lines import TONE_OF, Line, Target, Tone, folded, say
from edgetui.present.rollout_page import held, to_sign
from edgetui.present.tables import Column, table
from edgetui.present.words import PRIORITY_MARKS, fit, inert, instant


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


def needs_you(view: Overview, cells: int) -> list[Line]:
    """What waits for a person: signatures, held rollouts, unseen alarms, windows to label."""
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
        if held(r)
    ]
    wanted += [
        (f"SIGN     {words}", Tone.P2, Target("rollout", r.id))
        for r in view.rollouts
        if r.state is not RolloutState.AWAITING_APPROVAL
        for words in to_sign(r)
    ]
    unseen = [a for a in by_urgency(view.alarms) if a.state is AlarmState.UNACK]
    firsts = causes(unseen)
    wanted += [
        (
            f"ALARM    {PRIORITY_MARKS[a.priority]} {a.source}: {a.what}{more_words(a, firsts)}",
            TONE_OF[a.priority],
            Target("alarm", str(a.id)),
        )
        for a in first_outs(unseen)
    ]
    if view.queue.open:
        words = f"LABEL    {view.queue.open} windows"
        wanted.append((words, Tone.PLAIN, Target("label", "")))
    return [
        say(f"  {n} {words}", cells, tone, target)
        for n, (words, tone, target) in enumerate(wanted, 1)
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
