"""Which records go up next: after an outage what is new does not wait behind what is old.

Values in, values out. Every record is looked at until it is acknowledged; the journal itself
leaves out what is.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

_BACKLOG_EVERY = 4  # three reads of what is new for one of what is old, so neither starves


class Order(StrEnum):
    """How to drain; an upstream that wants samples in order needs FIFO."""

    FRESH_FIRST = "fresh-first"
    FIFO = "fifo"


class Lane(StrEnum):
    """Where a read looks."""

    LIVE = "live"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Places:
    """How far reading has come.

    Attributes:
        live: read after this next.
        split: everything up to here is backlog; None when there is none.
        backlog: read after this next, up to *split*.
        turn: counts reads while there is a backlog.
    """

    live: int = 0
    split: int | None = None
    backlog: int = 0
    turn: int = 0

    def next_lane(self) -> Lane:
        """Where to look now."""
        if self.split is None or self.turn % _BACKLOG_EVERY:
            return Lane.LIVE
        return Lane.BACKLOG

    def after(self, lane: Lane) -> int:
        """Where a read of *lane* begins."""
        return self.live if lane is Lane.LIVE else self.backlog

    def moved(self, lane: Lane, reached: int, *, found: bool) -> "Places":
        """A read of *lane* came to *reached*, and *found* something to send or not."""
        if lane is Lane.LIVE:
            # Nothing new: the next turn is the backlog's.
            turn = self.turn + 1 if found else 0
            return replace(self, live=max(self.live, reached), turn=turn)
        if not found or (self.split is not None and reached >= self.split):
            return replace(self, split=None, backlog=0, turn=0)
        return replace(self, backlog=reached, turn=self.turn + 1)

    def again(self) -> "Places":
        """Something was not taken: look at everything unacknowledged once more."""
        if self.split is None:
            return Places()
        return Places(live=self.split, split=self.split, backlog=0, turn=0)

    def back_up(self, last: int, order: Order) -> "Places":
        """The upstream is back, with *last* the newest record: all up to it is backlog now."""
        if order is Order.FIFO:
            return Places()
        return Places(live=last, split=last, backlog=0, turn=0)
