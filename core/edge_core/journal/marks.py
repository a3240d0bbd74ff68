"""Which entries of which source are stored already: recognises repeats, decides nothing else.

A source numbers its entries within an epoch. For each of its latest epochs we keep the set of
numbers seen, as ranges, and for the latest numbers the CRC and the record of the first copy.
All of it is bounded, and where a bound forces us to forget, the forgotten entry counts as fresh:
then a repeat is stored twice, but nothing that was never stored is taken for a repeat.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from edge_core.journal.intervals import Intervals

EPOCHS_MAX = 4
"""Lives of one source that are told apart; an outbox rarely holds entries of more."""

INTERVALS_MAX = 1024
"""Ranges an epoch; each gap is an entry that was lost, or is still on its way."""

RECENT_MAX = 64
"""Entries an epoch whose CRC is kept: more than one source has under way at a time."""

SOURCES_MAX = 20_000
"""Four times the gateways that one site proxy serves."""

SNAPSHOT_INTERVALS_MAX = 64
"""Ranges an epoch in a snapshot, so that one odd source cannot fill a segment."""

SNAPSHOT_SOURCES = 256
"""Sources in one part of a snapshot: some 10 to 30 kB."""


class Sighting(enum.Enum):
    """What an identity turned out to be."""

    FRESH = "fresh"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class FirstCopy:
    """Where an entry was stored first, and the CRC-32C of its body."""

    seq: int
    crc32c: int


@dataclass(slots=True)
class _Epoch:
    seen: Intervals = field(default_factory=Intervals)
    recent: dict[int, FirstCopy] = field(default_factory=dict)


class _SourceMarks(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    source: str
    epochs: list[tuple[int, list[tuple[int, int]]]]


class _Part(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    index: int
    count: int
    marks: list[_SourceMarks]


class Marks:
    """What has been stored, by source, epoch and sequence."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[int, _Epoch]] = {}

    def seen(self, source: str, epoch: int, sequence: int, crc32c: int) -> Sighting:
        """Whether this entry is new, a repeat, or another one under a used identity.

        A repeat whose first copy lies further back than `RECENT_MAX` entries is believed without
        its CRC. Sequence 0 declares nothing, so it is always fresh.
        """
        epochs = self._sources.get(source)
        found = epochs.get(epoch) if epochs else None
        if found is None or sequence == 0 or sequence not in found.seen:
            return Sighting.FRESH
        first = found.recent.get(sequence)
        if first is not None and first.crc32c != crc32c:
            return Sighting.CONFLICT
        return Sighting.DUPLICATE

    def first_copy(self, source: str, epoch: int, sequence: int) -> FirstCopy | None:
        """Where the entry was stored, as long as that is remembered."""
        found = self._sources.get(source, {}).get(epoch)
        return found.recent.get(sequence) if found else None

    def contiguous(self, source: str, epoch: int) -> int:
        """The end of the lowest unbroken run of sequences seen; 0 when there is none."""
        found = self._sources.get(source, {}).get(epoch)
        return found.seen.end_of_first() if found else 0

    def add(self, source: str, epoch: int, sequence: int, first: FirstCopy) -> None:
        """Remember that the entry is stored."""
        if sequence == 0:
            return
        found = self._epoch(source, epoch)
        found.seen.add(sequence, sequence)
        if len(found.seen) > INTERVALS_MAX:
            found.seen.keep_highest(INTERVALS_MAX)
        found.recent[sequence] = first
        if len(found.recent) > RECENT_MAX:
            del found.recent[next(iter(found.recent))]

    def snapshot(self) -> list[bytes]:
        """All marks in parts that `restore` reads, the latest sources first; at least one part."""
        latest = list(reversed(self._sources.items()))
        pages = [
            latest[at : at + SNAPSHOT_SOURCES] for at in range(0, len(latest), SNAPSHOT_SOURCES)
        ]
        pages = pages or [[]]
        return [
            msgspec.msgpack.encode(
                _Part(index=index, count=len(pages), marks=[_packed(*item) for item in page])
            )
            for index, page in enumerate(pages)
        ]

    def restore(self, part: bytes) -> tuple[int, int]:
        """Take in one part of a snapshot.

        Returns:
            The part's index, and how many parts there are.

        Raises:
            ValueError: these bytes are no part of a snapshot.
        """
        decoded = msgspec.msgpack.decode(part, type=_Part)
        for marks in reversed(decoded.marks):
            for epoch, pairs in marks.epochs:
                self._epoch(marks.source, epoch).seen.add_all(pairs)
        return decoded.index, decoded.count

    def __iter__(self) -> Iterator[str]:
        """The sources, the longest silent one first."""
        return iter(self._sources)

    def _epoch(self, source: str, epoch: int) -> _Epoch:
        epochs = self._sources.pop(source, None) or {}
        self._sources[source] = epochs  # now the latest
        found = epochs.get(epoch)
        if found is None:
            found = epochs[epoch] = _Epoch()
            if len(epochs) > EPOCHS_MAX:
                del epochs[min(epochs)]
            if len(self._sources) > SOURCES_MAX:
                del self._sources[next(iter(self._sources))]
        return found


def _packed(source: str, epochs: dict[int, _Epoch]) -> _SourceMarks:
    pairs = ((epoch, list(found.seen)) for epoch, found in epochs.items())
    return _SourceMarks(
        source=source,
        epochs=[(epoch, ranges[-SNAPSHOT_INTERVALS_MAX:]) for epoch, ranges in pairs],
    )
