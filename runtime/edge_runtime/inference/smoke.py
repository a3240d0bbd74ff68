"""Whether a loaded model gives what its release says it gives, asked through its worker."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of
from edge_core.admission.model import Admission, Admitted
from edge_core.contracts.artefact import SmokeCase, SmokeVectors
from edge_runtime.inference.engine import ModelWorker

PROBE_RUNS = 50


async def reproduce(
    worker: ModelWorker, smoke: SmokeVectors, cases: int
) -> tuple[NDArray[np.float32], float]:
    """The scores of the first *cases*, and the largest difference from what they must be.

    Raises:
        ModelRefusedError: a score is further away than the release tolerates.
        ModelFailedError: the model gave no usable answer.
        WorkerLostError: it died over a case.
    """
    scores = [await _scores(worker, case) for case in smoke.cases[:cases]]
    off_max = 0.0
    for at, (case, found) in enumerate(zip(smoke.cases, scores, strict=False)):
        wanted = np.array(case.outputs, np.float32)
        off = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else np.inf
        if not off <= smoke.absolute_tolerance:
            raise ModelRefusedError(
                f"smoke case {at}: expected {case.outputs[:4]}, "
                f"found {[round(float(score), 6) for score in found[:4]]}"
            )
        off_max = max(off_max, off)
    return np.concatenate(scores), off_max


async def _scores(worker: ModelWorker, case: SmokeCase) -> NDArray[np.float32]:
    """The first row of the batch, as a case has it."""
    taken = worker.spec.signature.inputs[0].dtype.value
    given: NDArray[Any] = np.array(case.inputs, taken)  # Any: features, or what pictures are in
    made = await worker.infer(given)
    batch = made.shape[0] if made.ndim else 1
    row: NDArray[np.float32] = made.reshape(batch, -1)[0]
    return row


async def admit_remote(worker: ModelWorker, smoke: SmokeVectors) -> Admission:
    """Evidence about a model whose bytes are another server's.

    Raises:
        EdgeError: as `reproduce`.
    """
    scores, error_max = await reproduce(worker, smoke, len(smoke.cases))
    taken = []
    for _ in range(PROBE_RUNS):
        began_ns = time.perf_counter_ns()
        await _scores(worker, smoke.cases[0])
        taken.append((time.perf_counter_ns() - began_ns) / 1e3)
    signature, report = worker.spec.signature, worker.report()
    summary = Admitted(
        format="remote",
        digests=report.digests,
        inputs=signature.inputs,
        outputs=signature.outputs,
        operators={},
        nodes=0,
        weight_bytes=0,
        opsets={},
    )
    return Admission(
        summary=summary,
        runtime=worker.spec.runtime,
        cases=len(smoke.cases),
        outputs_digest=digest_of(scores.tobytes()),
        error_max=error_max,
        load_ms=0.0,
        p50_us=float(np.percentile(taken, 50)),
        p99_us=float(np.percentile(taken, 99)),
        peak_rss_bytes=0,
    )
