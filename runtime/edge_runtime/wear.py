"""What telemetry may cost the disk, and how its pace follows; values in, values out.

Flash wears out by what is written. When the allowance is spent, batches become larger and rarer;
what was taken is never given up for it.
"""

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400.0
BURST_DAYS: Final = 1 / 24  # an hour's worth may be written at once
# What one commit costs beside the bytes themselves: a block of the file that is written again, and
# the file system's own journal. Measured on ext4: 8 KiB; flash pages are twice as long.
COMMIT_BYTES: Final = 16 * 1024
STRETCH_MAX: Final = 64
WAIT_S_MAX: Final = 3600.0  # a gateway that says nothing for longer is mistaken for a dead one


@dataclass(slots=True)
class WearBudget:
    """An allowance that grows with time and shrinks with every byte.

    Args:
        bytes_a_day: what may be written.
        now_s: monotonic.
    """

    bytes_a_day: int
    now_s: float
    _left: float = 0.0

    def __post_init__(self) -> None:
        """Begin with an hour's worth."""
        self._left = self._burst

    def spend(self, bytes_written: int, now_s: float) -> None:
        """So much was written."""
        self._grow(now_s)
        self._left -= bytes_written

    def wait_s(self, now_s: float) -> float:
        """How long until something may be written again; 0 is now."""
        self._grow(now_s)
        return max(0.0, -self._left / self._rate)

    def used(self, now_s: float) -> float:
        """The share of an hour's allowance that is used up; above 1 is overdrawn."""
        self._grow(now_s)
        return max(0.0, 1.0 - self._left / self._burst)

    @property
    def _rate(self) -> float:
        return self.bytes_a_day / DAY_S

    @property
    def _burst(self) -> float:
        return self.bytes_a_day * BURST_DAYS

    def _grow(self, now_s: float) -> None:
        grown = max(0.0, now_s - self.now_s) * self._rate
        self._left, self.now_s = min(self._burst, self._left + grown), now_s


def pause_s(period_s: float, fill: float, wait_s: float) -> float:
    """How long until the next batch.

    Each time half of the room that was left is taken, batches become half as frequent, so that an
    outage of any length has a place.

    Args:
        period_s: between two batches in good times.
        fill: share of the journal's room that is taken.
        wait_s: as the wear budget says.
    """
    stretch = 1
    while stretch < STRETCH_MAX and fill > 1.0 - 0.5 / stretch:
        stretch *= 2
    return max(period_s * stretch, min(wait_s, WAIT_S_MAX))
