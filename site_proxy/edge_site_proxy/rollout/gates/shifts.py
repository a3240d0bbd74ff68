"""Which shift an instant lies in, by the plant's own clock; pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.gates import GateLimits


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift of one day.

    Attributes:
        name: its beginning by the plant's clock, HH:MM; the same every day.
        start: the same as an instant, UTC.
        end: when the next begins.
    """

    name: str
    start: datetime
    end: datetime

    @property
    def length_s(self) -> float:
        """An hour less or more when the clocks change."""
        return (self.end - self.start).total_seconds()


def shift_at(when: datetime, limits: GateLimits) -> Shift:
    """The shift that *when* lies in."""
    today = when.astimezone(zone_of(limits.shift_zone)).date()
    begins = _begins(today, tuple(sorted(set(limits.shifts))), limits.shift_zone)
    number = max(at for at, (start, _) in enumerate(begins) if start <= when)
    start, name = begins[number]
    return Shift(name, start, begins[number + 1][0])


def zone_of(name: str) -> ZoneInfo:
    """The zone *name*.

    Raises:
        ConfigurationError: this machine knows none such.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(
            f"shift zone {name!r}: expected an IANA time zone, for example Europe/Madrid"
        ) from error


@lru_cache(maxsize=64)
def _begins(today: date, names: tuple[str, ...], zone: str) -> list[tuple[datetime, str]]:
    """When the shifts of yesterday, today and tomorrow begin, UTC."""
    return [
        (datetime.combine(day, time.fromisoformat(name), zone_of(zone)).astimezone(UTC), name)
        for day in (today + timedelta(days=offset) for offset in (-1, 0, 1))
        for name in names
    ]
