"""Warnings and errors on their way to the site: inert text, few, and without secrets.

What goes to the site leaves the plant. It is bounded, nothing in it moves a cursor or looks like a
secret, and it is so many events a minute that a daemon in trouble does not fill its own disk.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import EventDict

from edge_core.command import one_line

WAITING_MAX: Final = 500  # events that wait for the next batch
NAMES_MAX: Final = 256  # event names with a rate of their own; further ones share one
BURST: Final = 10  # events of one name at once
TEXT_MAX: Final = 500
FACTS_MAX: Final = 24
_LEVELS: Final = frozenset({"warning", "error", "critical"})
_SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|private|authori[sz]ation|cookie|api_?key",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(
    r"-----BEGIN[^-]*-----.*?(-----END[^-]*-----|$)"  # PEM
    r"|(?<=://)[^/\s@]+@"  # user and password in a URL
    r"|\b(Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}"
    r"|\b[\w-]*(password|passwd|secret|token|api_?key)[\"']?\s*[=:]\s*\S+",
    re.IGNORECASE | re.DOTALL,
)
WITHHELD: Final = "[withheld]"

Fact = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Told:
    """One event for the site.

    Attributes:
        suppressed: events of that name that were left out since the last one.
    """

    unix_ns: int
    level: str
    name: str
    facts: dict[str, Fact]
    suppressed: int = 0


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float
    suppressed: int = 0


@dataclass(slots=True)
class SiteLog:
    """Warnings and above on their way to the site.

    Args:
        a_minute: events in the long run, each name at most a sixth of them.
        monotonic: the clock of rates.
        unix_ns: the wall clock.

    Attributes:
        suppressed: events that were left out, for their rate or for want of room.
    """

    a_minute: int = 60
    monotonic: Callable[[], float] = time.monotonic
    unix_ns: Callable[[], int] = time.time_ns
    suppressed: int = 0
    _waiting: deque[Told] = field(default_factory=deque)
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def take(self, event: EventDict) -> None:
        """Keep *event* if it is grave enough and not one of too many. Any thread may call."""
        level = str(event.get("level", ""))
        if level not in _LEVELS:
            return
        name = _inert(event.get("event", ""))
        bucket = self._admitted(name)
        if bucket is None or len(self._waiting) >= WAITING_MAX:
            self.suppressed += 1
            return
        said = [(key, value) for key, value in event.items() if key not in _OWN]
        facts = {_inert(key): _fact(key, value) for key, value in said[:FACTS_MAX]}
        self._waiting.append(Told(self.unix_ns(), level, name, facts, bucket.suppressed))
        bucket.suppressed = 0

    def taken(self) -> list[Told]:
        """What waits, which then waits no more."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _admitted(self, name: str) -> _Bucket | None:
        """The bucket of *name* if it may speak."""
        every = self._bucket("", float(self.a_minute), self.a_minute)
        known = name in self._buckets or len(self._buckets) < NAMES_MAX
        own = self._bucket(name if known else "?", float(BURST), self.a_minute / 6)
        if own.left < 1.0 or every.left < 1.0:
            own.suppressed += 1
            return None
        own.left -= 1.0
        every.left -= 1.0
        return own

    def _bucket(self, name: str, burst: float, a_minute: float) -> _Bucket:
        now_s = self.monotonic()
        bucket = self._buckets.setdefault(name, _Bucket(burst, now_s))
        bucket.left = min(burst, bucket.left + (now_s - bucket.at_s) * a_minute / 60.0)
        bucket.at_s = now_s
        return bucket


_OWN: Final = frozenset({"event", "level", "timestamp"})


def _fact(key: str, value: object) -> Fact:
    if _SECRET_NAME.search(key):
        return WITHHELD
    if isinstance(value, bool | int | float):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    return _inert(value)


def _inert(value: object) -> str:
    """Text that moves no cursor, hides nothing, and has no secret in it that we know."""
    text = str(value)[: 4 * TEXT_MAX]
    return one_line(_SECRET_TEXT.sub(WITHHELD, text))[:TEXT_MAX]
