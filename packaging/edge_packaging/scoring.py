"""What a built model gives for many windows, computed by a limited child.

The packer must know what a model answers, to write its smoke vectors and to compare its targets;
but a model is foreign, so it is loaded in the same confinement as at admission.
"""

import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

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
CHUNK_BYTES = 32 * MIB  # given to one child, or taken from it
LIMITS = ChildLimits(
    address_space_bytes=3072 * MIB, cpu_s=120, wall_s=180.0, answer_bytes=64 * MIB
)


class _Question(Struct, frozen=True, kw_only=True):
    files: list[GivenFile]
    signature: ModelSignature
    runtime: str
    rows: bytes  # in the type of the first input, row after row


async def outputs(
    files: Sequence[ModelFile],
    signature: ModelSignature,
    runtime: str,
    rows: NDArray[Any],  # Any: of the input's type
) -> NDArray[np.float32]:
    """What the model gives for every row: shape (row, ...) to shape (row, value).

    The values are the first row of its first output.

    Raises:
        NotReproducedError: the model crashed, hung, or did not answer for every row.
    """
    if len(rows) > ROWS_MAX:
        raise NotReproducedError(f"windows: expected at most {ROWS_MAX}, found {len(rows)}")
    wide = math.prod(signature.outputs[0].shape[1:])
    largest = max(rows[:1].nbytes, wide * np.dtype(np.float32).itemsize)
    step = max(1, CHUNK_BYTES // largest)
    made = []
    for at in range(0, len(rows), step):
        some = rows[at : at + step]
        values = np.frombuffer(await _answered(files, signature, runtime, some), np.float32)
        if values.size != len(some) * wide:
            raise NotReproducedError(
                f"{runtime}: expected {wide} values for each of {len(some)} windows, found "
                f"{values.size} in all"
            )
        made.append(values.reshape(len(some), wide))
    return np.concatenate(made)


async def _answered(
    files: Sequence[ModelFile],
    signature: ModelSignature,
    runtime: str,
    rows: NDArray[Any],  # Any: of the input's type
) -> bytes:
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
            rows=np.ascontiguousarray(rows).tobytes(),
        )
        ended = await run_limited(
            "edge_packaging.scoring",
            msgspec.msgpack.encode(question),
            [g.fd for g in given],
            LIMITS,
        )
    if isinstance(ended, Ended):
        raise NotReproducedError(f"{runtime}: the model {ended.detail}")
    return ended.answer


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
    (taken,), given = question.signature.inputs, question.signature.outputs
    rows = np.frombuffer(question.rows, taken.dtype.value).reshape(-1, *taken.shape[1:])
    try:
        backend = open_backend(question.runtime)
        backend.load(parts, question.signature.inputs, given)
        answers = [
            _first(backend.run([_batch(row, taken.shape)])[0], given[0].shape[0]) for row in rows
        ]
    except MemoryError:
        return EXIT_MEMORY
    with os.fdopen(1, "wb", closefd=False) as out:
        out.write(b"".join(answers))
    return 0


def _batch(row: NDArray[np.generic], shape: Sequence[int]) -> NDArray[np.generic]:
    """One row, repeated to the model's batch."""
    return np.ascontiguousarray(np.broadcast_to(row, shape))


def _first(made: NDArray[np.generic], batch: int) -> bytes:
    """The values of the first row of a batch."""
    table = np.asarray(made, np.float32)
    return bytes(table.reshape(batch, -1)[0].tobytes())


if __name__ == "__main__":
    sys.exit(main())
