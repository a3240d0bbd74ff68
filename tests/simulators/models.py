"""A loaded model without a process behind it, for tests of what happens around inference."""

from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature, ReleaseRef
from edge_runtime.inference.spec import WorkerReport, WorkerState
from edge_runtime.inference.worker import Worker
from edge_runtime.model import Model, ready
from tests.simulators.releases import ROLES, signature


@dataclass(slots=True)
class SimulatedWorker:
    """Answers what the test says, one window after the other.

    Attributes:
        scores: the answer, from now on.
        failure: raised instead, if given.
        asked: every row of features so far.
    """

    digest: str
    scores: tuple[float, ...] = (0.9, 0.1)
    failure: Exception | None = None
    asked: list[NDArray[np.float32]] = field(default_factory=list)
    closed: bool = False
    nice: int = 0

    async def infer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """One answer."""
        self.asked.append(features)
        if self.failure is not None:
            raise self.failure
        return np.array([self.scores], np.float32)

    async def run(
        self, inputs: tuple[NDArray[np.generic], ...]
    ) -> tuple[NDArray[np.generic], ...]:
        """One answer, with every output."""
        return (await self.infer(inputs[0].astype(np.float32)),)

    async def renice(self, nice: int) -> None:
        """Go on at *nice*."""
        self.nice = nice

    def report(self) -> WorkerReport:
        """How it is."""
        return WorkerReport(
            digest=self.digest,
            state=WorkerState.LOST if self.closed else WorkerState.READY,
            pid=1,
            digests={"model.onnx": self.digest},
            in_flight=0,
            answered=len(self.asked),
            restarts=0,
            quarantined=0,
            busy=0,
            last_loss=None,
            last_us=0,
            spare_ready=False,
            rss_bytes=0,
        )

    def close(self) -> None:
        """End."""
        self.closed = True


def loaded(
    version: str, worker: SimulatedWorker | None = None, made: ModelSignature | None = None
) -> tuple[Model, SimulatedWorker]:
    """A model by that version and the worker that runs it."""
    digest = f"sha256:{int(version):064x}"
    runs = worker or SimulatedWorker(digest)
    release = ReleaseRef(model="pump", version=version, release=int(version), digest=digest)
    units = dict.fromkeys(ROLES, "bar")
    # The real one brings a process with it; what is around it asks for no more than this.
    model = ready(release, made or signature(), None, units, cast("Worker", runs))
    return model, runs
