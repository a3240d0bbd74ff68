"""The shared memory between the daemon and one worker process: numbered slots for windows.

One slot holds one window: a header, all inputs, all outputs. A greeting lies before the slots.
The daemon copies what it reads, since the other side is a process that runs a foreign model.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import TensorSpec

GREETING_BYTES = 64 * 1024
RING_BYTES_MAX = 256 * 1024 * 1024  # address space of the worker is limited; this is part of it
TEXT_BYTES_MAX = 200
_HEADER = struct.Struct("=QQBxH")  # sequence, nanoseconds, status, length of the text
_TEXT_AT = 32
_HEADER_BYTES = 256
_LINE = 64  # a cache line: two tensors never share one

_SEQUENCE = struct.Struct("=Q")
_STATUS_AT = 16

Arrays = Sequence[NDArray[np.generic]]


def shared_memory(name: str, size_bytes: int) -> int:
    """The descriptor of zeroed memory that nobody can make shorter or longer any more.

    Whoever maps what the other side then cuts short dies of SIGBUS when it looks there.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size_bytes)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


class SlotStatus(IntEnum):
    """Who has a slot and what came of it; RUNNING survives the death of the worker."""

    GIVEN = 0
    RUNNING = 1
    DONE = 2
    FAILED = 3


# Members of an enum cost a look-up each, and these are written or read for every window.
_GIVEN, _RUNNING = int(SlotStatus.GIVEN), int(SlotStatus.RUNNING)
DONE, FAILED = int(SlotStatus.DONE), int(SlotStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each tensor of each slot lies; `slot_bytes` is a multiple of a cache line."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    slots: int
    slot_bytes: int

    @property
    def ring_bytes(self) -> int:
        """Length of the whole memory file."""
        return self.slot_at(self.slots)

    def slot_at(self, slot: int) -> int:
        """Where *slot* begins."""
        return GREETING_BYTES + slot * self.slot_bytes


def layout(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], slots: int) -> Layout:
    """The layout for a signature, with as many of *slots* as fit.

    Raises:
        ModelRefusedError: not even one window fits.
    """
    slot_bytes = _HEADER_BYTES + sum(_padded(spec) for spec in (*inputs, *outputs))
    if slot_bytes > RING_BYTES_MAX:
        raise ModelRefusedError(
            f"signature: one window takes {slot_bytes} bytes, expected at most {RING_BYTES_MAX}"
        )
    fitting = min(slots, RING_BYTES_MAX // slot_bytes)
    return Layout(tuple(inputs), tuple(outputs), fitting, slot_bytes)


def _padded(spec: TensorSpec) -> int:
    size = int(np.prod(spec.shape)) * np.dtype(spec.dtype.value).itemsize
    return -(-size // _LINE) * _LINE


class _Views(dict[int, list[NDArray[np.generic]]]):
    """The arrays of each slot, views of the memory; made when a slot is first used."""

    def __init__(
        self, memory: mmap.mmap, plan: Layout, skip: int, specs: Sequence[TensorSpec]
    ) -> None:
        super().__init__()
        self._memory = memory
        self._plan = plan
        self._skip = skip
        self._specs = specs

    def __missing__(self, slot: int) -> list[NDArray[np.generic]]:
        views: list[NDArray[np.generic]] = []
        at = self._plan.slot_at(slot) + self._skip
        for spec in self._specs:
            count = int(np.prod(spec.shape))
            flat = np.frombuffer(self._memory, spec.dtype.value, count, at)
            views.append(flat.reshape(spec.shape))
            at += _padded(spec)
        self[slot] = views
        return views


class Ring:
    """A mapped memory file with its slots as arrays; *fd* is only needed to build it."""

    def __init__(self, fd: int, plan: Layout) -> None:
        self.plan = plan
        self._memory = mmap.mmap(fd, plan.ring_bytes)
        self._at = [plan.slot_at(slot) for slot in range(plan.slots)]
        after_inputs = _HEADER_BYTES + sum(_padded(spec) for spec in plan.inputs)
        self.inputs = _Views(self._memory, plan, _HEADER_BYTES, plan.inputs)
        self.outputs = _Views(self._memory, plan, after_inputs, plan.outputs)

    @classmethod
    def create(cls, plan: Layout) -> tuple["Ring", int]:
        """A new zeroed ring and the descriptor of its memory, which the caller closes."""
        fd = shared_memory("windows", plan.ring_bytes)
        return cls(fd, plan), fd

    def give(self, slot: int, sequence: int, inputs: Arrays) -> None:
        """The daemon writes a window."""
        for view, values in zip(self.inputs[slot], inputs, strict=True):
            view[...] = values
        _HEADER.pack_into(self._memory, self._at[slot], sequence, 0, _GIVEN, 0)

    def begin(self, slot: int) -> int:
        """The worker starts on *slot*; the sequence of its window."""
        at = self._at[slot]
        self._memory[at + _STATUS_AT] = _RUNNING
        sequence: int = _SEQUENCE.unpack_from(self._memory, at)[0]
        return sequence

    def mark(
        self, slot: int, sequence: int, status: int, taken_ns: int = 0, text: bytes = b""
    ) -> None:
        """Write the header of *slot*."""
        at = self._at[slot]
        if text:
            text = text[:TEXT_BYTES_MAX]
            self._memory[at + _TEXT_AT : at + _TEXT_AT + len(text)] = text
        _HEADER.pack_into(self._memory, at, sequence, taken_ns, status, len(text))

    def header(self, slot: int) -> tuple[int, int, int]:
        """Sequence, nanoseconds taken, and status of *slot*; the status is unchecked."""
        sequence, taken_ns, status, _ = _HEADER.unpack_from(self._memory, self._at[slot])
        return sequence, taken_ns, status

    def text(self, slot: int) -> str:
        """What the worker said about *slot*, inert."""
        at = self._at[slot]
        length = min(_HEADER.unpack_from(self._memory, at)[3], TEXT_BYTES_MAX)
        return ascii(self._memory[at + _TEXT_AT : at + _TEXT_AT + length].decode("latin-1"))[1:-1]

    def greet(self, greeting: bytes) -> None:
        """The worker says what it loaded, or why not; at most `GREETING_BYTES`."""
        greeting = greeting[: GREETING_BYTES - 4]
        self._memory[4 : 4 + len(greeting)] = greeting
        struct.pack_into("=I", self._memory, 0, len(greeting))

    def greeting(self) -> bytes:
        """What `greet` wrote."""
        length = min(struct.unpack_from("=I", self._memory, 0)[0], GREETING_BYTES - 4)
        return self._memory[4 : 4 + length]
