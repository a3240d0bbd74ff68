"""A terminal for tests: a program on a pseudo-terminal, its screen in pyte, its bytes counted.

It answers cursor-position requests as terminals do, unless told not to, and can stop reading.
"""

import contextlib
import errno
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import pyte

STEP_S = 0.05
WAIT_S = 20.0  # a busy machine is slow, not wrong


class TerminalTimeoutError(AssertionError):
    """What was waited for did not come; the screen says what came instead."""


class Terminal:
    """One program on one terminal.

    Attributes:
        received: how many bytes the program wrote.
        answers: whether cursor-position requests are answered.
        raw: all that was written, for a second look.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        size: tuple[int, int] = (80, 24),
        *,
        answers: bool = True,
    ) -> None:
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.received = 0
        self.raw = bytearray()
        self.answers = answers
        self._code: int | None = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], list(command), dict(env))  # noqa: S606 - the child becomes the program
        self.resize(*size)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys: str | bytes) -> None:
        """Type."""
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    def read(self, for_s: float) -> bool:
        """Take in what is written during *for_s* seconds; False once the terminal is closed."""
        end = time.monotonic() + for_s
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            if not self._take():
                return False
        return True

    def until(self, holds: Callable[["Terminal"], bool], what: str = "") -> None:
        """Read until *holds*.

        Raises:
            TerminalTimeoutError: it never did.
        """
        end = time.monotonic() + WAIT_S
        while not holds(self):
            if time.monotonic() > end or not self.read(0.05):
                if holds(self):
                    return
                raise TerminalTimeoutError(f"waited for {what}; the screen:\n{self.text()}")

    def shows(self, *words: str) -> None:
        """Wait until all *words* are on the screen."""
        self.until(lambda t: all(word in t.text() for word in words), f"{words}")

    def text(self) -> str:
        """The screen as text."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def cells(self) -> list[list[Any]]:
        """Every cell with its style, to compare screens."""
        return [
            [self.screen.buffer[y][x] for x in range(self.screen.columns)]
            for y in range(self.screen.lines)
        ]

    def quiet(self, for_s: float = 0.4) -> None:
        """Read until nothing was written for *for_s* seconds."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            before = self.received
            if not self.read(for_s) or self.received == before:
                return

    def exit_code(self) -> int:
        """Wait for the end of the program."""
        end = time.monotonic() + WAIT_S
        while self._code is None and time.monotonic() < end:
            if self.fd < 0:
                time.sleep(STEP_S)
            else:
                self.read(STEP_S)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        if self._code is None:
            raise TerminalTimeoutError(f"the program goes on; the screen:\n{self.text()}")
        return self._code

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        """End the program, whatever it does."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> bool:
        try:
            raw = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno == errno.EIO:
                return False
            raise
        if not raw:
            return False
        self.received += len(raw)
        self.raw += raw
        self._stream.feed(raw)
        if self.answers:
            for _ in range(raw.count(b"\x1b[6n")):
                cursor = self.screen.cursor
                self.press(f"\x1b[{cursor.y + 1};{cursor.x + 1}R")
        return True
