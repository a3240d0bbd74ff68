"""The engine: owns the fork server, and turns a verified model into a worker."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import aiohttp
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_core.admission.backends.protocol import BackendPlan
from edge_core.admission.confine import Confinement
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import open_model, read_model
from edge_core.admission.model import KIB, ModelFile
from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.remote import REMOTE
from edge_runtime.inference.fitting import Fitting
from edge_runtime.inference.job import Job, JobFile
from edge_runtime.inference.process import Listener, Process
from edge_runtime.inference.remote import RemoteWorker
from edge_runtime.inference.ring import Arrays, Layout, layout
from edge_runtime.inference.spec import SLOTS_MAX, EngineConfig, LoadSpec, WorkerReport
from edge_runtime.inference.starter import Starter
from edge_runtime.inference.worker import Outputs, Worker

DOCUMENT_BYTES_MAX = 64 * KIB  # a remote.json is a name and a version
USUAL_CONFIG = EngineConfig()


class ModelWorker(Protocol):
    """One loaded model, wherever it runs: a process of ours, or another server."""

    spec: LoadSpec

    async def infer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Worker.infer`."""

    async def run(self, inputs: Arrays) -> Outputs:
        """See `Worker.run`."""

    async def renice(self, nice: int) -> None:
        """See `Worker.renice`."""

    def report(self) -> WorkerReport:
        """See `Worker.report`."""

    @property
    def closed(self) -> bool:
        """Whether it is gone for good."""

    def close(self) -> None:
        """See `Worker.close`."""


@asynccontextmanager
async def open_engine(config: EngineConfig = USUAL_CONFIG) -> AsyncIterator["Engine"]:
    """An engine whose fork server and workers end with the block."""
    starter = Starter(config)
    engine = Engine(config, starter)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(starter.keep())
        try:
            yield engine
        except Exception as error:  # noqa: BLE001 - raised below as itself, not as a group
            failure = error
        finally:
            engine.close()
            await engine.hang_up()
            keeper.cancel()
    if failure is not None:
        raise failure


class Engine:
    """Loads models into workers; made by `open_engine`."""

    def __init__(self, config: EngineConfig, starter: Starter) -> None:
        self._config = config
        self._starter = starter
        self._workers: list[ModelWorker] = []
        self._session: aiohttp.ClientSession | None = None

    @property
    def starter(self) -> Starter:
        """Where processes come from, for whatever else needs one."""
        return self._starter

    async def load(self, spec: LoadSpec) -> ModelWorker:
        """Start a worker and wait until its model is loaded; cancelling ends it.

        Raises:
            ModelRefusedError: the bytes are not what was recorded, or the runtime refused them.
            WorkerLostError: it died while loading, with the cause.
            ConfigurationError: a bound of *spec* makes no sense, or has no default.
            WindowRefusedError: the window to warm up with does not fit.
        """
        if spec.runtime == REMOTE:
            return await self._remote(spec)
        origin = await self._origin(spec)
        worker = Worker(spec, origin.plan, self._config, origin)
        self._keep(worker)
        try:
            await asyncio.shield(worker.loaded)
        except BaseException:
            worker.close()
            raise
        return worker

    async def _remote(self, spec: LoadSpec) -> ModelWorker:
        _check_batch(spec)
        server = self._config.remote
        if server is None:
            raise ConfigurationError(
                "inference.engine.remote: expected the URL of the server to ask, found none"
            )
        if len(spec.files) != 1:
            raise ModelRefusedError(f"remote: expected one remote.json, found {len(spec.files)}")
        document = await asyncio.to_thread(_document, spec.files[0])
        if self._session is None:
            self._session = aiohttp.ClientSession()
        worker = RemoteWorker(spec, server, document, self._session)
        await worker.begin()
        self._keep(worker)
        return worker

    def _keep(self, worker: ModelWorker) -> None:
        self._workers = [one for one in self._workers if not one.closed]
        self._workers.append(worker)

    async def hang_up(self) -> None:
        """Close connections to servers; the block of `open_engine` does it."""
        if self._session is not None:
            await self._session.close()

    def close(self) -> None:
        """End all workers; the block of `open_engine` does it."""
        for worker in self._workers:
            worker.close()
        self._starter.close()

    async def _origin(self, spec: LoadSpec) -> "_Origin":
        if not 1 <= spec.slots <= SLOTS_MAX:
            raise ConfigurationError(f"slots: expected 1 to {SLOTS_MAX}, found {spec.slots}")
        limit = spec.address_space_bytes or self._config.address_space_bytes.get(spec.runtime)
        if limit is None:
            known = ", ".join(sorted(self._config.address_space_bytes))
            raise ConfigurationError(
                f"address_space_bytes: expected a limit for runtime {spec.runtime!a}, found "
                f"those of {known}"
            )
        _check_batch(spec)
        plan = layout(spec.signature.inputs, spec.signature.outputs, spec.slots)
        if spec.warm:
            spec = replace(spec, warm=tuple(Fitting(plan.inputs).fit(spec.warm)))
        bounds = Confinement(
            address_space_bytes=limit,
            libraries_only=True,
            oom_score_adj=self._config.oom_score_adj,
        )
        origin = _Origin(self._starter, self._config, spec, plan, bounds, [])
        try:
            for file in spec.files:
                most = self._config.file_bytes_max
                origin.fds.append(await asyncio.to_thread(open_model, file, most))
        except BaseException:
            origin.close()
            raise
        return origin


def _document(file: ModelFile) -> bytes:
    fd = open_model(file, DOCUMENT_BYTES_MAX)
    try:
        return read_model(file.name, fd, DOCUMENT_BYTES_MAX, file.digest)
    finally:
        os.close(fd)


def _check_batch(spec: LoadSpec) -> None:
    """The manifest promises a batch, and the signature must keep it."""
    shape = spec.signature.inputs[0].shape
    if spec.batch is not None and shape[:1] != [spec.batch]:
        raise ModelRefusedError(
            f"signature: expected a batch of {spec.batch}, as the manifest says, found input "
            f"{spec.signature.inputs[0].name!a} of {shape}"
        )


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a worker's processes come from: the same open files each time.

    What was verified and first loaded is what a restart loads, whatever the store does meanwhile.
    """

    starter: Starter
    config: EngineConfig
    spec: LoadSpec
    plan: Layout
    bounds: Confinement
    fds: list[int]

    def begin(self, listener: Listener, nice: int) -> Process:
        """See `worker.Origin`."""
        process = Process(self.plan, listener, self.config.start_s)
        if self.spec.warm:
            process.ring.give(0, 0, self.spec.warm)
        runtime, config = self.spec.runtime, self.config
        job = Job(
            ticket=self.starter.ticket(),
            runtime=runtime,
            plan=BackendPlan(
                providers=config.providers.get(runtime, []), backend=config.backends.get(runtime)
            ),
            files=[JobFile(name=file.name, digest=file.digest) for file in self.spec.files],
            inputs=list(self.plan.inputs),
            outputs=list(self.plan.outputs),
            slots=self.plan.slots,
            file_bytes_max=config.file_bytes_max,
            cpu_s=config.cpu_s,
            confinement=msgspec.structs.replace(self.bounds, nice=nice),
        )
        process.request(self.starter, job, self.fds)
        return process

    def close(self) -> None:
        """See `worker.Origin`."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
