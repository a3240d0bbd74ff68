"""A thousand faults inside models: the daemon goes on, and each window has its one verdict."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_core.admission.model import MIB, ModelFile
from edge_core.contracts.artefact import (
    Dtype,
    Feature,
    ModelSignature,
    ReleaseRef,
    Statistic,
    TensorSpec,
    Windowing,
)
from edge_core.features.grid import Rows
from edge_core.features.window import window_of
from edge_fixtures.misbehaving import BACKEND, RUNTIME, Fault
from edge_runtime.inference.engine import Engine, ModelWorker, open_engine
from edge_runtime.inference.spec import EngineConfig, LoadSpec, LossKind, WorkerState
from edge_runtime.model import Model, ready
from edge_runtime.route import Route
from edge_runtime.scoring import Scorer
from edge_runtime.verdict import Verdict
from edge_runtime.windows import CutWindow

pytestmark = pytest.mark.anyio

DIGEST = "sha256:" + "fa" * 32
PERIOD_NS = 50_000_000
FIRST_ROW = 35_906_112_000
IN_FLIGHT = 4
OPEN_MAX = 24  # descriptors of processes that are just ending, of more than a thousand that did
DEADLINE_S = 0.3  # far above an honest window, also on a machine with other things to do

# How often each is injected, and the words of the verdict that the window then gets. Without
# words the window is answered all the same.
INJECTED: dict[Fault, tuple[int, str]] = {
    Fault.SEGFAULT: (120, "ended the worker 2 times: crash: SIGSEGV, then crash: SIGSEGV"),
    Fault.ENDLESS_LOOP: (40, "ended the worker 2 times: deadline"),
    Fault.MEMORY: (60, "ended the worker 2 times: "),
    Fault.EXIT: (80, "2 times: exit: left with status 3, then exit: left with status 3"),
    Fault.RAISED_EXIT: (40, "ended the worker 2 times: exit"),
    Fault.RAISED: (100, "the model failed: first line"),
    Fault.WRONG_BELL: (60, "ended the worker 2 times: protocol"),
    Fault.SCRIBBLE: (60, ""),
    Fault.NOT_A_NUMBER: (100, "output scores holds NaN or infinity"),
    Fault.WRONG_SHAPE: (80, "output scores: expected float32 [1, 2], found float32 [2]"),
    Fault.WRONG_TYPE: (60, "output scores: expected float32 [1, 2], found float64 [1, 2]"),
    Fault.TOO_FEW: (50, "expected 1 outputs, found 0"),
    Fault.NOT_AN_ARRAY: (50, "output scores: expected an array, found str"),
    Fault.SLOW_LEAK: (100, ""),
}
SET_ASIDE = {Fault.SEGFAULT, Fault.ENDLESS_LOOP, Fault.MEMORY, Fault.EXIT} | {
    Fault.RAISED_EXIT,
    Fault.WRONG_BELL,
}


def signature() -> ModelSignature:
    """Two features, the last values of two tags: what shall happen, and the window's number."""
    return ModelSignature(
        inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 2])],
        outputs=[TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, 2])],
        features=[
            Feature(role=role, unit="1", statistic=Statistic.LAST) for role in ("fault", "number")
        ],
        windowing=Windowing(period_s=0.05, length_rows=2, stride_rows=2, gap_rows_max=1),
        classes=["normal", "other"],
        normal_class="normal",
        safe_output="normal",
    )


def cut(number: int, fault: Fault) -> CutWindow:
    """The window that asks for *fault*."""
    values = np.array([[fault, number]] * 2, np.float32)
    source_ns = np.full((2, 2), FIRST_ROW * PERIOD_NS)
    rows = Rows(FIRST_ROW, PERIOD_NS, values, np.zeros((2, 2), np.uint8), source_ns)
    return CutWindow(number, window_of(number, rows))


def faults(seed: int) -> list[Fault]:
    """Every injected fault in a random order, with one to three honest windows after each."""
    chance = random.Random(seed)
    injected = [fault for fault, (count, _) in INJECTED.items() for _ in range(count)]
    chance.shuffle(injected)
    return [each for fault in injected for each in (fault, *([Fault.NONE] * chance.randint(1, 3)))]


@dataclass
class Line:
    """A model that misbehaves, and every verdict of its windows by number."""

    model: Model
    worker: ModelWorker
    heard: dict[int, list[Verdict]] = field(default_factory=dict)

    async def score(self, windows: Iterator[tuple[int, Fault]], scorer: Scorer) -> None:
        """One window after the other."""
        for number, fault in windows:
            found = await scorer.score(cut(number, fault), scorer.route)
            self.heard.setdefault(number, []).append(found.verdict)


