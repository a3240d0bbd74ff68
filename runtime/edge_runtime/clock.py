"""What the plant's clock says now, from its samples and our own monotonic clock."""

from dataclasses import dataclass

SECOND_NS = 1_000_000_000
LEAP_NS = 5 * SECOND_NS  # a source that is so far off has another clock, not a long cable
LEAP_PATIENCE_S = 10.0  # only leaping samples for so long: the clock was set, believe it


@dataclass(slots=True)
class PlantClock:
    """Source time as it must be now, from the newest samples and our own monotonic clock.

    Rows of a grid follow this and not our wall clock, which may be wrong by hours while every
    source agrees. It never runs backwards by itself; a source's clock that was set is followed
    once nothing else has come for `LEAP_PATIENCE_S`.

    Attributes:
        leaps: how often the clock of the plant was set.
    """

    leaps: int = 0
    _offset_ns: int | None = None
    _leaping_since_s: float | None = None

    def observe(self, source_ns: int, monotonic_s: float) -> bool:
        """A sample of *source_ns* came at *monotonic_s*; true if all rows must start anew."""
        offset = source_ns - int(monotonic_s * SECOND_NS)
        if self._offset_ns is None:
            self._offset_ns = offset
            return True
        if abs(offset - self._offset_ns) <= LEAP_NS:
            self._offset_ns = max(self._offset_ns, offset)
            self._leaping_since_s = None
            return False
        if self._leaping_since_s is None:
            self._leaping_since_s = monotonic_s
        if monotonic_s - self._leaping_since_s < LEAP_PATIENCE_S:
            return False
        self._offset_ns, self._leaping_since_s = offset, None
        self.leaps += 1
        return True

    def now_ns(self, monotonic_s: float) -> int | None:
        """Source time now, nanoseconds since 1970; None before the first sample."""
        if self._offset_ns is None:
            return None
        return int(monotonic_s * SECOND_NS) + self._offset_ns
