"""Opening a folder again: after damage, with parts missing, on a disk that cannot be read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.journal import (
    JournalForeignError,
    JournalInUseError,
    JournalReadOnlyError,
    Marks,
    RecoveryReport,
    Sighting,
)
from edge_core.journal.layout import (
    SLOT_BYTES,
    SegmentHeader,
    encode_segment_header,
)
from edge_core.journal.log import Log
from edge_core.journal.segment import segment_path
from tests.simulators.files import BLOCK_BYTES, SimulatedFiles
from tests.unit.journal.plain import FOLDER, SEGMENT_BYTES, SMALL, draft, entry, host

FIRST = segment_path(FOLDER, 1)


def written(count: int = 12, *, closed: bool = True) -> SimulatedFiles:
    """A disk with *count* entries in it, each committed by itself."""
    files = SimulatedFiles()
    log, marks = Log.open(FOLDER, SMALL, host(files))
    for sequence in range(1, count + 1):
        log.commit([draft(entry(sequence))], marks.snapshot())
    if closed:
        log.close()
    else:
        files.cut_power(Random(0))
    return files


def reopened(files: SimulatedFiles) -> tuple[list[int], RecoveryReport, Log, Marks]:
    """What is found: the sequences in order, each body as it was."""
    log, marks = Log.open(FOLDER, SMALL, host(files))
    sequences = []
    batch = log.read(0, 1 << 20)
    for record in batch.records:
        assert record.entry == entry(record.entry.sequence)
        sequences.append(record.entry.sequence)
    return sequences, log.recovery, log, marks


def spans(files: SimulatedFiles, path: Path) -> dict[int, tuple[int, int]]:
    """Where each entry's head and body lie: sequence -> start, end."""
    content = bytes(files.content(path).seen)
    found = {}
    for sequence in range(1, 13):
        made = entry(sequence)
        at = content.index(made.body)
        found[sequence] = (at - 72, at + len(made.body))
    return found


@pytest.mark.parametrize("closed", [True, False], ids=["sealed", "cut off"])
@settings(deadline=None, max_examples=60)
@given(
    offset=st.integers(min_value=0, max_value=5000),
    noise=st.binary(min_size=1, max_size=400),
    blank=st.booleans(),
)
def test_damage(closed: bool, offset: int, noise: bytes, blank: bool) -> None:  # noqa: FBT001 - columns of a table
    """Damage anywhere, headers and footer included, costs only the records it touches (I4)."""
    files = written(closed=closed)
    touched = {
        sequence
        for sequence, (start, end) in spans(files, FIRST).items()
        if offset < end and start < offset + len(noise)
    }
    files.damage(FIRST, offset, bytes(len(noise)) if blank else noise)
    sequences, _, log, _ = reopened(files)
    assert sequences == sorted(sequences)
    assert set(sequences) >= set(range(1, 13)) - touched
    log.close()
    assert reopened(files)[0] == sequences


def test_damage_is_evidence() -> None:
    """A damaged segment is counted, and set aside instead of deleted once it is delivered."""
    files = written()
    files.damage(FIRST, spans(files, FIRST)[5][0] + 80, b"\xff\xff")
    sequences, _, log, marks = reopened(files)
    assert 5 not in sequences
    assert log.stats().damaged == 1
    log.commit([draft(entry(13))], marks.snapshot())
    log.acknowledge(13)
    assert FIRST not in files.paths()
    assert FOLDER / "quarantine" / FIRST.name in files.paths()
    assert log.stats().quarantined == 1


def test_unreadable_file() -> None:
    """A file in which nothing can be read is set aside, and costs nothing else."""
    files = written()
    strange = segment_path(FOLDER, 2)
    files.create(strange).write(0, [b"\x07" * 3000])
    sequences, report, _, _ = reopened(files)
    assert sequences == list(range(1, 13))
    assert report.quarantined == 1
    assert FOLDER / "quarantine" / strange.name in files.paths()


def test_blank_file() -> None:
    """A segment that was never written to is taken away without a fuss."""
    files = written()
    files.create(segment_path(FOLDER, 2)).write(0, [bytes(3000)])
    sequences, report, _, _ = reopened(files)
    assert (len(sequences), report.quarantined, report.damaged) == (12, 0, 0)
    assert segment_path(FOLDER, 2) not in files.paths()


