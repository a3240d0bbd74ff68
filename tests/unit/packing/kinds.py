"""One small model of each kind that a gateway can run, with what a build of it reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edge_core.contracts.artefact import Dtype, ModelSignature, TensorSpec, Windowing
from edge_core.contracts.frame import FrameInput
from edge_core.contracts.outcome import Anomaly, Outcome, Regression, Segmentation
from edge_core.features.statistics import Extractor
from tests.simulators.good_models import WIDTH, mlp, model, value, weight
from tests.simulators.lite_models import mlp_lite
from tests.unit.packing.made import ROWS, contract, tag_windows, write_inputs

EVERYWHERE = ("onnxruntime", "openvino", "remote")
ONNX = 'source = "model.onnx"\n'
REMOTE = 'remote = { model = "pump", version = "1" }\n'
CAMERA = FrameInput(role="camera", height=12, width=16, mean=[0.5, 0.4, 0.3], sd=[0.2, 0.2, 0.25])
BYTES = FrameInput(
    role="camera", height=8, width=8, fit="crop", channels="grey", layout="nhwc", dtype="uint8"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One model and what a gateway must find of it.

    Attributes:
        content: as ONNX, the model itself.
        signature: its contract.
        task: what its ML-BOM calls it.
        card: what its card must say.
        runtimes: which targets are built.
        source: the lines of `build.toml` that say where it is.
        lite: the same as a `.tflite`, where a build reads one.
        recorded: whether the archive has what the model gave.
    """

    content: bytes
    signature: ModelSignature
    task: str
    card: tuple[str, ...]
    runtimes: tuple[str, ...] = EVERYWHERE
    source: str = ONNX + REMOTE
    lite: bytes | None = None
    recorded: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """As `build.toml` writes them."""
        return tuple(f"linux-amd64/{runtime}/fp32/b1" for runtime in self.runtimes)

    def itself(self, given: NDArray[Any]) -> NDArray[np.float32]:
        """What the model gives for one input, by onnx's own slow evaluator."""
        from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - heavy, not for every test

        evaluator = ReferenceEvaluator(onnx.load_model_from_string(self.content))
        names = [spec.name for spec in self.signature.outputs]
        made: Any = evaluator.run(names, {"x": given})  # arrays, by onnx's word
        return np.asarray(made[0], np.float32)

    def windows(self, count: int, seed: int) -> NDArray[Any]:
        """Windows of tags, or pictures as a camera takes them."""
        random = np.random.default_rng(seed)
        if self.signature.frame is None:
            shape = (count, ROWS, len(self.signature.roles))
            return random.normal(size=shape).astype(np.float32)
        return random.integers(0, 256, (count, 24, 20, 3), np.uint8)

    def write(self, folder: Path) -> Path:
        """Everything that a build of it reads; returns the path of `build.toml`."""
        path = write_inputs(folder, targets=self.targets, source=self.source)
        (folder / "signature.json").write_bytes(msgspec.json.encode(self.signature))
        (folder / "model.onnx").write_bytes(self.content)
        if self.lite is not None:
            (folder / "model.tflite").write_bytes(self.lite)
        held = tag_windows()
        if self.signature.frame is not None:
            held = {"pictures": self.windows(20, 5)}
        if self.recorded:
            rows = Extractor(self.signature).matrix(held["trained"])
            held["outputs"] = np.concatenate([self.itself(row[None]) for row in rows])
        np.savez(folder / "windows.npz", **held)
        return path


def numbers(name: str, shape: list[int]) -> TensorSpec:
    """An output of float32."""
    return TensorSpec(name=name, dtype=Dtype.FLOAT32, shape=shape)


def of_tags(outcome: Outcome, output: TensorSpec, classes: list[str]) -> ModelSignature:
    """The contract of a model of windows that gives *output*."""
    return msgspec.structs.replace(
        contract(),
        outcome=outcome,
        outputs=[output],
        classes=classes,
        normal_class="normal",
        safe_output="normal",
    )


def of_pictures(
    frame: FrameInput, shape: list[int], output: TensorSpec, **more: Any
) -> ModelSignature:  # Any: other fields of a signature
    """The contract of a model of pictures that gives *output*."""
    return ModelSignature(
        inputs=[TensorSpec(name="x", dtype=Dtype(frame.dtype), shape=shape)],
        outputs=[output],
        features=[],
        windowing=Windowing(period_s=1.0, length_rows=2, stride_rows=1, gap_rows_max=1),
        classes=["normal", "scratch"],
        normal_class="normal",
        safe_output="normal",
        frame=frame,
        **more,
    )


