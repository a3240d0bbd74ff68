"""How long a window may take, and one timer that is late exactly when the oldest window is."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime.inference.deadline import FLOOR_S, Deadline, Pace
from tests.simulators.good_models import mlp
from tests.simulators.virtual import VirtualLoop
from tests.unit.inference.engines import spec

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
    deadlines_s: set[float] = field(default_factory=set)

    def head_for_s(self) -> float | None:
        """How long it has been at its window."""
        if self.begun_s is None:
            return None
        return asyncio.get_running_loop().time() - self.begun_s

    def late(self, deadline_s: float) -> None:
        """It is late by that."""
        self.deadlines_s.add(deadline_s)
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
    deadline = Deadline(lambda: 8.0, worker.head_for_s, worker.late)
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
    Deadline(lambda: 8.0, idle.head_for_s, idle.late).cancel()
    worker = Worker(0.0)
    deadline = Deadline(lambda: 8.0, worker.head_for_s, worker.late)
    deadline.arm()
    deadline.arm()  # a window more
    deadline.cancel()
    loop.call_at(100.0, ends.set)
    await ends.wait()
    assert worker.late_s == []


# What a deadline of eight seconds becomes after one, whether a window is then at work, and when
# the next one, which hangs from then on, is late.
CHANGED: dict[str, tuple[float, bool, float]] = {
    "much shorter: it holds at once": (2.0, True, 3.0),
    "half as long: likewise": (4.0, True, 5.0),
    "a little shorter: when the old timer looks": (5.0, True, 8.0),
    "longer: the window gets all of it": (12.0, True, 13.0),
    "much shorter while nothing is at work": (2.0, False, 12.0),
}


@pytest.mark.parametrize("name", CHANGED)
async def test_changed(name: str) -> None:
    """Each row is what a deadline becomes while it is watched, and when a window is late."""
    changed_s, busy, late_s = CHANGED[name]
    loop, ends = asyncio.get_running_loop(), asyncio.Event()
    deadlines = {"s": 8.0}
    worker = Worker(0.0)
    deadline = Deadline(lambda: deadlines["s"], worker.head_for_s, worker.late)
    deadline.arm()

    def change() -> None:
        deadlines["s"], worker.begun_s = changed_s, 1.0 if busy else NEVER
        deadline.arm()

    def begin() -> None:
        worker.begun_s = 10.0
        deadline.arm()

    loop.call_at(1.0, change)
    if not busy:
        loop.call_at(10.0, begin)
    loop.call_at(100.0, ends.set)
    await ends.wait()
    assert (worker.late_s, worker.deadlines_s) == ([late_s], {changed_s})


@dataclass(frozen=True)
class Paced:
    """How often windows come, what the last ones took, how nice it is, and the deadline."""

    stride_s: float
    took_s: list[float]
    deadline_s: float
    nice: int = 0
    most_s: float = 1.0


PACED = {
    "windows come slowly: the setting": Paced(4.0, [0.001], 1.0),
    "one is due every 0.4 s": Paced(0.4, [0.001], 0.4),
    "windows come faster than a busy machine can keep": Paced(0.1, [0.001], FLOOR_S),
    "the model takes long": Paced(0.1, [0.04], 0.4),
    "it takes longer than the setting allows": Paced(0.1, [0.3], 1.0),
    "it took long once, and that is remembered": Paced(0.1, [0.04, 0.001], 0.4 * 0.99),
    "and forgotten": Paced(0.1, [0.04, *[0.001] * 100], FLOOR_S),
    "nothing is known yet: the setting": Paced(0.1, [], 1.0),
    "a trial stands back behind others: the setting": Paced(0.1, [0.001], 1.0, nice=19),
    "nor does a nice one have to hurry": Paced(0.1, [0.001], 1.0, nice=1),
    "a setting below all that": Paced(0.1, [0.04], 0.05, most_s=0.05),
}


@pytest.mark.parametrize("name", PACED)
def test_pace(name: str) -> None:
    """Each row is a model's windows and answers, and what its next window may take."""
    case = PACED[name]
    pace = Pace(case.most_s, case.stride_s)
    for took_s in case.took_s:
        pace.took(took_s)
    assert pace.deadline_s(case.nice) == pytest.approx(case.deadline_s)
    assert pace.last_s == (case.took_s or [0.0])[-1]


def test_pace_of_a_model(tmp_path: Path) -> None:
    """The setting is the spec's, and how often windows come is the signature's."""
    assert Pace.of(spec(mlp(), tmp_path, deadline_s=3.0)) == Pace(3.0, 4 * 1.0)
