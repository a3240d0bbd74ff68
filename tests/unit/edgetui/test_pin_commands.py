"""Signing by subcommand: the PIN comes from a file or a descriptor, never from an argument."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.rollout import ChangeType, Hold, Meaning, RolloutState
from edge_core.contracts.shown import shown_digest
from edgetui.__main__ import main
from edgetui.commands.parser import parser
from tests.simulators.site import Site
from tests.simulators.site_data import AT
from tests.unit.edgetui.test_commands import standing

WAITING = "ro-03-awaiting-approval"
PIN = "271828"
APPROVE = ["approve", WAITING, "--ticket", "CHG-1042", "--reason", "soak was clean"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site where signing needs a PIN, and m.keller has one."""
    with standing(tmp_path / "s", Site(now=lambda: AT)) as site:
        site.pin = PIN
        for view in list(site.rollouts.values()):
            site.put(msgspec.structs.replace(view, pin_needed=True))
        yield site


def run(tmp_path: Path, *command: str) -> int:
    """One subcommand at that site."""
    return main(["--socket", str(tmp_path / "s"), "--json", *command])


def secret(tmp_path: Path, *lines: str, mode: int = 0o600) -> str:
    """A file with these lines."""
    path = tmp_path / "pin"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return str(path)


def test_approve_with_a_pin(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It goes with what was shown, which stood on stderr before; it is printed nowhere."""
    seen = site.rollouts[WAITING]
    extra = ["--type", "temporary", "--until", "2026-12-24T06:00Z", "--meaning", "reviewed"]
    assert run(tmp_path, *APPROVE, *extra, "--pin-file", secret(tmp_path, PIN)) == 0
    out, told = capfd.readouterr()
    (approval,) = site.rollouts[WAITING].approvals
    assert (approval.pin, approval.shown) == (True, shown_digest(seen))
    assert (approval.change, approval.meaning) == (ChangeType.TEMPORARY, Meaning.REVIEWED)
    assert approval.until is not None
    assert seen.plan_digest in told
    assert PIN not in out + told


def test_a_pin_by_descriptor(site: Site, tmp_path: Path) -> None:
    """A pipe has no mode to be wrong."""
    reading, writing = os.pipe()
    os.write(writing, PIN.encode())
    os.close(writing)
    assert run(tmp_path, *APPROVE, "--pin-fd", str(reading)) == 0
    assert site.rollouts[WAITING].state is RolloutState.APPROVED


REFUSED = {
    "no terminal and no file": ([], 2, "expected a terminal, --pin-file FILE or --pin-fd N"),
    "a file that is not there": (["--pin-file", "/nowhere/pin"], 2, "expected one to read from"),
    "a descriptor that is none": (["--pin-fd", "987"], 2, "descriptor 987: expected one"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_no_pin(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    row: tuple[list[str], int, str],
) -> None:
    """Nothing is signed, and one line says where a PIN may come from."""
    extra, code, words = row
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert run(tmp_path, *APPROVE, *extra) == code
    assert words in capfd.readouterr().err
    assert site.rollouts[WAITING].approvals == []


FILES: dict[str, tuple[list[str], int, int, str]] = {
    "open to others": ([PIN], 0o640, 3, "expected a file for its owner alone (mode 0600)"),
    "two lines": ([PIN, PIN], 0o600, 2, "expected 1 lines"),
    "no digits": (["secret"], 0o600, 2, "expected 6 to 12 digits, found something else"),
    "another one": (["161803"], 0o600, 77, "it is another one"),
}


@pytest.mark.parametrize("row", FILES.values(), ids=FILES.keys())
def test_bad_files(
    site: Site,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    row: tuple[list[str], int, int, str],
) -> None:
    """A PIN that others can read is no proof; and no message repeats what was read."""
    lines, mode, code, words = row
    assert run(tmp_path, *APPROVE, "--pin-file", secret(tmp_path, *lines, mode=mode)) == code
    told = capfd.readouterr().err
    assert words in told
    assert lines[0] not in told
    assert site.rollouts[WAITING].approvals == []


def test_waive(site: Site, tmp_path: Path) -> None:
    """Where a gate holds, resuming is a signature; elsewhere it needs no PIN."""
    gated = next(v for v in site.rollouts.values() if Hold.GATE_FAIL in v.holds)
    resume = ["resume", gated.id, "--reason", "seen by the owner"]
    assert run(tmp_path, *resume, "--pin-file", secret(tmp_path, "161803")) == 77
    assert run(tmp_path, *resume, "--pin-file", secret(tmp_path, PIN)) == 0
    site.put(msgspec.structs.replace(site.rollouts[WAITING], holds=[Hold.OPERATOR]))
    assert run(tmp_path, "resume", WAITING, "--reason", "the noise is gone") == 0


def test_set_a_pin(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first without an old one; then with it; typed twice alike; reset by name and reason."""
    site.pin = None
    assert run(tmp_path, "pin", "--pin-file", secret(tmp_path, PIN, PIN)) == 0
    assert json.loads(capfd.readouterr().out) == {
        "user": "m.keller",
        "pin_set": True,
        "locked_s": 0.0,
    }
    assert run(tmp_path, "pin", "--pin-file", secret(tmp_path, PIN, "314159", "314158")) == 2
    assert run(tmp_path, "pin", "--pin-file", secret(tmp_path, "161803", "314159", "314159")) == 77
    assert run(tmp_path, "pin", "--pin-file", secret(tmp_path, PIN, "314159", "314159")) == 0
    assert site.pin == "314159"
    assert run(tmp_path, "pin", "--reset", "m.keller") == 2
    assert run(tmp_path, "pin", "--reset", "m.keller", "--reason", "forgot it") == 0
    assert (site.pin, site.audit[-1].kind) == (None, "pin.reset")


def test_no_argument_is_a_pin() -> None:
    """Every user of the machine can list arguments."""
    (commands,) = (a.choices for a in parser()._actions if isinstance(a.choices, dict))  # noqa: SLF001 - argparse lists its commands nowhere else
    options = {
        option
        for command in commands.values()
        for action in command._actions  # noqa: SLF001 - likewise
        for option in action.option_strings
        if "pin" in option
    }
    assert options == {"--pin-file", "--pin-fd"}
