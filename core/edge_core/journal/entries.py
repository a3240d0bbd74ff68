"""What goes into a journal and what comes out of it."""

from dataclasses import dataclass

KIND_INTERNAL = 0
"""Records of this kind are the journal's own and never reach a reader."""

SOURCE_BYTES_MAX = 255
"""A source is a certificate's serial or a name as short as one."""

U8_MAX = (1 << 8) - 1
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
        numbers = (self.epoch, self.sequence, self.ingest_unix_ns)
        fits = 1 <= self.kind <= U8_MAX and 0 <= self.flags <= U8_MAX
        if not fits or min(numbers) < 0 or max(numbers) > U64_MAX:
            raise ValueError(
                f"entry: expected kind 1 to {U8_MAX}, flags 0 to {U8_MAX} and 64-bit numbers, "
                f"found kind {self.kind}, flags {self.flags}, epoch {self.epoch}, "
                f"sequence {self.sequence}, ingest_unix_ns {self.ingest_unix_ns}"
            )
        if self.source_bytes > SOURCE_BYTES_MAX:
            raise ValueError(
                f"entry: expected a source of at most {SOURCE_BYTES_MAX} bytes, "
                f"found {self.source_bytes}"
            )

    @property
    def source_bytes(self) -> int:
        """Length of the source in UTF-8."""
        return len(self.source) if self.source.isascii() else len(self.source.encode())


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
