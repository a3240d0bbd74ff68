"""The engine with real processes: answers are right, and survive whatever is done to workers."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of
from edge_core.admission.limited import ENVIRONMENT
from edge_core.admission.model import MIB, ModelFile
from edge_core.contracts.errors import ConfigurationError
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.errors import (
    ModelFailedError,
    WindowQuarantinedError,
    WindowRefusedError,
    WorkerBusyError,
    WorkerLostError,
)
from edge_runtime.inference.spec import EngineConfig, LoadSpec, LossKind, WorkerState
from edge_runtime.inference.worker import Worker
from tests.simulators.good_models import (
    CLASSES,
    WIDTH,
    GoodModel,
    mill,
    mlp,
    model,
    reference_scores,
    signature,
    weight,
)

pytestmark = pytest.mark.anyio

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all of these, so that one fork server serves them."""
    return "asyncio"


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Engine]:
    """One engine with its fork server."""
    async with open_engine(EngineConfig(restarts_max=3)) as opened:
        yield opened


def spec(good: GoodModel, folder: Path, **more: Any) -> LoadSpec:  # any field of it
    """How *good* is loaded here, with *more* changed."""
    return LoadSpec(
        digest=DIGEST,
        runtime="onnxruntime",
        files=good.save(folder),
        signature=good.signature,
        **more,
    )


