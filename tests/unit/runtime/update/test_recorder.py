"""The flight recorder: 64 KiB that a power cut, a full disk and a rollback leave readable."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.errors import TryAgainError
from edge_runtime.update.recorder import LINE_BYTES_MAX, RING_BYTES, FlightRecorder, read

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def opened(path: Path) -> FlightRecorder:
    """The recorder, as a start of the daemon finds it."""
    return FlightRecorder(path, lambda: NOW)


def numbers(path: Path) -> list[int]:
    """Which lines can be read."""
    return [line["number"] for line in read(path)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for many examples."""
    return tmp_path_factory.mktemp("flight")


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(0, 1500), min_size=1, max_size=200), each=st.integers(1, 9))
def test_ring(folder: Path, lengths: list[int], each: int) -> None:
    """However long lines are and wherever it was reopened, the newest are there, in order."""
    path = folder / "flight.log"
    path.unlink(missing_ok=True)
    recorder = opened(path)
    for number, length in enumerate(lengths, 1):
        recorder.note("update.moved", at_turn=number, reason="x" * length)
        if number % each == 0 or number == len(lengths):
            recorder.write()
            recorder = opened(path)
    found = numbers(path)
    assert found == list(range(found[0], len(lengths) + 1))
    assert path.stat().st_size == RING_BYTES
    kept = sum(lengths[number - 1] for number in found)
    assert found[0] == 1 or kept + 300 * len(found) > RING_BYTES - 2 * LINE_BYTES_MAX


def test_cut(tmp_path: Path) -> None:
    """A power cut inside a line costs that line and the old ones under it, no other."""
    path = tmp_path / "flight.log"
    recorder = opened(path)
    for turn in range(4):
        for number in range(100):
            recorder.note("update.moved", turn=turn, number=number, reason="y" * 200)
        recorder.write()
    before = path.read_bytes()
    known = numbers(path)
    recorder.note("update.moved", reason="z" * 300)
    recorder.write()
    after = path.read_bytes()
    changed = [at for at in range(RING_BYTES) if before[at] != after[at]]
    for cut in range(changed[0], changed[-1], 9):
        path.write_bytes(after[:cut] + before[cut:])
        assert set(numbers(path)) >= set(known[3:])
        again = opened(path)
        again.note("gateway.began")
        again.write()
        assert read(path)[-1]["event"] == "gateway.began"


def test_long_line(tmp_path: Path) -> None:
    """A line that is too long keeps its first facts."""
    recorder = opened(tmp_path / "flight.log")
    recorder.note("gateway.faulted", kind="store", reason="w" * 10_000)
    recorder.write()
    (line,) = read(tmp_path / "flight.log")
    assert line == {"number": 1, "at": line["at"], "event": "gateway.faulted", "kind": "store"}


def test_said_again(tmp_path: Path) -> None:
    """What does not change is kept once, so that a week of waiting pushes nothing out."""
    path = tmp_path / "flight.log"
    recorder = opened(path)
    recorder.note("update.moved", state="staged")
    for _ in range(3):
        recorder.note("permit.deferred", reason="its line is changing")
    recorder.note("permit.deferred", reason="its partner is changing")
    recorder.write()
    said = [line.get("reason", line.get("state")) for line in read(path)]
    assert said == ["staged", "its line is changing", "its partner is changing"]


def test_no_disk(tmp_path: Path) -> None:
    """What the disk does not take now it gets later; where there is no ring there are no lines."""
    path = tmp_path / "missing" / "flight.log"
    assert read(path) == []
    recorder = opened(path)
    recorder.note("gateway.began")
    with pytest.raises(TryAgainError, match="No such file"):
        recorder.write()
    path.parent.mkdir()
    recorder.write()
    assert numbers(path) == [1]


def test_torn_file(tmp_path: Path) -> None:
    """A ring of another size is made anew; its lines were read before."""
    path = tmp_path / "flight.log"
    opened(path).write()
    recorder = opened(path)
    recorder.note("gateway.began")
    recorder.write()
    path.write_bytes(path.read_bytes()[:-1])
    again = opened(path)
    again.note("gateway.began")
    again.write()
    assert numbers(path) == [2]
    assert path.stat().st_size == RING_BYTES


def test_several_writers(tmp_path: Path) -> None:
    """Several threads may bring lines to the disk at once; each line comes there once."""
    recorder, writers, rounds = opened(tmp_path / "flight.log"), 4, 40
    with ThreadPoolExecutor(writers) as pool:
        for number in range(rounds):
            recorder.note("told", round=number)
            for done in [pool.submit(recorder.write) for _ in range(writers)]:
                done.result()
    assert numbers(tmp_path / "flight.log") == list(range(1, rounds + 1))
