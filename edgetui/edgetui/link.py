"""What the terminal's link does: bytes, round trips, and how often it is worth drawing."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

RATE_OVER_S: Final = 10.0  # what the banner calls "now"
FULL_S, LOW_S, CRAWL_S = 0.25, 1.0, 5.0
SLOW_RTT_S, CRAWL_RTT_S = 0.8, 3.0


@dataclass
class Link:
    """Counters of one terminal; the driver writes them, the banner reads them.

    Attributes:
        rtt_s: how long the terminal took to answer the last frame, None before the first answer.
        frames: how many frames were sent.
        sent_bytes: everything ever written.
        paced: whether the terminal answers, so that one frame at a time is in flight.
        repaint: set to have everything drawn anew.
    """

    monotonic: Callable[[], float]
    rtt_s: float | None = None
    frames: int = 0
    sent_bytes: int = 0
    paced: bool = True
    repaint: threading.Event = field(default_factory=threading.Event)
    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=1000))

    def sent(self, count: int) -> None:
        """Note that *count* bytes went out."""
        self.sent_bytes += count
        self._recent.append((self.monotonic(), count))

    def kbit_s(self) -> float:
        """Kilobits a second, over the last ten."""
        since = self.monotonic() - RATE_OVER_S
        recent = sum(count for at, count in list(self._recent) if at >= since)
        return recent * 8 / 1000 / RATE_OVER_S


def draw_every_s(link: Link, *, low: bool) -> float:
    """How often changed values are drawn: four times a second, less on a link that is slow."""
    rtt = link.rtt_s or 0.0
    if rtt > CRAWL_RTT_S:
        return CRAWL_S
    return LOW_S if low or rtt > SLOW_RTT_S else FULL_S
