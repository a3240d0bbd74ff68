"""Change windows: is one open now, when does it end, when does the next begin; local time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import ChangeWindow

_LOOK_AHEAD_DAYS = 8  # a weekly window comes round within a week


@dataclass(frozen=True, slots=True)
class Span:
    """One opening, in UTC."""

    start: datetime
    end: datetime


def open_span(windows: Sequence[ChangeWindow], now: datetime) -> Span | None:
    """The opening that *now* lies in and that ends last, or None."""
    spans = [span for span in _spans(windows, now) if span.start <= now < span.end]
    return max(spans, key=lambda span: span.end, default=None)


def next_span(windows: Sequence[ChangeWindow], now: datetime) -> Span | None:
    """The first opening that begins after *now*, or None where no window is set."""
    spans = [span for span in _spans(windows, now) if span.start > now]
    return min(spans, key=lambda span: span.start, default=None)


def fits(windows: Sequence[ChangeWindow], now: datetime, needed: timedelta) -> bool:
    """Whether work that begins *now* and may take *needed* ends inside an open window."""
    span = open_span(windows, now)
    return span is not None and now + needed <= span.end


def describe(windows: Sequence[ChangeWindow], now: datetime) -> str:
    """When the next window opens, in words."""
    span = next_span(windows, now)
    if span is None:
        return "no change window is configured"
    return f"the next change window opens at {span.start:%Y-%m-%d %H:%M} UTC"


def check_zones(windows: Sequence[ChangeWindow]) -> None:
    """See that every zone exists on this machine.

    Raises:
        ConfigurationError: one does not.
    """
    for window in windows:
        _zone(window.zone)


def _spans(windows: Sequence[ChangeWindow], now: datetime) -> list[Span]:
    spans: list[Span] = []
    for window in windows:
        zone = _zone(window.zone)
        today = now.astimezone(zone).date()
        for offset in range(-1, _LOOK_AHEAD_DAYS + 1):
            day = today + timedelta(days=offset)
            if day.isoweekday() in window.days:
                spans.append(_span(window, day, zone))
    return spans


def _span(window: ChangeWindow, day: date, zone: ZoneInfo) -> Span:
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    # An end at or before the start is on the next day, so 00:00 to 00:00 is a whole day.
    last = day if end > start else day + timedelta(days=1)
    return Span(
        datetime.combine(day, start, zone).astimezone(UTC),
        datetime.combine(last, end, zone).astimezone(UTC),
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"change window zone {name!r}: expected an IANA time zone, for example Europe/Madrid"
        ) from error
