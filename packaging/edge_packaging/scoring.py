"""Scores of a built model for many feature rows, computed by a limited child.

The packer must know what a model answers, to write its smoke vectors and to compare its targets;
but a model is foreign, so it is loaded in the same confinement as at admission.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edge_core.admission.backends.catalogue import open_backend
from edge_core.admission.child import GivenFile
from edge_core.admission.confine import Confinement, confine
from edge_core.admission.files import open_model, read_model
from edge_core.admission.limited import EXIT_MEMORY, Ended, run_limited
from edge_core.admission.model import MIB, ChildLimits, GateLimits, ModelFile
from edge_core.contracts.artefact import ModelSignature
from edge_packaging.errors import NotReproducedError

ROWS_MAX = 100_000  # of held-back windows; more proves nothing more
LIMITS = ChildLimits(
    address_space_bytes=3072 * MIB, cpu_s=120, wall_s=180.0, answer_bytes=64 * MIB
)


class _Question(Struct, frozen=True, kw_only=True):
    files: list[GivenFile]
    signature: ModelSignature
    runtime: str
    features: bytes  # float32, row after row


async def scores(
    files: Sequence[ModelFile],
    signature: ModelSignature,
    runtime: str,
    features: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Scores of every row: shape (row, feature) to shape (row, class).

    Raises:
        NotReproducedError: the model crashed, hung, or did not answer for every row.
    """
    if len(features) > ROWS_MAX:
        raise NotReproducedError(f"windows: expected at most {ROWS_MAX}, found {len(features)}")
    with ExitStack() as opened:
        given = []
        for file in files:
            fd = open_model(file, GateLimits().file_bytes_max)
            opened.callback(os.close, fd)
            given.append(GivenFile(name=file.name, fd=fd, digest=file.digest))
        question = _Question(
            files=given,
            signature=signature,
            runtime=runtime,
            features=np.ascontiguousarray(features, np.float32).tobytes(),
        )
        ended = await run_limited(
            "edge_packaging.scoring",
            msgspec.msgpack.encode(question),
            [g.fd for g in given],
            LIMITS,
        )
    if isinstance(ended, Ended):
        raise NotReproducedError(f"{runtime}: the model {ended.detail}")
    table = np.frombuffer(ended.answer, np.float32)
    if table.size != len(features) * len(signature.classes):
        raise NotReproducedError(
            f"{runtime}: expected {len(signature.classes)} scores for each of {len(features)} "
            f"windows, found {table.size} in all"
        )
    return table.reshape(len(features), len(signature.classes))


def main() -> int:
    """The child: one question in, all scores out."""
    with os.fdopen(int(sys.argv[1]), "rb") as asked:
        question = msgspec.msgpack.decode(asked.read(), type=_Question)
    confine(
        Confinement(
            address_space_bytes=LIMITS.address_space_bytes,
            cpu_s=LIMITS.cpu_s,
            open_files=LIMITS.open_files,
            file_bytes=LIMITS.file_bytes,
        )
    )
    most = GateLimits().file_bytes_max
    parts = {g.name: read_model(g.name, g.fd, most, g.digest) for g in question.files}
    first, *others = question.signature.inputs
    fixed = [np.zeros(spec.shape, spec.dtype.value) for spec in others]
    rows = np.frombuffer(question.features, np.float32).reshape(-1, first.shape[-1])
    try:
        backend = open_backend(question.runtime)
        backend.load(parts, question.signature.inputs, question.signature.outputs)
        answers = [_answer(backend.run([_batch(row, first.shape), *fixed])[0]) for row in rows]
    except MemoryError:
        return EXIT_MEMORY
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(b"".join(answers))
    return 0


def _batch(row: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """One row, repeated to the model's batch."""
    return np.ascontiguousarray(np.broadcast_to(row, shape))


def _answer(scored: NDArray[np.generic]) -> bytes:
    """The scores of the first row of a batch."""
    table = np.asarray(scored, np.float32)
    return bytes(table.reshape(-1, table.shape[-1])[0].tobytes())


if __name__ == "__main__":
    sys.exit(main())
