"""What a worker is given, and what it says about itself."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from edge_core.admission.model import MIB, ModelFile
from edge_core.contracts.artefact import Digest, ModelSignature

SLOTS_MAX = 250  # a doorbell byte names a slot, and the highest values are spoken for


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """One verified model and how its worker runs.

    Attributes:
        digest: of the release or manifest; what logs and reports call the model.
        runtime: as in the target: `onnxruntime`, `openvino`, `litert`, `tensorrt`, `remote`.
        files: each with its recorded digest, which the worker compares with what it read.
        signature: decides the shared memory's layout; the model was admitted against it.
        batch: as the manifest's target says, None where there is no manifest.
        warm: one window, every input, for the first run; zeros where nothing is given.
        nice: 0 for the committed model, 19 for a trial.
        deadline_s: how long one window may take at most once it is at the head of the queue; a
            model whose windows come faster gets less, see `deadline.Pace`.
        slots: windows that may be unanswered at once.
        spare: keep a second process loaded at normal priority, so a crash costs under 5 ms.
        address_space_bytes: hard limit, or None for the runtime's usual.
    """

    digest: Digest
    runtime: str
    files: tuple[ModelFile, ...]
    signature: ModelSignature
    batch: int | None = None
    warm: tuple[NDArray[np.generic], ...] = ()
    nice: int = 0
    deadline_s: float = 1.0
    slots: int = 64
    spare: bool = True
    address_space_bytes: int | None = None


def _usual_limits() -> dict[str, int]:
    """Three times what a small model needs with each runtime, measured."""
    return {
        "onnxruntime": 600 * MIB,
        "openvino": 1536 * MIB,
        "litert": 600 * MIB,
        "tensorrt": 600 * MIB,  # to read the key; nothing larger is loaded yet
    }


class EngineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How workers are started and bounded, whatever the model.

    Attributes:
        preload: modules that every worker process finds already imported, each with a function
            that has been called where one is named behind a colon.
        providers: what shall compute, by runtime, in order of preference; what is not here is
            passed over, and what was really used is reported.
        backends: `module:Class` by runtime, for runtimes that are not ours.
        remote: base URL of the one server that models of runtime `remote` may be asked at.
        address_space_bytes: hard limit by runtime.
    """

    preload: tuple[str, ...] = ("numpy", "edge_core.admission.backends.onnx_runtime:warm")
    providers: dict[str, list[str]] = {}
    backends: dict[str, str] = {}
    remote: Annotated[str, Meta(pattern=r"^https?://[^\s/]+$", max_length=200)] | None = None
    address_space_bytes: dict[str, int] = field(default_factory=_usual_limits)
    cpu_s: Annotated[int, Meta(ge=1)] = 10  # of processor time on one window; then SIGXCPU
    start_s: Annotated[float, Meta(gt=0)] = 30.0  # from fork to loaded; openvino takes a second
    restarts_max: Annotated[int, Meta(ge=1)] = 5  # in a row, without one answer in between
    quarantine_after: Annotated[int, Meta(ge=1)] = 2  # deaths of a worker over one window
    file_bytes_max: Annotated[int, Meta(ge=1)] = 256 * MIB
    oom_score_adj: Annotated[int, Meta(ge=0, le=1000)] = 500


class LossKind(StrEnum):
    """Why a worker process ended."""

    CRASH = "crash"
    DEADLINE = "deadline"
    MEMORY = "memory"
    CPU = "cpu"
    EXIT = "exit"
    PROTOCOL = "protocol"
    LOAD = "load"


class Loss(Struct, frozen=True, kw_only=True):
    """The end of one worker process, in words an engineer can use."""

    kind: LossKind
    detail: str
    pid: int


class WorkerState(StrEnum):
    """Where a worker is."""

    STARTING = "starting"
    READY = "ready"
    RECOVERING = "recovering"
    LOST = "lost"


class WorkerReport(Struct, frozen=True, kw_only=True):
    """What a worker says about itself.

    `digests` are of the bytes that it hashed and then loaded, by file name; `last_us` is what
    the runtime took for the last window, in microseconds. `asked` are the execution providers of
    the plan, empty for the runtime's own choice, and `used` those that really compute.
    """

    digest: Digest
    state: WorkerState
    pid: int | None
    digests: dict[str, Digest]
    asked: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    in_flight: int
    answered: int
    restarts: int
    quarantined: int
    busy: int
    last_loss: Loss | None
    last_us: float
    spare_ready: bool
    rss_bytes: int
