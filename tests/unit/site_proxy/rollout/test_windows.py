"""Change windows, in local time with its changes to and from summer time."""

from datetime import UTC, datetime, timedelta

import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import ChangeWindow
from edge_site_proxy.rollout.windows import check_zones, describe, fits, next_span, open_span

WEEKDAYS = [ChangeWindow(days=[1, 2, 3, 4, 5], start="06:00", end="14:00", zone="Europe/Madrid")]
NIGHT = [ChangeWindow(days=[5], start="22:00", end="04:00")]
ALL_DAY = [ChangeWindow(days=[1, 2, 3, 4, 5, 6, 7], start="00:00", end="00:00")]

FAR_EAST = [ChangeWindow(days=[1], start="00:00", end="23:00", zone="Pacific/Kiritimati")]
FAR_WEST = [ChangeWindow(days=[1], start="00:00", end="23:00", zone="Pacific/Pago_Pago")]


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OPEN = {
    "Monday morning in Madrid is open": (WEEKDAYS, "2026-11-23T05:05", True),
    "its first moment is open": (WEEKDAYS, "2026-11-23T05:00", True),
    "Monday is Monday there, while it is Sunday here": (FAR_EAST, "2026-11-22T12:00", True),
    "and over there, while it goes on here": (FAR_EAST, "2026-11-23T12:00", False),
    "Monday goes on in the west, while it is Tuesday here": (FAR_WEST, "2026-11-24T09:00", True),
    "a minute before it is not": (WEEKDAYS, "2026-11-23T04:59", False),
    "in summer it opens an hour earlier in UTC": (WEEKDAYS, "2026-07-06T04:05", True),
    "Saturday is closed": (WEEKDAYS, "2026-11-21T09:00", False),
    "the end is not part of it": (WEEKDAYS, "2026-11-23T13:00", False),
    "a night goes on after midnight": (NIGHT, "2026-11-28T03:59", True),
    "but not into the morning": (NIGHT, "2026-11-28T04:00", False),
    "equal ends are a whole day": (ALL_DAY, "2026-11-28T23:59", True),
    "without windows nothing is open": ([], "2026-11-23T09:00", False),
}


@pytest.mark.parametrize("row", OPEN.values(), ids=OPEN.keys())
def test_open(row: tuple[list[ChangeWindow], str, bool]) -> None:
    """Whether a window is open at a moment."""
    windows, moment, expected = row
    assert (open_span(windows, at(moment)) is not None) is expected


def test_next() -> None:
    """On Saturday the next window is Monday's."""
    span = next_span(WEEKDAYS, at("2026-11-21T09:00"))
    assert span is not None
    assert span.start == at("2026-11-23T05:00")
    assert "2026-11-23 05:00 UTC" in describe(WEEKDAYS, at("2026-11-21T09:00"))


NEXT = {
    "while Friday's is open, the next is in a week": (
        NIGHT,
        "2026-11-27T23:00",
        "2026-12-04T22:00",
    ),
    "as one opens, the next is the one after it": (NIGHT, "2026-11-27T22:00", "2026-12-04T22:00"),
    "of several, the first": ([*NIGHT, *WEEKDAYS], "2026-11-27T20:00", "2026-11-27T22:00"),
    "counted in UTC": (FAR_EAST, "2026-11-20T00:00", "2026-11-22T10:00"),
}


@pytest.mark.parametrize("row", NEXT.values(), ids=NEXT.keys())
def test_which_is_next(row: tuple[list[ChangeWindow], str, str]) -> None:
    """The first that begins later, wherever its clock is."""
    windows, moment, starts = row
    span = next_span(windows, at(moment))
    assert span is not None
    assert (span.start, span.start.tzinfo) == (at(starts), UTC)
    assert span.end.tzinfo is UTC


def test_without_windows_none_is_next() -> None:
    """Where none is set none will open, and that is what is said."""
    assert next_span([], at("2026-11-23T09:00")) is None
    assert describe([], at("2026-11-23T09:00")) == "no change window is configured"


def test_windows_that_overlap_count_to_the_end_of_the_last() -> None:
    """Work may go on while any of them is open."""
    short = ChangeWindow(days=[5], start="22:00", end="23:00")
    early = ChangeWindow(days=[5], start="21:00", end="23:30")
    for listed in ([short, *NIGHT, early], [*NIGHT, early, short]):
        span = open_span(listed, at("2026-11-27T22:30"))
        assert span is not None
        assert span.end == at("2026-11-28T04:00")


def test_planned_finish() -> None:
    """Work that would end after the window does not begin in it."""
    moment = at("2026-11-23T12:50")
    assert fits(WEEKDAYS, moment, timedelta(minutes=10))
    assert not fits(WEEKDAYS, moment, timedelta(minutes=11))


def test_unknown_zone() -> None:
    """A zone that does not exist stops the daemon with its name."""
    window = ChangeWindow(days=[1], start="06:00", end="07:00", zone="Mars/Olympus")
    with pytest.raises(ConfigurationError, match="Mars/Olympus"):
        check_zones([window])