def test_quarantine_is_bounded() -> None:
    """Evidence never takes more than its share: the oldest goes first."""
    files = written()
    for number in range(2, 8):
        files.create(segment_path(FOLDER, number)).write(0, [b"\x07" * (SEGMENT_BYTES // 2)])
    reopened(files)
    kept = [path.name for path in files.paths() if path.parent.name == "quarantine"]
    assert kept == [segment_path(FOLDER, number).name for number in range(4, 8)]


def test_torn_tail() -> None:
    """What was being written when the power went is cut off, kept as evidence, and no damage."""
    files = written()
    size = len(files.content(FIRST).seen)
    files.damage(FIRST, size - 64, b"\x55" * 64)  # the footer became half a record
    sequences, report, log, _ = reopened(files)
    assert sequences == list(range(1, 13))
    assert (report.torn_bytes, report.damaged, report.scanned) == (64, 0, 1)
    assert report.quarantined == log.stats().quarantined == 0
    assert FOLDER / "quarantine" / f"{FIRST.stem}.tail" in files.paths()
    log.close()
    assert reopened(files)[1].scanned == 0


def test_sealed_is_not_read() -> None:
    """After an orderly end the footer is trusted: opening reads no body."""
    files = written()
    report = reopened(files)[1]
    assert (report.scanned, report.records, report.last_seq) == (0, 12, 12)


def test_lost_cursor() -> None:
    """A lost cursor means that records come twice, and nothing else."""
    files = written()
    log, _ = Log.open(FOLDER, SMALL, host(files))
    log.acknowledge(5)
    log.close()
    assert reopened(files)[0] == list(range(6, 13))
    files.cut_power(Random(0))
    files.damage(FOLDER / "cursor", 0, b"\xff" * 2 * SLOT_BYTES)
    sequences, report, _, _ = reopened(files)
    assert sequences == list(range(1, 13))
    assert report.cursor_lost


def test_older_slot() -> None:
    """When the newer slot of the cursor is torn, the older one still counts."""
    files = written()
    log, _ = Log.open(FOLDER, SMALL, host(files))
    for last in (4, 6):
        log.acknowledge(last)
    newer = max((0, SLOT_BYTES), key=lambda at: _generation(files, at))
    files.cut_power(Random(0))
    files.damage(FOLDER / "cursor", newer, b"\xff" * 100)
    assert reopened(files)[0] == list(range(5, 13))


def _generation(files: SimulatedFiles, at: int) -> int:
    return int.from_bytes(files.content(FOLDER / "cursor").seen[at + 8 : at + 16], "little")


def test_numbers_go_on() -> None:
    """Numbers never start again, even where all segments have vanished (I3)."""
    files = written()
    log, _ = Log.open(FOLDER, SMALL, host(files))
    log.acknowledge(12)
    log.close()
    for path in files.paths():
        if path.suffix == ".seg":
            files.unlink(path)
    _, _, log, marks = reopened(files)
    assert log.commit([draft(entry(1))], marks.snapshot()) == 13


def test_bad_block() -> None:
    """A block that the disk cannot read costs its records, and the file is left as it is."""
    files = written(closed=False)
    before = bytes(files.content(FIRST).seen)
    block = spans(files, FIRST)[6][0] // BLOCK_BYTES
    files.content(FIRST).bad.add(block)
    sequences, _, log, _ = reopened(files)
    lost = {
        sequence
        for sequence, (start, end) in spans(files, FIRST).items()
        if start < (block + 8) * BLOCK_BYTES and (block - 7) * BLOCK_BYTES < end
    }
    assert set(sequences) >= set(range(1, 13)) - lost
    assert bytes(files.content(FIRST).seen) == before
    log.close()
    files.content(FIRST).bad.clear()
    assert reopened(files)[0] == list(range(1, 13))


def test_damaged_snapshot() -> None:
    """Where the newest snapshot of the marks is damaged, the segment before still has one."""
    files = SimulatedFiles()
    log, marks = Log.open(FOLDER, SMALL, host(files))
    log.commit([draft(entry(1))], marks.snapshot())
    log.close()
    _, _, log, marks = reopened(files)
    log.commit([draft(entry(2))], marks.snapshot())
    log.close()
    files.damage(segment_path(FOLDER, 2), 64 + 70, b"\xff")
    _, _, _, marks = reopened(files)
    for sequence in (1, 2):
        crc = draft(entry(sequence)).body_crc32c
        assert marks.seen("gw-1", 1, sequence, crc) is Sighting.DUPLICATE


def test_newer_program() -> None:
    """A folder of a newer program is refused and left untouched."""
    files = written()
    header = encode_segment_header(SegmentHeader(2, 1, 13, 0, 0, version=2))
    files.create(segment_path(FOLDER, 2)).write(0, [header + b"\x01" * 500])
    before = {path: bytes(files.content(path).seen) for path in files.paths()}
    with pytest.raises(JournalForeignError, match="expected version 1, found 2"):
        reopened(files)
    assert {path: bytes(files.content(path).seen) for path in files.paths()} == before


def test_one_user() -> None:
    """Two processes never share a folder; the lock falls with the first one."""
    files = SimulatedFiles()
    log, _ = Log.open(FOLDER, SMALL, host(files))
    with pytest.raises(JournalInUseError):
        Log.open(FOLDER, SMALL, host(files))
    log.close()
    Log.open(FOLDER, SMALL, host(files))


def test_read_only_mount() -> None:
    """A folder that cannot be written is one clear error, not a traceback from the depths."""
    files = SimulatedFiles()
    files.fail = refusing("lock", errno.EROFS)
    with pytest.raises(JournalReadOnlyError, match="expected to be able to write there"):
        Log.open(FOLDER, SMALL, host(files))


def refusing(call: str, number: int) -> Callable[[str, Path], None]:
    """Every such call fails."""

    def fail(name: str, _path: Path) -> None:
        if name == call:
            raise OSError(number, os.strerror(number))

    return fail


def test_recovery_needs_no_room() -> None:
    """On a disk without a free byte the journal opens, reads, and takes segments away."""
    files = written(120, closed=False)
    files.capacity = files.used()
    sequences, _, log, _ = reopened(files)
    assert sequences == list(range(1, 121))
    before = files.used()
    log.acknowledge(120)
    assert files.used() < before
