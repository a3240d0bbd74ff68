"""What is deployed is well-formed, as the real tools see it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.reference import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
EXPOSURE_MAX = 25  # of 100; systemd prints it as 2.5 of 10


def tool(name: str) -> str:
    """The path of a real tool; skips the test where it is missing."""
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


@pytest.fixture(params=UNITS, ids=lambda unit: unit.name)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One unit, with the programs of this environment where the plant's would be."""
    source: Path = request.param
    text = source.read_text(encoding="utf-8")
    copy = tmp_path / source.name
    programs = Path(sys.executable).parent
    copy.write_text(text.replace("/opt/edge-mlops/bin", str(programs)), encoding="utf-8")
    return copy


def test_unit_is_valid(unit: Path) -> None:
    """Systemd finds nothing to complain about; an unknown key would be a complaint."""
    run = subprocess.run(
        [tool("systemd-analyze"), "verify", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_unit_is_confined(unit: Path) -> None:
    """A daemon that is broken into can do little: at most 2.5 of 10 on systemd's scale."""
    run = subprocess.run(
        [
            *(tool("systemd-analyze"), "security", "--offline=true", "--no-pager"),
            *(f"--threshold={EXPOSURE_MAX}", str(unit)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_has_a_bound_of_tasks(unit: Path) -> None:
    """A daemon that starts processes or threads without an end takes none from the machine."""
    found = re.findall(r"^TasksMax=(\d+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    assert 128 <= int(found[0]) <= 1024


def test_alertmanager_takes_the_example() -> None:
    """The route of the example is valid, and each alert goes where its words say."""
    amtool, example = tool("amtool"), ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
    run = subprocess.run(
        [amtool, "check-config", str(example)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for labels, receiver in {
        ("pages=yes", "priority=p1"): "on-call",
        ("pages=no", "priority=p1"): "list",
        ("pages=no", "priority=p2"): "shift",
        ("pages=no", "priority=p3"): "list",
    }.items():
        run = subprocess.run(
            [amtool, "config", "routes", "test", f"--config.file={example}", *labels],
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == receiver


def test_sshd_takes_the_snippet(tmp_path: Path) -> None:
    """The console's snippet is valid inside a server's configuration."""
    key = tmp_path / "host"
    subprocess.run(
        [tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True
    )
    snippet = (ROOT / "deploy" / "sshd" / "edgetui.conf").read_text(encoding="utf-8")
    config = tmp_path / "sshd_config"
    config.write_text(f"HostKey {key}\n{snippet}", encoding="utf-8")
    run = subprocess.run(
        [tool("sshd"), "-t", "-f", str(config)], capture_output=True, text=True, check=False
    )
    # A machine that has never run it lacks a folder; everything else is ours.
    assert run.returncode == 0 or "privilege separation directory" in run.stderr, run.stderr
