"""A disk that takes nothing, or only a part: what was put waits, is said, and is there later."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.document import KeptDocument
from edge_runtime.inplace import InPlaceFile
from edge_runtime.ledger import Ledger
from edge_runtime.refusals import FAULT, look

PLACES, PART_BYTES = 4, 8
SIZE = PLACES * PART_BYTES


class Disk:
    """Takes up to `takes` bytes at a time, or refuses with an error; 0 is no error."""

    def __init__(self) -> None:
        self.refuses = 0
        self.takes = SIZE

    def write(self, handle: int, part: bytes, at: int) -> int:
        """As `os.pwrite`."""
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        return os.pwrite(handle, part[: self.takes], at)


class Heard:
    """What is wrong, by name."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}

    def fault(self, name: str, reason: str) -> None:
        """It is."""
        self.faults[name] = reason

    def mend(self, name: str) -> None:
        """It is not."""
        self.faults.pop(name, None)


REFUSALS = {
    "a full disk": (errno.ENOSPC, "No space left on device"),
    "a mount gone read-only": (errno.EROFS, "Read-only file system"),
    "a worn disk": (errno.EIO, "Input/output error"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused(name: str, tmp_path: Path) -> None:
    """Each row is a refusal: it is said with the file's name, and mended once nothing is owed."""
    number, words = REFUSALS[name]
    disk, heard, path = Disk(), Heard(), tmp_path / "windows"
    with InPlaceFile(path, SIZE, disk.write) as file:
        file.put(0, b"before")
        look([file], heard)
        assert heard.faults == {}
        disk.refuses = number
        file.put(0, b"refuse")
        look([file], heard)
        assert heard.faults == {FAULT: f"{path}: cannot be written, kept in memory: {words}"}
        assert path.read_bytes()[:6] == b"before"
        disk.refuses = 0
        file.put(8, b"after")
        look([file], heard)
        assert heard.faults == {}
    assert path.read_bytes()[:13] == b"refuse\0\0after"


def test_one_of_several(tmp_path: Path) -> None:
    """One disk is one fault: the first file that fails speaks, wherever it stands."""
    disk, heard = Disk(), Heard()
    with InPlaceFile(tmp_path / "a", SIZE) as one, InPlaceFile(tmp_path / "b", 8, disk.write) as b:
        disk.refuses = errno.EIO
        one.put(0, b"x")
        b.put(0, b"x")
        look([one, b], heard)
        assert str(tmp_path / "b") in heard.faults[FAULT]
        b.put(0, b"y")
        look([b, one], heard)
        assert str(tmp_path / "b") in heard.faults[FAULT]


@given(
    moves=st.lists(
        st.one_of(
            st.tuples(st.integers(0, PLACES - 1), st.binary(min_size=1, max_size=PART_BYTES)),
            st.sampled_from([0, errno.ENOSPC, errno.EIO]),
        ),
        max_size=40,
    ),
    takes=st.integers(1, SIZE),
)
def test_any_outage(
    tmp_path_factory: pytest.TempPathFactory,
    moves: list[tuple[int, bytes] | int],
    takes: int,
) -> None:
    """Whenever the disk refuses and however little it takes, in the end it has what was put."""
    disk, right = Disk(), bytearray(SIZE)
    disk.takes = takes
    path = tmp_path_factory.mktemp("inplace") / "f"
    with InPlaceFile(path, SIZE, disk.write) as file:
        for move in moves:
            if isinstance(move, int):
                disk.refuses = move
                continue
            place, part = move
            part = part.ljust(PART_BYTES, b"\0")
            file.put(place * PART_BYTES, part)
            right[place * PART_BYTES : (place + 1) * PART_BYTES] = part
            assert bool(file.failure) == bool(disk.refuses)
        disk.refuses = 0
        file.put(0, bytes(right[:PART_BYTES]))
        assert not file.failure
        assert file.whole() == right


def test_room_is_taken_at_once(tmp_path: Path) -> None:
    """The whole file has its blocks before anything is put: a full disk then takes it still."""
    with InPlaceFile(tmp_path / "f", 1 << 20) as file:
        assert not file.failure
        assert (tmp_path / "f").stat().st_blocks * 512 >= 1 << 20
        assert file.whole() == bytes(1 << 20)


def test_no_room_at_the_start(tmp_path: Path) -> None:
    """Where there is no room for the file, what is put lives in memory, and that is said."""
    path = tmp_path / "f"
    path.symlink_to("/dev/full")  # takes no byte, has no size
    with InPlaceFile(path, SIZE) as file:
        assert file.failure
        file.put(0, b"x")
        assert "No space left on device" in file.failure


def test_shorter_than_it_was(tmp_path: Path) -> None:
    """What a longer document leaves behind a shorter one is not read."""
    with KeptDocument(tmp_path / "d") as document:
        for body in (b"a" * 100, b"b" * 100, b"c", b"d"):
            document.put(body)
    with KeptDocument(tmp_path / "d") as document:
        assert document.newest == b"d"


def test_never_opened(tmp_path: Path) -> None:
    """What cannot even be opened is said for as long as the gateway runs, and ends nothing."""
    path, heard = tmp_path / "windows", Heard()
    path.mkdir()
    with Ledger(path) as ledger:
        assert [ledger.give(1), ledger.give(2)] == [1, 2]
        look([ledger.file], heard)
        assert heard.faults[FAULT].startswith(f"{path}: cannot be written")
    assert path.is_dir()
