"""Shifts: which one an instant lies in, by the plant's clock, and how long it is."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.gates import GateLimits
from edge_site_proxy.rollout.gates.shifts import shift_at, zone_of

THREE = GateLimits()
MADRID = GateLimits(shift_zone="Europe/Madrid")
ONE = GateLimits(shifts=("07:30",))


@dataclass(frozen=True)
class Row:
    """An instant, UTC; the shift that it lies in."""

    limits: GateLimits
    when: datetime
    name: str
    start: datetime
    hours: float = 8.0


def utc(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    """In 2026."""
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


ROWS = {
    "the first second of a shift is its own": Row(THREE, utc(23, 6), "06:00", utc(23, 6)),
    "the minute before it is the last one's": Row(THREE, utc(23, 5, 59), "22:00", utc(22, 22)),
    "in the afternoon": Row(THREE, utc(23, 21, 59), "14:00", utc(23, 14)),
    "before midnight": Row(THREE, utc(23, 23), "22:00", utc(23, 22)),
    "by the plant's clock": Row(MADRID, utc(23, 5, 30), "06:00", utc(23, 5)),
    "the night in which clocks go back is longer": Row(
        MADRID, utc(25, 0, month=10), "22:00", utc(24, 20, month=10), 9.0
    ),
    "one shift a day lasts a day": Row(ONE, utc(23, 7, 29), "07:30", utc(22, 7, 30), 24.0),
}


@pytest.mark.parametrize("name", ROWS)
def test_shift(name: str) -> None:
    """Its name, its beginning and its length."""
    row = ROWS[name]
    found = shift_at(row.when, row.limits)
    assert (found.name, found.start) == (row.name, row.start)
    assert found.length_s == row.hours * 3600


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis adds the zone
    st.sets(st.sampled_from(["00:00", "05:30", "06:00", "13:15", "22:00"]), min_size=1),
    st.sampled_from(["UTC", "Europe/Madrid", "America/St_Johns"]),
)
def test_every_instant_has_one(when: datetime, starts: set[str], zone: str) -> None:
    """It has begun, it has not ended, and what comes next begins where it ends."""
    limits = GateLimits(shifts=tuple(starts), shift_zone=zone)
    found = shift_at(when, limits)
    assert found.start <= when < found.end
    assert shift_at(found.end, limits).start == found.end


def test_unknown_zone() -> None:
    """A zone that this machine does not know stops the daemon, with its name."""
    with pytest.raises(ConfigurationError, match=r"shift zone 'Mars/Olympus': expected an IANA"):
        zone_of("Mars/Olympus")
