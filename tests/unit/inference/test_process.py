"""What a worker process said before its end counts, whichever word of it comes first."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from edge_core.admission.confine import Confinement
from edge_runtime.inference.job import READY, REFUSED, Greeting, Job
from edge_runtime.inference.process import Process
from edge_runtime.inference.ring import Ring, layout
from edge_runtime.inference.spec import Loss
from edge_runtime.inference.starter import Asker
from tests.simulators.good_models import mlp

pytestmark = pytest.mark.anyio


@dataclass
class Heard:
    """A listener that keeps what it hears, in order."""

    words: list[str] = field(default_factory=list)

    def ready(self, process: Process) -> None:
        """See `Listener`."""
        self.words.append(f"ready {process.loaded}")

    def refused(self, process: Process, reason: str) -> None:
        """See `Listener`."""
        self.words.append(f"refused {process.loaded}: {reason}")

    def answered(self, process: Process, slot: int) -> None:
        """See `Listener`."""
        self.words.append(f"answered {process.ring.header(slot)[0]}")

    def gone(self, process: Process) -> None:
        """See `Listener`."""
        self.words.append(f"gone {process.pid}")

    def ended(self, process: Process, loss: Loss) -> None:
        """See `Listener`."""
        self.words.append(f"ended {process.pid}: {loss.detail}")


@dataclass
class Hand:
    """A starter that keeps what a process would have been given."""

    fds: list[int] = field(default_factory=list)

    def request(self, job: Job, fds: Sequence[int], asker: Asker) -> None:
        """See `Starter`."""
        assert job.slots > 0, asker
        self.fds = [os.dup(fd) for fd in fds]


SAID = {
    "a refusal": (
        [(REFUSED, Greeting(refused="model.onnx: no such operator"))],
        ["refused False: model.onnx: no such operator", "gone 0", "ended 0: left with status 0"],
    ),
    "that it is ready": (
        [(READY, Greeting())],
        ["gone 0", "ended 0: left with status 0"],
    ),
    "nothing": ([], ["gone 0", "ended 0: left with status 0"]),
}


@pytest.mark.parametrize(("said", "heard"), SAID.values(), ids=SAID)
async def test_the_kernel_is_faster(said: list[tuple[int, Greeting]], heard: list[str]) -> None:
    """The end of a process is known before its last word was read; a refusal stays one."""
    signature = mlp().signature
    plan = layout(signature.inputs, signature.outputs, 4)
    listener, hand = Heard(), Hand()
    process = Process(plan, listener, 60.0)
    job = Job(
        ticket=1,
        runtime="onnxruntime",
        files=[],
        inputs=signature.inputs,
        outputs=signature.outputs,
        slots=plan.slots,
        file_bytes_max=1,
        cpu_s=1,
        confinement=Confinement(address_space_bytes=1),
    )
    process.request(hand, job, [])  # type: ignore[arg-type] # all of a starter that is used
    memory, bell = hand.fds
    with socket.socket(fileno=bell) as doorbell:
        for ring, greeting in said:
            Ring(memory, plan).greet(msgspec.json.encode(greeting))
            doorbell.sendall(bytes((ring,)))
    os.close(memory)
    process.ended(0)
    assert listener.words == heard
