"""Makes sense of a folder after any end: clean, killed, or without power.

Idempotent, and safe to be interrupted itself: a segment is cut and sealed, or set aside, and
either way the next start comes to the same records.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_core.journal import cursor
from edge_core.journal.config import RecoveryReport
from edge_core.journal.errors import JournalForeignError
from edge_core.journal.files import File, Files
from edge_core.journal.intervals import Intervals
from edge_core.journal.layout import (
    FOOTER_BYTES,
    SEGMENT_HEADER_BYTES,
    VERSION,
    Footer,
    SegmentHeader,
    decode_footer,
    decode_segment_header,
    sync_word,
)
from edge_core.journal.quarantine import Quarantine
from edge_core.journal.scan import Damage, Window, scan
from edge_core.journal.segment import SUFFIX, Segment, seal

TAIL_BYTES_MAX = 1 << 20
"""Of a torn tail no more is kept as evidence."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one file turned out to be.

    Attributes:
        segment: what can be read of it; `None` when that is nothing.
        sealed: it ends with a good footer, and was not read in full.
        damages: stretches between good records, or before them, that are unreadable.
        torn_bytes: bytes behind the last good record that are not zero and make no sense.
        unreadable: the disk refused a part of it, so it must be left as it is.
    """

    segment: Segment | None
    sealed: bool = False
    damages: tuple[Damage, ...] = ()
    torn_bytes: int = 0
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal goes on from."""

    looks: tuple[Look, ...]
    segments: tuple[Segment, ...]
    done: Intervals
    generation: int
    cursor_lost: bool
    next_number: int
    next_seq: int
    quarantined: int

    def report(self) -> RecoveryReport:
        """The same as figures."""
        damages = [damage for look in self.looks for damage in look.damages]
        return RecoveryReport(
            segments=len(self.segments),
            scanned=sum(not look.sealed for look in self.looks),
            records=sum(segment.records for segment in self.segments),
            last_seq=max((segment.last_seq for segment in self.segments), default=0),
            acknowledged=self.done.end_of_first(),
            damaged=len(damages),
            damaged_bytes=sum(damage.length for damage in damages),
            torn_bytes=sum(look.torn_bytes for look in self.looks),
            quarantined=self.quarantined,
            cursor_lost=self.cursor_lost,
        )


@dataclass(slots=True)
class _Sum:
    records: int = 0
    first_seq: int = 0
    last_seq: int = 0
    end: int = SEGMENT_HEADER_BYTES
    identity: int = 0
    damages: list[Damage] = field(default_factory=list)


def recover(files: Files, folder: Path, quarantine: Quarantine) -> Recovered:
    """Look at every segment, seal the open ones, and set aside what cannot be read.

    Raises:
        JournalForeignError: a newer program wrote here; nothing was changed.
        OSError: the folder cannot be read.
    """
    paths = segment_paths(files, folder)
    before = quarantine.count
    looks = []
    for path in paths:
        with opened(files, path) as file:
            look = _settled(file, look_at(file, path), path, quarantine)
        if look.segment is None and not look.unreadable:
            _remove(files, path, quarantine, blank=look.torn_bytes == 0)
        looks.append(look)
    segments = tuple(look.segment for look in looks if look.segment)
    saved = cursor.load(files, folder / cursor.NAME)
    generation, done = saved or (0, Intervals())
    done.add(0, 0)
    used = [max(segment.last_seq, segment.base_seq - 1) for segment in segments]
    return Recovered(
        looks=tuple(looks),
        segments=segments,
        done=done,
        generation=generation,
        cursor_lost=saved is None and _had_cursor(files, folder, segments),
        next_number=max((int(path.stem) for path in paths), default=0) + 1,
        next_seq=max([*used, done.end_of_last()]) + 1,
        quarantined=quarantine.count - before,
    )


def _had_cursor(files: Files, folder: Path, segments: Sequence[Segment]) -> bool:
    """Whether anything was ever acknowledged: the file is there, or segments are gone."""
    gone = bool(segments) and segments[0].number > 1
    return gone or cursor.NAME in files.names(folder)


def segment_paths(files: Files, folder: Path) -> list[Path]:
    """The files in *folder* that are named like segments, in order."""
    stems = (name.removesuffix(SUFFIX) for name in files.names(folder) if name.endswith(SUFFIX))
    return [folder / f"{stem}{SUFFIX}" for stem in sorted(stems) if stem.isdecimal()]


