"""The alarm list: what stands, what came first, what is put aside and for how long."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from edge_core.contracts.alarms import AlarmSummary, Maintenance
from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edgetui.present.lines import TONE_OF, Line, Target, Tone, folded, join, say
from edgetui.present.tables import Column, table
from edgetui.present.words import ALARM_WORDS, PRIORITY_MARKS, age, clock, instant

UNSEEN: Final = frozenset({AlarmState.UNACK, AlarmState.RETURNED_UNACK, AlarmState.LATCHED_UNACK})
ASIDE: Final = frozenset({AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE})
URGENCY: Final = {
    AlarmState.UNACK: 0,
    AlarmState.RETURNED_UNACK: 1,
    AlarmState.LATCHED_UNACK: 1,
    AlarmState.ACKED: 2,
    AlarmState.LATCHED_ACKED: 2,
    AlarmState.SHELVED: 3,
    AlarmState.SUPPRESSED: 4,
    AlarmState.OUT_OF_SERVICE: 5,
    AlarmState.PENDING: 6,
    AlarmState.CLEARED: 7,
}
FLOOD: Final = "EdgeAlarmFlood"


def by_urgency(alarms: Iterable[AlarmView]) -> list[AlarmView]:
    """Unseen before seen before put aside, then by priority, then the newest first."""
    return sorted(
        alarms, key=lambda a: (URGENCY[a.state], a.priority.value, -a.raised.timestamp())
    )


def causes(alarms: Iterable[AlarmView]) -> dict[int, int]:
    """The first-out of each alarm that did not come alone, by its number; its own if it is that.

    What is put aside or over is no part of what goes on. A flood is one cause, and within none the
    group is.
    """
    together: dict[str, list[int]] = {}
    for alarm in alarms:
        if alarm.kind != FLOOD and alarm.state not in ASIDE | {AlarmState.CLEARED}:
            cause = f"flood {alarm.flood}" if alarm.flood is not None else alarm.group
            together.setdefault(cause or alarm.source, []).append(alarm.id)
    return {
        number: min(numbers)
        for numbers in together.values()
        if len(numbers) > 1
        for number in numbers
    }


def first_outs(alarms: Sequence[AlarmView]) -> list[AlarmView]:
    """One row a cause: the first-out for what came after it, and whatever came alone.

    What is graver than its first-out, or was not seen while that was, is not folded away.
    """
    firsts, known = causes(alarms), {alarm.id: alarm for alarm in alarms}
    return [
        alarm
        for alarm in alarms
        if (first := known[firsts.get(alarm.id, alarm.id)]) is alarm
        or alarm.priority.value < first.priority.value
        or (alarm.state in UNSEEN and first.state not in UNSEEN)
    ]


def alarm_tone(alarm: AlarmView) -> Tone:
    """Colour while it stands and is not put aside."""
    settled = ASIDE | {AlarmState.CLEARED, AlarmState.PENDING}
    return Tone.DIM if alarm.state in settled else TONE_OF[alarm.priority]


def alarm_columns(
    now: datetime, firsts: Mapping[int, int] | None = None
) -> Sequence[Column[AlarmView]]:
    """The alarm list; each row says what it means and what to do.

    Args:
        now: for ages.
        firsts: the first-out of each alarm that did not come alone.
    """
    after = firsts or {}
    cause: Column[AlarmView] = Column("cause", lambda a: cause_words(a, after), 11)
    return (
        Column("id", lambda a: str(a.id), 6, right=True),
        Column("P", lambda a: f"{PRIORITY_MARKS[a.priority]} ", 3, tone=alarm_tone),
        Column("state", lambda a: alarm_words(a, now), 18, tone=alarm_tone),
        *((cause,) if after else ()),
        Column("raised", lambda a: clock(a.raised), 9, rank=3),
        Column("age", lambda a: standing(a, now), 9, right=True, rank=4),
        Column("source", lambda a: a.source, 18),
        Column("do", lambda a: a.runbook, 20, rank=1),
        Column("what", lambda a: a.what, 44),
        Column("consequence", lambda a: a.consequence, 60, rank=2),
    )


def cause_words(alarm: AlarmView, firsts: Mapping[int, int]) -> str:
    """Whether it came first, and of how many; or after which."""
    first = firsts.get(alarm.id)
    if first is None:
        return ""
    count = sum(each == first for each in firsts.values())
    return f"1st of {count}" if first == alarm.id else f"after {first}"


def more_words(alarm: AlarmView, firsts: Mapping[int, int]) -> str:
    """How many came after a first-out; nothing for any other alarm."""
    count = sum(first == alarm.id for first in firsts.values())
    return f" (and {count - 1} after it)" if count > 1 else ""


def standing(alarm: AlarmView, now: datetime) -> str:
    """For how long an alarm has stood; that is known, however long it is."""
    return age((now - alarm.raised).total_seconds()).removesuffix(" ?")


def alarm_words(alarm: AlarmView, now: datetime) -> str:
    """The state, and for how long it is still put aside."""
    words = ALARM_WORDS[alarm.state]
    if alarm.state is AlarmState.SHELVED and alarm.until is not None:
        left = max(0.0, (alarm.until - now).total_seconds())
        return f"{words} {age(left).removesuffix(' ?')} left"
    return words


def alarm_banner(alarms: Sequence[AlarmView], cells: int) -> Line:
    """Counts by priority; only what stands has colour, and what nobody has seen is counted."""
    open_ones = [a for a in alarms if a.state is not AlarmState.CLEARED]
    shelved = sum(a.state is AlarmState.SHELVED for a in open_ones)
    quiet = sum(a.state in ASIDE for a in open_ones) - shelved
    standing_ones = [a for a in open_ones if a.state not in ASIDE]
    counts = {p: sum(a.priority is p for a in standing_ones) for p in Priority}
    parts = [
        (f"{PRIORITY_MARKS[p]} {count}  ", TONE_OF[p] if count else Tone.PLAIN)
        for p, count in counts.items()
    ]
    unseen = sum(a.state in UNSEEN for a in open_ones)
    words = f"unacknowledged {unseen}  shelved {shelved}"
    words += f"  suppressed {quiet}" if quiet else ""
    flood = any(a.kind == FLOOD and a.active for a in standing_ones)
    ahead = [("FLOOD  ", Tone.P2)] if flood else []
    return join([("alarms  ", Tone.PLAIN), *ahead, *parts, (words, Tone.PLAIN)], cells)


def alarms_page(alarms: Sequence[AlarmView], now: datetime, cells: int) -> list[Line]:
    """The alarm list."""
    columns = alarm_columns(now, causes(alarms))
    listed = table(columns, by_urgency(alarms), cells, lambda a: Target("alarm", str(a.id)))
    return [alarm_banner(alarms, cells), *listed]


def alarm_page(alarm: AlarmView, now: datetime, cells: int) -> list[Line]:
    """One alarm in full: nothing of it is cut to a column."""
    return [
        join(
            (
                (f"{PRIORITY_MARKS[alarm.priority]} {alarm_words(alarm, now)}", alarm_tone(alarm)),
                (f"  {alarm.source}", Tone.PLAIN),
            ),
            cells,
        ),
        *folded("what         ", alarm.what, cells),
        *folded("consequence  ", alarm.consequence, cells),
        *folded("do           ", alarm.runbook, cells),
        *(line for action in alarm.actions for line in folded("             ", action, cells)),
        say(f"raised       {instant(alarm.raised)}, {standing(alarm, now)} ago", cells),
        say(f"last change  {instant(alarm.changed)}  by {alarm.who or 'the site'}", cells),
        say(f"paged        {'yes' if alarm.paged else 'no'}", cells),
        *(say(words, cells) for words in _history(alarm)),
    ]


def _history(alarm: AlarmView) -> Iterable[str]:
    """What else is known of an alarm, as far as there is anything."""
    if alarm.why:
        yield f"why          {alarm.why}"
    if alarm.acked is not None:
        yield f"seen         {instant(alarm.acked)}  by {alarm.acked_by}"
    if alarm.group not in {"", alarm.source}:
        yield f"cause        {alarm.group}"
    if alarm.page is not None and alarm.page != alarm.id:
        yield f"page         of alarm {alarm.page}"
    if alarm.flood is not None:
        yield f"flood        alarm {alarm.flood}"
    if alarm.suppressed_by:
        yield f"suppressed   by {alarm.suppressed_by}"
    counts = {"came": alarm.raises, "shelved": alarm.shelves, "asked again": alarm.realarms}
    if alarm.raises > 1 or alarm.shelves or alarm.realarms:
        yield "so far       " + ", ".join(f"{words} {n}" for words, n in counts.items())


def rates_page(summary: AlarmSummary, cells: int) -> list[Line]:
    """The list in numbers: is it of use, or noise?"""
    standing_words = "  ".join(
        f"{PRIORITY_MARKS[Priority(name)]} {count}" for name, count in summary.standing.items()
    )
    return [
        say(
            f"last 10 min  {summary.recent}{'  FLOOD' if summary.flood else ''}  "
            f"(flood above {summary.flood_above})",
            cells,
            Tone.P2 if summary.flood else Tone.PLAIN,
        ),
        say(f"worst 10 min {summary.peak}  in the last day, {summary.day} in all", cells),
        say(f"standing     {standing_words or 'none'}", cells),
        say(
            f"aside        shelved {summary.shelved}  suppressed {summary.suppressed}  "
            f"out of service {summary.out_of_service}",
            cells,
        ),
        *folded("stale        ", ", ".join(summary.stale) or "none", cells),
        *folded("chattering   ", ", ".join(summary.chattering) or "none", cells),
    ]


def maintenance_page(works: Sequence[Maintenance], cells: int) -> list[Line]:
    """Lines that are being worked on."""
    if not works:
        return [say("no line is being worked on", cells)]
    return [
        say(f"{each.line}  to {instant(each.until)}  by {each.who}: {each.reason}", cells)
        for each in works
    ]
