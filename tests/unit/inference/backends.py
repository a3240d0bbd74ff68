"""The same small model for every runtime, and what has to run beside it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from edge_core.admission.limited import ENVIRONMENT
from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.remote import RemoteModel
from edge_core.features.frame import PICTURE_UNIT
from edge_runtime.api.serving import Serving
from edge_runtime.api.settings import ServingConfig
from edge_runtime.inference.engine import Engine, ModelWorker
from edge_runtime.model import Model, ready
from edge_runtime.route import Route
from tests.simulators.good_models import GoodModel, mlp
from tests.simulators.lite_models import mlp_lite
from tests.unit.inference.engines import DIGEST, spec, until

RUNTIMES = ("onnxruntime", "openvino", "litert", "remote")
CONVERT = """
import sys
sys.modules["openvino_telemetry"] = None
import openvino
openvino.save_model(openvino.convert_model(sys.argv[1]), sys.argv[2], compress_to_fp16=False)
"""


async def files(runtime: str, folder: Path, good: GoodModel) -> tuple[ModelFile, ...]:
    """*good* as *runtime* takes it."""
    match runtime:
        case "openvino":
            return await openvino_pair(folder, good)
        case "litert":
            return (kept(folder, "model.tflite", mlp_lite()),)
        case "remote":
            named = RemoteModel(model="pump", version="1")
            return (kept(folder, "remote.json", msgspec.json.encode(named)),)
        case _:
            return good.save(folder)


def kept(folder: Path, name: str, content: bytes) -> ModelFile:
    """A file as a store keeps it."""
    path = folder / f"blob-of-{name}"
    path.write_bytes(content)
    return ModelFile(name=name, path=path)


async def openvino_pair(folder: Path, good: GoodModel) -> tuple[ModelFile, ...]:
    """*good*, converted by OpenVINO itself, in a process of its own."""
    onnx_path, xml_path = folder / "m.onnx", folder / "m.xml"
    onnx_path.write_bytes(good.content)
    command = [sys.executable, "-c", CONVERT, str(onnx_path), str(xml_path)]
    await asyncio.to_thread(subprocess.run, command, env=ENVIRONMENT, check=True)
    return (
        ModelFile(name="model.xml", path=xml_path),
        ModelFile(name="model.bin", path=folder / "m.bin"),
    )


def model(worker: ModelWorker) -> Model:
    """What serves *worker* under the name that `remote.json` has."""
    signature = worker.spec.signature
    release = ReleaseRef(model="pump", version="1", release=1, digest=DIGEST)
    units = {feature.role: feature.unit for feature in signature.features}
    if signature.frame is not None:
        units[signature.frame.role] = PICTURE_UNIT
    return ready(release, signature, None, units, worker)


@asynccontextmanager
async def serving(
    engine: Engine, folder: Path, good: GoodModel | None = None
) -> AsyncIterator[str]:
    """Our own V2 server with *good*, or the small model, behind it; its URL."""
    worker = await engine.load(spec(good or mlp(), folder, spare=False))
    route = Route(model(worker))
    serving = Serving(ServingConfig(port=0), lambda: route)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serving.run())
        await until(lambda: serving.port > 0)
        try:
            yield f"http://127.0.0.1:{serving.port}"
        finally:
            task.cancel()
            worker.close()
