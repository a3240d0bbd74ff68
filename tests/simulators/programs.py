"""Programs beside the test: started, killed the hard way, started again."""

import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.simulators.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Program:
    """One program on this machine; begins and ends with the context.

    Attributes:
        command: what is run, in the root of the repository.
        said: the file that takes what it prints, both streams.
        port: where it listens, or None if it does not.
    """

    command: Sequence[str | Path]
    said: Path
    port: int | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Run it; `ready` says when it is of use."""
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    async def ready(self) -> None:
        """Wait until it takes connections, or has ended and said why."""
        process, port = self._process, self.port
        assert process is not None
        assert port is not None
        await until(lambda: process.poll() is not None or listens(port), f"port {port} opens")
        assert process.poll() is None, self.said.read_text()

    @property
    def pid(self) -> int:
        """Of the process, which runs."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """Tell it to end, and wait; the exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        return process.wait()

    def kill(self) -> None:
        """End it without a word, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def lines(self) -> list[str]:
        """What it has printed so far."""
        return self.said.read_text().splitlines()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def listens(port: int) -> bool:
    """Whether somebody takes connections on this port of ours."""
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return True
    except OSError:
        return False
