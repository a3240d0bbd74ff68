"""Admission as components call it: both questions are answered by a limited, killable child.

The caller sets the deadline (`asyncio.timeout`); cancelling kills the child. A child that
crashes, hangs or runs out of memory is a refusal of the model, never an accident of ours.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from edge_core.admission.child import Answer, GivenFile, Question
from edge_core.admission.errors import AdmissionError, ModelRefusedError
from edge_core.admission.files import open_model
from edge_core.admission.limited import Ended, run_limited
from edge_core.admission.model import Admission, AdmissionLimits, Admitted, ModelFile
from edge_core.contracts.artefact import ModelSignature, SmokeVectors

USUAL_LIMITS = AdmissionLimits()
FILES_MAX = 8


async def inspect(
    files: Sequence[ModelFile],
    signature: ModelSignature | None = None,
    limits: AdmissionLimits = USUAL_LIMITS,
) -> Admitted:
    """Put *files* through the static gate alone; nothing is loaded into a runtime.

    Raises:
        ModelRefusedError: the model is not admissible.
        AdmissionError: the child could not be run.
    """
    answer = await _ask(files, signature, None, None, limits)
    if answer.admitted is None:
        raise AdmissionError("admission child: answered something else than was asked")
    return answer.admitted


async def admit(
    files: Sequence[ModelFile],
    signature: ModelSignature,
    smoke: SmokeVectors,
    runtime: str,
    limits: AdmissionLimits = USUAL_LIMITS,
) -> Admission:
    """Put *files* through the gate, load them with *runtime*, and run the smoke vectors.

    Args:
        files: of one model, by their names; a recorded digest is checked first.
        signature: what the model must declare, exactly.
        smoke: cases that must be reproduced within their tolerance, all values finite.
        runtime: `onnxruntime` or `openvino`.
        limits: what the child may use.

    Raises:
        ModelRefusedError: not admissible, or it crashed, hung, or gave other values.
        AdmissionError: the child could not be run.
    """
    answer = await _ask(files, signature, smoke, runtime, limits)
    if answer.admission is None:
        raise AdmissionError("admission child: answered something else than was asked")
    return answer.admission


async def _ask(
    files: Sequence[ModelFile],
    signature: ModelSignature | None,
    smoke: SmokeVectors | None,
    runtime: str | None,
    limits: AdmissionLimits,
) -> Answer:
    if not 1 <= len(files) <= FILES_MAX or len({file.name for file in files}) != len(files):
        names = [file.name for file in files[:FILES_MAX]]
        raise ModelRefusedError(f"model files {names}: expected 1 to {FILES_MAX} with own names")
    with ExitStack() as opened:
        given = []
        for file in files:
            fd = await asyncio.to_thread(open_model, file, limits.gate.file_bytes_max)
            opened.callback(os.close, fd)
            given.append(GivenFile(name=file.name, fd=fd, digest=file.digest))
        question = Question(
            files=given, signature=signature, smoke=smoke, runtime=runtime, limits=limits
        )
        fds = [one.fd for one in given]
        outcome = await run_limited(
            "edge_core.admission.child", msgspec.json.encode(question), fds, limits.child
        )
    if isinstance(outcome, Ended):
        raise ModelRefusedError(f"{files[0].name}: the limited child {outcome.detail}")
    return _read(outcome.answer)


def _read(raw: bytes) -> Answer:
    try:
        answer = msgspec.json.decode(raw, type=Answer)
    except msgspec.MsgspecError as error:
        raise AdmissionError(f"admission child: {error}") from error
    if answer.refused is not None:
        raise ModelRefusedError(answer.refused)
    return answer
