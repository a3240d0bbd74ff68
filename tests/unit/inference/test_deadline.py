"""One timer for the oldest window: late exactly when it is, whatever comes and goes meanwhile."""

import asyncio
from dataclasses import dataclass, field

import pytest

from edge_runtime.inference.deadline import Deadline
from tests.simulators.virtual import VirtualLoop

pytestmark = pytest.mark.anyio
NEVER = None


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """A loop whose time costs none."""
    return "asyncio", {"loop_factory": VirtualLoop}


@dataclass
class Worker:
    """At work on a window since `begun_s`; what is late is given up."""

    begun_s: float | None = NEVER
    late_s: list[float] = field(default_factory=list)

    def head_for_s(self) -> float | None:
        """How long it has been at its window."""
        if self.begun_s is None:
            return None
        return asyncio.get_running_loop().time() - self.begun_s

    def late(self) -> None:
        """It is late."""
        self.late_s.append(asyncio.get_running_loop().time())
        self.begun_s = NEVER


@dataclass(frozen=True)
class Case:
    """When a worker armed at 0 s has been at work since, what comes later, and when it is late."""

    begun_s: float | None
    late_s: list[float]
    later: dict[float, float | None] = field(default_factory=dict)


CASES = {
    "it hangs": Case(0.0, [8.0]),
    "it had been at it for a while": Case(-6.0, [2.0]),
    "it was late before anybody watched: at once": Case(-20.0, [0.0]),
    "nothing is at work": Case(NEVER, []),
    "it answers in time": Case(0.0, [], {7.0: NEVER}),
    "it answers, and hangs at the next": Case(0.0, [15.0], {7.0: 7.0}),
    "it answers again and again": Case(0.0, [], {7.0: 7.0, 14.0: 14.0, 21.0: NEVER}),
    "nothing is at work when it looks, and then something hangs": Case(
        0.0, [20.0], {7.0: NEVER, 12.0: 12.0}
    ),
    "it is late twice": Case(0.0, [8.0, 20.0], {12.0: 12.0}),
}


@pytest.mark.parametrize("name", CASES)
async def test_late(name: str) -> None:
    """Each row is what a worker does with eight seconds a window, and when it is late."""
    case, loop, ends = CASES[name], asyncio.get_running_loop(), asyncio.Event()
    worker = Worker(case.begun_s)
    deadline = Deadline(8.0, worker.head_for_s, worker.late)
    deadline.arm()
    for at_s, begun_s in case.later.items():

        def turn(begun_s: float | None = begun_s) -> None:
            worker.begun_s = begun_s
            deadline.arm()

        loop.call_at(at_s, turn)
    loop.call_at(100.0, ends.set)
    await ends.wait()
    assert worker.late_s == case.late_s


async def test_cancelled() -> None:
    """Who does not watch any more says nothing; there may have been nothing to watch."""
    loop, ends = asyncio.get_running_loop(), asyncio.Event()
    idle = Worker()
    Deadline(8.0, idle.head_for_s, idle.late).cancel()
    worker = Worker(0.0)
    deadline = Deadline(8.0, worker.head_for_s, worker.late)
    deadline.arm()
    deadline.arm()  # a window more
    deadline.cancel()
    loop.call_at(100.0, ends.set)
    await ends.wait()
    assert worker.late_s == []
