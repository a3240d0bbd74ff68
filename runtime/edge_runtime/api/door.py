"""Lets clients in to the worker that scores the windows, so few at a time that no window waits.

Clients have a short queue of their own. Together they hold the worker for at most `AHEAD_S` of
its time, or for one request where one takes longer: that is how long a window can find itself
behind them. A request that ends the worker's process shuts the door for a while, so that clients
never use up the restarts that the line may need.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from edge_core.contracts.errors import TryAgainError
from edge_runtime.inference.errors import WindowQuarantinedError
from edge_runtime.inference.ring import Arrays
from edge_runtime.inference.worker import Outputs

log = structlog.get_logger(__name__)

AHEAD_S: Final = 0.002
INSIDE_MAX: Final = 8  # more gains nothing: the processor is busy already
FORGET: Final = 1.02  # how fast a worker that became slower is found to be
SHUT_S: Final = 30.0  # one restart a request, five in a row are too many


class Runs(Protocol):
    """A worker, as far as clients see it."""

    async def run(self, inputs: Arrays) -> Outputs:
        """Every output for these inputs."""
        ...


class TurnedAwayError(TryAgainError):
    """There is no room now; *after_s* is when there may be."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class Door:
    """The queue of all clients of one gateway."""

    def __init__(self, queue: int, monotonic: Callable[[], float]) -> None:
        self._queue = queue
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._inside = 0  # let in
        self._running = 0  # and handed to the worker
        self._quick_s = AHEAD_S  # the least that a request took lately, its share of the worker
        self._shut_until_s = 0.0
        self.turned_away = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a turn at the worker; whoever has none yet should not have cost anything.

        Raises:
            TurnedAwayError: the queue is full, or the door is shut.
        """
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def run(self, worker: Runs, inputs: Arrays) -> Outputs:
        """What *worker* gives for *inputs*; only for whoever has a `place`.

        Raises:
            EdgeError: as `Worker.run`.
        """
        self._running += 1
        begun_s, company = self._monotonic(), self._running
        try:
            outputs = await worker.run(inputs)
        except WindowQuarantinedError:
            self._shut_until_s = self._monotonic() + SHUT_S
            log.warning("serving.shut", seconds=SHUT_S, reason="a request ended the worker")
            raise
        finally:
            self._running -= 1
        share_s = (self._monotonic() - begun_s) / company
        self._quick_s = min(share_s, self._quick_s * FORGET)
        return outputs

    async def _enter(self) -> None:
        left_s = self._shut_until_s - self._monotonic()
        if left_s > 0:
            self.turned_away += 1
            raise TurnedAwayError("a request ended the model's process: serving rests", left_s)
        if self._inside < self._room and not self._waiting:
            self._inside += 1
            return
        if len(self._waiting) + self._inside >= self._queue:
            self.turned_away += 1
            raise TurnedAwayError(f"expected at most {self._queue} requests at once", 1.0)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self._inside -= 1
        while self._waiting and self._inside < self._room:
            turn = self._waiting.popleft()
            if not turn.done():
                self._inside += 1
                turn.set_result(None)

    @property
    def _room(self) -> int:
        """How many may be at the worker at once."""
        return max(1, min(INSIDE_MAX, int(AHEAD_S / max(self._quick_s, 1e-6))))
