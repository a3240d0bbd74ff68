"""Looks into a journal's folder without changing it, also while a daemon is at work in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_core.contracts.errors import NotFoundError
from edge_core.journal import cursor
from edge_core.journal.entries import Record
from edge_core.journal.files import DiskFiles, File
from edge_core.journal.layout import SEGMENT_HEADER_BYTES, sync_word
from edge_core.journal.recovery import look_at, segment_paths
from edge_core.journal.scan import Damage, Window, scan
from edge_core.journal.segment import Segment


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder holds, every body checked.

    Attributes:
        segments: files that hold records.
        records: whole records.
        bytes: room the segments take.
        first_seq: lowest number found; 0 when there is none.
        last_seq: highest number found.
        acknowledged: everything up to here is acknowledged, as far as the cursor says.
        damages: file name, offset and length of each stretch without a whole record.
    """

    segments: int
    records: int
    bytes: int
    first_seq: int
    last_seq: int
    acknowledged: int
    damages: tuple[tuple[str, int, int], ...]


def survey(folder: Path) -> Survey:
    """Read and check everything in *folder*.

    The newest segment of a running daemon may end in a stretch that is just being written.

    Raises:
        NotFoundError: there is no such folder.
        JournalForeignError: a newer program wrote it.
    """
    seqs: list[int] = []
    segments = taken = records = 0
    damages = []
    for segment, found in _walk(folder):
        if found is None:
            segments, taken = segments + 1, taken + segment.bytes
        elif isinstance(found, Damage):
            damages.append((segment.path.name, found.offset, found.length))
        else:
            records += 1
            seqs = [min([found.seq, *seqs[:1]]), max([found.seq, *seqs[1:]])]
    saved = cursor.load(DiskFiles(), folder / cursor.NAME)
    return Survey(
        segments=segments,
        records=records,
        bytes=taken,
        first_seq=seqs[0] if seqs else 0,
        last_seq=seqs[1] if seqs else 0,
        acknowledged=saved[1].end_of_first() if saved else 0,
        damages=tuple(damages),
    )


def records(folder: Path) -> Iterator[Record]:
    """Every whole record in *folder*, acknowledged ones among them, in order.

    Raises:
        NotFoundError: there is no such folder.
        JournalForeignError: a newer program wrote it.
    """
    return (found for _, found in _walk(folder) if isinstance(found, Record))


def _walk(folder: Path) -> Iterator[tuple[Segment, Record | Damage | None]]:
    """Each segment with `None` first, then with what lies in it."""
    if not folder.is_dir():
        raise NotFoundError(f"journal folder {folder}: expected a folder, found none")
    files = DiskFiles()
    for path in segment_paths(files, folder):
        try:
            file = files.open_to_read(path)
        except FileNotFoundError:
            continue  # acknowledged meanwhile
        try:
            yield from _contents(file, path)
        finally:
            file.close()


def _contents(file: File, path: Path) -> Iterator[tuple[Segment, Record | Damage | None]]:
    segment = look_at(file, path).segment
    if segment is None:
        return
    yield segment, None
    window = Window(file, segment.end)
    for found in scan(window, sync_word(segment.identity), SEGMENT_HEADER_BYTES):
        if isinstance(found, Damage):
            yield segment, found
        elif not found.internal:
            yield segment, found.record()
