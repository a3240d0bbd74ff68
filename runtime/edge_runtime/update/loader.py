"""Turns a verified entry into a loaded model; there is no other way to load one."""

import asyncio
from dataclasses import dataclass

import numpy as np

from edge_core.admission.admit import admit
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import Admission
from edge_core.features.contract import fit_check
from edge_core.oci.store import BlobStore
from edge_runtime.config import InferenceConfig
from edge_runtime.inference.engine import Engine
from edge_runtime.inference.spec import LoadSpec
from edge_runtime.inference.worker import Worker
from edge_runtime.model import Model, ready
from edge_runtime.update.record import Entry
from edge_runtime.update.release import Contents, contents

NICE_SHADOW = 19  # a newcomer never takes the processor from what decides
NICE_COMMITTED = 0


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads models for the tags of one gateway; `units` are those of its columns, in order."""

    engine: Engine
    store: BlobStore
    units: dict[str, str]
    config: InferenceConfig

    async def smoke(self, entry: Entry) -> Admission:
        """Admit and try the model in a limited child, beside whatever runs.

        Raises:
            ContractError: the tags of this gateway cannot supply what it asks for.
            ModelRefusedError: it is not admissible, or does not reproduce its smoke vectors.
            RefusedError: a document of it is not of its form.
            AdmissionError: the child could not be run; nothing was decided.
        """
        found = await asyncio.to_thread(contents, self.store, entry)
        fit_check(found.signature, self.units)
        return await admit(found.files, found.signature, found.smoke, found.runtime)

    async def load(self, entry: Entry, *, nice: int = NICE_COMMITTED) -> Model:
        """Load the model into a worker, and let it prove itself on one smoke vector.

        Raises:
            RefusedError: bytes, contract or runtime refuse it.
            NotFoundError: bytes are gone.
            WorkerLostError: it died while loading.
        """
        found = await asyncio.to_thread(contents, self.store, entry)
        fit_check(found.signature, self.units)
        worker = await self.engine.load(
            LoadSpec(
                digest=entry.release.digest,
                runtime=found.runtime,
                files=found.files,
                signature=found.signature,
                nice=nice,
                deadline_s=self.config.deadline_s,
                spare=self.config.spare,
            )
        )
        try:
            await _warm_smoke(worker, found)
            return ready(entry.release, found.signature, found.reference, self.units, worker)
        except BaseException:
            worker.close()
            raise


async def _warm_smoke(worker: Worker, found: Contents) -> None:
    case = found.smoke.cases[0]
    scores = (await worker.infer(np.array(case.inputs, np.float32))).ravel()
    expected = np.array(case.outputs, np.float32)
    if scores.shape != expected.shape or not np.allclose(
        scores, expected, rtol=0.0, atol=found.smoke.absolute_tolerance
    ):
        raise ModelRefusedError(
            f"{found.entry.release.version}: expected {case.outputs[:4]} for the first smoke "
            f"case, found {[round(float(score), 6) for score in scores[:4]]}"
        )
