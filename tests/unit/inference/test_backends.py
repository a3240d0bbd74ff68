"""What every backend must do, in one test for all of them: the same model, the same answers."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.files import digest_of
from edge_core.admission.limited import ENVIRONMENT
from edge_core.contracts.artefact import Dtype, TensorSpec
from edge_core.contracts.errors import ConfigurationError
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.errors import WindowRefusedError, WorkerLostError
from edge_runtime.inference.spec import EngineConfig, LoadSpec, WorkerState
from tests.simulators.good_models import CLASSES, WIDTH, mlp, reference_scores
from tests.simulators.lite_models import mlp_lite
from tests.unit.inference.backends import RUNTIMES, files, kept, serving
from tests.unit.inference.engines import DIGEST, windows

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Peer:
    """One runtime with the small model, ready to be loaded."""

    engine: Engine
    spec: LoadSpec


@pytest.fixture(scope="module", params=RUNTIMES)
async def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Peer]:
    """The small model for one runtime after the other."""
    runtime: str = request.param
    folder = tmp_path_factory.mktemp(runtime)
    async with open_engine() as own, serving(own, folder) as url:
        config = EngineConfig(remote=url)
        good = mlp()
        spec = LoadSpec(
            digest=DIGEST,
            runtime=runtime,
            files=await files(runtime, folder, good),
            signature=good.signature,
            batch=1,
            spare=False,
        )
        async with open_engine(config) as engine:
            yield Peer(engine, spec)


async def test_same_answers(peer: Peer) -> None:
    """Every backend gives what another evaluator computes, and says what it computed with."""
    worker = await peer.engine.load(peer.spec)
    rows = windows(10)
    scores = [(await worker.infer(row)).reshape(-1) for row in rows]
    np.testing.assert_allclose(scores, reference_scores(mlp(), rows), atol=1e-5)
    report = worker.report()
    assert (report.state, report.answered, report.in_flight) == (WorkerState.READY, 10, 0)
    assert report.used
    assert peer.spec.runtime != "openvino" or report.used == ("CPU (f32)",)
    (file, *_) = peer.spec.files
    assert report.digests[file.name] == digest_of(file.path.read_bytes())
    worker.close()


async def test_only_what_fits(peer: Peer) -> None:
    """What does not fit the signature reaches no backend."""
    worker = await peer.engine.load(peer.spec)
    with pytest.raises(WindowRefusedError, match=r"expected float32 \[1, 8\], found float32"):
        await worker.infer(np.zeros(5, np.float32))
    with pytest.raises(WindowRefusedError, match="expected 1 inputs, found 2"):
        await worker.run((np.zeros(8, np.float32), np.zeros(8, np.float32)))
    worker.close()


async def test_closed_is_closed(peer: Peer) -> None:
    """Whoever asks a closed worker hears so."""
    worker = await peer.engine.load(peer.spec)
    worker.close()
    with pytest.raises(WorkerLostError, match="closed"):
        await worker.infer(windows(1)[0])
    assert worker.report().state is WorkerState.LOST
    assert worker.closed


OTHER = {
    "another name": TensorSpec(name="y", dtype=Dtype.FLOAT32, shape=[1, WIDTH]),
    "another width": TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, WIDTH + 1]),
    "another type": TensorSpec(name="x", dtype=Dtype.FLOAT64, shape=[1, WIDTH]),
}


@pytest.mark.parametrize("name", OTHER)
async def test_another_model_is_refused(peer: Peer, name: str) -> None:
    """A model that takes something else than its signature says does not come up."""
    signature = msgspec.structs.replace(peer.spec.signature, inputs=[OTHER[name]])
    with pytest.raises(ModelRefusedError) as refused:
        await peer.engine.load(replace(peer.spec, signature=signature))
    assert "\n" not in str(refused.value)


async def test_batch_is_the_manifests(peer: Peer) -> None:
    """A signature with another batch than its manifest promises is refused before anything."""
    with pytest.raises(ModelRefusedError, match="expected a batch of 4, as the manifest says"):
        await peer.engine.load(replace(peer.spec, batch=4))


async def test_foreign_bytes_are_refused(peer: Peer, tmp_path: Path) -> None:
    """Bytes that are no model of this runtime are refused in one inert line."""
    broken = tuple(kept(tmp_path, file.name, b"no\nmodel\x1b[2J") for file in peer.spec.files)
    with pytest.raises(ModelRefusedError) as refused:
        await peer.engine.load(replace(peer.spec, files=broken))
    assert str(refused.value).isprintable()


async def loaded(runtime: str, folder: Path) -> LoadSpec:
    """How the small model is loaded with *runtime*."""
    good = mlp()
    return LoadSpec(
        digest=DIGEST,
        runtime=runtime,
        files=await files(runtime, folder, good),
        signature=good.signature,
        spare=False,
    )


async def test_plan_of_providers(tmp_path: Path) -> None:
    """What is not offered here is passed over, and what was really used is reported."""
    plan = {
        "onnxruntime": ["CUDAExecutionProvider", "CPUExecutionProvider"],
        "litert": ["CPU"],
    }
    found = {}
    async with open_engine(EngineConfig(providers=plan)) as engine:
        for runtime, asked in plan.items():
            worker = await engine.load(await loaded(runtime, tmp_path))
            assert worker.report().asked == tuple(asked)
            found[runtime] = worker.report().used
    assert found == {"onnxruntime": ("CPUExecutionProvider (4 nodes)",), "litert": ("CPU",)}


LOADS = """
import pathlib, sys
sys.modules["openvino_telemetry"] = None
import openvino
from edge_core.admission.backends.open_vino import OpenVino
from edge_core.contracts.artefact import Dtype, TensorSpec


