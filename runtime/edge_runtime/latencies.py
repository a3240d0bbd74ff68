"""A histogram of durations that is being filled, one addition a duration."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

LATENCY_BOUNDS_US: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000)


@dataclass(slots=True)
class Latencies:
    """Durations in microseconds.

    Attributes:
        counts: one a bound of `LATENCY_BOUNDS_US`, and what is above them all.
        total: their sum.
        least: the shortest.
        most: the longest.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_US) + 1))
    total: int = 0
    least: int = 2**62
    most: int = 0

    def add(self, latency_us: int) -> None:
        """One more."""
        self.counts[bisect_left(LATENCY_BOUNDS_US, latency_us)] += 1
        self.total += latency_us
        self.least, self.most = min(self.least, latency_us), max(self.most, latency_us)
