"""What a person finds on a gateway after an update: a subcommand and snapshots tell why."""

import json
from pathlib import Path

import pytest

from edge_core.contracts.gateway import References, StatusReport
from edge_core.contracts.plant import ClockQuality
from edge_runtime import snapshot
from edge_runtime.__main__ import main
from edge_runtime.snapshot import KEPT_MAX
from edge_runtime.update.record import Record
from edge_runtime.update.recorder import FLIGHT, FlightRecorder
from tests.unit.runtime.test_commands import GOOD
from tests.unit.runtime.update.test_recorder import NOW

STATUS = StatusReport(
    serial="gw-1",
    boot_epoch=1,
    sequence=1,
    software="edge-mlops/0",
    clock=ClockQuality(synchronised=False, error_max_us=0),
    references=References(),
    effective=None,
    running=None,
)


@pytest.fixture
def flight(tmp_path: Path) -> Path:
    """A recorder that has something to tell, of text that came from outside."""
    path = tmp_path / "data" / FLIGHT
    path.parent.mkdir(parents=True)
    recorder = FlightRecorder(path, lambda: NOW)
    recorder.note("gateway.began", boot=7, cause="power", kernel_boot=None)
    recorder.note("update.moved", boot=7, state="rolling_back", reason="bad \x1b[2J\nline")
    recorder.write()
    return path


def test_subcommand(tmp_path: Path, flight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`edge-gateway flight` needs no daemon; each step is one inert line, or one JSON document."""
    config = tmp_path / "gateway.toml"
    config.write_text(GOOD)
    assert flight.is_file()
    assert main(["flight", "--config", str(config)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("boot 7  gateway.began  cause=power")
    assert "state=rolling_back" in second
    assert "\x1b" not in second
    assert main(["flight", "--json", "--config", str(config)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["number"] for line in lines] == [1, 2]
    assert lines[1]["reason"] == "bad \x1b[2J\nline"


def test_nothing_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway that never ran has nothing to tell, and that is no mistake."""
    config = tmp_path / "gateway.toml"
    config.write_text(GOOD)
    assert main(["flight", "--config", str(config)]) == 0
    assert capsys.readouterr().out == ""


def taken(folder: Path, name: str, flight: Path) -> Path | None:
    """A snapshot of a gateway without models."""
    return snapshot.take(
        folder, name, record=Record(), flight=flight, status=STATUS, verdicts=[], lines=[]
    )


def test_snapshot(tmp_path: Path, flight: Path) -> None:
    """A snapshot holds the flight recorder; it is whole or not there, and taken once."""
    folder = tmp_path / "snapshots"
    half = folder / ".s-1"
    half.mkdir(parents=True)
    (half / "record.json").write_text("half")
    place = taken(folder, "s-1", flight)
    assert place == folder / "s-1"
    said = [json.loads(line) for line in (place / "flight.jsonl").read_text().splitlines()]
    assert [line["event"] for line in said] == ["gateway.began", "update.moved"]
    assert sorted(each.name for each in place.iterdir()) == [
        "flight.jsonl",
        "log.jsonl",
        "record.json",
        "status.json",
        "verdicts.jsonl",
    ]
    assert list(folder.iterdir()) == [place]
    assert taken(folder, "s-1", flight) is None
    assert taken(folder, "../s-2", flight) is None


def test_so_many_snapshots(tmp_path: Path, flight: Path) -> None:
    """The oldest go first."""
    for number in range(KEPT_MAX + 3):
        taken(tmp_path / "snapshots", f"s-{number}", flight)
    assert len(list((tmp_path / "snapshots").iterdir())) == KEPT_MAX
