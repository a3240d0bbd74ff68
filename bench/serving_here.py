"""Our own server as `bench.serving` asks it: the engine and the endpoint of a gateway, no plant.

    python -m bench.serving_here FOLDER PORT

FOLDER has the model. Windows are scored beside the clients as a line would have them; when told
to end, the process writes to FOLDER/windows when each was scored and how long it took.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import structlog

from edge_core.admission.limited import ENVIRONMENT
from edge_core.contracts.artefact import ReleaseRef
from edge_runtime.api.serving import Serving
from edge_runtime.api.settings import ServingConfig
from edge_runtime.inference.engine import ModelWorker, open_engine
from edge_runtime.inference.spec import LoadSpec
from edge_runtime.model import ready
from edge_runtime.route import Route
from tests.simulators.good_models import cnn

DIGEST = "sha256:" + "be" * 32
WINDOWS_HZ = 20.0


async def serve(folder: Path, port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    good = cnn()
    release = ReleaseRef(model="cnn", version="1", release=1, digest=DIGEST)
    units = {feature.role: feature.unit for feature in good.signature.features}
    async with open_engine() as engine:
        worker = await engine.load(
            LoadSpec(
                digest=DIGEST,
                runtime="onnxruntime",
                files=good.save(folder),
                signature=good.signature,
            )
        )
        route = Route(ready(release, good.signature, None, units, worker))
        serving = Serving(ServingConfig(port=port), lambda: route)
        timings: list[tuple[float, float]] = []
        async with asyncio.TaskGroup() as group:
            jobs = [
                group.create_task(serving.run()),
                group.create_task(score(worker, good.signature.inputs[0].shape, timings)),
            ]
            await stop.wait()
            for job in jobs:
                job.cancel()
        np.savetxt(folder / "windows", np.array(timings).reshape(-1, 2))


async def score(worker: ModelWorker, shape: list[int], timings: list[tuple[float, float]]) -> None:
    """Be the line: a window every so often; keeps when it was scored and the microseconds."""
    window = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    while True:
        await asyncio.sleep(1 / WINDOWS_HZ)
        began = time.monotonic()
        await worker.infer(window)
        timings.append((began, (time.monotonic() - began) * 1e6))


def main() -> None:
    """Run as the arguments say."""
    folder, port = sys.argv[1:]
    os.environ.update({key: ENVIRONMENT[key] for key in ("ORT_DISABLE_TELEMETRY",)})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(serve(Path(folder), int(port)))


if __name__ == "__main__":
    main()
