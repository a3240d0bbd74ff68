"""Change windows, in local time with its changes to and from summer time."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.gateway import TrialPolicy
from edge_core.contracts.rollout import ChangeWindow, CohortRule, Policy
from edge_site_proxy.rollout.policies import check_policy
from edge_site_proxy.rollout.windows import (
    calendar,
    describe,
    download_allowed,
    fits,
    next_span,
    open_span,
    planned,
)

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
    assert describe(WEEKDAYS, at("2026-11-21T09:00")) == (
        "the next change window opens at 2026-11-23 05:00 UTC (Mon 06:00 Europe/Madrid)"
    )
    touching = [*WEEKDAYS, *local("14:00", "16:00")]
    assert describe(touching, at("2026-11-22T22:00")).endswith("(Mon 06:00 Europe/Madrid)")
    assert describe(NIGHT, at("2026-11-21T09:00")) == (
        "the next change window opens at 2026-11-27 22:00 UTC"
    )


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
    assert describe(ALL_DAY, at("2026-11-23T09:00")) == (
        "no other change window opens within 14 days"
    )


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


POLICY = Policy(
    cohorts=[CohortRule(name="all", share=1.0)],
    permit_valid_s=60.0,
    trial=TrialPolicy(duration_min_s=510.0),
)


def test_what_one_gateway_needs() -> None:
    """From permit to end: activation, the least trial, half a minute for a way back."""
    assert planned(POLICY) == timedelta(minutes=10)


def local(start: str, end: str, *days: int, zone: str = "Europe/Madrid") -> list[ChangeWindow]:
    """One window."""
    return [ChangeWindow(days=list(days or range(1, 8)), start=start, end=end, zone=zone)]


# In Madrid 02:00 to 03:00 does not come on 29 March 2026, and comes twice on 25 October.
# In Santiago it is midnight that does not come, on 6 September.
OPENINGS = {
    "a night is an hour shorter in spring": (
        local("22:00", "06:00"),
        "2026-03-28T12:00",
        ("2026-03-28T21:00", "2026-03-29T04:00"),
    ),
    "and an hour longer in autumn": (
        local("22:00", "06:00"),
        "2026-10-24T12:00",
        ("2026-10-24T20:00", "2026-10-25T05:00"),
    ),
    "a beginning that does not come is no opening": (
        local("02:30", "05:00"),
        "2026-03-28T12:00",
        ("2026-03-30T00:30", "2026-03-30T03:00"),
    ),
    "an end that does not come is where it is jumped over": (
        local("01:30", "02:30"),
        "2026-03-28T12:00",
        ("2026-03-29T00:30", "2026-03-29T01:00"),
    ),
    "the first moment after the jump comes": (
        local("03:00", "05:00"),
        "2026-03-28T12:00",
        ("2026-03-29T01:00", "2026-03-29T03:00"),
    ),
    "a beginning that comes twice is the first": (
        local("02:30", "03:30"),
        "2026-10-24T12:00",
        ("2026-10-25T00:30", "2026-10-25T02:30"),
    ),
    "an end that comes twice is the first": (
        local("01:00", "02:30"),
        "2026-10-24T12:00",
        ("2026-10-24T23:00", "2026-10-25T00:30"),
    ),
    "inside an hour that comes twice it opens once": (
        local("02:15", "02:45"),
        "2026-10-25T00:20",
        ("2026-10-26T01:15", "2026-10-26T01:45"),
    ),
    "a whole day has 23 hours in spring": (
        local("06:00", "06:00", 6),
        "2026-03-27T12:00",
        ("2026-03-28T05:00", "2026-03-29T04:00"),
    ),
    "and 25 in autumn": (
        local("06:00", "06:00", 6),
        "2026-10-23T12:00",
        ("2026-10-24T04:00", "2026-10-25T05:00"),
    ),
    "a day ends where its midnight is jumped over": (
        local("12:00", "00:00", 6, zone="America/Santiago"),
        "2026-09-04T12:00",
        ("2026-09-05T16:00", "2026-09-06T04:00"),
    ),
    "a midnight that does not come opens nothing": (
        local("00:00", "12:00", 7, zone="America/Santiago"),
        "2026-09-04T12:00",
        ("2026-09-13T03:00", "2026-09-13T15:00"),
    ),
    "days that touch are one opening": (
        local("00:00", "00:00", 6, 7, zone="UTC"),
        "2026-11-20T12:00",
        ("2026-11-21T00:00", "2026-11-23T00:00"),
    ),
    "a window a week that its jump skips is found in the week after": (
        local("02:30", "05:00", 7),
        "2026-03-22T12:00",
        ("2026-04-05T00:30", "2026-04-05T03:00"),
    ),
}


@pytest.mark.parametrize("row", OPENINGS.values(), ids=OPENINGS.keys())
def test_days_that_are_not_24_hours(
    row: tuple[list[ChangeWindow], str, tuple[str, str]],
) -> None:
    """Local time jumps twice a year; a window means what the clock on the wall shows."""
    windows, moment, (starts, ends) = row
    span = next_span(windows, at(moment))
    assert span is not None
    assert (span.start, span.end) == (at(starts), at(ends))


FINISH = {
    "the night of the jump has seven hours": ("22:00", "06:00", "2026-03-28T21:00", 7 * 60, True),
    "and not a minute more": ("22:00", "06:00", "2026-03-28T21:00", 7 * 60 + 1, False),
    "the long night has nine": ("22:00", "06:00", "2026-10-24T20:00", 9 * 60, True),
    "what ends at the jump ends there": ("01:30", "02:30", "2026-03-29T00:30", 31, False),
    "a day that is followed by another goes on": ("00:00", "00:00", "2026-11-23T22:50", 60, True),
}


@pytest.mark.parametrize("row", FINISH.values(), ids=FINISH.keys())
def test_planned_finish_where_the_clock_jumps(row: tuple[str, str, str, int, bool]) -> None:
    """Work is measured in real minutes, the window in local time."""
    start, end, moment, minutes, expected = row
    assert fits(local(start, end), at(moment), timedelta(minutes=minutes)) is expected


DOWNLOADS = {
    "without windows at any time, whatever the clock": ([], "2026-11-28T12:00", False, True),
    "inside one": (NIGHT, "2026-11-27T23:00", True, True),
    "not outside": (NIGHT, "2026-11-27T21:00", True, False),
    "not by a clock that nobody trusts": (NIGHT, "2026-11-27T23:00", False, False),
}


@pytest.mark.parametrize("row", DOWNLOADS.values(), ids=DOWNLOADS.keys())
def test_downloads(row: tuple[list[ChangeWindow], str, bool, bool]) -> None:
    """Bytes have windows of their own."""
    windows, moment, trusted, expected = row
    assert download_allowed(windows, at(moment), clock_trusted=trusted) is expected


CALENDAR = {
    "Mon,Tue,Wed,Thu,Fri *-*-* 06:00:00 Europe/Madrid": WEEKDAYS[0],
    "Fri *-*-* 22:00:00 UTC": NIGHT[0],
    "*-*-* 00:00:00 UTC": ALL_DAY[0],
    "Mon,Sun *-*-* 01:30:00 UTC": ChangeWindow(days=[7, 1, 7], start="01:30", end="02:00"),
}


@pytest.mark.parametrize("text", CALENDAR)
def test_calendar(text: str) -> None:
    """A window's openings as a calendar event of systemd."""
    assert calendar(CALENDAR[text]) == text


@pytest.mark.parametrize("which", ["windows", "download_windows"])
def test_unknown_zone(which: str) -> None:
    """A zone that does not exist stops the daemon with its name."""
    window = ChangeWindow(days=[1], start="06:00", end="07:00", zone="Mars/Olympus")
    with pytest.raises(ConfigurationError, match="Mars/Olympus"):
        check_policy(msgspec.structs.replace(POLICY, **{which: [window]}))
