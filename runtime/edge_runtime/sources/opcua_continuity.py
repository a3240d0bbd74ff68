"""What is known of each tag and until when: gaps exactly, and nothing twice; values in and out.

Time here is source time. A server says when it published; the newest source time of what it then
sent gives the difference between both clocks, so a keep-alive too moves the instant until which
everything is known. What was lost lies behind that instant and before the next value.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.sources.opcua_items import NO_TIME
from edge_runtime.sources.sample import GapCause, SampleBatch, gap_status

OLD_NS: Final = 1_000_000_000  # a first value that old was not measured now but is still true
OVERFLOW: Final = 0x480  # OPC 10000-4, 7.39.1: info type DataValue, and its overflow bit
HOLES_MAX: Final = 10_000  # waiting to be read from history


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
        self._first = set(tags.tolist())  # of which this subscription has said nothing yet
        self._ahead_ns: int | None = None
        self._known_ns = NO_TIME
        self._holes: list[Hole] = []
        self.overflows = 0

    def begin(self) -> None:
        """A new subscription: the server tells the present value of every tag first."""
        self._first = set(self._tags.tolist())

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
        if self._first and len(batch):
            batch = self._stamped(batch, published_ns)
        elif len(batch):
            self._ahead_ns = int(batch.source_ns.max()) - published_ns
        if not more:
            self._known_ns = max(self._known_ns, published_ns)
        full = (batch.status & np.uint32(OVERFLOW)) == OVERFLOW
        if full.any():
            batch = self._with_overflows(batch, full)
        np.maximum.at(self._told_ns, told.tags, told.source_ns)
        self._remember(batch)
        return batch

    def lost(self, cause: GapCause) -> SampleBatch:
        """From the last sign of life on nothing is known; nothing if there never was one."""
        if self._ahead_ns is None:
            return _batch([], [], [], [])
        known_ns = self._known_ns + self._ahead_ns
        starts = np.maximum(self._last_ns[self._tags], known_ns) + 1
        # An outage that had begun before goes on.
        begun = self._since_ns[self._tags]
        self._since_ns[self._tags] = np.where(begun == NO_TIME, starts, begun)
        fresh = begun == NO_TIME
        count = int(np.count_nonzero(fresh))
        status = np.full(count, gap_status(cause), np.uint32)
        return SampleBatch(self._tags[fresh], np.full(count, np.nan), starts[fresh], status)

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

    def _stamped(self, batch: SampleBatch, published_ns: int) -> SampleBatch:
        """Each tag's first value of old counts from now; what is missing before it is a hole."""
        newest_ns = int(batch.source_ns.max())
        if self._ahead_ns is None:
            self._ahead_ns = newest_ns - published_ns
        now_ns = max(newest_ns, published_ns + self._ahead_ns)
        source_ns = batch.source_ns.copy()
        for row, tag in enumerate(batch.tags.tolist()):
            if tag in self._first:
                source_ns[row] = self._first_ns(tag, int(source_ns[row]), now_ns)
        return replace(batch, source_ns=source_ns)

    def _first_ns(self, tag: int, source_ns: int, now_ns: int) -> int:
        """From when the first value of a tag on this subscription counts."""
        self._first.discard(tag)
        since_ns, unchanged = int(self._since_ns[tag]), source_ns == self._told_ns[tag]
        self._since_ns[tag] = NO_TIME
        if since_ns == NO_TIME:
            return now_ns if now_ns - source_ns > OLD_NS else source_ns
        stamped_ns = source_ns if source_ns > since_ns else max(now_ns, since_ns + 1)
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
            self.overflows += 1
            if NO_TIME + 1 < start_ns < batch.source_ns[row]:
                tags.append(tag)
                starts.append(start_ns)
                self._note(Hole(tag, start_ns - 1, int(batch.source_ns[row])))
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
        np.maximum.at(self._last_ns, batch.tags, batch.source_ns)
        # Of several values of one tag the last one stays.
        self._values[batch.tags] = batch.values
        self._status[batch.tags] = batch.status


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
