"""Where a process that decodes lays its pictures, and its line to the daemon."""

import mmap
import socket
import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_runtime.frames.job import MESSAGE_BYTES_MAX, Asked, Decoded, More, PictureJob, Said
from edge_runtime.inference.allowance import Allowance, limit_cpu


class Gone(Exception):  # noqa: N818 - not an error: the daemon has let go of us
    """Nobody listens any more."""


class Desk:
    """One end of the line, and the memory that both see.

    Attributes:
        job: what this process is for.
    """

    def __init__(self, job: PictureJob, memory: int, line: int) -> None:
        self.job = job
        self._shared = np.frombuffer(mmap.mmap(memory, 0), np.uint8)
        self._line = socket.socket(fileno=line)
        self._allowance = Allowance(job.cpu_s, time.process_time, limit_cpu)

    def say(self, said: Said) -> None:
        """Tell the daemon.

        Raises:
            Gone: it has let go of us.
        """
        try:
            self._line.sendall(msgspec.json.encode(said))
        except ConnectionError:
            raise Gone from None

    def hear(self) -> tuple[Asked, list[int]]:
        """What the daemon wants next, and the descriptors beside it; waits for it.

        Raises:
            Gone: nothing more will come.
        """
        raw, fds, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES_MAX, 1)
        return self._read(raw), fds

    def wants_more(self) -> bool:
        """Whether the daemon has taken the last picture; does not wait.

        Raises:
            Gone: nothing more will come.
        """
        try:
            return isinstance(
                self._read(self._line.recv(MESSAGE_BYTES_MAX, socket.MSG_DONTWAIT)), More
            )
        except BlockingIOError:
            return False

    def put(self, picture: NDArray[np.uint8], began_ns: int) -> None:
        """Lay *picture*, shape (row, column, 3), before the daemon.

        Args:
            picture: decoded.
            began_ns: when decoding it began, by the performance counter.
        """
        self._shared[: picture.size] = picture.reshape(-1)
        rows, columns = picture.shape[:2]
        taken_us = (time.perf_counter_ns() - began_ns) // 1000
        self.say(Decoded(rows=rows, columns=columns, taken_us=taken_us))

    def renew(self) -> None:
        """The next picture may take as much of the processor as any."""
        self._allowance.renew()

    def _read(self, raw: bytes) -> Asked:
        if not raw:
            raise Gone
        asked: Asked = msgspec.json.decode(raw, type=Asked)
        return asked
