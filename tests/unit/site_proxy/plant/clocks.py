"""Clocks that stand still until a test turns them."""

from datetime import UTC, datetime, timedelta

from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.rollout.world import Clocks

MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class HandClock:
    """Wall and monotonic time, turned together; `jump` turns the wall alone."""

    def __init__(self, start: datetime = MONDAY) -> None:
        self.wall = start
        self.mono = 1000.0
        self.synchronised = True

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as NTP does."""
        self.wall += timedelta(seconds=seconds)

    def quality(self) -> ClockQuality:
        """What the kernel would say."""
        return ClockQuality(synchronised=self.synchronised, error_max_us=1000)

    def clocks(self) -> Clocks:
        """The three clocks as the site takes them."""
        return Clocks(lambda: self.wall, lambda: self.mono, self.quality)
