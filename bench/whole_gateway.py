"""One whole gateway in a process of its own, fed in place of a plant: what only a whole one shows.

    python -m bench.whole_gateway CONFIG

It imports what the daemon imports and no more, and prints `verdict SECONDS`, by the monotonic
clock that all processes share, at its first decision.
"""

import asyncio
import math
import sys
import time
from pathlib import Path

import structlog

from edge_core.features.samples import CellQuality
from edge_runtime.assembly import Gateway, assemble
from edge_runtime.config import load
from edge_runtime.daemon import run
from edge_runtime.logs import RecentLogs
from edge_runtime.sources.sample import TagSample, batch_of
from edge_runtime.verdict import Verdict


class Ear:
    """Says when the first verdict came."""

    def __init__(self) -> None:
        self._heard = False

    def put(self, verdict: Verdict) -> None:
        """See `Sink`."""
        if verdict.decided and not self._heard:
            self._heard = True
            print(f"verdict {time.monotonic()}", flush=True)


async def main(path: Path) -> None:
    """Run until killed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    config = load(path)
    async with assemble(config, [Ear()]) as gateway, asyncio.TaskGroup() as group:
        group.create_task(run(gateway, RecentLogs(), asyncio.Event()))
        group.create_task(feed(gateway))


async def feed(gateway: Gateway) -> None:
    """Be the plant: one row a period, in a wave."""
    columns = {tag.role: column for column, tag in enumerate(gateway.config.tags)}
    while True:
        now_ns = time.time_ns()
        value = 3.0 + math.sin(now_ns / 1e9)
        samples = [TagSample(role, value, CellQuality.GOOD, now_ns) for role in columns]
        gateway.stream.take(batch_of(samples, columns))
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
