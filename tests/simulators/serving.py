"""A model behind the endpoint of a gateway, and nothing of the gateway around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge_core.contracts.artefact import ReleaseRef
from edge_runtime.api.serving import Serving
from edge_runtime.api.settings import ServingConfig
from edge_runtime.inference.engine import ModelWorker, open_engine
from edge_runtime.inference.spec import LoadSpec
from edge_runtime.model import ready
from edge_runtime.route import Route
from tests.simulators.good_models import GoodModel
from tests.simulators.waiting import until

DIGEST = "sha256:" + "5e" * 32


@asynccontextmanager
async def served(
    good: GoodModel, folder: Path, name: str, port: int = 0
) -> AsyncIterator[tuple[Serving, ModelWorker]]:
    """The model called *name* in a worker process, and the endpoint in front of it.

    Args:
        good: the model; its file comes into *folder*.
        folder: likewise.
        name: what clients ask for.
        port: where they ask; 0 leaves it to the kernel.
    """
    release = ReleaseRef(model=name, version="3", release=3, digest=DIGEST)
    units = {feature.role: feature.unit for feature in good.signature.features}
    spec = LoadSpec(
        digest=DIGEST,
        runtime="onnxruntime",
        files=good.save(folder),
        signature=good.signature,
    )
    async with open_engine() as engine:
        worker = await engine.load(spec)
        route = Route(ready(release, good.signature, None, units, worker))
        serving = Serving(ServingConfig(port=port), lambda: route)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(serving.run())
            await until(lambda: serving.port > 0, "a port")
            try:
                yield serving, worker
            finally:
                task.cancel()
