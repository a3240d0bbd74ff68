"""What the plant's clock says now, from its samples and our own monotonic clock."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND_NS: Final = 1_000_000_000
LEAP_NS: Final = 5 * SECOND_NS  # who is so far off has another clock, not a long cable
OFF_TIME_NS: Final = 60 * SECOND_NS  # a live value that is so far off the plant's clock is no news
NEAR_NS: Final = SECOND_NS // 4  # to be on time from the first window on, not after an hour
LEAP_PATIENCE_S: Final = 10.0  # the majority leapt for so long: the clock was set, believe it
RECENT_S: Final = 60.0  # a tag that was silent for longer has no say
SLIP: Final = 1e-3  # how fast we give in to a plant whose clock runs slower than ours


class PlantClock:
    """Source time as it must be now, from the newest samples and our own monotonic clock.

    Rows of a grid follow this and not our wall clock, which may be wrong by hours while every
    source agrees. The majority of the tags decides, the later of two halves; a tag has a say once
    it came twice, for a value that was kept for a newcomer shows when it was kept. Once that is
    so the clock never runs backwards by itself; one that was set is followed after
    `LEAP_PATIENCE_S`.

    Attributes:
        leaps: how often the clock of the plant was set.
    """

    def __init__(self, tags: int) -> None:
        self.leaps = 0
        self._offset_ns: int | None = None
        self._leaping_since_s: float | None = None
        self._confirmed = False
        self._moved_s = 0.0
        self._offsets_ns = np.zeros(tags, np.int64)
        self._heard_s = np.full(tags, -np.inf)
        self._times = np.zeros(tags, np.int64)

    def observe(
        self, tags: NDArray[np.int32], source_ns: NDArray[np.int64], monotonic_s: float
    ) -> bool:
        """Samples of *tags*, shape (sample,), came; true if all rows must start anew."""
        if len(tags) == 0:
            return False
        # Of repeated tags the last one stays: the newest of a batch.
        self._offsets_ns[tags] = source_ns - int(monotonic_s * SECOND_NS)
        self._heard_s[tags] = monotonic_s
        self._times[tags] += 1
        return self._follow(monotonic_s)

    def now_ns(self, monotonic_s: float) -> int | None:
        """Source time now, nanoseconds since 1970; None before the first sample."""
        if self._offset_ns is None:
            return None
        return int(monotonic_s * SECOND_NS) + self._offset_ns

    def _follow(self, now_s: float) -> bool:
        recent = self._heard_s >= now_s - RECENT_S
        say = recent & (self._times > 1)
        confirmed = bool(say.any())
        if confirmed:
            votes = np.sort(self._offsets_ns[say])
            wanted = int(votes[len(votes) // 2])
        else:
            wanted = int(self._offsets_ns[recent].max())
        sure, self._confirmed = self._confirmed, self._confirmed or confirmed
        if self._offset_ns is None:
            return self._set(wanted, now_s)
        if not sure and abs(wanted - self._offset_ns) > NEAR_NS:
            return self._set(wanted, now_s)
        if abs(wanted - self._offset_ns) <= LEAP_NS:
            slack_ns = int((now_s - self._moved_s) * SLIP * SECOND_NS)
            self._offset_ns = max(wanted, self._offset_ns - max(0, slack_ns))
            self._moved_s, self._leaping_since_s = now_s, None
            return False
        if self._leaping_since_s is None:
            self._leaping_since_s = now_s
        if now_s - self._leaping_since_s < LEAP_PATIENCE_S:
            return False
        self.leaps += 1
        return self._set(wanted, now_s)

    def _set(self, offset_ns: int, now_s: float) -> bool:
        self._offset_ns, self._moved_s, self._leaping_since_s = offset_ns, now_s, None
        return True
