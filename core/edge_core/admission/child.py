"""The admission child: reads one question, judges one model, writes one answer, leaves.

Started by `edge_core.admission.limited` only. It confines itself before it reads a byte of the
model, gets the model as open descriptors, and needs no file system and no network for it.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edge_core.admission.backends.catalogue import open_backend
from edge_core.admission.backends.protocol import Backend, out_of_memory
from edge_core.admission.confine import Confinement, confine
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of, read_model
from edge_core.admission.gate import static_gate
from edge_core.admission.limited import EXIT_MEMORY
from edge_core.admission.model import Admission, AdmissionLimits, Admitted
from edge_core.contracts.artefact import Digest, ModelSignature, SmokeVectors

NANOSECONDS_PER_US = 1_000


class GivenFile(Struct, frozen=True, kw_only=True):
    """One file as the child gets it: a name, an open descriptor, and what it must hash to."""

    name: str
    fd: int
    digest: Digest | None


class Question(Struct, frozen=True, kw_only=True):
    """What the child is asked; without a runtime only the static gate is."""

    files: list[GivenFile]
    signature: ModelSignature | None
    smoke: SmokeVectors | None
    runtime: str | None
    limits: AdmissionLimits


class Answer(Struct, frozen=True, kw_only=True):
    """Exactly one of the three is set."""

    refused: str | None = None
    admitted: Admitted | None = None
    admission: Admission | None = None


def main() -> int:
    """Answer the question behind the descriptor in the first argument; the exit status."""
    with os.fdopen(int(sys.argv[1]), "rb") as asked:
        question = msgspec.json.decode(asked.read(), type=Question)
    limits = question.limits.child
    confine(
        Confinement(
            address_space_bytes=limits.address_space_bytes,
            cpu_s=limits.cpu_s,
            open_files=limits.open_files,
            file_bytes=limits.file_bytes,
            libraries_only=True,
        )
    )
    try:
        answer = msgspec.json.encode(judge(question, time.perf_counter_ns))
    except ModelRefusedError as error:
        answer = msgspec.json.encode(Answer(refused=str(error)))
    except MemoryError:
        return EXIT_MEMORY
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(answer)
    return 0


def judge(question: Question, clock_ns: Callable[[], int]) -> Answer:
    """The gate, then the runtime if one is asked for.

    Raises:
        ModelRefusedError: the model is not admissible.
    """
    most = question.limits.gate.file_bytes_max
    parts = {
        given.name: read_model(given.name, given.fd, most, given.digest)
        for given in question.files
    }
    summary = static_gate(parts, question.signature, question.limits.gate)
    if question.runtime is None or question.signature is None or question.smoke is None:
        return Answer(admitted=summary)
    backend = open_backend(question.runtime)
    began = clock_ns()
    backend.load(parts, question.signature.inputs, question.signature.outputs)
    load_ms = (clock_ns() - began) / 1e6
    inputs, scores, error_max = _smoke(backend, question.signature, question.smoke)
    probe = _probe(backend, inputs, question.limits.probe_runs, clock_ns)
    admission = Admission(
        summary=summary,
        runtime=question.runtime,
        cases=len(question.smoke.cases),
        outputs_digest=digest_of(scores.tobytes()),
        error_max=error_max,
        load_ms=load_ms,
        p50_us=float(np.percentile(probe, 50)),
        p99_us=float(np.percentile(probe, 99)),
        peak_rss_bytes=_peak_rss_bytes(),
    )
    return Answer(admission=admission)


def _smoke(
    backend: Backend, signature: ModelSignature, smoke: SmokeVectors
) -> tuple[list[NDArray[np.generic]], NDArray[np.float32], float]:
    """Run every case; the last input, all scores in order, and the largest difference."""
    row = signature.inputs[0]
    others = [np.zeros(spec.shape, spec.dtype.value) for spec in signature.inputs[1:]]
    width = int(np.prod(row.shape[1:])) if len(row.shape) > 1 else row.shape[0]
    inputs: list[NDArray[np.generic]] = []
    scores = []
    error_max = 0.0
    for at, case in enumerate(smoke.cases):
        if len(case.inputs) != width:
            raise ModelRefusedError(
                f"smoke case {at}: expected {width} inputs, found {len(case.inputs)}"
            )
        first = np.broadcast_to(
            np.array(case.inputs, row.dtype.value).reshape(row.shape[1:]), row.shape
        )
        inputs = [np.ascontiguousarray(first), *others]
        found = _scores(backend, inputs, at)
        error_max = max(error_max, _difference(found, case.outputs, smoke, at))
        scores.append(found)
    return inputs, np.concatenate(scores), error_max


def _scores(backend: Backend, inputs: list[NDArray[np.generic]], at: int) -> NDArray[np.float32]:
    try:
        made = backend.run(inputs)
    except Exception as error:
        if out_of_memory(str(error)):
            raise MemoryError from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelRefusedError(f"smoke case {at}: does not run: {first[:200]!a}") from error
    for values in made:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelRefusedError(f"smoke case {at}: gives NaN or infinity, expected numbers")
    return np.asarray(made[0], np.float32).reshape(-1)


def _difference(
    found: NDArray[np.float32], expected: list[float], smoke: SmokeVectors, at: int
) -> float:
    """How far the first row of scores is from the expected ones."""
    wanted = np.array(expected, np.float32)
    if found.size < wanted.size or wanted.size == 0 or found.size % wanted.size:
        raise ModelRefusedError(
            f"smoke case {at}: expected {wanted.size} scores, found {found.size}"
        )
    off = float(np.abs(found.reshape(-1, wanted.size) - wanted).max())
    if not off <= smoke.absolute_tolerance:
        raise ModelRefusedError(
            f"smoke case {at}: expected scores within {smoke.absolute_tolerance:g}, "
            f"found one {off:g} away"
        )
    return off


def _peak_rss_bytes() -> int:
    """The most memory this process ever had resident.

    Not `getrusage`: that remembers what the process was before it became this program, and so
    would report the memory of whoever started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _probe(
    backend: Backend,
    inputs: list[NDArray[np.generic]],
    runs: int,
    clock_ns: Callable[[], int],
) -> NDArray[np.float64]:
    """How long one window takes here, in microseconds, shape (runs,)."""
    taken = np.empty(runs)
    for at in range(runs):
        began = clock_ns()
        backend.run(inputs)
        taken[at] = (clock_ns() - began) / NANOSECONDS_PER_US
    return taken


if __name__ == "__main__":
    sys.exit(main())
