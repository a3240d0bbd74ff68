"""A process that decodes, as the daemon sees it: asked for, heard, and ended at any time.

It comes from the fork server like the processes of models. What it says is held to its form, and
what it leaves in the shared memory is copied: a picture may have taken over the other side.
"""

import asyncio
import mmap
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bounds import MIB
from edge_runtime.errors import DecoderLostError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.job import MESSAGE_BYTES_MAX, Asked, Decoded, PictureJob, Ready, Said
from edge_runtime.inference.process import loss_of
from edge_runtime.inference.ring import shared_memory
from edge_runtime.inference.spec import LossKind
from edge_runtime.inference.starter import SERVER_LOST, Asker

START_S: Final = 30.0  # from fork to ready, on a machine that is busy with other things
KEPT_BYTES: Final = 8 * MIB  # of shared memory; what a larger picture took is given back
BYTES_A_PIXEL: Final = 3
# Of address space, for each pixel: decoded, converted, copied; a stream holds seventeen at once.
PICTURE_BYTES_A_PIXEL: Final = 16
STREAM_BYTES_A_PIXEL: Final = 32
ROOM_BYTES: Final = 64 * MIB  # for everything that does not grow with the picture


class Starts(Protocol):
    """Where processes come from: a fork server."""

    def ticket(self) -> int:
        """A number that names one request."""
        ...

    def request(self, job: PictureJob, fds: Sequence[int], asker: Asker) -> None:
        """Start a process for *job*; *fds* are duplicated."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture, shape (row, column, 3), red first; decoding took so long."""

    pixels: NDArray[np.uint8]
    taken_us: int


def job_of(config: FramesConfig, ticket: int, *, dials: bool) -> PictureJob:
    """What a process needs to know to decode for *config*."""
    streams = config.video is not None
    a_pixel = STREAM_BYTES_A_PIXEL if streams else PICTURE_BYTES_A_PIXEL
    return PictureJob(
        ticket=ticket,
        pixels_max=config.pixels_max,
        bytes_max=config.bytes_max,
        memory_bytes=ROOM_BYTES + a_pixel * config.pixels_max + 2 * config.bytes_max,
        cpu_s=-int(-config.decode_s // 1),
        dials=dials,
        every_s=config.every_s,
        silence_s=config.silence_s,
    )


class Decoder:
    """One process that decodes, from its start to its end; use it as a context."""

    def __init__(self, starter: Starts, config: FramesConfig, *, dials: bool = False) -> None:
        """Ask for the process; `begin` waits until it is there."""
        self._loop = asyncio.get_running_loop()
        self._pixels_max = config.pixels_max
        self._pidfd: int | None = None
        self._killed: tuple[LossKind, str] | None = None
        self._status: asyncio.Future[int] = self._loop.create_future()
        self._ready = False
        self.pid = 0
        size_bytes = config.pixels_max * BYTES_A_PIXEL
        memory = shared_memory("picture", size_bytes)
        self._memory = mmap.mmap(memory, size_bytes)
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setblocking(False)  # noqa: FBT003 - the socket API
        with theirs:
            job = job_of(config, starter.ticket(), dials=dials)
            starter.request(job, [memory, theirs.fileno()], self)
        os.close(memory)

    async def begin(self) -> None:
        """Wait until it has loaded the library and is bound.

        Raises:
            DecoderLostError: it does not come.
        """
        try:
            async with asyncio.timeout(START_S):
                said = await self.hear()
        except TimeoutError:
            self.kill(LossKind.LOAD, f"did not load within {START_S:g} s")
            said = await self.hear()
        if not isinstance(said, Ready):
            self.kill(LossKind.PROTOCOL, "spoke before it was ready")
            await self.hear()
        self._ready = True

    def say(self, asked: Asked, file: int | None = None) -> None:
        """Ask for something; *file* is duplicated, so the caller may close its own."""
        try:
            socket.send_fds(
                self._line, [msgspec.json.encode(asked)], [] if file is None else [file]
            )
        except OSError:
            return  # it is dying, which whoever listens is about to hear

    async def hear(self) -> Said:
        """What it says next.

        Raises:
            DecoderLostError: it has ended, or said what no decoder says.
        """
        while self._killed is None:
            try:
                raw = await self._loop.sock_recv(self._line, MESSAGE_BYTES_MAX)
            except ConnectionError:
                raw = b""
            if not raw:
                break
            try:
                said: Said = msgspec.json.decode(raw, type=Said)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.kill(LossKind.PROTOCOL, "said what no decoder says")
                break
            if not isinstance(said, Decoded) or said.rows * said.columns <= self._pixels_max:
                return said
            self.kill(LossKind.PROTOCOL, f"gave {said.columns} x {said.rows} pixels")
        raise self._loss(await self._status)

    async def picture(self, said: Decoded) -> Picture:
        """The picture that *said* speaks of, copied."""
        return Picture(await asyncio.to_thread(self._copied, said), said.taken_us)

    def kill(self, kind: LossKind, detail: str) -> None:
        """End it at once; who listens hears why."""
        if self._killed is None:
            self._killed = kind, detail
        self._send_kill()

    def close(self) -> None:
        """End it for good; nobody listens any more."""
        self.kill(LossKind.EXIT, "is not needed any more")
        self._line.close()

    def started(self, pid: int, pidfd: int) -> None:
        """See `Asker`."""
        self.pid, self._pidfd = pid, pidfd
        if self._killed is not None:
            self._send_kill()

    def ended(self, status: int) -> None:
        """See `Asker`."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._status.set_result(status)

    def _send_kill(self) -> None:
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return  # it was faster

    def _loss(self, status: int) -> DecoderLostError:
        if self._killed is not None:
            kind, detail = self._killed
            return DecoderLostError(kind, f"decoder: {detail}", blamed=self._ready)
        loss = loss_of(status, self.pid)
        blamed = self._ready and status != SERVER_LOST
        return DecoderLostError(loss.kind, f"decoder: {loss.detail}", blamed=blamed)

    def _copied(self, said: Decoded) -> NDArray[np.uint8]:
        count = said.rows * said.columns * BYTES_A_PIXEL
        found = np.frombuffer(self._memory, np.uint8, count).copy()
        if count > KEPT_BYTES:
            self._memory.madvise(mmap.MADV_REMOVE)
        return found.reshape(said.rows, said.columns, BYTES_A_PIXEL)
