"""What goes into a journal and what comes out of it."""

from dataclasses import dataclass

KIND_INTERNAL = 0
"""Records of this kind are the journal's own and never reach a reader."""

SOURCE_BYTES_MAX = 255
"""A source is a certificate's serial or a name as short as one."""

U64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be kept: a body, and who sent it as which number.

    Attributes:
        kind: what the body is (1 to 255); the caller's own numbering, such as one a signal.
        source: who made the entry: a gateway's serial from its certificate, at most 255 bytes.
        epoch: grows by one with every life of the source's own buffer.
        sequence: number of the entry within its epoch, from 1; 0 means that the source declared
            none, and such an entry is never recognised as a repeat.
        body: bytes as received; the journal neither looks inside nor changes them.
        ingest_unix_ns: when it was received, nanoseconds since 1970 UTC.
        flags: eight bits for the caller (encoding, quality of the clock).
    """

    kind: int
    source: str
    epoch: int
    sequence: int
    body: bytes
    ingest_unix_ns: int
    flags: int = 0

    def __post_init__(self) -> None:
        """Keep what the format cannot hold out of the commit thread.

        Raises:
            ValueError: a number is outside its range, or the source is too long.
        """
        _within("kind", self.kind, 1, 0xFF)
        _within("flags", self.flags, 0, 0xFF)
        for name in ("epoch", "sequence", "ingest_unix_ns"):
            _within(name, getattr(self, name), 0, U64_MAX)
        _within("length of source in bytes", len(self.source.encode()), 0, SOURCE_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Record:
    """An entry that is safe on disk.

    Attributes:
        seq: the journal's own number: strictly increasing, never reused, with gaps.
        entry: what was appended, byte for byte.
        body_crc32c: CRC-32C of the body.
    """

    seq: int
    entry: Entry
    body_crc32c: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read found.

    Attributes:
        records: in ascending order; empty when there is nothing (left) to read.
        reached: everything up to this number was looked at, so ask *after* it next. It is at
            least the number that was asked for, also where records are damaged or acknowledged.
    """

    records: tuple[Record, ...]
    reached: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The entry is on disk as record *seq*."""

    seq: int


@dataclass(frozen=True, slots=True)
class DuplicateEntry:
    """The entry had been stored before; nothing was written.

    Attributes:
        seq: the first copy's number; `None` when that is so long ago that only the fact is known.
    """

    seq: int | None


Appended = Stored | DuplicateEntry


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, found {value}")
