"""One routing decision a window: who decides, who looks on, and what is said when nobody can."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_core.contracts.artefact import Dtype, TensorSpec
from edge_core.contracts.outcome import Regression
from edge_core.features.grid import Rows
from edge_core.features.samples import CellQuality
from edge_core.features.window import window_of
from edge_runtime.inference.errors import ModelFailedError, WorkerBusyError, WorkerLostError
from edge_runtime.ledger import Ledger
from edge_runtime.lineup import Lineup
from edge_runtime.model import ROLE_TRIAL, Model
from edge_runtime.route import Exposure, Route
from edge_runtime.scoring import Scored, Scorer
from edge_runtime.update.record import Entry
from edge_runtime.verdict import NO_MODEL, SAFE_MODE
from edge_runtime.windows import CutWindow
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import CLASSES, signature

pytestmark = pytest.mark.anyio

T0_NS = 1_795_305_600_000_000_000
PERIOD_NS = 50_000_000


def cut(number: int = 1, *, good: float = 1.0) -> CutWindow:
    """A window of eight rows and two tags."""
    quality = np.zeros((8, 2), np.uint8)
    quality[: round(8 * (1 - good))] = CellQuality.BAD
    shape = (8, 2)
    source_ns = np.full(shape, T0_NS)
    first = T0_NS // PERIOD_NS
    window = window_of(
        number, Rows(first, PERIOD_NS, np.ones(shape, np.float32), quality, source_ns)
    )
    return CutWindow(number, window)


async def scored(route: Route, window: CutWindow | None = None) -> Scored:
    """One window on *route*, with everybody's opinion."""
    scorer = Scorer("gw-1", 1, lambda: 0.0)
    scorer.route = route
    seconds: list[Scored] = []
    scorer.heard = seconds.append
    async with asyncio.TaskGroup() as group:
        job = group.create_task(scorer.run())
        found = await scorer.score(window or cut(), route)
        while found.awaits and not seconds:  # noqa: ASYNC110 - the scorer brings it about
            await asyncio.sleep(0)
        job.cancel()
    return seconds[0] if seconds else found


async def test_decides() -> None:
    """The model in charge decides, and the verdict names it and what it said."""
    model, worker = loaded("1")
    found = await scored(Route(model))
    verdict = found.verdict
    assert (verdict.decided, verdict.label, verdict.version) == (True, CLASSES[0], "1")
    assert verdict.confidence == pytest.approx(0.9)
    assert worker.asked[0].tolist() == [[1.0, 0.0, 1.0, 0.0]]


BAD: dict[str, tuple[Callable[[Model], Route], CutWindow, str]] = {
    "no model": (lambda _: Route(), cut(), NO_MODEL),
    "bad input": (Route, cut(good=0.5), "input bad"),
    "safe mode": (lambda model: Route(model, safe_mode=True), cut(), SAFE_MODE),
}


@pytest.mark.parametrize("name", BAD)
async def test_undecided(name: str) -> None:
    """Each row is a reason for no verdict; none of them ever says that something was decided."""
    route, window, words = BAD[name]
    model, _ = loaded("1", SimulatedWorker("x", scores=(0.1, 0.9)))
    verdict = (await scored(route(model), window)).verdict
    assert not verdict.decided
    assert words in verdict.reason
    assert verdict.label in {None, CLASSES[0]}


async def test_shadow_only_looks_on() -> None:
    """The newcomer scores the same window, disagrees, and changes nothing."""
    first, _ = loaded("1")
    second, _ = loaded("2", SimulatedWorker("x", scores=(0.1, 0.9)))
    route = Route(first, shadow=second)
    found = await scored(route)
    assert found.verdict.label == CLASSES[0]
    assert [opinion.label for opinion in found.opinions] == CLASSES
    assert (route.exposure.pairs, route.exposure.disagreed) == (1, 1)
    assert route.exposure.scored == 2


async def test_committed_answers_for_a_failing_trial() -> None:
    """A candidate that fails costs its trial; the line gets its verdict from what is committed."""
    committed, _ = loaded("1")
    failing = SimulatedWorker("x", failure=ModelFailedError("gave NaN"))
    candidate, _ = loaded("2", failing)
    route = Route(candidate, ROLE_TRIAL, committed)
    found = await scored(route)
    assert found.verdict.decided
    assert found.verdict.version == "1"
    assert (route.exposure.errors, route.exposure.scored) == (1, 0)


