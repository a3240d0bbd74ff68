"""Makes OTLP batches of what was measured, logged and traced, and has them kept; at its own pace.

All three signals go to the disk in one commit. What waits for a batch waits in memory within
bounds; a slower pace makes batches larger and rarer.
"""

import asyncio
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.telemetry import Signal
from edge_runtime.faults import Faults
from edge_runtime.wear import WearBudget, pause_s

LEVEL: Final = 6  # of gzip; 9 takes twice as long for one in a hundred

Encodes = Callable[[], bytes | None]


class Keeps(Protocol):
    """Where batches are kept until the site has them."""

    @property
    def fill(self) -> float:
        """Share of the room that is taken."""
        ...

    @property
    def written(self) -> int:
        """Bytes that it cost the disk since the start."""
        ...

    async def add(self, signal: Signal, body: bytes) -> bool:
        """Returns once it is safe."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, within which budget, by which clock."""

    period_s: Callable[[], float]
    budget: WearBudget
    monotonic: Callable[[], float]


async def send_batches(
    sources: Mapping[Signal, Encodes], keeps: Keeps, pace: Pace, faults: Faults
) -> None:
    """One batch of each signal a period, for ever.

    Args:
        sources: encode what has come together; run in a thread.
        keeps: the outbox.
        pace: how often.
        faults: hears of a disk that takes none.
    """
    written = keeps.written
    while True:
        wait_s = pace.budget.wait_s(pace.monotonic())
        await asyncio.sleep(pause_s(pace.period_s(), keeps.fill, wait_s))
        try:
            await send_once(sources, keeps)
            faults.mend("outbox")
        except EdgeError as error:
            faults.fault("outbox", str(error))
        cost, written = keeps.written - written, keeps.written
        pace.budget.spend(cost, pace.monotonic())


async def send_once(sources: Mapping[Signal, Encodes], keeps: Keeps) -> None:
    """One batch of each signal that has something, in one commit.

    Raises:
        EdgeError: the first that `keeps` raised.
    """
    bodies = await asyncio.to_thread(_encoded, sources)
    failures: list[EdgeError] = []

    async def add(signal: Signal, body: bytes) -> None:
        try:
            await keeps.add(signal, body)
        except EdgeError as error:
            failures.append(error)  # the others of this batch are still to be kept

    async with asyncio.TaskGroup() as group:
        for signal, body in bodies:
            group.create_task(add(signal, body))
    if failures:
        raise failures[0]


def _encoded(sources: Mapping[Signal, Encodes]) -> list[tuple[Signal, bytes]]:
    found = [(signal, encode()) for signal, encode in sources.items()]
    return [(signal, compressed(body)) for signal, body in found if body is not None]


def compressed(body: bytes) -> bytes:
    """*body* as one gzip member."""
    # The time in a gzip header would make the same figures other bytes.
    return gzip.compress(body, LEVEL, mtime=0)
