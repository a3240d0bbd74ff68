"""The fork server: has the libraries loaded once, and forks a worker process in milliseconds.

Started by `starter.py` with a socket as its first argument, then what to load. It is
single-threaded, runs no model itself, reaps its children and reports how they ended. It ends with
the daemon, and its children end with it; so it outlives a kernel that refuses another process.
"""

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from edge_core.admission.confine import die_with_parent
from edge_core.contracts.errors import EdgeError
from edge_runtime.frames.job import PictureJob
from edge_runtime.inference.child import live
from edge_runtime.inference.job import NOT_FORKED, Ended, Full, Job, Message, Started, Unloaded, Up

JOB_BYTES_MAX = 128 * 1024
FDS_MAX = 16
FORK_S: Final = 20.0  # a process that takes longer to be had comes too late for who asked
FORK_AGAIN_S: Final = 0.1


def main() -> int:
    """Serve until the daemon closes its end; the exit status."""
    die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        try:
            _preload(name)
        except (ImportError, AttributeError, EdgeError) as error:
            _tell(control, Unloaded(reason=str(error)[:500]))
    # What exists now is shared by all children: a collector that touched it would copy it.
    gc.freeze()
    _tell(control, Up(threads=sum(1 for _ in Path("/proc/self/task").iterdir())))
    return Server(control, os.fork, time.monotonic).serve()


def _preload(name: str) -> None:
    """Import a module, and call the function named behind the colon if there is one."""
    module, _, function = name.partition(":")
    found = importlib.import_module(module)
    if function:
        getattr(found, function)()


def _tell(control: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    socket.send_fds(control, [msgspec.json.encode(message)], fds)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


class Server:
    """The control socket, the children that live, and the jobs that have no process yet."""

    def __init__(
        self,
        control: socket.socket,
        fork: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._control = control
        self._fork = fork
        self._monotonic = monotonic
        self._children: dict[int, tuple[int, int]] = {}  # pidfd -> ticket, pid
        self._waiting: deque[tuple[float, Job | PictureJob, list[int]]] = deque()  # since, s
        self._full = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> int:
        """Fork and reap until the control socket ends."""
        try:
            while self._turn():
                pass
        except ConnectionError:
            return 0  # the daemon is gone, with something of ours or of its own unread
        return 0

    def _turn(self) -> bool:
        """Do what there is to do; False when the daemon is gone."""
        for key, _ in self._selector.select(FORK_AGAIN_S if self._waiting else None):
            if key.fd != self._control.fileno():
                self._reap(key.fd)
            elif not self._take():
                return False
        while self._waiting and self._begin(*self._waiting[0]):
            self._waiting.popleft()
        return True

    def _take(self) -> bool:
        """Read one job; False when the daemon is gone."""
        raw, fds, _, _ = socket.recv_fds(self._control, JOB_BYTES_MAX, FDS_MAX)
        if not raw:
            return False
        job = msgspec.json.decode(raw, type=Job | PictureJob)
        self._waiting.append((self._monotonic(), job, fds))
        return True

    def _begin(self, since_s: float, job: Job | PictureJob, fds: list[int]) -> bool:
        """Give *job* its process; False when the kernel has none now and it is tried again."""
        try:
            pid, pidfd = self._forked(job, fds)
        except OSError as error:
            if not self._full:
                self._full = True
                _tell(self._control, Full(reason=error.strerror or str(error)))
            if self._monotonic() - since_s < FORK_S:
                return False
            _close(fds)
            _tell(self._control, Ended(ticket=job.ticket, status=NOT_FORKED))
            return True
        self._full = False
        _close(fds)
        self._children[pidfd] = (job.ticket, pid)
        self._selector.register(pidfd, selectors.EVENT_READ)
        _tell(self._control, Started(ticket=job.ticket, pid=pid), (pidfd,))
        return True

    def _forked(self, job: Job | PictureJob, fds: list[int]) -> tuple[int, int]:
        """The child and a descriptor of it; without the second there is no first."""
        pid = self._fork()
        if pid == 0:
            self._become_worker(job, fds)
        try:
            return pid, os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    def _reap(self, pidfd: int) -> None:
        ticket, pid = self._children.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _tell(self._control, Ended(ticket=ticket, status=status))

    def _become_worker(self, job: Job | PictureJob, fds: list[int]) -> None:
        """In the child: let go of everything of the server's, and never return to it."""
        status = 1
        try:
            self._selector.close()
            _close(self._children)
            for _, other, theirs in self._waiting:
                if other is not job:
                    _close(theirs)
            self._control.close()
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            os.close(nothing)
            status = _lived(job, fds)
        finally:
            os._exit(status)  # no clean-up that belongs to the server may run here


def _lived(job: Job | PictureJob, fds: list[int]) -> int:
    match job:
        case Job():
            return live(job, fds)
        case PictureJob():
            # Only what decodes loads what decodes.
            from edge_runtime.frames import child  # noqa: PLC0415

            return child.live(job, fds)


if __name__ == "__main__":
    sys.exit(main())
