"""The driver on a pseudo-terminal: the same screen for fewer bytes, and alive on bad links."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulators.terminal import WAIT_S, Terminal

SESSION = ("nn\x1b[B", "\x1b[6~", "\t", "é ポ xn", "\x1b[Z", "\x1b[Hn")
LAST_SHOWN = "turn 2"


def environment() -> dict[str, str]:
    """As `edgetui` sets it for itself."""
    return {
        **os.environ,
        "TERM": "xterm-256color",
        "ESCDELAY": "200",
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_DISABLE_KITTY_KEY": "1",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "PYTHONPATH": os.pathsep.join(["", *sys.path]),
        "PYTHONUTF8": "1",
    }


@contextmanager
def painted(kind: str, *options: str, answers: bool = True) -> Iterator[Terminal]:
    """The painted screen, once it is there."""
    command = [sys.executable, "-m", "tests.simulators.painted", kind, *options]
    with Terminal(command, environment(), (80, 24), answers=answers) as terminal:
        terminal.shows("row 5")
        yield terminal


def settle_alike(ours: Terminal, stock: Terminal) -> None:
    """Read both until they show the same; what differs then is said by row."""
    end = time.monotonic() + WAIT_S
    while ours.cells() != stock.cells() and time.monotonic() < end:
        ours.read(0.05)
        stock.read(0.05)
    apart = [
        f"row {y}: {mine} instead of {theirs}"
        for y, rows in enumerate(zip(ours.cells(), stock.cells(), strict=True))
        for mine, theirs in zip(*rows, strict=True)
        if mine != theirs
    ]
    assert not apart, "\n".join(apart[:5])


def test_the_same_screen_as_the_stock_driver() -> None:
    """After the same keys every cell is the same, style included, for a fraction of the bytes."""
    with painted("diff") as ours, painted("stock") as stock:
        for key in SESSION:
            for terminal in (ours, stock):
                terminal.press(key)
                terminal.quiet(0.1)
            settle_alike(ours, stock)
        for terminal in (ours, stock):
            terminal.shows(LAST_SHOWN)
        settle_alike(ours, stock)
        assert ours.received * 3 < stock.received


def test_a_byte_that_is_no_utf8_is_taken_as_latin1() -> None:
    """A Latin-1 terminal's é arrives as é, and nothing ends."""
    with painted("diff") as terminal:
        terminal.press("\t")
        terminal.quiet(0.15)
        terminal.press(b"caf\xe9 \xff\x80")
        terminal.shows("caf\u00e9")
        terminal.press("\x1b[Z")
        terminal.quiet(0.15)
        terminal.press("q")
        assert terminal.exit_code() == 0


def test_a_terminal_that_reads_nothing_does_not_stop_the_loop() -> None:
    """While the link stalls in a flood of changes, the event loop goes on; later all is drawn."""
    pulse, beat = os.pipe()
    os.set_inheritable(beat, True)  # noqa: FBT003 - os has no keyword for it
    try:
        with painted("diff", "--pulse", str(beat)) as terminal:
            terminal.press("x")
            terminal.shows("turn 3")
            beats = 0
            while beats < 20:  # a second of a loop that goes round, and nobody reads
                beats += len(os.read(pulse, 64))
            terminal.press("q")
            assert terminal.exit_code() == 0
    finally:
        os.close(pulse)
        os.close(beat)


def test_ascii_only_on_a_terminal_that_does_not_answer() -> None:
    """Without answers to DSR 6 frames go on unpaced; in ASCII mode no byte is above 127."""
    with painted("ascii", answers=False) as terminal:
        terminal.press("n")
        terminal.shows("turn 0")
        terminal.press("n")
        terminal.shows("turn 1")
        assert max(terminal.raw) < 0x80


def test_a_closed_terminal_ends_the_program() -> None:
    """A hang-up is an end, not a loop that spins, even where SIGHUP is ignored."""
    ignoring = "import signal,runpy,sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    ignoring += "sys.argv=['painted','diff']; "
    ignoring += "runpy.run_module('tests.simulators.painted', run_name='__main__')"
    with Terminal([sys.executable, "-c", ignoring], environment()) as terminal:
        terminal.shows("row 5")
        terminal.hang_up()
        assert terminal.exit_code() == 129


def test_another_size_is_drawn_whole() -> None:
    """After the window changed its size the screen is drawn for the new one."""
    with painted("diff") as terminal:
        for turn, size in enumerate([(120, 36), (60, 20)]):
            terminal.resize(*size)
            os.kill(terminal.pid, signal.SIGWINCH)
            terminal.press("n")
            terminal.shows(f"turn {turn}", "row 5", "type here")
