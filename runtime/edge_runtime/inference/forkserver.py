"""The fork server: has the libraries loaded once, and forks a worker process in milliseconds.

Started by `starter.py` with a socket as its only argument. It is single-threaded, runs no model
itself, reaps its children and reports how they ended. It ends with the daemon, and its children
end with it.
"""

import gc
import importlib
import os
import selectors
import socket
import sys
from pathlib import Path

import msgspec

from edge_core.admission.confine import die_with_parent
from edge_runtime.frames.job import PictureJob
from edge_runtime.inference.child import live
from edge_runtime.inference.job import Ended, Job, Message, Started, Up

JOB_BYTES_MAX = 128 * 1024
FDS_MAX = 16


def main() -> int:
    """Serve until the daemon closes its end; the exit status."""
    die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        _preload(name)
    # What exists now is shared by all children: a collector that touched it would copy it.
    gc.freeze()
    _tell(control, Up(threads=sum(1 for _ in Path("/proc/self/task").iterdir())))
    return Server(control).serve()


def _preload(name: str) -> None:
    """Import a module, and call the function named behind the colon if there is one."""
    module, _, function = name.partition(":")
    found = importlib.import_module(module)
    if function:
        getattr(found, function)()


def _tell(control: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    socket.send_fds(control, [msgspec.json.encode(message)], fds)


class Server:
    """The control socket and the children that live."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, tuple[int, int]] = {}  # pidfd -> ticket, pid
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> int:
        """Fork and reap until the control socket ends."""
        while True:
            for key, _ in self._selector.select():
                if key.fd != self._control.fileno():
                    self._reap(key.fd)
                elif not self._fork():
                    return 0

    def _fork(self) -> bool:
        """Do the next job; False when the daemon is gone."""
        try:
            raw, fds, _, _ = socket.recv_fds(self._control, JOB_BYTES_MAX, FDS_MAX)
        except ConnectionError:  # it was killed with something of ours unread
            return False
        if not raw:
            return False
        job = msgspec.json.decode(raw, type=Job | PictureJob)
        pid = os.fork()
        if pid == 0:
            self._become_worker(job, fds)
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = (job.ticket, pid)
        self._selector.register(pidfd, selectors.EVENT_READ)
        _tell(self._control, Started(ticket=job.ticket, pid=pid), (pidfd,))
        return True

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
            for pidfd in self._children:
                os.close(pidfd)
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
