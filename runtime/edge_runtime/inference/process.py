"""One worker process as the daemon sees it: doorbell, shared memory, and how it ended.

A process is first *gone* (its doorbell closed, or we gave up on it: nothing more will come) and
some milliseconds later *ended* (the kernel's status is known). Recovery starts at the first,
the reason comes with the second.
"""

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Final, Protocol

import msgspec

from edge_core.admission.limited import EXIT_MEMORY, signal_name
from edge_runtime.inference.forkserver import FORK_S
from edge_runtime.inference.job import NOT_FORKED, READY, REFUSED, Greeting, Job
from edge_runtime.inference.ring import Arrays, Layout, Ring, SlotStatus
from edge_runtime.inference.spec import SLOTS_MAX, Loss, LossKind
from edge_runtime.inference.starter import SERVER_LOST, Starter

RINGS_MAX = 256
_RINGS = tuple(bytes((slot,)) for slot in range(SLOTS_MAX))
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Listener(Protocol):
    """Who owns the process."""

    def ready(self, process: "Process") -> None:
        """The model is loaded."""

    def refused(self, process: "Process", reason: str) -> None:
        """The bytes are not as recorded, or the runtime does not load them."""

    def answered(self, process: "Process", slot: int) -> None:
        """The worker says that *slot* is answered."""

    def gone(self, process: "Process") -> None:
        """Nothing more comes from it; said once, after the last `answered`."""

    def ended(self, process: "Process", loss: Loss) -> None:
        """How it ended; said once, after `gone`."""


class Origin(Protocol):
    """Where the processes of one model come from."""

    def begin(self, listener: Listener, nice: int) -> "Process":
        """Ask for one more process; *listener* hears of it later."""

    def close(self) -> None:
        """No more will be asked for."""


class Process:
    """A worker process that was asked for; *start_s* bounds how long it may load."""

    def __init__(self, plan: Layout, listener: Listener, start_s: float) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self.ring, self._memory = Ring.create(plan)
        self._bell, self._theirs = socket.socketpair()
        self._bell.setblocking(False)  # noqa: FBT003 - the socket API
        self._pidfd: int | None = None
        self._gone = False
        self._intent: Loss | None = None
        self.pid = 0
        self.loaded = False
        self.greeting = Greeting()
        self._late = self._loop.call_later(
            start_s, self.kill, LossKind.LOAD, f"did not load within {start_s:g} s"
        )
        self._loop.add_reader(self._bell.fileno(), self._hear)

    def request(self, starter: Starter, job: Job, files: list[int]) -> None:
        """Ask for the process; our copies of what it is given are closed at once."""
        starter.request(job, [self._memory, self._theirs.fileno(), *files], self)
        os.close(self._memory)
        self._theirs.close()

    def give(self, slot: int, sequence: int, inputs: Arrays) -> None:
        """Put a window into *slot* and ring."""
        self.ring.give(slot, sequence, inputs)
        try:
            self._bell.send(_RINGS[slot])
        except OSError:
            return  # it is dying, which the reader is about to see; the window will be replayed

    def running(self, slot: int, sequence: int) -> bool:
        """Whether it was at work on that very window when last seen."""
        found, _, status = self.ring.header(slot)
        return found == sequence and status == SlotStatus.RUNNING

    @property
    def broke_protocol(self) -> bool:
        """Whether it was ended for saying what no worker says."""
        return self._intent is not None and self._intent.kind is LossKind.PROTOCOL

    def resident_bytes(self) -> int:
        """How much memory it holds, from the kernel; 0 when it is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * PAGE_BYTES

    def kill(self, kind: LossKind, detail: str) -> None:
        """End it at once and take nothing more from it. Never waits."""
        if self._intent is None:
            self._intent = Loss(kind=kind, detail=detail, pid=self.pid)
        self._send_kill()
        self._leave()

    def _send_kill(self) -> None:
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return  # it was faster

    def _hear(self) -> None:
        try:
            rung = self._bell.recv(RINGS_MAX)
        except BlockingIOError:
            return
        except OSError:
            rung = b""
        if not rung:
            self._leave()
            return
        for slot in rung:
            self._dispatch(slot)
            if self._gone:
                return

    def _dispatch(self, slot: int) -> None:
        if slot < SLOTS_MAX and self.loaded:
            self._listener.answered(self, slot)
        elif slot in {READY, REFUSED} and not self.loaded:
            self._greeted()
        else:
            self.kill(LossKind.PROTOCOL, f"rang {slot}, which is no slot")

    def _greeted(self) -> None:
        try:
            self.greeting = msgspec.json.decode(self.ring.greeting(), type=Greeting)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.kill(LossKind.PROTOCOL, "gave a greeting that cannot be read")
            return
        self._late.cancel()
        if self.greeting.refused is not None:
            self._listener.refused(self, self.greeting.refused)
            return
        self.loaded = True
        self._listener.ready(self)

    def _leave(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._late.cancel()
        self._loop.remove_reader(self._bell.fileno())
        self._drain()
        self._bell.close()
        self._listener.gone(self)

    def _drain(self) -> None:
        """Take what was said before the end; it counts, unless it told lies."""
        if self.broke_protocol:
            return
        try:
            rung = self._bell.recv(RINGS_MAX)
        except OSError:
            return
        for slot in rung:
            if slot < SLOTS_MAX and self.loaded:
                self._listener.answered(self, slot)
            elif slot == REFUSED and not self.loaded:
                self._greeted()  # the kernel's word of its end was faster than its own

    def started(self, pid: int, pidfd: int) -> None:
        """See `Asker`."""
        self.pid, self._pidfd = pid, pidfd
        if self._gone:
            self._send_kill()

    def ended(self, status: int) -> None:
        """See `Asker`."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._leave()
        intent = self._intent
        loss = loss_of(status, self.pid) if intent is None else intent
        self._listener.ended(self, msgspec.structs.replace(loss, pid=self.pid))


# What a status says that needs no more words than these.
_ENDS: Final = {
    SERVER_LOST: (LossKind.EXIT, "went with the fork server"),
    NOT_FORKED: (LossKind.EXIT, f"the machine had no room for its process for {FORK_S:g} s"),
    EXIT_MEMORY: (LossKind.MEMORY, "reached its memory limit"),
    -signal.SIGXCPU: (LossKind.CPU, "used up its processor time on a window"),
    -signal.SIGKILL: (
        LossKind.CRASH,
        "SIGKILL that we did not send; perhaps the machine ran out of memory",
    ),
}


def loss_of(status: int, pid: int) -> Loss:
    """What a status says that we did not cause."""
    if status in _ENDS:
        kind, detail = _ENDS[status]
        return Loss(kind=kind, detail=detail, pid=pid)
    if status < 0:
        return Loss(kind=LossKind.CRASH, detail=signal_name(-status), pid=pid)
    return Loss(kind=LossKind.EXIT, detail=f"left with status {status}", pid=pid)
