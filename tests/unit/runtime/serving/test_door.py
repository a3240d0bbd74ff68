"""Clients share one short queue, and hold the worker for a moment at most."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest

from edge_runtime.api.door import AHEAD_S, INSIDE_MAX, SHUT_S, Door, TurnedAwayError
from edge_runtime.inference.errors import WindowQuarantinedError, WorkerBusyError
from edge_runtime.inference.ring import Arrays
from edge_runtime.inference.worker import Outputs

pytestmark = pytest.mark.anyio

ROW: Arrays = (np.zeros(1),)


@dataclass
class Line:
    """A worker that answers one request after the other, each after `each_s` of its own clock."""

    each_s: float
    now_s: float = 0.0
    open: list[asyncio.Future[Outputs]] = field(default_factory=list)
    most: int = 0

    async def run(self, inputs: Arrays) -> Outputs:
        """Wait until it is answered."""
        answer: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        self.open.append(answer)
        self.most = max(self.most, len(self.open))
        del inputs
        return await answer

    def monotonic(self) -> float:
        """Its clock."""
        return self.now_s

    async def answer(self, failure: Exception | None = None) -> None:
        """Answer the oldest request."""
        for _ in range(5):
            await asyncio.sleep(0)
        self.now_s += self.each_s
        oldest = self.open.pop(0)
        if failure is None:
            oldest.set_result(())
        else:
            oldest.set_exception(failure)
        for _ in range(5):
            await asyncio.sleep(0)


async def asked(door: Door, line: Line) -> Outputs:
    """As a request goes through the door."""
    async with door.place():
        return await door.run(line, ROW)


PACES = {
    "a quick model: several overlap": (AHEAD_S / 100, INSIDE_MAX),
    "half of what is allowed: two": (AHEAD_S / 2.01, 2),
    "a slow model: one alone": (AHEAD_S * 20, 1),
}


@pytest.mark.parametrize("name", PACES)
async def test_room(name: str) -> None:
    """However many ask, what is at the worker takes no longer than a window may be kept."""
    each_s, room = PACES[name]
    line = Line(each_s)
    door = Door(200, line.monotonic)
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(asked(door, line))
        for _ in range(100):
            await line.answer()
    assert line.most == room
    assert line.most == 1 or line.most * each_s <= AHEAD_S


async def test_full_queue() -> None:
    """One more than the queue holds is told to come back; the others get their answers."""
    line = Line(1.0)
    door = Door(2, line.monotonic)
    async with asyncio.TaskGroup() as group:
        two = [group.create_task(asked(door, line)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TurnedAwayError, match="at most 2") as refused:
            await asked(door, line)
        await line.answer()
        await line.answer()
    assert refused.value.after_s == 1.0
    assert (door.turned_away, [task.result() for task in two]) == (1, [(), ()])


async def test_shut() -> None:
    """A request that ended the worker's process shuts the door for a while, then it opens."""
    line = Line(0.001)
    door = Door(4, line.monotonic)
    async with asyncio.TaskGroup() as group:
        poison = group.create_task(_quarantined(door, line))
        await line.answer(WindowQuarantinedError(7, ()))
        await poison
    with pytest.raises(TurnedAwayError, match="rests") as refused:
        await asked(door, line)
    assert 0 < refused.value.after_s <= SHUT_S
    line.now_s += SHUT_S
    async with asyncio.TaskGroup() as group:
        group.create_task(asked(door, line))
        await line.answer()


async def _quarantined(door: Door, line: Line) -> None:
    with pytest.raises(WindowQuarantinedError):
        await asked(door, line)


async def test_failure_lets_the_next_in() -> None:
    """A request that fails makes room as one that succeeds does."""
    line = Line(1.0)
    door = Door(4, line.monotonic)

    async def busy() -> None:
        with pytest.raises(WorkerBusyError):
            await asked(door, line)

    async with asyncio.TaskGroup() as group:
        group.create_task(busy())
        second = group.create_task(asked(door, line))
        await line.answer(WorkerBusyError("full"))
        await line.answer()
    assert second.result() == ()


async def test_cancelled_while_waiting() -> None:
    """Whoever leaves the queue takes no room with it."""
    line = Line(1.0)
    door = Door(8, line.monotonic)
    async with asyncio.TaskGroup() as group:
        group.create_task(asked(door, line))
        leaving = group.create_task(asked(door, line))
        staying = group.create_task(asked(door, line))
        await asyncio.sleep(0)
        leaving.cancel()
        await line.answer()
        await line.answer()
    assert staying.result() == ()