class Core(openvino.Core):
    def compile_model(self, model, device_name=None, config=None):
        print(config["INFERENCE_PRECISION_HINT"])
        return super().compile_model(model, device_name, config)


openvino.Core = Core
backend = OpenVino()
backend.load(
    {"m" + each.suffix: each.read_bytes() for each in map(pathlib.Path, sys.argv[1:3])},
    [TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, int(sys.argv[3])])],
    [TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, int(sys.argv[4])])],
)
print(*backend.used())
"""


async def test_openvino_computes_in_float32(tmp_path: Path) -> None:
    """Its precision is asked for and got; by itself it takes bfloat16 where a CPU has that."""
    pair = await files("openvino", tmp_path, mlp())
    named = [str(file.path) for file in pair]
    command = [sys.executable, "-c", LOADS, *named, str(WIDTH), str(CLASSES)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=ENVIRONMENT, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["f32", "CPU (f32)"]


async def test_nothing_of_the_plan(tmp_path: Path) -> None:
    """A model is refused where nothing of what it was planned for is there."""
    plan = {"onnxruntime": ["CUDAExecutionProvider"]}
    async with open_engine(EngineConfig(providers=plan)) as engine:
        with pytest.raises(ModelRefusedError, match="one of the providers CUDAExecutionProvider"):
            await engine.load(await loaded("onnxruntime", tmp_path))


async def test_row_fills_the_batch(tmp_path: Path) -> None:
    """One row is repeated to the batch that a model was built for; every row answers it."""
    good = mlp()
    signature = msgspec.structs.replace(
        good.signature,
        inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[4, WIDTH])],
        outputs=[TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[4, CLASSES])],
    )
    async with open_engine() as engine:
        worker = await engine.load(
            LoadSpec(
                digest=DIGEST,
                runtime="litert",
                files=(kept(tmp_path, "model.tflite", mlp_lite(batch=4)),),
                signature=signature,
                batch=4,
                spare=False,
            )
        )
        row = windows(1)[0]
        scores = await worker.infer(row)
    np.testing.assert_allclose(scores, reference_scores(good, row[None]) * 4, atol=1e-5)


async def test_remote_needs_a_server(tmp_path: Path) -> None:
    """Which server may be asked is the gateway's to say, never the artefact's."""
    async with open_engine() as engine:
        with pytest.raises(ConfigurationError, match="remote: expected the URL"):
            await engine.load(
                LoadSpec(
                    digest=DIGEST,
                    runtime="remote",
                    files=await files("remote", tmp_path, mlp()),
                    signature=mlp().signature,
                )
            )
