"""Change windows, in local time with its changes to and from summer time."""

from datetime import UTC, datetime, timedelta

import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import ChangeWindow
from edge_site_proxy.rollout.windows import check_zones, describe, fits, next_span, open_span

WEEKDAYS = [ChangeWindow(days=[1, 2, 3, 4, 5], start="06:00", end="14:00", zone="Europe/Madrid")]
NIGHT = [ChangeWindow(days=[5], start="22:00", end="04:00")]
ALL_DAY = [ChangeWindow(days=[1, 2, 3, 4, 5, 6, 7], start="00:00", end="00:00")]


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OPEN = {
    "Monday morning in Madrid is open": (WEEKDAYS, "2026-11-23T05:05", True),
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