@pytest.mark.parametrize(
    ("failure", "errors", "lost"),
    [
        (WorkerBusyError("full"), 0, ""),
        (ModelFailedError("gave NaN"), 1, ""),
        (WorkerLostError("gone"), 1, "gone"),
    ],
)
async def test_model_fails(failure: Exception, errors: int, lost: str) -> None:
    """Without anybody to answer the verdict is the safe output, with the reason."""
    model, _ = loaded("1", SimulatedWorker("x", failure=failure))
    route = Route(model)
    verdict = (await scored(route)).verdict
    assert (verdict.decided, verdict.label) == (False, CLASSES[0])
    assert str(failure) in verdict.reason
    assert (route.exposure.errors, route.exposure.lost) == (errors, lost)


@pytest.mark.parametrize("scores", [(0.1, 0.2, 0.7), (0.1,), (float("nan"), 0.9)])
async def test_no_label_from_what_is_none(scores: tuple[float, ...]) -> None:
    """Scores of another shape, or that are no numbers, count against the model: never a label."""
    model, _ = loaded("1", SimulatedWorker("x", scores=scores))
    route = Route(model)
    found = await scored(route)
    assert not found.verdict.decided
    assert "model failed: output scores: expected" in found.verdict.reason
    assert [each.broken for each in found.opinions] == [True]
    assert (route.exposure.errors, route.exposure.scored) == (1, 0)


async def test_quantity() -> None:
    """A regression's verdict carries its value and unit beside the class it falls into."""
    made = msgspec.structs.replace(
        signature(),
        outputs=[TensorSpec(name="hours", dtype=Dtype.FLOAT32, shape=[1, 1])],
        outcome=Regression(quantity="remaining-life", unit="h", bounds=[100.0]),
    )
    model, _ = loaded("1", SimulatedWorker("x", scores=(250.0,)), made)
    verdict = (await scored(Route(model))).verdict
    assert (verdict.label, verdict.value, verdict.unit) == (CLASSES[1], 250.0, "h")
    assert verdict.confidence is None


class Loads:
    """Loads models without processes."""

    def __init__(self) -> None:
        self.workers: dict[str, SimulatedWorker] = {}

    async def load(self, entry: Entry, *, nice: int = 0) -> Model:
        """A model by that version."""
        model, worker = loaded(entry.release.version, SimulatedWorker(entry.release.digest))
        worker.nice = nice
        self.workers[entry.release.version] = worker
        return model


def entry(version: str) -> Entry:
    """A verified release."""
    model, _ = loaded(version)
    return Entry(
        release=model.release,
        target="linux-amd64/onnxruntime/fp32/b1",
        manifest=model.digest,
        blobs=[],
        size_bytes=0,
        signers=[],
    )


async def test_swaps_lose_nothing(tmp_path: Path) -> None:
    """Any number of swaps while windows are scored: none is dropped, doubled or left without."""
    loads, scorer = Loads(), Scorer("gw-1", 1, lambda: 0.0)
    lineup = Lineup(loads, scorer)
    one = (await lineup.ensure(entry("1"), nice=0)).digest
    two = (await lineup.ensure(entry("2"), nice=19)).digest
    with Ledger(tmp_path / "w") as ledger:
        for number in range(1, 101):
            async with scorer.turn() as route:
                ledger.give(0)
                if number % 3 == 0:
                    lineup.decide(*((one, two) if number % 2 else (two, one)))
                verdict = (await scorer.score(cut(number), route)).verdict
                ledger.out(number, scored=verdict.decided)
            if number == 1:
                lineup.decide(one)
        counts = ledger.counts
        assert (counts.cut, counts.no_verdict) == (100, 1)
        assert (counts.dropped, counts.doubled) == (0, 0)
    lineup.decide(one)
    await lineup.retire_others(frozenset({one}))
    assert (loads.workers["1"].closed, loads.workers["2"].closed) == (False, True)
    assert lineup.running == one


async def test_exposure_is_kept_while_nothing_changes() -> None:
    """Safe mode on and off does not begin a trial anew; another pair does."""
    lineup = Lineup(Loads(), Scorer("gw-1", 1, lambda: 0.0))
    one = (await lineup.ensure(entry("1"), nice=0)).digest
    two = (await lineup.ensure(entry("2"), nice=19)).digest
    route = lineup.decide(one, two)
    route.exposure.pairs = 7
    assert lineup.decide(one, two, safe_mode=True).exposure.pairs == 7
    assert lineup.decide(two, one, role=ROLE_TRIAL).exposure == Exposure()
