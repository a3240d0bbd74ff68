"""A picture on its way to a verdict: one window, one tensor, and a refusal where nothing fits."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import Dtype, ModelSignature, ReleaseRef, TensorSpec, Windowing
from edge_core.contracts.frame import FrameInput
from edge_core.features.contract import check_signature, fit_check
from edge_core.features.errors import ContractError
from edge_core.features.frame import PICTURE_UNIT
from edge_runtime.config import TagConfig
from edge_runtime.frames.newest import Frame, Newest
from edge_runtime.frames.windows import PictureStream
from edge_runtime.inference.engine import open_engine
from edge_runtime.inference.spec import LoadSpec
from edge_runtime.ledger import Ledger
from edge_runtime.model import Model, ready
from edge_runtime.pipeline import Pipeline
from edge_runtime.route import Route
from edge_runtime.scoring import Scored, Scorer
from edge_runtime.verdict import Verdict
from edge_runtime.windows import WindowStream
from tests.unit.runtime.frames.pictures import gradient

pytestmark = pytest.mark.anyio

DIGEST = "sha256:" + "ca" * 32
FRAME = FrameInput(role="camera", height=8, width=8, channels="grey", fit="stretch")
SIGNATURE = ModelSignature(
    inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 1, 8, 8])],
    outputs=[TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, 2])],
    features=[],
    windowing=Windowing(period_s=0.1, length_rows=2, stride_rows=1, gap_rows_max=1),
    classes=["dark", "light"],
    normal_class="light",
    safe_output="dark",
    frame=FRAME,
)
UNITS = {"flow": "bar", "camera": PICTURE_UNIT}


def brightness(kind: int = TensorProto.FLOAT) -> bytes:
    """A model whose scores are one minus the mean brightness, and the mean brightness."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["sum"]),
        helper.make_node("Add", ["sum", "b"], ["scores"]),
    ]
    weight = np.stack([np.full(64, -1 / 64), np.full(64, 1 / 64)], axis=1).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("x", kind, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [64, 2], weight.ravel()),
            helper.make_tensor("b", TensorProto.FLOAT, [1, 2], [1.0, 0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written


@dataclass(slots=True)
class Ear:
    """Hears every verdict."""

    heard: list[Verdict] = field(default_factory=list)
    taken: list[Scored] = field(default_factory=list)

    def put(self, verdict: Verdict) -> None:
        """Keep it."""
        self.heard.append(verdict)

    def take(self, scored: Scored) -> None:
        """Keep what became of it."""
        self.taken.append(scored)


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[Model]:
    """The model, loaded."""
    path = tmp_path / "model.onnx"
    path.write_bytes(brightness())
    async with open_engine() as engine:
        spec = LoadSpec(
            digest=DIGEST,
            runtime="onnxruntime",
            files=(ModelFile("model.onnx", path),),
            signature=SIGNATURE,
            spare=False,
        )
        worker = await engine.load(spec)
        release = ReleaseRef(model="eye", version="1", release=1, digest=DIGEST)
        yield ready(release, SIGNATURE, None, UNITS, worker)
        worker.close()


async def test_picture_to_verdict(model: Model, tmp_path: Path) -> None:
    """Each tick scores the newest picture, once, as a window with a number of its own."""
    ear, newest = Ear(), Newest(time.monotonic)
    tags = [TagConfig(role="flow", unit="bar", source="s", address="a#b")]
    scorer = Scorer("gw-1", 1, time.monotonic)
    with Ledger(tmp_path / "windows") as ledger:
        stream = WindowStream(tags, ledger, lateness_s=0.1, monotonic=time.monotonic)
        pictures = PictureStream(newest, ledger, 1, monotonic=time.monotonic, unix_ns=time.time_ns)
        pipeline = Pipeline(stream, scorer, ledger, [ear], ear, pictures=pictures)
        route = Route(effective=model)
        for at_ns, light in ((1_000_000_000, 10), (2_000_000_000, 250), (3_000_000_000, 250)):
            newest.put(Frame("camera", np.full((30, 40, 3), light, np.uint8), at_ns, "x"))
            if at_ns != 2_000_000_000:
                await pipeline.tick(route)
                await pipeline.tick(route)
    assert [(each.window, each.label, each.decided) for each in ear.heard] == [
        (1, "dark", True),
        (2, "light", True),
    ]
    assert ear.heard[0].ended.timestamp() == 1
    assert ear.heard[1].scores == pytest.approx([1 - 250 / 255, 250 / 255], abs=1e-3)
    assert newest.of("camera").skipped == 1


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "another shape": (
        {"inputs": [TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 3, 8, 8])]},
        r"input 'x': expected shape \(batch, 1, 8, 8\) of float32",
    ),
    "another type": (
        {"inputs": [TensorSpec(name="x", dtype=Dtype.UINT8, shape=[1, 1, 8, 8])]},
        "found .* of uint8",
    ),
    "a regime": ({"regime_role": "recipe"}, "no features and no regime"),
    "neither pictures nor features": ({"frame": None}, "expected 0 columns"),
}


@pytest.mark.parametrize("name", WRONG)
def test_contradictions(name: str) -> None:
    """A signature that contradicts itself is refused, and the line says why."""
    changes, words = WRONG[name]
    with pytest.raises(ContractError, match=words):
        check_signature(msgspec.structs.replace(SIGNATURE, **changes))


def test_gateway_without_a_camera() -> None:
    """A model of pictures does not fit a gateway that has none of its role."""
    fit_check(SIGNATURE, UNITS)
    with pytest.raises(ContractError, match="source of pictures with role 'camera'"):
        fit_check(SIGNATURE, {"flow": "bar", "camera": "bar"})


def test_signature_as_before() -> None:
    """A signature without pictures is written as it always was."""
    plain = msgspec.structs.replace(SIGNATURE, frame=None)
    assert b"frame" not in msgspec.json.encode(plain)
    both = msgspec.json.decode(msgspec.json.encode(SIGNATURE), type=ModelSignature)
    assert both == SIGNATURE
    assert gradient().shape == (24, 32, 3)
    assert asyncio.iscoroutinefunction(Newest.next)
