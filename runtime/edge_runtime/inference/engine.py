"""The engine: owns the fork server, and turns a verified model into a worker."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from edge_core.admission.confine import Confinement
from edge_core.admission.files import open_model
from edge_core.contracts.errors import ConfigurationError
from edge_runtime.inference.job import Job, JobFile
from edge_runtime.inference.process import Listener, Process
from edge_runtime.inference.ring import Layout, layout
from edge_runtime.inference.spec import SLOTS_MAX, EngineConfig, LoadSpec
from edge_runtime.inference.starter import Starter
from edge_runtime.inference.worker import Worker

USUAL_CONFIG = EngineConfig()


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
            keeper.cancel()
    if failure is not None:
        raise failure


class Engine:
    """Loads models into workers; made by `open_engine`."""

    def __init__(self, config: EngineConfig, starter: Starter) -> None:
        self._config = config
        self._starter = starter
        self._workers: list[Worker] = []

    async def load(self, spec: LoadSpec) -> Worker:
        """Start a worker and wait until its model is loaded; cancelling ends it.

        Raises:
            ModelRefusedError: the bytes are not what was recorded, or the runtime refused them.
            WorkerLostError: it died while loading, with the cause.
            ConfigurationError: a bound of *spec* makes no sense, or has no default.
        """
        origin = await self._origin(spec)
        worker = Worker(spec, origin.plan, self._config, origin)
        self._workers = [one for one in self._workers if not one.closed]
        self._workers.append(worker)
        try:
            await asyncio.shield(worker.loaded)
        except BaseException:
            worker.close()
            raise
        return worker

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
        plan = layout(spec.signature.inputs, spec.signature.outputs, spec.slots)
        bounds = Confinement(address_space_bytes=limit, oom_score_adj=self._config.oom_score_adj)
        origin = _Origin(self._starter, self._config, spec, plan, bounds, [])
        try:
            for file in spec.files:
                most = self._config.file_bytes_max
                origin.fds.append(await asyncio.to_thread(open_model, file, most))
        except BaseException:
            origin.close()
            raise
        return origin


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
        job = Job(
            ticket=self.starter.ticket(),
            runtime=self.spec.runtime,
            files=[JobFile(name=file.name, digest=file.digest) for file in self.spec.files],
            inputs=list(self.plan.inputs),
            outputs=list(self.plan.outputs),
            slots=self.plan.slots,
            file_bytes_max=self.config.file_bytes_max,
            confinement=msgspec.structs.replace(self.bounds, nice=nice),
        )
        process.request(self.starter, job, self.fds)
        return process

    def close(self) -> None:
        """See `worker.Origin`."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
