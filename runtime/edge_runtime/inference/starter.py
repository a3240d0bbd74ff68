"""The daemon's side of the fork server: asks for processes, and hears how they end.

Everything here runs in the event loop and none of it waits: a request is one small datagram, and
what comes back is delivered to whoever asked.
"""

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from edge_core.admission.limited import ENVIRONMENT
from edge_runtime.frames.job import PictureJob
from edge_runtime.inference.forkserver import JOB_BYTES_MAX
from edge_runtime.inference.job import Ended, Full, Job, Message, Started, Unloaded, Up
from edge_runtime.inference.spec import EngineConfig

log = structlog.get_logger(__name__)

SERVER_LOST = -1000  # no signal has this number: the fork server went and its children with it
STEADY_S: Final = 10.0  # a fork server that lived so long has done its work
PAUSE_S: Final = 0.1
PAUSE_MAX_S: Final = 10.0


class Asker(Protocol):
    """Who asked for a process and hears about it."""

    def started(self, pid: int, pidfd: int) -> None:
        """The process exists; *pidfd* is now the asker's to close."""

    def ended(self, status: int) -> None:
        """The process is gone, or never came; `SERVER_LOST` if nobody knows how."""


class Pauses:
    """How long to wait before the next fork server; the first that is lost is replaced at once."""

    def __init__(self) -> None:
        self._in_row = 0

    def after(self, lived_s: float) -> float:
        """Seconds, now that one has ended that lived so long, or did not even come."""
        self._in_row = 0 if lived_s >= STEADY_S else self._in_row + 1
        if self._in_row <= 1:
            return 0.0
        return min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self._in_row - 2, 16))


class Starter:
    """One fork server at a time; what is asked while there is none waits for the next."""

    def __init__(
        self,
        config: EngineConfig,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._wait = wait
        self._control: socket.socket | None = None
        self._up = False
        self._gone = asyncio.Event()
        self._tickets = itertools.count(1)
        self._askers: dict[int, Asker] = {}
        self._waiting: list[tuple[Job | PictureJob, list[int]]] = []
        self.threads = 0

    async def keep(self) -> None:
        """Keep a fork server alive until cancelled."""
        pauses, loop = Pauses(), asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            why = await self._kept()
            pause_s = pauses.after(loop.time() - begun_s)
            log.warning("forkserver.lost", reason=why, again_in_s=pause_s)
            await self._wait(pause_s)

    async def _kept(self) -> str:
        """Run one fork server to its end; how it ended, or why there is none."""
        self._gone.clear()
        try:
            process = await self._launch()
        # Without room for a thread asyncio cannot wait for a process, and says so by the second.
        except (OSError, RuntimeError) as error:
            return f"could not be started: {error}"
        try:
            await self._gone.wait()
        finally:
            self._drop()
            if process.returncode is None:
                process.kill()
            await process.wait()
        return f"ended with status {process.returncode}"

    def ticket(self) -> int:
        """A number that names one request."""
        return next(self._tickets)

    def request(self, job: Job | PictureJob, fds: Sequence[int], asker: Asker) -> None:
        """Start a process for *job*; *fds* are duplicated, so the caller may close its own."""
        self._askers[job.ticket] = asker
        held = [os.dup(fd) for fd in fds]
        self._waiting.append((job, held))
        if self._up:
            self._flush()

    async def _launch(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-B", "-m", "edge_runtime.inference.forkserver", str(theirs.fileno())),
                *self._config.preload,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=ENVIRONMENT,
                cwd="/",
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)  # noqa: FBT003 - the socket API
        self._control = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)
        return process

    def _flush(self) -> None:
        """Hand over what waits, as far as the socket takes it; the rest goes with the next."""
        while self._waiting and self._control is not None:
            job, fds = self._waiting[0]
            try:
                socket.send_fds(self._control, [msgspec.json.encode(job)], fds)
            except BlockingIOError:
                return
            except OSError:
                self._gone.set()
                return
            self._waiting.pop(0)
            for fd in fds:
                os.close(fd)

    def _hear(self) -> None:
        assert self._control is not None, "read only while it is there"  # noqa: S101 - ours
        try:
            raw, fds, _, _ = socket.recv_fds(self._control, JOB_BYTES_MAX, 4)
        except BlockingIOError:
            return
        except OSError:
            raw, fds = b"", []
        if not raw:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._gone.set()
            return
        self._dispatch(msgspec.json.decode(raw, type=Message), fds)
        self._flush()

    def _dispatch(self, message: Message, fds: list[int]) -> None:
        match message:
            case Up(threads=threads):
                self._up = True
                self.threads = threads
            case Started(ticket=ticket, pid=pid):
                asker = self._askers.get(ticket)
                if asker is None:  # closed meanwhile; the process goes with its server
                    os.close(fds[0])
                else:
                    asker.started(pid, fds[0])
            case Ended(ticket=ticket, status=status):
                asker = self._askers.pop(ticket, None)
                if asker is not None:
                    asker.ended(status)
            case Full(reason=reason):
                log.warning("forkserver.full", reason=reason)
            case Unloaded(reason=reason):
                log.warning("forkserver.preload_failed", reason=reason)

    def _drop(self) -> None:
        """The fork server is gone, and by the kernel's hand so are its children."""
        self._up = False
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        waiting = {job.ticket for job, _ in self._waiting}
        for ticket in [ticket for ticket in self._askers if ticket not in waiting]:
            self._askers.pop(ticket).ended(SERVER_LOST)

    def close(self) -> None:
        """Forget what waits; nobody hears of it any more."""
        for _, fds in self._waiting:
            for fd in fds:
                os.close(fd)
        self._waiting.clear()
        self._askers.clear()
