"""What passes between the daemon, the fork server and a worker process."""

from msgspec import Struct

from edge_core.admission.backends.protocol import USUAL_PLAN, BackendPlan
from edge_core.admission.confine import Confinement
from edge_core.contracts.artefact import Digest, TensorSpec

# Doorbell bytes that are no slot; every slot is below `spec.SLOTS_MAX`.
READY = 255
REFUSED = 254
NOT_FORKED = -1001  # no signal has this number: there never was a process


class JobFile(Struct, frozen=True, kw_only=True):
    """One model file; its descriptor travels beside, in the same place of the list."""

    name: str
    digest: Digest | None


class Job(Struct, frozen=True, kw_only=True, tag=True):
    """Start one worker process. Descriptors beside it: memory, doorbell, then the files."""

    ticket: int
    runtime: str
    plan: BackendPlan = USUAL_PLAN
    files: list[JobFile]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    slots: int
    file_bytes_max: int
    cpu_s: int
    confinement: Confinement


class Up(Struct, frozen=True, kw_only=True, tag=True):
    """The fork server has its libraries and is ready to fork."""

    threads: int


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """A process was forked; its pidfd travels beside."""

    ticket: int
    pid: int


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    """A process is gone; `status` as `subprocess` has it, negative for a signal.

    Or it never came: `NOT_FORKED`.
    """

    ticket: int
    status: int


class Full(Struct, frozen=True, kw_only=True, tag=True):
    """The kernel refuses another process; what was asked for is tried again for a while."""

    reason: str


class Unloaded(Struct, frozen=True, kw_only=True, tag=True):
    """A library could not be loaded beforehand; whoever needs it loads it alone, or is refused."""

    reason: str


Message = Up | Started | Ended | Full | Unloaded


class Greeting(Struct, frozen=True, kw_only=True):
    """What a worker process says when it has loaded its model, or why it has not."""

    digests: dict[str, Digest] = {}
    load_ms: float = 0.0
    confined: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    refused: str | None = None
