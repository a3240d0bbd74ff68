"""Whom the end of the last run is held against, and folders that survive a power cut."""

from pathlib import Path

import pytest

from edge_runtime.startup import cause_of, made, tidied, watchdog_bit
from edge_runtime.update.references import Cause

CAUSES: dict[str, tuple[str, str, bool, bool, Cause]] = {
    "the very first start": ("", "a", False, False, Cause.PROCESS),
    "the daemon died and the kernel did not": ("a", "a", False, False, Cause.PROCESS),
    "an old bite says nothing of a daemon that died": ("a", "a", False, True, Cause.PROCESS),
    "the kernel started anew": ("a", "b", False, False, Cause.POWER),
    "the watchdog reset the machine": ("a", "b", False, True, Cause.WATCHDOG),
    "somebody restarted the daemon": ("a", "a", True, False, Cause.ORDERLY),
    "somebody rebooted the machine": ("a", "b", True, False, Cause.ORDERLY),
}


@pytest.mark.parametrize("name", CAUSES)
def test_cause(name: str) -> None:
    """The boot id, the watchdog and our own last word tell a power cut from a model."""
    last, now, stopped, bitten, cause = CAUSES[name]
    assert cause_of(last, now, stopped=stopped, bitten=bitten) is cause
    assert cause.blames is (cause in {Cause.PROCESS, Cause.WATCHDOG})


BITES = {
    "no watchdog": ([], False),
    "nothing to report": (["0"], False),
    "it reset the machine": (["32"], True),
    "the second of two did": (["0", "32"], True),
    "it reset a machine that was too hot, too": (["33"], True),
    "too hot": (["1"], False),
    "a bad supply": (["16"], False),
    "a driver that says something else": (["unknown"], False),
}


@pytest.mark.parametrize("name", BITES)
def test_watchdog(name: str, tmp_path: Path) -> None:
    """Only a reset by a watchdog is a bite; what it says of heat and supply is not."""
    statuses, bitten = BITES[name]
    for number, status in enumerate(statuses):
        folder = tmp_path / f"watchdog{number}"
        folder.mkdir()
        (folder / "bootstatus").write_text(f"{status}\n")
    assert watchdog_bit(tmp_path) is bitten


def test_made(tmp_path: Path) -> None:
    """A folder is there with all above it, and again is fine."""
    deep = tmp_path / "a" / "b" / "c"
    assert made(made(deep)) == deep
    assert deep.is_dir()


def test_tidied(tmp_path: Path) -> None:
    """What a killed run began goes; what has its name stays, and so does what is no file."""
    for name in ("flight.log", "record-a.json", ".adding-x1", ".adding-x2"):
        (tmp_path / name).write_bytes(b"1")
    tidied(tmp_path)
    assert {each.name for each in tmp_path.iterdir()} == {"flight.log", "record-a.json"}
    (tmp_path / ".adding-folder").mkdir()
    tidied(tmp_path)
    assert (tmp_path / ".adding-folder").is_dir()
