"""The journal without its event loop: segments, cursor and quarantine of one folder.

`commit`, `acknowledge` and `close` belong to one thread; `read` may run beside them, since it
works on a list of segments that is replaced and never changed.
"""

import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from edge_core.journal.config import JournalConfig, JournalState, JournalStats
from edge_core.journal.cursor import NAME as CURSOR_NAME
from edge_core.journal.cursor import Cursor
from edge_core.journal.entries import Batch
from edge_core.journal.errors import (
    DiskFullError,
    JournalFullError,
    JournalReadOnlyError,
    JournalSyncError,
    JournalUnreadableError,
)
from edge_core.journal.files import File
from edge_core.journal.host import Host
from edge_core.journal.intervals import Intervals
from edge_core.journal.layout import (
    FOOTER_BYTES,
    RANGES_MAX,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
)
from edge_core.journal.marks import Marks
from edge_core.journal.quarantine import NAME as QUARANTINE_NAME
from edge_core.journal.quarantine import Quarantine
from edge_core.journal.reader import Reader
from edge_core.journal.recall import recall
from edge_core.journal.recovery import Recovered, recover
from edge_core.journal.segment import Draft, Segment, Writer

PRESSURE_SHARE = 0.8
"""From here on a caller should shed what it can do without."""

SYNC_FAILURES_MAX = 2
"""One failed sync may be a bad spot; two in a row are a bad disk."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class _Held:
    lock: File
    quarantine: Quarantine


class Log:
    """The segments of one folder, and everything that changes them."""

    def __init__(
        self, folder: Path, config: JournalConfig, host: Host, held: _Held, found: Recovered
    ) -> None:
        files = host.files
        self._folder = folder
        self._config = config
        self._host = host
        self._held = held
        self._quarantine = held.quarantine
        self._cursor = Cursor(files, folder / CURSOR_NAME, found.generation)
        self._reader = Reader(files)
        self._segments = found.segments
        self._writer: Writer | None = None
        self._done = found.done
        self._next_seq = found.next_seq
        self._next_number = found.next_number
        self._cursor_steps = 0
        self._cursor_at = host.monotonic()
        self._sync_failures = 0
        self._full = False
        self._commits = 0
        self._stored_body_bytes = 0
        self._known_damages = sum(len(look.damages) for look in found.looks)
        self.last_seq = max((segment.last_seq for segment in found.segments), default=0)
        self.recovery = found.report()

    @classmethod
    def open(cls, folder: Path, config: JournalConfig, host: Host) -> "tuple[Log, Marks]":
        """Take hold of *folder*, recover what is in it, and recall what was stored.

        Raises:
            JournalInUseError: another process holds it.
            JournalForeignError: a newer program wrote it.
            JournalReadOnlyError: the folder cannot be written.
        """
        files = host.files
        try:
            files.make_folder(folder)
            lock = files.lock(folder / "lock")
        except OSError as error:
            raise JournalReadOnlyError(
                f"journal folder {folder}: expected to be able to write there, found: {error}"
            ) from error
        try:
            quarantine = Quarantine(files, folder / QUARANTINE_NAME, config.quarantine_bytes_max)
            quarantine.open()
            found = recover(files, folder, quarantine)
            log = cls(folder, config, host, _Held(lock, quarantine), found)
            return log, recall(files, found.segments)
        except OSError as error:
            lock.close()
            raise JournalReadOnlyError(f"journal folder {folder}: {error}") from error
        except BaseException:
            lock.close()
            raise

    @property
    def record_bytes_max(self) -> int:
        """Room that the records of one commit may take together."""
        fixed = SEGMENT_HEADER_BYTES + FOOTER_BYTES
        return self._config.segment_bytes - fixed - self._marks_bytes_max

    @property
    def _marks_bytes_max(self) -> int:
        return self._config.segment_bytes // 4

    @property
    def state(self) -> JournalState:
        """How it is doing."""
        if self._sync_failures >= SYNC_FAILURES_MAX:
            return JournalState.READ_ONLY
        if self._full:
            return JournalState.FULL
        used = self._bytes() > PRESSURE_SHARE * self._config.bytes_max
        return JournalState.PRESSURE if used else JournalState.HEALTHY

    def rolls(self, length: int) -> bool:
        """Whether a commit of *length* bytes starts a segment, and so needs the marks."""
        return self._writer is None or not self._writer.fits(length)

    def commit(self, drafts: Sequence[Draft], marks: Sequence[bytes]) -> int:
        """Store all *drafts* in one segment, and return once they are safe.

        Args:
            drafts: together at most `record_bytes_max`.
            marks: a snapshot of the marks; looked at only if this commit `rolls`.

        Returns:
            The first one's number; the others follow without a gap.

        Raises:
            JournalFullError: no room; nothing was stored.
            JournalSyncError: the disk did not confirm; the drafts may or may not survive.
            JournalReadOnlyError: the disk has failed before.
        """
        if self.state is JournalState.READ_ONLY:
            raise JournalReadOnlyError(
                f"journal {self._folder}: the disk failed {SYNC_FAILURES_MAX} times in a row; "
                "check it, then restart"
            )
        writer = self._writer_for(sum(draft.bytes for draft in drafts), marks)
        first_seq = self._next_seq
        # Numbers are spent even if this fails: what was written may come back after a power cut.
        self._next_seq += len(drafts)
        self._store(writer, first_seq, drafts)
        self._sync_failures, self._full = 0, False
        self._commits += 1
        self._stored_body_bytes += sum(len(draft.entry.body) for draft in drafts)
        self._segments = (*self._segments[:-1], writer.segment)
        self.last_seq = self._next_seq - 1
        return first_seq

    def acknowledge(self, last: int, first: int | None = None) -> None:
        """Never deliver again what lies from *first*, or else the beginning, to *last*."""
        done = Intervals(self._done)
        done.add(0 if first is None else first, last)
        done.keep_lowest(RANGES_MAX)
        self._done = done
        self._cursor_steps += 1
        if self._cursor_due() or any(self._finished(segment) for segment in self._segments[:-1]):
            self._save_cursor()
            self._collect()

    def read(self, after: int, bytes_max: int) -> Batch:
        """The next records above *after* that are not acknowledged; see `Reader.read`.

        Raises:
            JournalUnreadableError: a segment cannot be opened.
        """
        try:
            return self._reader.read(self._segments, after, bytes_max, self._done)
        except OSError as error:
            raise JournalUnreadableError(f"journal {self._folder}: {error}") from error

    @property
    def acknowledged(self) -> tuple[tuple[int, int], ...]:
        """What has been acknowledged, as closed ranges; the first one starts at 0."""
        return tuple(self._done)

    def stats(self) -> JournalStats:
        """The figures, as far as this layer knows them."""
        segments = self._segments
        met = sum(map(len, list(self._reader.damages.values())))
        return JournalStats(
            bytes=self._bytes(),
            bytes_max=self._config.bytes_max,
            records=sum(segment.records for segment in segments),
            first_seq=next((each.first_seq for each in segments if each.records), 0),
            last_seq=self.last_seq,
            acknowledged=self._done.end_of_first(),
            segments=len(segments),
            quarantined=self._quarantine.count,
            damaged=self._known_damages + met,
            commits=self._commits,
            stored_body_bytes=self._stored_body_bytes,
            pending_bytes=0,
            state=self.state,
        )

    def close(self) -> None:
        """Seal the newest segment, save the cursor, let go; what the disk refuses is left."""
        if self._writer:
            with suppress(OSError):
                self._writer.seal()
        self._writer = None
        if self._cursor_steps:
            self._save_cursor()
        self._cursor.close()
        self._held.lock.close()

    def _bytes(self) -> int:
        return sum(segment.bytes for segment in self._segments)

    def _writer_for(self, length: int, marks: Sequence[bytes]) -> Writer:
        if self._writer and self._writer.fits(length):
            return self._writer
        self._collect()
        if self._bytes() + self._config.segment_bytes > self._config.bytes_max:
            self._full = True
            raise JournalFullError(
                f"journal {self._folder}: {self._bytes()} of {self._config.bytes_max} bytes are "
                "taken by records that nobody has acknowledged"
            )
        return self._roll(marks)

    def _roll(self, marks: Sequence[bytes]) -> Writer:
        """Start a segment, then seal the one before: a failure leaves us the old one."""
        header = SegmentHeader(
            number=self._next_number,
            identity=self._host.identity() | 1,  # a sync word of zero would find blank space
            base_seq=self._next_seq,
            created_unix_ns=self._host.unix_ns(),
            created_boot_ns=self._host.boot_ns(),
        )
        self._next_number += 1  # also if this fails: a leftover file must not be in the way
        kept = _within(marks, self._marks_bytes_max)
        try:
            writer = Writer.create(self._host.files, self._folder, header, kept, self._config)
        except OSError as error:
            self._refuse(error)
        self._retire()
        self._writer = writer
        self._segments = (*self._segments, writer.segment)
        self._collect()
        return writer

    def _retire(self) -> None:
        if self._writer:
            # Its records are safe; a segment without a footer is only slower at the next start.
            with suppress(OSError):
                self._segments = (*self._segments[:-1], self._writer.seal())
        self._writer = None

    def _store(self, writer: Writer, first_seq: int, drafts: Sequence[Draft]) -> None:
        try:
            grown = writer.write(first_seq, drafts)
        except OSError as error:
            if error.errno not in _NO_ROOM or not _took_back(writer):
                self._distrust(writer)
            self._refuse(error)
        try:
            writer.sync(grown)
        except OSError as error:
            self._distrust(writer)
            self._refuse(error)

    def _distrust(self, writer: Writer) -> None:
        """Give the segment up at its last sync.

        After a failed sync Linux may hold pages for clean that never reached the disk, so asking
        again on this handle would prove nothing.
        """
        writer.abandon()
        self._writer = None
        with suppress(OSError):
            file = self._host.files.open(writer.segment.path)
            try:
                file.truncate(writer.segment.end)
                file.sync()
                shorter = replace(writer.segment, bytes=writer.segment.end)
                self._segments = (*self._segments[:-1], shorter)
            finally:
                file.close()

    def _refuse(self, error: OSError) -> NoReturn:
        if error.errno in _NO_ROOM:
            self._full = True
            raise DiskFullError(f"journal {self._folder}: the disk is full") from error
        self._sync_failures += 1
        raise JournalSyncError(f"journal {self._folder}: not confirmed: {error}") from error

    def _cursor_due(self) -> bool:
        waited_s = self._host.monotonic() - self._cursor_at
        enough = self._cursor_steps >= self._config.cursor_steps_max
        return enough or waited_s >= self._config.cursor_interval_s

    def _save_cursor(self) -> None:
        # A cursor that could not be saved costs repeats, and is saved again with the next one.
        with suppress(OSError):
            self._cursor.save(self._done)
            self._cursor_steps = 0
        self._cursor_at = self._host.monotonic()

    def _finished(self, segment: Segment) -> bool:
        return not segment.records or self._done.covers(segment.first_seq, segment.last_seq)

    def _collect(self) -> None:
        """Take finished segments away, never the newest: it keeps the marks and the numbers."""
        kept = [
            segment
            for segment in self._segments[:-1]
            if not (self._finished(segment) and self._disposed(segment))
        ]
        if len(kept) + 1 < len(self._segments):
            self._segments = (*kept, self._segments[-1])
            self._full = False

    def _disposed(self, segment: Segment) -> bool:
        damaged = segment.damaged or segment.number in self._reader.damages
        try:
            if damaged:
                self._quarantine.set_aside(segment.path)
            else:
                self._host.files.unlink(segment.path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def _took_back(writer: Writer) -> bool:
    try:
        writer.take_back()
    except OSError:
        return False
    return True


def _within(parts: Sequence[bytes], bytes_max: int) -> list[bytes]:
    """The first *parts* that fit; they start with the sources heard of last."""
    kept: list[bytes] = []
    left = bytes_max
    for part in parts:
        left -= len(part) + SEGMENT_HEADER_BYTES + FOOTER_BYTES
        if left < 0:
            break
        kept.append(part)
    return kept
