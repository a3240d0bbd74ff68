"""Turns a verified entry into a loaded model; there is no other way to load one."""

import asyncio
from dataclasses import dataclass

import numpy as np

from edge_core.admission.admit import admit
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import Admission
from edge_core.contracts.artefact import Target
from edge_core.contracts.remote import REMOTE
from edge_core.features.contract import fit_check
from edge_core.oci.store import BlobStore
from edge_runtime.config import InferenceConfig
from edge_runtime.inference.engine import Engine, ModelWorker
from edge_runtime.inference.smoke import admit_remote, reproduce
from edge_runtime.inference.spec import LoadSpec
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
        if found.runtime == REMOTE:
            worker = await self._worker(found, NICE_SHADOW)
            try:
                evidence = await admit_remote(worker, found.smoke)
            finally:
                worker.close()
        else:
            evidence = await admit(found.files, found.signature, found.smoke, found.runtime)
        if evidence.p99_us > self.config.deadline_s * 1e6:
            raise ModelRefusedError(
                f"{entry.release.version}: expected every smoke case within "
                f"{self.config.deadline_s:g} s, found {evidence.p99_us / 1e6:.3f} s"
            )
        return evidence

    async def load(self, entry: Entry, *, nice: int = NICE_COMMITTED) -> Model:
        """Load the model into a worker, and let it prove itself on one smoke vector.

        Raises:
            RefusedError: bytes, contract or runtime refuse it.
            NotFoundError: bytes are gone.
            WorkerLostError: it died while loading.
        """
        found = await asyncio.to_thread(contents, self.store, entry)
        fit_check(found.signature, self.units)
        worker = await self._worker(found, nice)
        try:
            await reproduce(worker, found.smoke, 1)
            return ready(entry.release, found.signature, found.reference, self.units, worker)
        except BaseException:
            worker.close()
            raise

    async def _worker(self, found: Contents, nice: int) -> ModelWorker:
        first = found.signature.inputs[0].dtype.value
        case = np.array(found.smoke.cases[0].inputs, first)
        alone = len(found.signature.inputs) == 1
        return await self.engine.load(
            LoadSpec(
                digest=found.entry.release.digest,
                runtime=found.runtime,
                files=found.files,
                signature=found.signature,
                batch=Target.parse(found.entry.target).batch,
                warm=(case,) if alone else (),
                nice=nice,
                deadline_s=self.config.deadline_s,
                spare=self.config.spare,
            )
        )