async def line(engine: Engine, folder: Path, *, spare: bool) -> Line:
    """The model, loaded."""
    path = folder / "model"
    path.write_bytes(b"anything")
    worker = await engine.load(
        LoadSpec(
            digest=DIGEST,
            runtime=RUNTIME,
            files=(ModelFile(name="model.any", path=path),),
            signature=signature(),
            deadline_s=DEADLINE_S,
            spare=spare,
        )
    )
    release = ReleaseRef(model="malice", version="1", release=1, digest=DIGEST)
    units = {"fault": "1", "number": "1"}
    return Line(ready(release, signature(), None, units, worker), worker)


def config() -> EngineConfig:
    """Few libraries, so that the limit is near and processes start soon."""
    return EngineConfig(
        preload=("numpy", BACKEND.partition(":")[0]),
        backends={RUNTIME: BACKEND},
        address_space_bytes={RUNTIME: 500 * MIB},
    )


def parent_of(pid: int) -> int:
    """The process that forked *pid*."""
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


def descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_thousand_faults(tmp_path: Path) -> None:
    """No verdict is lost or doubled, only what kills twice is set aside, nobody else restarts."""
    injected = faults(seed=2026)
    assert sum(fault is not Fault.NONE for fault in injected) == 1000
    async with open_engine(config()) as engine:
        found = await line(engine, tmp_path, spare=True)
        scorer = Scorer("gw-1", 1, lambda: 0.0)
        scorer.route = route = Route(found.model)
        server, opened = parent_of(found.worker.report().pid or 0), descriptors()
        windows = iter(enumerate(injected, 1))
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(found.score(windows, scorer))
        report = found.worker.report()
        assert report.state is not WorkerState.LOST
        assert parent_of(report.pid or 0) == server, "the fork server lives on"
        gc.collect()
        assert descriptors() <= opened + OPEN_MAX, "what ended was let go of"
        found.worker.close()
    assert sorted(found.heard) == list(range(1, len(injected) + 1))
    wrong: Counter[str] = Counter()
    for number, fault in enumerate(injected, 1):
        (verdict,) = found.heard[number]
        words = "" if fault is Fault.NONE else INJECTED[fault][1]
        if words:
            right = not verdict.decided and verdict.label == "normal" and words in verdict.reason
        else:
            right = verdict.decided and verdict.scores == [float(number), 0.0]
        if not right:
            wrong[f"{fault.name}: {verdict.reason} {verdict.scores}"] += 1
    assert not wrong
    assert report.quarantined == sum(INJECTED[fault][0] for fault in SET_ASIDE)
    guilty = sum(count for count, words in INJECTED.values() if words)
    assert route.exposure.errors == guilty, "each counts against the model"
    assert route.exposure.scored == len(injected) - guilty


async def test_processor_time_is_bounded(tmp_path: Path) -> None:
    """A loop ends at its processor time even while no deadline watches."""
    async with open_engine(
        EngineConfig(
            preload=config().preload,
            backends=config().backends,
            address_space_bytes=config().address_space_bytes,
            cpu_s=1,
        )
    ) as engine:
        path = tmp_path / "model"
        path.write_bytes(b"anything")
        worker = await engine.load(
            LoadSpec(
                digest=DIGEST,
                runtime=RUNTIME,
                files=(ModelFile(name="model.any", path=path),),
                signature=signature(),
                deadline_s=60.0,
                spare=False,
            )
        )
        model = ready(
            ReleaseRef(model="malice", version="1", release=1, digest=DIGEST),
            signature(),
            None,
            {"fault": "1", "number": "1"},
            worker,
        )
        scorer = Scorer("gw-1", 1, lambda: 0.0)
        verdict = (await scorer.score(cut(1, Fault.ENDLESS_LOOP), Route(model))).verdict
        assert "2 times: cpu: used up its processor time" in verdict.reason
        loss = worker.report().last_loss
        assert loss is not None
        assert loss.kind is LossKind.CPU


async def test_a_model_that_always_dies_is_given_up(tmp_path: Path) -> None:
    """Where window after window kills twice, the worker ends and says why, instead of for ever."""
    async with open_engine(config()) as engine:
        found = await line(engine, tmp_path, spare=False)
        scorer = Scorer("gw-1", 1, lambda: 0.0)
        scorer.route = route = Route(found.model)
        windows = iter([(number, Fault.SEGFAULT) for number in range(1, 20)])
        await found.score(windows, scorer)
        assert found.worker.report().state is WorkerState.LOST
        assert "too many processes ended" in route.exposure.lost
        assert all(not verdict.decided for heard in found.heard.values() for verdict in heard)