def hours() -> bytes:
    """Two layers that end in thousands."""
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["hours"]),
    ]
    weights = [
        weight("w1", random.normal(size=(WIDTH, 16))),
        weight("b1", random.normal(size=16)),
        weight("w2", random.normal(size=(16, 1)) * 900),
        weight("b2", np.array([4000.0])),
    ]
    made: bytes = model(nodes, weights, outputs=[value("hours", (1, 1))]).SerializeToString()
    return made


def strangeness() -> bytes:
    """How far the features are from what three numbers can say of them, squared."""
    narrow = np.random.default_rng(2).normal(size=(WIDTH, 3)) / WIDTH
    nodes = [
        helper.make_node("MatMul", ["x", "narrow"], ["code"]),
        helper.make_node("MatMul", ["code", "wide"], ["again"]),
        helper.make_node("Sub", ["x", "again"], ["rest"]),
        helper.make_node("Mul", ["rest", "rest"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["score"], axes=[1], keepdims=1),
    ]
    weights = [weight("narrow", narrow), weight("wide", narrow.T)]
    made: bytes = model(nodes, weights, outputs=[value("score", (1, 1))]).SerializeToString()
    return made


def mask() -> bytes:
    """One convolution: two scores a place."""
    kernel = np.random.default_rng(3).normal(size=(2, 3, 3, 3)) / 5
    nodes = [helper.make_node("Conv", ["x", "kernel"], ["places"], pads=[1, 1, 1, 1])]
    ends = [value("x", (1, 3, 12, 16))], [value("places", (1, 2, 12, 16))]
    made: bytes = model(nodes, [weight("kernel", kernel)], *ends).SerializeToString()
    return made


def brightness() -> bytes:
    """Two shares, from bytes."""
    slope = np.random.default_rng(4).normal(size=(64, 2)) / 500
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["flat"]),
        helper.make_node("MatMul", ["flat", "slope"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    ends = [value("x", (1, 8, 8, 1), TensorProto.UINT8)], [value("scores", (1, 2))]
    made: bytes = model(nodes, [weight("slope", slope)], *ends).SerializeToString()
    return made


USUAL = contract()
LIFE = Regression(quantity="remaining-life", unit="h", bounds=[500.0, 3000.0])
KINDS = {
    "a classification, for every runtime": Kind(
        mlp().content,
        USUAL,
        "classification",
        ("takes windows of 16 rows of 0.1 s", "gives one of c0, c1, c2", "recipe: r1 (60)"),
        runtimes=(*EVERYWHERE, "litert"),
        source=ONNX + REMOTE + 'tflite = "model.tflite"\n',
        lite=mlp_lite(),
    ),
    "a classification from a LiteRT file alone": Kind(
        mlp().content,
        USUAL,
        "classification",
        ("gives one of c0, c1, c2",),
        runtimes=("litert",),
        source='source = "model.tflite"\n',
        lite=mlp_lite(),
    ),
    "a model that only a server has": Kind(
        mlp().content,
        USUAL,
        "classification",
        ("gives one of c0, c1, c2",),
        runtimes=("remote",),
        source=REMOTE,
        recorded=True,
    ),
    "a regression in thousands": Kind(
        hours(),
        of_tags(LIFE, numbers("hours", [1, 1]), ["spent", "worn", "normal"]),
        "regression",
        (
            "gives remaining-life in h: spent up to 500, worn up to 3000, normal above",
            "remaining-life in h: median ",
        ),
    ),
    "an anomaly": Kind(
        strangeness(),
        of_tags(Anomaly(threshold=0.4), numbers("score", [1, 1]), ["normal", "strange"]),
        "anomaly",
        ("gives a score: normal up to 0.4, strange above", "score: median "),
    ),
    "a segmentation of pictures": Kind(
        mask(),
        of_pictures(
            CAMERA,
            [1, 3, 12, 16],
            numbers("places", [1, 2, 12, 16]),
            outcome=Segmentation(share_min=0.5),
        ),
        "segmentation",
        (
            "takes pictures of camera, letterboxed to 12 x 16, rgb as nchw of float32",
            ", times 0.00392157, less 0.5, 0.4, 0.3, over 0.2, 0.2, 0.25\n",
            "covers most besides normal, from 0.5 of the picture on",
            "- none: drift is watched on tags",
        ),
    ),
    "a classification of pictures in bytes": Kind(
        brightness(),
        of_pictures(BYTES, [1, 8, 8, 1], numbers("scores", [1, 2])),
        "classification",
        ("takes pictures of camera, cropped to 8 x 8, grey as nhwc of uint8\n",),
    ),
}
