"""Room for a start: held back while there is plenty, given up when there is none."""

from pathlib import Path

import pytest

from edge_core.reserve import PLENTY, Reserve

RESERVE_BYTES = 2 << 20
PLENTY_BYTES = PLENTY * RESERVE_BYTES

FREE = {
    "plenty: taken": (PLENTY_BYTES, True),
    "a byte less than plenty: left to others": (PLENTY_BYTES - 1, False),
}


def reserve(folder: Path, free: int) -> Reserve:
    """On a disk with so much room."""
    return Reserve(folder / "reserve", RESERVE_BYTES, lambda _: free)


@pytest.mark.parametrize(("free", "taken"), FREE.values(), ids=FREE)
def test_taken(tmp_path: Path, free: int, *, taken: bool) -> None:
    """It is there in full, or not at all."""
    reserve(tmp_path, free).take()
    found = [path.stat().st_blocks * 512 >= RESERVE_BYTES for path in tmp_path.iterdir()]
    assert found == ([True] if taken else [])


GIVEN_UP = {
    "a disk that still has the room: kept": (RESERVE_BYTES, False),
    "a byte less: given up": (RESERVE_BYTES - 1, True),
    "not a byte: given up": (0, True),
}


@pytest.mark.parametrize(("free", "given"), GIVEN_UP.values(), ids=GIVEN_UP)
def test_given_up(tmp_path: Path, free: int, *, given: bool) -> None:
    """Only a start on a full disk uses it."""
    reserve(tmp_path, PLENTY_BYTES).take()
    assert reserve(tmp_path, free).give_up() is given
    assert [path.name for path in tmp_path.iterdir()] == ([] if given else ["reserve"])


def test_none_left(tmp_path: Path) -> None:
    """A second start on the same full disk has nothing to give up, and says no."""
    assert reserve(tmp_path, 0).give_up() is False


def test_taken_once(tmp_path: Path) -> None:
    """What is held is not written again; what a kill cut short is completed."""
    kept = reserve(tmp_path, PLENTY_BYTES)
    kept.take()
    [path] = tmp_path.iterdir()
    before = path.stat()
    kept.take()
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    path.write_bytes(b"")
    kept.take()
    assert path.stat().st_size == RESERVE_BYTES


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """Nothing is raised where the folder cannot be written."""
    reserve(tmp_path / "gone", PLENTY_BYTES).take()
    assert list(tmp_path.iterdir()) == []
