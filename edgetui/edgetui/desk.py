"""What every screen works with: the live picture, the person's session, the link, the clocks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from edgetui.feed import Feed
from edgetui.labelling import Bench, Courier
from edgetui.link import Link
from edgetui.present.banner import Facts, clock_words
from edgetui.present.lines import Target
from edgetui.session import Session

RATE_EVERY_S: Final = 10.0  # sooner, it would itself be most of the traffic


def _nowhere(_: Target) -> None:
    """A desk without a console goes nowhere."""


def _nothing(_: str) -> None:
    """A desk without a console has no keys of its own."""


@dataclass
class Desk:
    """One console's parts.

    Attributes:
        listeners: called when there is something new to draw.
        go: goes to a thing; the console puts it here.
        everywhere: what runs for a key that works on all screens; likewise.
    """

    feed: Feed
    session: Session
    link: Link
    bench: Bench
    courier: Courier
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    low: bool = False
    ascii_only: bool = False
    listeners: list[Callable[[], None]] = field(default_factory=list)
    go: Callable[[Target], None] = _nowhere
    everywhere: Callable[[str], Callable[[], None] | None] = _nothing
    _rate: tuple[float, float | None, float] = (float("-inf"), None, 0.0)

    @property
    def armed(self) -> bool:
        """Whether the capital keys are awake."""
        return self.session.armed_s() > 0

    def go_deaf(self) -> None:
        """Hear no key until what is about to open can have been seen."""
        self.session.go_deaf(self.link.rtt_s or 0.0)

    def facts(self, where: str) -> Facts:
        """What the banner of the screen at *where* says."""
        at, rtt_s, kbit_s = self._rate
        if self.monotonic() - at >= RATE_EVERY_S:
            rtt_s, kbit_s = self.link.rtt_s, self.link.kbit_s()
            self._rate = (self.monotonic(), rtt_s, kbit_s)
        seen = self.feed.seen
        return Facts(
            where=where,
            overview=seen.overview,
            who=seen.who,
            clock=clock_words(self.now(), low=self.low),
            feed_age_s=self.feed.age_s(),
            stale=self.feed.stale,
            trouble=self.feed.trouble,
            armed_s=self.session.armed_s(),
            frozen_s=self.session.frozen_s(),
            rtt_s=rtt_s,
            kbit_s=kbit_s,
            paced=self.link.paced,
        )
