"""A worker process from the inside: confined, one model, one window at a time.

It answers rings on its doorbell until the other end is closed. It never decides anything: what
goes wrong is either written into the slot or ends the process.
"""

import math
import os
import socket
import time
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.admission.backends.catalogue import open_backend
from edge_core.admission.backends.protocol import Backend, out_of_memory
from edge_core.admission.confine import confine
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of, read_model
from edge_core.admission.limited import EXIT_MEMORY
from edge_runtime.inference.allowance import Allowance, limit_cpu
from edge_runtime.inference.job import READY, REFUSED, Greeting, Job
from edge_runtime.inference.ring import DONE, FAILED, Ring, layout

RINGS_MAX = 256


def live(job: Job, fds: Sequence[int]) -> int:
    """Confine this process, load the model, and answer until nobody rings; the exit status."""
    memory, bell, *files = fds
    confined = confine(job.confinement)
    ring = Ring(memory, layout(job.inputs, job.outputs, job.slots))
    doorbell = socket.socket(fileno=bell)
    try:
        backend, greeting = _load(job, files, confined, ring)
    except ModelRefusedError as error:
        ring.greet(msgspec.json.encode(Greeting(refused=str(error)[:4000])))
        doorbell.sendall(bytes((REFUSED,)))
        return 0
    except MemoryError:
        return EXIT_MEMORY
    for fd in (memory, *files):
        os.close(fd)
    # One window goes the whole way, so the first real one finds everything in place.
    status = _answer(ring, 0, backend)
    if status:
        return status
    ring.greet(msgspec.json.encode(greeting))
    doorbell.sendall(bytes((READY,)))
    allowance = Allowance(job.cpu_s, time.process_time, limit_cpu)
    return _answer_rings(ring, doorbell, backend, allowance)


def _load(
    job: Job, fds: Sequence[int], confined: tuple[str, ...], ring: Ring
) -> tuple[Backend, Greeting]:
    """The loaded backend; what was hashed is what is loaded, byte for byte."""
    began = time.perf_counter_ns()
    parts = {
        file.name: read_model(file.name, fd, job.file_bytes_max, file.digest)
        for file, fd in zip(job.files, fds, strict=True)
    }
    digests = {name: digest_of(content) for name, content in parts.items()}
    backend = open_backend(job.runtime, job.plan)
    backend.load(parts, job.inputs, job.outputs)
    # The first run allocates; it should not be a window that somebody waits for. The daemon has
    # put one that the model knows into the first slot, or left zeros there.
    try:
        backend.run(ring.inputs[0])
    except Exception as error:
        if out_of_memory(str(error)):
            raise MemoryError from error
        raise ModelRefusedError(f"{job.runtime}: first run: {str(error)[:200]!a}") from error
    load_ms = (time.perf_counter_ns() - began) / 1e6
    used = tuple(backend.used())
    return backend, Greeting(digests=digests, load_ms=load_ms, confined=confined, used=used)


def _answer_rings(
    ring: Ring, doorbell: socket.socket, backend: Backend, allowance: Allowance
) -> int:
    while True:
        try:
            rung = doorbell.recv(RINGS_MAX)
        except ConnectionError:
            return 0
        if not rung:
            return 0
        for slot in rung:
            status = _answer(ring, slot, backend)
            if status:
                return status
            try:
                doorbell.send(bytes((slot,)))
            except ConnectionError:
                return 0
            allowance.renew()


def _answer(ring: Ring, slot: int, backend: Backend) -> int:
    """Score the window in *slot*; non-zero if this process must end over it."""
    sequence = ring.begin(slot)
    began = time.perf_counter_ns()
    try:
        made = backend.run(ring.inputs[slot])
        wrong = _put(ring, slot, made)
    except MemoryError:
        return EXIT_MEMORY
    except Exception as error:  # noqa: BLE001 - a runtime raises what it likes; it is reported
        if out_of_memory(str(error)):
            return EXIT_MEMORY
        wrong = f"the model failed: {str(error)[:160]}"
    taken_ns = time.perf_counter_ns() - began
    if wrong:
        ring.mark(slot, sequence, FAILED, taken_ns, wrong.encode("ascii", "replace"))
    else:
        ring.mark(slot, sequence, DONE, taken_ns)
    return 0


def _put(ring: Ring, slot: int, made: Sequence[NDArray[np.generic]]) -> str:
    """Copy the outputs into *slot*; what is wrong with them, or nothing."""
    specs = ring.plan.outputs
    if len(made) != len(specs):
        return f"expected {len(specs)} outputs, found {len(made)}"
    for view, values, spec in zip(ring.outputs[slot], made, specs, strict=True):
        if not isinstance(values, np.ndarray):
            return f"output {spec.name}: expected an array, found {type(values).__name__}"
        if values.shape != view.shape or values.dtype != view.dtype:
            found = f"{values.dtype} {list(values.shape)}"
            return f"output {spec.name}: expected {spec.dtype} {spec.shape}, found {found}"
        if values.dtype.kind == "f" and not _finite(values):
            return f"output {spec.name} holds NaN or infinity"
        view[...] = values
    return ""


def _finite(values: NDArray[np.generic]) -> bool:
    flat = values.reshape(-1)
    # One product is a fraction of the cost of asking each value, and it is finite only if all
    # are. It may overflow on very large scores, and only then each is asked.
    return math.isfinite(flat.dot(flat)) or bool(np.isfinite(flat).all())