def look_at(file: File, path: Path) -> Look:
    """Find out what the file at *path* holds, changing nothing.

    Raises:
        JournalForeignError: it is of a version that this program does not know.
    """
    size = file.size()
    header = decode_segment_header(Window(file, size).first(SEGMENT_HEADER_BYTES))
    if header and header.version != VERSION:
        raise JournalForeignError(
            f"journal segment {path}: expected version {VERSION}, found {header.version}; "
            "run the program that wrote it, or a newer one"
        )
    footer = decode_footer(Window(file, size).last(FOOTER_BYTES))
    if footer and _matches(footer, header, size):
        return _sealed(path, header, footer, size)
    return _scanned(Window(file, size), header, path)


@contextmanager
def opened(files: Files, path: Path) -> Iterator[File]:
    """The file at *path*, for reading and writing, closed at the end."""
    file = files.open(path)
    try:
        yield file
    finally:
        file.close()


def _matches(footer: Footer, header: SegmentHeader | None, size: int) -> bool:
    same = header is None or header.identity == footer.identity
    return same and footer.end == size - FOOTER_BYTES


def _sealed(path: Path, header: SegmentHeader | None, footer: Footer, size: int) -> Look:
    damages = () if header else (Damage(0, SEGMENT_HEADER_BYTES),)
    segment = Segment(
        path=path,
        number=int(path.stem),
        identity=footer.identity,
        base_seq=header.base_seq if header else footer.first_seq,
        end=footer.end,
        bytes=size,
        records=footer.records,
        first_seq=footer.first_seq,
        last_seq=footer.last_seq,
        damaged=footer.damaged or header is None,
    )
    return Look(segment, sealed=True, damages=damages)


def _scanned(window: Window, header: SegmentHeader | None, path: Path) -> Look:
    found = _summed(window, header)
    torn_bytes = window.filled_end(found.end) - found.end
    if header is None and found.identity == 0:
        return Look(None, torn_bytes=window.filled_end(0), unreadable=window.unreadable)
    segment = Segment(
        path=path,
        number=int(path.stem),
        identity=found.identity,
        base_seq=header.base_seq if header else found.first_seq,
        end=found.end,
        bytes=window.end,
        records=found.records,
        first_seq=found.first_seq,
        last_seq=found.last_seq,
        damaged=bool(found.damages),
    )
    return Look(
        segment,
        damages=tuple(found.damages),
        torn_bytes=torn_bytes,
        unreadable=window.unreadable,
    )


def _summed(window: Window, header: SegmentHeader | None) -> _Sum:
    """Read the whole segment. Damage counts once a good record follows it: else it is the tail."""
    found = _Sum(identity=header.identity if header else 0)
    if header is None:
        found.damages.append(Damage(0, SEGMENT_HEADER_BYTES))
    sync = sync_word(header.identity) if header else None
    passed: list[Damage] = []
    for item in scan(window, sync, SEGMENT_HEADER_BYTES):
        if isinstance(item, Damage):
            passed.append(item)
            continue
        found.damages += passed
        passed.clear()
        found.end = item.end
        found.identity = found.identity or item.head.sync
        if not item.internal and item.head.seq > found.last_seq:
            found.records += 1
            found.first_seq = found.first_seq or item.head.seq
            found.last_seq = item.head.seq
    return found


def _settled(file: File, look: Look, path: Path, quarantine: Quarantine) -> Look:
    """The look with its segment sealed, as far as the disk lets us."""
    if look.segment is None or look.sealed or look.unreadable:
        return look
    if look.torn_bytes:
        with suppress(OSError):
            tail = file.read(look.segment.end, min(look.torn_bytes, TAIL_BYTES_MAX))
            quarantine.keep(f"{path.stem}.tail", tail)
    # Where sealing fails (disk full, bad block) the segment is as readable as before, and the
    # next start looks at it again.
    with suppress(OSError):
        return replace(look, segment=seal(file, look.segment))
    return look


def _remove(files: Files, path: Path, quarantine: Quarantine, *, blank: bool) -> None:
    """Take away a file without a readable byte; what is not blank is evidence."""
    with suppress(OSError):
        if blank:
            files.unlink(path)
        else:
            quarantine.set_aside(path)
