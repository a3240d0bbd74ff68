"""`edgetui` on a terminal, as a process: what it costs, what it refuses, how it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.site import Site
from tests.simulators.terminal import Terminal
from tests.unit.edgetui.test_commands import standing

FIRST_SCREEN_BYTES_MAX = 12_000
IDLE_S = 2.0
IDLE_BYTES_A_SECOND_MAX = 25  # 0.2 kbit/s
WITHOUT_TEXTUAL = """
import sys
sys.modules["textual"] = None
from edgetui.__main__ import main
sys.exit(main([]))
"""


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A site."""
    path = tmp_path_factory.mktemp("site") / "s"
    with standing(path, Site()):
        yield path


def console(socket: Path, *options: str, term: str = "xterm-256color") -> Terminal:
    """The console on a terminal of 120x36."""
    env = {**os.environ, "TERM": term, "EDGE_SOCKET": str(socket), "PYTHONUTF8": "1"}
    return Terminal([sys.executable, "-m", "edgetui", *options], env, (120, 36))


def test_what_the_screens_cost(socket: Path) -> None:
    """The first screen is small, and a screen on which nothing happens costs next to nothing."""
    with console(socket) as terminal:
        terminal.shows("NEEDS YOU", "FEED ok")
        assert terminal.received < FIRST_SCREEN_BYTES_MAX
        terminal.quiet(0.3)
        before = terminal.received
        terminal.read(IDLE_S)
        assert terminal.received - before < IDLE_BYTES_A_SECOND_MAX * (IDLE_S + 1)
        before = terminal.received
        terminal.press("\x0c")
        terminal.until(lambda t: t.received > before + 500, "a repaint")
        terminal.shows("NEEDS YOU")
        terminal.press("\x11")
        assert terminal.exit_code() == 0


def test_a_slow_link_has_smaller_windows(socket: Path) -> None:
    """With --low the clock has no seconds and a window to label costs under 1.5 kB."""
    with console(socket, "--low") as terminal:
        terminal.shows("NEEDS YOU", "FEED ok")
        terminal.press("\x1b[15~")
        terminal.shows("1 cavitation", "stored 0")
        terminal.quiet(0.3)
        before = terminal.received
        terminal.press("k")
        terminal.shows("Label > item 2", "skipped")
        terminal.quiet(0.3)
        assert terminal.received - before < 1500


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_cleanly(socket: Path, number: signal.Signals) -> None:
    """Told to end, it gives the terminal back and its exit code says by what."""
    with console(socket) as terminal:
        terminal.shows("NEEDS YOU")
        os.kill(terminal.pid, number)
        assert terminal.exit_code() == 128 + number
        assert b"\x1b[?1049l" in terminal.raw


def test_a_dumb_terminal_is_refused(socket: Path) -> None:
    """What cannot move its cursor is told what to use instead."""
    with console(socket, term="dumb") as terminal:
        assert terminal.exit_code() == 2
        assert "--plain" in terminal.text()


def test_without_textual(socket: Path) -> None:
    """Where the terminal UI is not installed it says what to install."""
    env = {**os.environ, "EDGE_SOCKET": str(socket)}
    with Terminal([sys.executable, "-c", WITHOUT_TEXTUAL], env) as terminal:
        assert terminal.exit_code() == 2
        assert "pip install 'edge-mlops[console]'" in terminal.text()


def test_subcommands_start_without_textual(socket: Path) -> None:
    """A report does not pay for a terminal UI, nor the first screen for an HTTP client."""
    script = (
        "import sys; from edgetui.__main__ import main; code = main(['whoami']);"
        "sys.exit(code or 'textual' in sys.modules)"
    )
    env = {**os.environ, "EDGE_SOCKET": str(socket)}
    subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True)
    script = "import sys, edgetui.app; sys.exit('aiohttp' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=env, check=True)
