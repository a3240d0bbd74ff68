"""What goes into admission and what comes out: files, limits, the summary and the evidence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, TensorSpec

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: its `org.cncf.model.filepath`, for example `model.onnx`, `model.xml`, `model.bin`;
            the suffix decides how it is read, never *path*, which may be a blob in a store.
        path: where the bytes are.
        digest: what the bytes must hash to, or None where nothing is recorded yet.
    """

    name: str
    path: Path
    digest: Digest | None = None


class GateLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the static gate. Each is far above what a gateway can run and far below harm."""

    file_bytes_max: Annotated[int, Meta(ge=1)] = 256 * MIB
    nodes_max: Annotated[int, Meta(ge=1)] = 20_000
    nesting_max: Annotated[int, Meta(ge=0)] = 3  # `If` inside `If`; nobody exports more
    weight_bytes_max: Annotated[int, Meta(ge=1)] = 256 * MIB
    tensor_bytes_max: Annotated[int, Meta(ge=1)] = 64 * MIB  # one intermediate tensor
    attribute_bytes_max: Annotated[int, Meta(ge=1)] = 64 * MIB  # a forest lives in attributes
    entries_max: Annotated[int, Meta(ge=1)] = 4_000_000  # protobuf fields or XML elements
    name_chars_max: Annotated[int, Meta(ge=1)] = 256
    opset_min: Annotated[int, Meta(ge=1)] = 9
    opset_max: Annotated[int, Meta(ge=1)] = 24  # what the pinned onnxruntime implements
    ml_opset_max: Annotated[int, Meta(ge=1)] = 5


class ChildLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a child process may use before the kernel or its parent ends it."""

    address_space_bytes: Annotated[int, Meta(ge=64 * MIB)] = 1536 * MIB
    cpu_s: Annotated[int, Meta(ge=1)] = 20
    wall_s: Annotated[float, Meta(gt=0)] = 30.0
    open_files: Annotated[int, Meta(ge=8)] = 64
    file_bytes: Annotated[int, Meta(ge=0)] = 0  # a model writes no file
    answer_bytes: Annotated[int, Meta(ge=1)] = 1 * MIB


class AdmissionLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one admission: the gate's, the child's, and how long the latency probe is."""

    gate: GateLimits = GateLimits()
    child: ChildLimits = ChildLimits()
    probe_runs: Annotated[int, Meta(ge=1, le=100_000)] = 200


class Admitted(Struct, frozen=True, kw_only=True):
    """What the static gate saw in a model that it let through.

    `inputs` and `outputs` are as declared, with a leading batch that the file leaves open
    resolved to the signature's (or to 1 without one).
    """

    format: str
    digests: dict[str, Digest]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    operators: dict[str, int]
    nodes: int
    weight_bytes: int
    opsets: dict[str, int]


class Admission(Struct, frozen=True, kw_only=True):
    """Evidence that a model loaded and reproduced its smoke vectors under limits.

    `outputs_digest` is the SHA-256 over the float32 little-endian scores of all cases in order:
    two gateways of one target are expected to agree on it, and a difference is worth a look.
    """

    summary: Admitted
    runtime: str
    cases: int
    outputs_digest: Digest
    error_max: float
    load_ms: float
    p50_us: float
    p99_us: float
    peak_rss_bytes: int