def windows(count: int, seed: int = 3) -> NDArray[np.float32]:
    """Feature rows, all different."""
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds that only other processes bring about."""
    while not holds():  # noqa: ASYNC110 - nothing in this process says when
        await asyncio.sleep(0.001)


async def until_ready(worker: Worker) -> int:
    """Wait until the spare stands by too; the process that answers."""
    await until(lambda: worker.report().spare_ready or not worker.spec.spare)
    pid = worker.report().pid
    assert pid is not None
    return pid


async def test_scores_are_the_models(engine: Engine, tmp_path: Path) -> None:
    """What comes back through shared memory is what another evaluator computes."""
    good = mlp()
    worker = await engine.load(spec(good, tmp_path))
    rows = windows(20)
    scores = [(await worker.infer(row)).reshape(-1) for row in rows]
    np.testing.assert_allclose(scores, reference_scores(good, rows), atol=1e-5)
    report = worker.report()
    assert report.state is WorkerState.READY
    assert (report.answered, report.restarts, report.in_flight) == (20, 0, 0)
    assert 10 * MIB < report.rss_bytes < 200 * MIB
    worker.close()


CONVERT = """
import sys
sys.modules["openvino_telemetry"] = None
import openvino
openvino.save_model(openvino.convert_model(sys.argv[1]), sys.argv[2], compress_to_fp16=False)
"""


async def test_two_runtimes_agree(engine: Engine, tmp_path: Path) -> None:
    """OpenVINO gives the same scores as onnxruntime on the same layers, in float32."""
    good = mlp(hidden=64)
    onnx_path, xml_path = tmp_path / "m.onnx", tmp_path / "m.xml"
    onnx_path.write_bytes(good.content)
    command = [sys.executable, "-c", CONVERT, str(onnx_path), str(xml_path)]
    done = await asyncio.to_thread(subprocess.run, command, env=ENVIRONMENT, check=True)
    assert done.returncode == 0
    pair = (
        ModelFile(name="model.xml", path=xml_path),
        ModelFile(name="model.bin", path=tmp_path / "m.bin"),
    )
    other = await engine.load(
        LoadSpec(
            digest=DIGEST,
            runtime="openvino",
            files=pair,
            signature=good.signature,
            spare=False,
        )
    )
    worker = await engine.load(spec(good, tmp_path, spare=False))
    for row in windows(10):
        np.testing.assert_allclose(await other.infer(row), await worker.infer(row), atol=1e-5)
    worker.close()
    other.close()


async def test_killed_at_random_under_load(engine: Engine, tmp_path: Path) -> None:
    """Whenever the process is killed, every window is answered once, with its own scores."""
    good = mlp()
    worker = await engine.load(spec(good, tmp_path))
    rows = windows(400)
    wanted = reference_scores(good, rows)
    chance = random.Random(7)
    moments = {chance.randrange(len(rows)) for _ in range(12)}
    answers: list[tuple[int, NDArray[np.float32]]] = []
    todo = iter(range(len(rows)))

    async def score() -> None:
        for at in todo:
            if at in moments:
                pid = worker.report().pid
                if pid:
                    os.kill(pid, signal.SIGKILL)
            answers.append((at, await worker.infer(rows[at])))

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(score())
    assert sorted(at for at, _ in answers) == list(range(len(rows)))
    for at, scores in answers:
        np.testing.assert_allclose(scores.reshape(-1), wanted[at], atol=1e-5)
    report = worker.report()
    assert report.answered == len(rows)
    assert report.restarts >= len(moments) // 2
    assert report.quarantined == 0
    worker.close()


async def test_hang_is_noticed_by_the_deadline(engine: Engine, tmp_path: Path) -> None:
    """A process that stands still is replaced after the deadline, and the window is answered."""
    worker = await engine.load(spec(mlp(), tmp_path, deadline_s=0.2))
    pid = await until_ready(worker)
    os.kill(pid, signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    began = loop.time()
    scores = await worker.infer(windows(1)[0])
    took_s = loop.time() - began
    assert scores.shape == (1, CLASSES)
    assert 0.2 <= took_s < 0.7
    await until(lambda: worker.report().last_loss is not None)
    loss = worker.report().last_loss
    assert loss is not None
    assert (loss.kind, loss.pid) == (LossKind.DEADLINE, pid)
    worker.close()


async def test_window_that_ends_it_twice_is_set_aside(engine: Engine, tmp_path: Path) -> None:
    """A window is tried twice; then it is set aside with both reasons, and the worker goes on."""
    worker = await engine.load(spec(mill(60), tmp_path, deadline_s=0.05, spare=False))
    with pytest.raises(WindowQuarantinedError, match="2 times: deadline") as quarantined:
        await worker.infer(windows(1)[0])
    assert [loss.kind for loss in quarantined.value.losses] == [LossKind.DEADLINE] * 2
    report = worker.report()
    assert (report.quarantined, report.in_flight) == (1, 0)
    assert report.state is not WorkerState.LOST
    worker.close()


async def test_memory_limit_holds(engine: Engine, tmp_path: Path) -> None:
    """A model that needs more than its limit does not come up, and the reason says memory."""
    large = mill(4, width=4000)
    with pytest.raises(WorkerLostError, match="memory") as lost:
        await engine.load(spec(large, tmp_path, address_space_bytes=300 * MIB))
    assert lost.value.loss is not None
    assert lost.value.loss.kind is LossKind.MEMORY


async def test_full_is_an_answer(engine: Engine, tmp_path: Path) -> None:
    """When every slot is held the next window hears so; the held ones are still answered."""
    worker = await engine.load(spec(mlp(), tmp_path, slots=2))
    os.kill(await until_ready(worker), signal.SIGSTOP)
    rows = windows(3)
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(worker.infer(row)) for row in rows[:2]]
        await until(lambda: worker.report().in_flight == 2)
        with pytest.raises(WorkerBusyError, match="all 2 slots"):
            await worker.infer(rows[2])
        os.kill(worker.report().pid or 0, signal.SIGCONT)
    assert all(task.result().shape == (1, CLASSES) for task in held)
    assert worker.report().busy == 1
    worker.close()


async def test_what_does_not_fit_is_refused(engine: Engine, tmp_path: Path) -> None:
    """An array of another size or type never reaches the worker."""
    worker = await engine.load(spec(mlp(), tmp_path, spare=False))
    with pytest.raises(
        WindowRefusedError, match=r"expected float32 \[1, 8\], found float32 \[5\]"
    ):
        await worker.infer(np.zeros(5, np.float32))
    with pytest.raises(WindowRefusedError, match="found float64"):
        await worker.run((np.zeros(WIDTH),))
    with pytest.raises(WindowRefusedError, match="expected 1 inputs, found 2"):
        await worker.run((np.zeros(8, np.float32), np.zeros(8, np.float32)))
    worker.close()


async def test_no_number_is_no_score(engine: Engine, tmp_path: Path) -> None:
    """A model that gives NaN has given no answer; the process goes on with the next window."""
    nodes = [
        helper.make_node("Log", ["x"], ["l"]),
        helper.make_node("MatMul", ["l", "w"], ["scores"]),
    ]
    proto = model(nodes, [weight("w", np.ones((WIDTH, CLASSES)))])
    positive = GoodModel(proto.SerializeToString(), signature())
    worker = await engine.load(spec(positive, tmp_path, spare=False))
    with pytest.raises(ModelFailedError, match="output scores holds NaN"):
        await worker.infer(np.full(WIDTH, -1, np.float32))
    assert (await worker.infer(np.ones(WIDTH, np.float32))).tolist() == [[0.0] * CLASSES]
    assert worker.report().restarts == 0
    worker.close()


async def test_only_recorded_bytes_are_loaded(engine: Engine, tmp_path: Path) -> None:
    """The worker hashes what it loads: it says so, and refuses what was not recorded."""
    good = mlp()
    (file,) = good.save(tmp_path)
    wrong = ModelFile(name=file.name, path=file.path, digest=DIGEST)
    with pytest.raises(ModelRefusedError, match=f"expected {DIGEST}, found sha256:"):
        await engine.load(
            LoadSpec(
                digest=DIGEST, runtime="onnxruntime", files=(wrong,), signature=good.signature
            )
        )
    worker = await engine.load(spec(good, tmp_path, spare=False))
    assert worker.report().digests == {"model.onnx": digest_of(good.content)}
    worker.close()


BROKEN = {
    "no model at all": (b"not a model", "onnxruntime", "does not load it"),
    "another runtime's files": (mlp().content, "openvino", "expected exactly one .xml"),
}


@pytest.mark.parametrize(("content", "runtime", "says"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_does_not_load(
    engine: Engine, tmp_path: Path, content: bytes, runtime: str, says: str
) -> None:
    """What the runtime cannot load is a refusal with its reason, not a crash."""
    files = GoodModel(content, signature()).save(tmp_path)
    with pytest.raises(ModelRefusedError, match=says):
        await engine.load(
            LoadSpec(digest=DIGEST, runtime=runtime, files=files, signature=signature())
        )


async def test_unknown_runtime_has_no_limit(engine: Engine, tmp_path: Path) -> None:
    """A runtime without a memory limit in the configuration is not started."""
    files = mlp().save(tmp_path)
    with pytest.raises(ConfigurationError, match="expected a limit for runtime 'tensorrt'"):
        await engine.load(
            LoadSpec(digest=DIGEST, runtime="tensorrt", files=files, signature=signature())
        )


async def test_closing_answers_everybody(engine: Engine, tmp_path: Path) -> None:
    """Whoever waits when a worker is closed hears it, and so does whoever comes later."""
    worker = await engine.load(spec(mlp(), tmp_path, spare=False))
    os.kill(worker.report().pid or 0, signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(outcome(worker, row)) for row in windows(3)]
        await until(lambda: worker.report().in_flight == 3)
        worker.close()
    assert [task.result() for task in waiting] == ["WorkerLostError"] * 3
    assert await outcome(worker, windows(1)[0]) == "WorkerLostError"
    assert worker.report().state is WorkerState.LOST


async def outcome(worker: Worker, row: NDArray[np.float32]) -> str:
    """The name of what became of *row*."""
    try:
        await worker.infer(row)
    except WorkerLostError as error:
        return type(error).__name__
    return "answered"


async def test_dying_again_and_again_ends(engine: Engine, tmp_path: Path) -> None:
    """Processes that die in a row without one answer between them are not replaced for ever."""
    worker = await engine.load(spec(mlp(), tmp_path))
    killed: set[int] = set()
    while worker.report().state is not WorkerState.LOST:
        pid = worker.report().pid
        if pid and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.001)
    assert len(killed) <= 5
    with pytest.raises(WorkerLostError, match="ended in a row without an answer, the last: crash"):
        await worker.infer(windows(1)[0])


async def test_abandoned_windows_free_their_slots(engine: Engine, tmp_path: Path) -> None:
    """Whoever gives up waiting does not keep a slot from others."""
    worker = await engine.load(spec(mlp(), tmp_path, slots=1))
    os.kill(await until_ready(worker), signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await worker.infer(windows(1)[0])
    os.kill(worker.report().pid or 0, signal.SIGKILL)
    await until(lambda: worker.report().in_flight == 0)
    assert (await worker.infer(windows(1)[0])).shape == (1, CLASSES)
    worker.close()


async def test_renice_under_load(engine: Engine, tmp_path: Path) -> None:
    """A promoted trial goes on at normal priority, and nobody who waits notices."""
    good = mlp()
    worker = await engine.load(spec(good, tmp_path, nice=19))
    trial = await until_ready(worker)
    assert os.getpriority(os.PRIO_PROCESS, trial) == 19
    rows = windows(200)
    wanted = reference_scores(good, rows)

    async def score() -> None:
        for row, scores in zip(rows, wanted, strict=True):
            np.testing.assert_allclose((await worker.infer(row))[0], scores, atol=1e-5)

    async with asyncio.TaskGroup() as group:
        group.create_task(score())
        group.create_task(worker.renice(0))
    promoted = worker.report().pid
    assert promoted is not None
    assert promoted != trial
    assert os.getpriority(os.PRIO_PROCESS, promoted) == os.getpriority(os.PRIO_PROCESS, 0)
    assert worker.report().restarts == 0
    worker.close()


async def test_one_thread_and_bounded(engine: Engine, tmp_path: Path) -> None:
    """A worker is one thread (no uploader, no pool), the first victim of a full memory."""
    worker = await engine.load(spec(mlp(), tmp_path, spare=False))
    proc = Path(f"/proc/{worker.report().pid}")
    assert len(list((proc / "task").iterdir())) == 1
    assert (proc / "oom_score_adj").read_text().strip() == "500"
    limits = (proc / "limits").read_text()
    assert f"{600 * MIB}" in next(line for line in limits.splitlines() if "address" in line)
    opened = [fd.readlink().as_posix() for fd in (proc / "fd").iterdir()]
    kinds = sorted(name.split(":")[0] for name in opened)
    assert kinds == ["/dev/null", "/dev/null", "/dev/null", "/memfd", "socket"]
    worker.close()


def parent_of(pid: int) -> int:
    """The process that forked *pid*."""
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


async def test_fork_server_comes_back(tmp_path: Path) -> None:
    """When the fork server is killed its workers go with it, and all come back by themselves."""
    async with open_engine() as engine:
        worker = await engine.load(spec(mlp(), tmp_path))
        first = await until_ready(worker)
        os.kill(parent_of(first), signal.SIGKILL)
        await until(lambda: worker.report().pid not in {first, None})
        assert (await worker.infer(windows(1)[0])).shape == (1, CLASSES)


async def test_errors_leave_the_block_as_themselves() -> None:
    """What goes wrong inside an engine's block is not wrapped by it."""
    with pytest.raises(ConfigurationError, match="itself"):
        async with open_engine():
            raise ConfigurationError("itself")


def test_daemon_loads_no_runtime() -> None:
    """The process that owns the engine never imports a runtime."""
    code = (
        "import sys, edge_runtime.inference.engine\n"
        "print([m for m in ('onnx', 'onnxruntime', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
