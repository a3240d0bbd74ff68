"""OPC UA data values as samples, and what the first and the last values of a connection mean."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edge_core.features.samples import CellQuality
from edge_runtime.sources.sample import TagSample

OLD_NS: Final = 1_000_000_000  # a first value that old was not measured now but is still true
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SEVERITY_BITS: Final = 30  # OPC 10000-4, 7.39.1: the two top bits of a status code
_OVERFLOW: Final = 0x480  # info type DataValue, and its overflow bit


def sample_of(
    role: str,
    found: Any,  # asyncua ships no types: a DataValue
    unix_ns: Callable[[], int],
) -> tuple[TagSample, bool]:
    """A data value as a sample, and whether the server says that values before it are lost."""
    code = int(found.StatusCode.value) if found.StatusCode is not None else 0
    quality = CellQuality(min(code >> _SEVERITY_BITS, CellQuality.BAD))
    value = _number(found.Value)
    if not math.isfinite(value) and quality is not CellQuality.BAD:
        quality = CellQuality.BAD
    stamp = found.SourceTimestamp or found.ServerTimestamp
    source_ns = unix_ns() if stamp is None else nanoseconds(stamp)
    overflow = code & _OVERFLOW == _OVERFLOW
    return TagSample(role, value, quality, source_ns), overflow


def nanoseconds(stamp: datetime) -> int:
    """An instant, in UTC if it does not say, as nanoseconds since 1970."""
    aware = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000


def _number(variant: Any) -> float:  # Any: asyncua ships no types
    value = None if variant is None else variant.Value
    if isinstance(value, bool | int | float):
        return float(value)
    return math.nan


@dataclass(slots=True)
class FirstValues:
    """What is known of the other side's clock, and which tags have spoken on this connection.

    A server answers a new subscription with the present value of every tag, stamped with its last
    change, perhaps hours ago. It is true now, so it counts from now; else an outage would never
    end for a tag that does not change.
    """

    newest_ns: int | None = None
    newest_s: float = 0.0
    seen: set[str] = field(default_factory=set)

    def stamped(self, samples: Sequence[TagSample], now_s: float) -> list[TagSample]:
        """The samples of one response; a tag's first value of old counts from the newest time."""
        newest_ns = max(sample.source_ns for sample in samples)
        if self.newest_ns is None or newest_ns >= self.newest_ns:
            self.newest_ns, self.newest_s = newest_ns, now_s
        floor_ns = self.newest_ns
        stamped: list[TagSample] = []
        for sample in samples:
            first = sample.role not in self.seen
            self.seen.add(sample.role)
            old = floor_ns - sample.source_ns > OLD_NS
            stamped.append(sample._replace(source_ns=floor_ns) if first and old else sample)
        return stamped

    def gaps(self, roles: Sequence[str], heard_s: float) -> list[TagSample]:
        """From the last sign of life on nothing is known; nothing if there was never a value."""
        if self.newest_ns is None:
            return []
        from_ns = self.newest_ns + max(0, int((heard_s - self.newest_s) * 1e9)) + 1
        return [TagSample(role, math.nan, CellQuality.GAP, from_ns) for role in roles]
