"""Change windows: is one open now, when does it end, when does the next begin; local time.

Local time has an hour a year that never comes and one that comes twice. A window does not open at
a moment that does not come, and ends at the latest when such an hour is jumped over. Of a moment
that comes twice the first counts, for beginning and for ending. `calendar` says the same openings
as a calendar event of systemd.time(7), so that `systemd-analyze calendar` can be asked as well.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import ChangeWindow, Policy

ROLLBACK_S = 30.0  # time kept in a change window for a way back
_LOOK_AHEAD_DAYS = 15  # a weekly window comes round within a week, and once a year it is skipped
_MINUTE = timedelta(minutes=1)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Span:
    """One opening, in UTC, and the zone it was said in."""

    start: datetime
    end: datetime
    zone: str = "UTC"


def open_span(windows: Sequence[ChangeWindow], now: datetime) -> Span | None:
    """The opening that *now* lies in, or None; windows that touch or overlap are one opening."""
    return next((span for span in _spans(windows, now) if span.start <= now < span.end), None)


def next_span(windows: Sequence[ChangeWindow], now: datetime) -> Span | None:
    """The first opening that begins after *now*, or None where none does within two weeks."""
    return next((span for span in _spans(windows, now) if span.start > now), None)


def fits(windows: Sequence[ChangeWindow], now: datetime, needed: timedelta) -> bool:
    """Whether work that begins *now* and may take *needed* ends inside an open window."""
    span = open_span(windows, now)
    return span is not None and now + needed <= span.end


def planned(policy: Policy) -> timedelta:
    """What one gateway may need from its permit to the end: activation, trial, and the way back.

    A trial may last longer than its least; the way back then is a rollback like any other, which
    no window stops.
    """
    needed_s = policy.permit_valid_s + policy.trial.duration_min_s + ROLLBACK_S
    return timedelta(seconds=needed_s)


def download_allowed(
    windows: Sequence[ChangeWindow], now: datetime, *, clock_trusted: bool
) -> bool:
    """Whether bytes may be fetched: at any time where no window is set, else inside one."""
    return not windows or (clock_trusted and open_span(windows, now) is not None)


def describe(windows: Sequence[ChangeWindow], now: datetime) -> str:
    """When the next window opens, in words: in UTC, and as the clock on the wall there says."""
    if not windows:
        return "no change window is configured"
    span = next_span(windows, now)
    if span is None:
        return f"no other change window opens within {_LOOK_AHEAD_DAYS - 1} days"
    there = span.start.astimezone(_zone(span.zone))
    local = "" if span.zone == "UTC" else f" ({there:%a %H:%M} {span.zone})"
    return f"the next change window opens at {span.start:%Y-%m-%d %H:%M} UTC{local}"


def calendar(window: ChangeWindow) -> str:
    """When *window* opens, as a calendar event: `Mon,Tue *-*-* 06:00:00 Europe/Madrid`."""
    days = "" if len(set(window.days)) == len(_DAYS) else f"{_day_words(window.days)} "
    return f"{days}*-*-* {window.start}:00 {window.zone}"


def _day_words(days: Sequence[int]) -> str:
    return ",".join(_DAYS[day - 1] for day in sorted(set(days)))


def check_zones(windows: Sequence[ChangeWindow]) -> None:
    """See that every zone exists on this machine.

    Raises:
        ConfigurationError: one does not.
    """
    for window in windows:
        _zone(window.zone)


def _spans(windows: Sequence[ChangeWindow], now: datetime) -> list[Span]:
    """Every opening around *now*, in order; what touches or overlaps is one."""
    found: list[Span] = []
    for span in sorted(_openings(windows, now), key=lambda span: (span.start, span.end)):
        if found and span.start <= found[-1].end:
            end = max(found[-1].end, span.end)
            found[-1] = Span(found[-1].start, end, found[-1].zone)
        else:
            found.append(span)
    return found


def _openings(windows: Sequence[ChangeWindow], now: datetime) -> Iterator[Span]:
    for window in windows:
        zone = _zone(window.zone)
        today = now.astimezone(zone).date()
        # From yesterday, for the window that is still open over midnight.
        for offset in range(-1, _LOOK_AHEAD_DAYS):
            day = today + timedelta(days=offset)
            if day.isoweekday() in window.days:
                yield from _opening(window, day, zone)


def _opening(window: ChangeWindow, day: date, zone: ZoneInfo) -> Iterator[Span]:
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    # An end at or before the start is on the next day, so 00:00 to 00:00 is a whole day.
    last = day if end > start else day + timedelta(days=1)
    opens = datetime.combine(day, start, zone)
    span = Span(opens.astimezone(UTC), _reached(datetime.combine(last, end, zone)), window.zone)
    if _comes(opens) and span.start < span.end:
        yield span


def _comes(local: datetime) -> bool:
    """Whether the clock on the wall ever shows *local*; in a jump `fold` goes the other way."""
    return local.astimezone(UTC) <= local.replace(fold=1).astimezone(UTC)


def _reached(local: datetime) -> datetime:
    """When the clock on the wall first shows *local* or more, in UTC."""
    late, early = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    if late <= early:
        return late
    minutes = [early + timedelta(minutes=n) for n in range((late - early) // _MINUTE + 1)]
    before = early.astimezone(local.tzinfo).utcoffset()
    jump = bisect_left(
        minutes,
        True,  # noqa: FBT003 - the value that is looked for
        key=lambda moment: moment.astimezone(local.tzinfo).utcoffset() != before,
    )
    return minutes[jump]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"change window zone {name!r}: expected an IANA time zone, for example Europe/Madrid"
        ) from error
