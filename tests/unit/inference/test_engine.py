"""The engine with real processes: answers are right, and survive whatever is done to workers."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of
from edge_core.admission.model import MIB, ModelFile
from edge_core.contracts.errors import ConfigurationError
from edge_fixtures import prying
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.errors import (
    ModelFailedError,
    WindowRefusedError,
    WorkerBusyError,
)
from edge_runtime.inference.spec import EngineConfig, LoadSpec, WorkerState
from tests.simulators.good_models import (
    CLASSES,
    WIDTH,
    GoodModel,
    mlp,
    model,
    reference_scores,
    signature,
    weight,
)
from tests.unit.inference.engines import DIGEST, spec, until, until_ready, windows

pytestmark = pytest.mark.anyio


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
    with pytest.raises(ConfigurationError, match="expected a limit for runtime 'executorch'"):
        await engine.load(
            LoadSpec(digest=DIGEST, runtime="executorch", files=files, signature=signature())
        )


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


async def test_model_reads_no_key(tmp_path: Path) -> None:
    """A model that opens a file of the gateway's is refused with that; a library it may open."""
    if ctypes.CDLL(None).syscall(444, None, 0, 1) < 1:
        pytest.skip("this kernel has no Landlock: it cannot restrict what a process reads")
    key, made = tmp_path / "gateway.key", signature()
    key.write_text("secret")
    config = EngineConfig(
        backends={prying.RUNTIME: prying.BACKEND},
        address_space_bytes={prying.RUNTIME: 600 * MIB},
    )

    def opens(path: Path) -> LoadSpec:
        model_file = tmp_path / "path"
        model_file.write_text(str(path))
        return LoadSpec(
            digest=DIGEST,
            runtime=prying.RUNTIME,
            files=(ModelFile(name="path", path=model_file),),
            signature=made,
            spare=False,
        )

    async with open_engine(config) as engine:
        with pytest.raises(ModelRefusedError, match=r"first run: .*Permission denied"):
            await engine.load(opens(key))
        assert (await engine.load(opens(Path(np.__file__)))).report().state is WorkerState.READY


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
