"""How large a journal may grow, and what it tells about itself."""

import enum
from dataclasses import dataclass
from typing import Annotated

import msgspec

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

SEGMENT_BYTES_MIN = 16 * KIB


class JournalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one journal.

    Attributes:
        segment_bytes: size of one file; an entry must fit into one.
        bytes_max: all segments together, damaged ones set aside not counted.
        pending_bytes_max: bodies that may wait for the disk; more is refused, not queued.
        batch_bytes_max: bodies in one commit, so that one sync stays short.
        commit_window_s: how long a commit waits for company; 0 suits SSDs, 0.02 saves eMMC.
        cursor_interval_s: an acknowledgement is on disk at the latest this much later.
        cursor_steps_max: likewise, in acknowledgements.
        quarantine_bytes_max: damaged files kept as evidence; the oldest goes first.
        preallocate: reserve a segment's room when it is made, so that a full disk shows early.
    """

    segment_bytes: Annotated[int, msgspec.Meta(ge=SEGMENT_BYTES_MIN, le=GIB)] = 64 * MIB
    bytes_max: Annotated[int, msgspec.Meta(ge=2 * SEGMENT_BYTES_MIN)] = 4 * GIB
    pending_bytes_max: Annotated[int, msgspec.Meta(ge=KIB)] = 64 * MIB
    batch_bytes_max: Annotated[int, msgspec.Meta(ge=KIB)] = 8 * MIB
    commit_window_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    cursor_interval_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    cursor_steps_max: Annotated[int, msgspec.Meta(ge=1)] = 256
    quarantine_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = 256 * MIB
    preallocate: bool = True

    def __post_init__(self) -> None:
        """Refuse bounds that contradict one another.

        Raises:
            ValueError: two segments do not fit into the whole.
        """
        if self.bytes_max < 2 * self.segment_bytes:
            raise ValueError(
                f"bytes_max: expected at least two segments ({2 * self.segment_bytes} bytes), "
                f"found {self.bytes_max}"
            )


class JournalState(enum.Enum):
    """How a journal is doing; `PRESSURE` starts at four fifths of `bytes_max`."""

    HEALTHY = "healthy"
    PRESSURE = "pressure"
    FULL = "full"
    READ_ONLY = "read-only"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What was found when the journal was opened.

    Attributes:
        segments: files that hold records.
        scanned: of these, read in full because they had not been sealed.
        records: records found.
        last_seq: the highest number in use; 0 in a new journal.
        acknowledged: everything up to here had been acknowledged.
        damaged: stretches inside segments that are unreadable; their records are lost.
        damaged_bytes: bytes in these stretches.
        torn_bytes: bytes cut off behind the last good record: never acknowledged to anyone.
        quarantined: segments set aside because nothing in them could be read.
        cursor_lost: the cursor was missing or unreadable, so some records are delivered twice.
    """

    segments: int
    scanned: int
    records: int
    last_seq: int
    acknowledged: int
    damaged: int
    damaged_bytes: int
    torn_bytes: int
    quarantined: int
    cursor_lost: bool


@dataclass(frozen=True, slots=True)
class JournalStats:
    """A journal's figures at one moment.

    Attributes:
        bytes: room that the segments take.
        bytes_max: the room they may take.
        records: records in these segments, acknowledged ones among them.
        first_seq: lowest number that a segment still holds; 0 when there is none.
        last_seq: highest number that is safe on disk; 0 when there is none.
        acknowledged: everything up to here is acknowledged.
        segments: files that hold records.
        quarantined: segments set aside as evidence.
        damaged: unreadable stretches found so far.
        commits: syncs since the journal was opened.
        stored_body_bytes: bodies stored since the journal was opened.
        pending_bytes: bodies that wait for the disk.
        state: see `JournalState`.
    """

    bytes: int
    bytes_max: int
    records: int
    first_seq: int
    last_seq: int
    acknowledged: int
    segments: int
    quarantined: int
    damaged: int
    commits: int
    stored_body_bytes: int
    pending_bytes: int
    state: JournalState
