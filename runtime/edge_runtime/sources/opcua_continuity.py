"""What is known of each tag and until when: gaps exactly, and nothing twice; values in and out.

Time here is source time, and every controller behind a server has a clock of its own. A server
says when it published; the source time of what a tag then said gives the difference between that
tag's clock and the server's, so a keep-alive too moves the instant until which the tag is known.
What was lost lies behind that instant and before the next value. A clock that is set, the server's
or a controller's, begins a new time: nothing is reckoned across it.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.clock import LEAP_NS, OFF_TIME_NS, RECENT_S, SECOND_NS
from edge_runtime.sources.opcua_items import NO_TIME
from edge_runtime.sources.sample import GapCause, SampleBatch, gap_status

OLD_NS: Final = 1_000_000_000  # a first value that old was not measured now but is still true
OVERFLOW: Final = 0x480  # OPC 10000-4, 7.39.1: info type DataValue, and its overflow bit
HOLES_MAX: Final = 10_000  # waiting to be read from history
SET_NS: Final = OFF_TIME_NS  # a tag that goes back by more was set back and is not late
RECENT_NS: Final = int(RECENT_S * SECOND_NS)


@dataclass(frozen=True, slots=True)
class Hole:
    """Between two instants, neither counted, values of a tag are missing."""

    tag: int
    start_ns: int
    end_ns: int


class Continuity:
    """The tags of one server, across all connections to it.

    Args:
        tags: those of this server, by their place in the configuration.
        size: how many the configuration has.

    Attributes:
        overflows: values before which the server says that it dropped some.
    """

    def __init__(self, tags: NDArray[np.int32], size: int) -> None:
        self._tags = tags
        self._last_ns = np.full(size, NO_TIME, np.int64)
        self._told_ns = self._last_ns.copy()  # as the server told it, whatever it counts from
        self._values = np.full(size, np.nan)
        self._status = np.zeros(size, np.uint32)
        self._since_ns = np.full(size, NO_TIME, np.int64)
        self._first = np.isin(np.arange(size), tags)  # of whom this subscription has said nothing
        self._ahead_ns = self._last_ns.copy()  # of the server's clock, where it has spoken twice
        self._spoke_ns = self._last_ns.copy()  # the server's clock when it did
        self._begun_ahead_ns: int | None = None  # as the first values of all have it
        self._known_ns = NO_TIME
        self._arrived_s: float | None = None
        self._published_ns = NO_TIME
        self._holes: list[Hole] = []
        self.overflows = 0

    def begin(self) -> None:
        """A new subscription: the server tells the present value of every tag first."""
        self._first[self._tags] = True

    def take(self, batch: SampleBatch, published_ns: int, *, more: bool) -> SampleBatch:
        """What one message says, with the gaps that it shows.

        A server answers a new subscription with the present value of every tag, stamped with its
        last change, perhaps hours ago. It is true now, so it counts from now.

        Args:
            batch: of this server's tags.
            published_ns: the server's clock when it sent them.
            more: it has sent only a part of what it had.
        """
        told = batch
        if not batch.historical:
            self._follow(batch, published_ns)
        first = self._first[batch.tags]
        self._learn(batch.take(~first) if first.any() else batch, published_ns)
        if first.any():
            batch = self._stamped(batch, published_ns)
        if not more or self._known_ns == NO_TIME:
            self._known_ns = max(self._known_ns, published_ns)
        full = (batch.status & np.uint32(OVERFLOW)) == OVERFLOW
        if full.any():
            batch = self._with_overflows(batch, full)
        _advance(self._told_ns, told)
        self._remember(batch)
        return batch

    def lost(self, cause: GapCause) -> SampleBatch:
        """From the last sign of life on nothing is known; nothing if there never was one."""
        plant_ns = self._plant_ahead_ns()
        if plant_ns is None:
            return _batch([], [], [], [])
        known = np.maximum(self._last_ns[self._tags], self.dated(self._tags, self._known_ns))
        # What was said of a time that the plant has not reached is no news of it.
        now_ns = max(self._known_ns, self._published_ns) + plant_ns
        starts = np.where(known > now_ns + SET_NS, now_ns, known) + 1
        # An outage that had begun before goes on.
        begun = self._since_ns[self._tags]
        self._since_ns[self._tags] = np.where(begun == NO_TIME, starts, begun)
        fresh = begun == NO_TIME
        count = int(np.count_nonzero(fresh))
        status = np.full(count, gap_status(cause), np.uint32)
        return SampleBatch(self._tags[fresh], np.full(count, np.nan), starts[fresh], status)

    def dated(self, tags: NDArray[np.int32], server_ns: int) -> NDArray[np.int64]:
        """An instant of the server's clock in the source time of each of *tags*.

        A tag whose clock is ahead of the plant's counts by the plant's: by its own, rows of the
        plant's time would hold its last value after the server has gone.
        """
        plant_ns = self._plant_ahead_ns() or 0
        own = self._ahead_ns[tags]
        return server_ns + np.where((own == NO_TIME) | (own > plant_ns + LEAP_NS), plant_ns, own)

    def mended(self) -> SampleBatch:
        """Nothing was lost after all: what was true before the outage was true throughout."""
        open_tags = self._tags[self._since_ns[self._tags] != NO_TIME]
        known = open_tags[self._last_ns[open_tags] != NO_TIME]
        since_ns = self._since_ns[known] + 1
        self._since_ns[open_tags] = NO_TIME
        values, status = self._values[known], self._status[known]
        return SampleBatch(known, values, since_ns, status, historical=True)

    def holes(self) -> list[Hole]:
        """What is missing and has both its ends; each is given once."""
        found, self._holes = self._holes, []
        return found

    def _follow(self, batch: SampleBatch, published_ns: int) -> None:
        """Notice that the server's clock was set, by what our own says went by meanwhile."""
        before_s, self._arrived_s = self._arrived_s, batch.arrived_s
        before_ns, self._published_ns = self._published_ns, published_ns
        if before_s is None or batch.arrived_s is None:
            return
        set_ns = published_ns - before_ns - int((batch.arrived_s - before_s) * SECOND_NS)
        if abs(set_ns) <= LEAP_NS:
            return
        self._known_ns += set_ns
        spoken = self._spoke_ns != NO_TIME
        if not self._went_along(batch, published_ns, set_ns):
            self._ahead_ns[spoken] -= set_ns
            if self._begun_ahead_ns is not None:
                self._begun_ahead_ns -= set_ns
        # That is a guess until somebody speaks.
        self._spoke_ns[spoken] = published_ns - RECENT_NS - 1

    def _went_along(self, batch: SampleBatch, published_ns: int, set_ns: int) -> bool:
        """Whether most of what is new is of a clock that was set with the server's."""
        new = batch.source_ns != self._told_ns[batch.tags]
        tags, source_ns = batch.tags[new], batch.source_ns[new]
        off_ns = source_ns - self.dated(tags, published_ns)
        along = np.abs(off_ns) < np.abs(off_ns + set_ns)
        return bool(2 * np.count_nonzero(along) > len(tags))

    def _learn(self, batch: SampleBatch, published_ns: int) -> None:
        # Of several values of one tag the last one stays.
        self._ahead_ns[batch.tags] = batch.source_ns - published_ns
        self._spoke_ns[batch.tags] = published_ns

    def _plant_ahead_ns(self) -> int | None:
        """How far the plant's clock is ahead of the server's; None before the first value.

        The majority of those who spoke lately decides, the later of two halves.
        """
        spoke = self._spoke_ns[self._tags]
        newest_ns = int(spoke.max(initial=NO_TIME))
        if newest_ns == NO_TIME:
            return self._begun_ahead_ns
        votes = self._ahead_ns[self._tags][spoke >= newest_ns - RECENT_NS]
        return int(np.sort(votes)[len(votes) // 2])

    def _stamped(self, batch: SampleBatch, published_ns: int) -> SampleBatch:
        """Each tag's first value of old counts from now; what is missing before it is a hole."""
        plant_ns = self._plant_ahead_ns()
        if plant_ns is None:
            plant_ns = self._begun_ahead_ns = _ahead_of(batch.source_ns - published_ns)
        now_ns = published_ns + plant_ns
        source_ns = batch.source_ns.copy()
        for row in np.flatnonzero(self._first[batch.tags]).tolist():
            tag = int(batch.tags[row])
            if self._first[tag]:
                source_ns[row] = self._first_ns(tag, int(source_ns[row]), now_ns)
        return replace(batch, source_ns=source_ns)

    def _first_ns(self, tag: int, source_ns: int, now_ns: int) -> int:
        """From when the first value of a tag on this subscription counts."""
        self._first[tag] = False
        since_ns, unchanged = int(self._since_ns[tag]), source_ns == self._told_ns[tag]
        self._since_ns[tag] = NO_TIME
        # What is dated long after now was dated before the clock was set back.
        soon_ns = now_ns + SET_NS
        if not NO_TIME < since_ns <= soon_ns:
            return source_ns if now_ns - OLD_NS <= source_ns <= soon_ns else now_ns
        stamped_ns = source_ns if since_ns < source_ns <= soon_ns else max(now_ns, since_ns + 1)
        # The same source time as before means that nothing was written meanwhile.
        if not unchanged:
            self._note(Hole(tag, since_ns - 1, stamped_ns))
        return stamped_ns

    def _with_overflows(self, batch: SampleBatch, full: NDArray[np.bool_]) -> SampleBatch:
        """Before each value that bears the bit, a gap from the value before it."""
        tags, starts = [], []
        for row in np.flatnonzero(full).tolist():
            tag = int(batch.tags[row])
            before = batch.source_ns[:row][batch.tags[:row] == tag]
            start_ns = int(before.max(initial=self._last_ns[tag])) + 1
            source_ns = int(batch.source_ns[row])
            # Across a clock that was set back nobody knows since when.
            start_ns = source_ns - 1 if start_ns > source_ns + SET_NS else start_ns
            self.overflows += 1
            if NO_TIME + 1 < start_ns < source_ns:
                tags.append(tag)
                starts.append(start_ns)
                self._note(Hole(tag, start_ns - 1, source_ns))
        gaps = _batch(
            tags, [np.nan] * len(tags), starts, [gap_status(GapCause.OVERFLOW)] * len(tags)
        )
        return replace(
            batch,
            tags=np.concatenate([gaps.tags, batch.tags]),
            values=np.concatenate([gaps.values, batch.values]),
            source_ns=np.concatenate([gaps.source_ns, batch.source_ns]),
            status=np.concatenate([gaps.status, batch.status]),
        )

    def _note(self, hole: Hole) -> None:
        if len(self._holes) < HOLES_MAX:
            self._holes.append(hole)

    def _remember(self, batch: SampleBatch) -> None:
        _advance(self._last_ns, batch)
        # As above, of several the last one.
        self._values[batch.tags] = batch.values
        self._status[batch.tags] = batch.status


def _advance(times_ns: NDArray[np.int64], batch: SampleBatch) -> None:
    """Keep each tag's newest; a live one that is far older is of a clock that was set back."""
    np.maximum.at(times_ns, batch.tags, batch.source_ns)
    set_back = batch.source_ns < times_ns[batch.tags] - SET_NS
    if set_back.any() and not batch.historical:
        times_ns[batch.tags[set_back]] = batch.source_ns[set_back]


def _ahead_of(aheads_ns: NDArray[np.int64]) -> int:
    """How far the plant's clock is ahead, from first values, most of which may be of old.

    The newest tells, unless its clock is ahead of the others that can be of now.
    """
    of_now = aheads_ns[aheads_ns >= -LEAP_NS]
    if not len(of_now):
        return int(aheads_ns.max())
    middle = np.sort(of_now)[len(of_now) // 2]
    return int(of_now[of_now <= middle + LEAP_NS].max())


def doubted(batch: SampleBatch, queue: int) -> SampleBatch:
    """What comes first after an outage: a queue that was full has lost values, told or not.

    Not every server sets the overflow bit. Where a tag has as many values as its queue holds, the
    first of them is marked as if the server had.
    """
    if len(batch) < queue:
        return batch
    _, first, count = np.unique(batch.tags, return_index=True, return_counts=True)
    status = batch.status.copy()
    status[first[count >= queue]] |= np.uint32(OVERFLOW)
    return replace(batch, status=status)


def _batch(
    tags: list[int], values: list[float], source_ns: list[int], status: list[int]
) -> SampleBatch:
    return SampleBatch(
        np.array(tags, np.int32),
        np.array(values, np.float64),
        np.array(source_ns, np.int64),
        np.array(status, np.uint32),
    )
