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
from edge_runtime.inference.engine import ModelWorker
from tests.simulators.good_models import cnn
from tests.simulators.serving import served

WINDOWS_HZ = 20.0


async def serve(folder: Path, port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    good = cnn()
    timings: list[tuple[float, float]] = []
    async with served(good, folder, "cnn", port) as (_, worker), asyncio.TaskGroup() as group:
        line = group.create_task(score(worker, good.signature.inputs[0].shape, timings))
        await stop.wait()
        line.cancel()
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
