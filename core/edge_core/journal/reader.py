"""Reads records in order, within a bound of bytes, from a list of segments that keeps changing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from edge_core.journal.entries import Batch, Record
from edge_core.journal.files import Files
from edge_core.journal.intervals import Intervals
from edge_core.journal.layout import SEGMENT_HEADER_BYTES, sync_word
from edge_core.journal.scan import Damage, Found, Window, scan
from edge_core.journal.segment import Segment

PLACES_MAX = 16
"""Readers whose place in a segment is remembered; others look from its start."""


@dataclass(slots=True)
class _Reading:
    bytes_max: int
    reached: int
    bytes: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return self.bytes >= self.bytes_max

    def take(self, found: Found) -> None:
        self.records.append(found.record())
        self.bytes += found.head.room


class Reader:
    """Where readers are, and what damage they met: segment number -> offsets."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._places: dict[int, tuple[int, int]] = {}
        self.damages: dict[int, set[int]] = {}

    def read(
        self, segments: Sequence[Segment], after: int, bytes_max: int, done: Intervals
    ) -> Batch:
        """The next records above *after* that are not *done*: at least one, if there is any.

        Raises:
            OSError: a segment cannot be opened.
        """
        reading = _Reading(bytes_max, reached=after)
        for segment in segments:
            if segment.last_seq > reading.reached and not reading.full:
                self._read_segment(segment, reading, done)
        return Batch(tuple(reading.records), reading.reached)

    def _read_segment(self, segment: Segment, reading: _Reading, done: Intervals) -> None:
        if not done.covers(max(segment.first_seq, reading.reached + 1), segment.last_seq):
            for found in self._found(segment, reading.reached):
                if found.head.seq <= reading.reached:
                    continue
                if found.head.seq not in done:
                    reading.take(found)
                reading.reached = found.head.seq
                if reading.full:
                    self._remember(reading.reached, segment, found.end)
                    return
        reading.reached = segment.last_seq
        self._remember(reading.reached, segment, segment.end)

    def _found(self, segment: Segment, reached: int) -> Iterator[Found]:
        number, offset = self._places.get(reached, (segment.number, SEGMENT_HEADER_BYTES))
        start = offset if number == segment.number else SEGMENT_HEADER_BYTES
        try:
            file = self._files.open_to_read(segment.path)
        except FileNotFoundError:
            return  # acknowledged and taken away meanwhile
        try:
            for item in scan(Window(file, segment.end), sync_word(segment.identity), start):
                if isinstance(item, Damage):
                    self.damages.setdefault(segment.number, set()).add(item.offset)
                elif not item.internal:
                    yield item
        finally:
            file.close()

    def _remember(self, reached: int, segment: Segment, offset: int) -> None:
        self._places.pop(reached, None)
        self._places[reached] = (segment.number, offset)
        while len(self._places) > PLACES_MAX:
            self._places.pop(next(iter(self._places), 0), None)
