"""The model under watch: judged on the same windows as the committed one, and never in its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.aside import WAITING_MAX, Aside, Request
from edge_runtime.inference.errors import ModelFailedError, WorkerLostError
from edge_runtime.model import ROLE_TRIAL, Model
from edge_runtime.route import Route
from edge_runtime.scoring import PATIENCE_STRIDES, Scored, Scorer
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import WINDOWING
from tests.simulators.virtual import VirtualLoop
from tests.unit.runtime.test_scoring import cut

pytestmark = pytest.mark.anyio

STRIDE_S = WINDOWING.period_s * WINDOWING.stride_rows
WINDOWS = 200


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """A loop whose time is virtual: ten strides are over at once, and exactly ten strides long."""
    return "asyncio", {"loop_factory": VirtualLoop}


@dataclass(slots=True)
class Slow(SimulatedWorker):
    """Takes its time."""

    takes_s: float = 0.0

    async def infer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """One answer, later."""
        await asyncio.sleep(self.takes_s)
        return await SimulatedWorker.infer(self, features)


def slow(strides: float, **more: Any) -> Model:  # Any: fields of the worker
    """A candidate that takes so many strides for a window, and disagrees with everybody."""
    usual: dict[str, Any] = {"scores": (0.1, 0.9), "takes_s": strides * STRIDE_S}
    return loaded("2", Slow("x", **{**usual, **more}))[0]


@dataclass(slots=True)
class Line:
    """A scorer in its group, with what came of each window and how late each verdict was."""

    scorer: Scorer
    scored: list[Scored] = field(default_factory=list)
    seconds: list[Scored] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    async def play(self, route: Route, windows: int = WINDOWS) -> None:
        """Cut a window every stride, as the pipeline does, and score it."""
        loop = asyncio.get_running_loop()
        self.scorer.route = route
        begun_s = loop.time()
        for number in range(1, windows + 1):
            due_s = begun_s + number * STRIDE_S
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self.scored.append(await self.scorer.score(cut(number), route))
            self.late_s.append(loop.time() - due_s)

    async def quiet(self) -> None:
        """Let the model under watch come to the end of what waits for it."""
        while not self.scorer.aside.idle:  # noqa: ASYNC110 - virtual time, and the lane ends it
            await asyncio.sleep(STRIDE_S)


@asynccontextmanager
async def line() -> AsyncIterator[Line]:
    """A line whose model under watch is asked."""
    made = Line(Scorer("gw-1", 1, asyncio.get_running_loop().time))
    made.scorer.heard = made.seconds.append
    async with asyncio.TaskGroup() as group:
        job = group.create_task(made.scorer.run())
        yield made
        job.cancel()


async def test_slow_shadow_delays_nothing() -> None:
    """A candidate that takes ten strides a window: no committed verdict is late by anything."""
    committed, _ = loaded("1")
    route = Route(committed, shadow=slow(10))
    async with line() as here:
        await here.play(route)
        assert max(here.late_s) == pytest.approx(0.0, abs=1e-9)
        assert all(each.verdict.version == "1" for each in here.scored)
        await here.quiet()
        exposure = route.exposure
        assert exposure.pairs + exposure.dropped == WINDOWS
        assert exposure.pairs == pytest.approx(WINDOWS / 10, abs=WAITING_MAX + 1)
        assert (exposure.disagreed, exposure.errors) == (exposure.pairs, 0)


async def test_slow_trial_delays_little() -> None:
    """On trial it is waited for half a stride, once; then the committed one answers at once."""
    committed, _ = loaded("1")
    route = Route(slow(10), ROLE_TRIAL, committed)
    async with line() as here:
        await here.play(route)
        assert max(here.late_s) <= PATIENCE_STRIDES * STRIDE_S + 1e-9
        assert sum(late > 1e-9 for late in here.late_s) <= WINDOWS / 10
        assert all(each.verdict.decided for each in here.scored)
        await here.quiet()
        exposure = route.exposure
        # It was to decide about those, too.
        assert exposure.errors == exposure.dropped > WINDOWS / 2
        assert exposure.scored + exposure.dropped == WINDOWS


async def test_quick_enough_trial_decides() -> None:
    """A candidate that answers within the patience decides every window, and is compared."""
    committed, _ = loaded("1")
    route = Route(slow(0.4), ROLE_TRIAL, committed)
    async with line() as here:
        await here.play(route, 20)
        assert {each.verdict.version for each in here.scored} == {"2"}
        assert (route.exposure.pairs, route.exposure.disagreed, here.seconds) == (20, 20, [])


async def test_a_late_opinion_counts_as_what_it_is() -> None:
    """One slow answer in a trial is late, not wrong: it is heard, and its pair is counted."""
    committed, _ = loaded("1")
    route = Route(slow(0.9), ROLE_TRIAL, committed)
    async with line() as here:
        await here.play(route, 1)
        assert (here.scored[0].verdict.version, here.scored[0].awaits) == ("1", True)
        await here.quiet()
        assert [each.opinions[-1].role for each in here.seconds] == [ROLE_TRIAL]
        exposure = route.exposure
        assert (exposure.scored, exposure.errors, exposure.pairs) == (1, 0, 1)


async def test_candidate_answers_where_nobody_else_can() -> None:
    """When the committed model fails, a slow candidate on trial is waited for to the end."""
    committed, _ = loaded("1", SimulatedWorker("x", failure=ModelFailedError("gave NaN")))
    route = Route(slow(3), ROLE_TRIAL, committed)
    async with line() as here:
        await here.play(route, 1)
        assert (here.scored[0].verdict.decided, here.scored[0].verdict.version) == (True, "2")


async def test_shadow_never_decides() -> None:
    """A committed model that fails is not replaced by one that nobody approved."""
    committed, _ = loaded("1", SimulatedWorker("x", failure=ModelFailedError("gave NaN")))
    async with line() as here:
        await here.play(Route(committed, shadow=slow(0)), 3)
        await here.quiet()
        for scored in (*here.scored, *here.seconds):
            assert not scored.verdict.decided
            assert scored.decisive is None


async def test_a_model_that_left_has_not_failed() -> None:
    """What waits for a route that was replaced is dropped, and its end is nobody's error."""
    committed, _ = loaded("1")
    leaving = slow(9, failure=WorkerLostError("the worker was closed"))
    route = Route(committed, shadow=leaving)
    async with line() as here:
        await here.play(route, 3)
        here.scorer.route = Route(committed)
        await here.quiet()
        assert [(each.missed, each.late) for each in here.seconds] == [(None, None)] * 3
        exposure = route.exposure
        assert (exposure.pairs, exposure.dropped) == (0, 0)


async def test_end_of_a_trial_costs_no_errors() -> None:
    """Windows that still wait for a candidate when its trial is over are nobody's error."""
    committed, _ = loaded("1")
    candidate = slow(1.5)
    route = Route(candidate, ROLE_TRIAL, committed)
    async with line() as here:
        await here.play(route, 4)
        here.scorer.route = Route(candidate)
        await here.quiet()
        assert (route.exposure.errors, route.exposure.dropped) == (0, 0)
        assert len(here.seconds) + sum(not each.awaits for each in here.scored) == 4


async def test_oldest_is_dropped_first() -> None:
    """A full lane lets go of the oldest that waits, so that fresh windows are judged."""
    lane: Aside[int] = Aside(2)
    heard: list[int | None] = []

    async def said(number: int) -> int:
        return number

    for number in range(5):
        request: Request[int] = Request(ask=partial(said, number), wanted=lambda: True)
        request.then(lambda each: heard.append(each.answer))
        lane.put(request)
    assert heard == [None, None, None]
    await lane.drain()
    assert heard == [None, None, None, 3, 4]
    assert (lane.dropped, lane.idle) == (3, True)
