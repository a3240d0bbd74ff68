"""Runs one of our own modules as a child that the kernel and we can end at any time.

The question goes in as a sealed memory file, the answer comes back as bounded bytes. A crash,
a hang, a full memory are values here, because for the caller they are findings.
"""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge_core.admission.errors import AdmissionError
from edge_core.admission.model import ChildLimits

EXIT_MEMORY = 71  # a child that catches MemoryError says so with this status

# The children see this and nothing else. The first turns off the uploader that the onnxruntime
# wheel starts when it is imported; the others keep numpy and its kin to one thread.
ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OV_TELEMETRY_DISABLE": "1",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
}


class EndKind(StrEnum):
    """How a child ended that gave no answer."""

    CRASH = "crash"
    HANG = "hang"
    MEMORY = "memory"
    CPU = "cpu"
    FLOOD = "flood"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class Answered:
    """The child answered and left in order."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The child gave no answer; *detail* says what happened and what the bound was."""

    kind: EndKind
    detail: str


async def run_limited(
    module: str, question: bytes, fds: Sequence[int], limits: ChildLimits
) -> Answered | Ended:
    """Run `python -m module` on *question* with *fds* open, and nothing else of ours.

    The child reads the question from the descriptor named by its argument, calls
    `edge_core.admission.confine.confine` before it touches anything hostile, and writes its
    answer to standard output. Cancelling kills it and everything it started.

    Raises:
        AdmissionError: the child could not be started.
    """
    asked = _memory_file(question)
    try:
        process = await _start(module, asked, fds)
    finally:
        os.close(asked)
    try:
        return await _listen(process, limits)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _memory_file(question: bytes) -> int:
    fd = os.memfd_create("question", os.MFD_CLOEXEC)
    view = memoryview(question)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


async def _start(module: str, asked: int, fds: Sequence[int]) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-B", "-m", module, str(asked)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            pass_fds=(asked, *fds),
            start_new_session=True,
            env=ENVIRONMENT,
            cwd="/",
        )
    except OSError as error:
        raise AdmissionError(f"child {module}: could not be started: {error}") from error


async def _listen(process: Process, limits: ChildLimits) -> Answered | Ended:
    try:
        async with asyncio.timeout(limits.wall_s):
            answer = await _bounded(process, limits.answer_bytes)
            if answer is None:
                return Ended(EndKind.FLOOD, f"answered more than {limits.answer_bytes} bytes")
            status = await process.wait()
    except TimeoutError:
        return Ended(EndKind.HANG, f"gave no answer within {limits.wall_s:g} s")
    if status == 0:
        return Answered(answer)
    return how_it_ended(status, limits)


async def _bounded(process: Process, most: int) -> bytes | None:
    assert process.stdout is not None, "opened as a pipe above"  # noqa: S101 - ours, not input
    answer = bytearray()
    while chunk := await process.stdout.read(65536):
        answer += chunk
        if len(answer) > most:
            return None
    return bytes(answer)


def how_it_ended(status: int, limits: ChildLimits) -> Ended:
    """Read an exit status as `subprocess` reports it: negative is a signal."""
    if status == EXIT_MEMORY:
        return Ended(EndKind.MEMORY, f"needs more than {limits.address_space_bytes} bytes")
    if status == -signal.SIGXCPU:
        return Ended(EndKind.CPU, f"used more than {limits.cpu_s} s of CPU")
    if status < 0:
        return Ended(EndKind.CRASH, f"was ended by {signal_name(-status)}")
    return Ended(EndKind.EXIT, f"ended with status {status} and no answer")


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; a number the platform does not name stays a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
