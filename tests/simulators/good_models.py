"""Small models as a plant would have them, built in memory, with signature and smoke vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import (
    Dtype,
    Feature,
    ModelSignature,
    SmokeCase,
    SmokeVectors,
    Statistic,
    TensorSpec,
    Windowing,
)

Proto = Any  # onnx ships no usable types for its messages

WIDTH, CLASSES = 8, 3


@dataclass(frozen=True, slots=True)
class GoodModel:
    """One model as bytes, with what belongs to it."""

    content: bytes
    signature: ModelSignature

    def save(self, folder: Path) -> tuple[ModelFile, ...]:
        """Write it below *folder* the way a store does, under a name without a suffix."""
        path = folder / f"blob-{abs(hash(self.content))}"
        path.write_bytes(self.content)
        return (ModelFile(name="model.onnx", path=path),)


def signature(
    shape: tuple[int, ...] = (1, WIDTH), outputs: tuple[TensorSpec, ...] | None = None
) -> ModelSignature:
    """The signature of a model that takes *shape* as `x` and gives three `scores`."""
    usual = (TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, CLASSES]),)
    return ModelSignature(
        inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=list(shape))],
        outputs=list(outputs or usual),
        features=[
            Feature(role=f"tag-{at}", unit="bar", statistic=Statistic.MEAN)
            for at in range(shape[-1])
        ],
        windowing=Windowing(period_s=1.0, length_rows=8, stride_rows=4, gap_rows_max=2),
        classes=["normal", "valve", "cavitation"],
        normal_class="normal",
        safe_output="normal",
    )


def weight(name: str, values: NDArray[Any]) -> Proto:  # any float dtype
    """An initializer of float32."""
    return numpy_helper.from_array(values.astype(np.float32), name)


def value(name: str, shape: tuple[Any, ...], kind: int = TensorProto.FLOAT) -> Proto:
    """A declared input or output; a dimension may be a word."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(
    nodes: list[Proto],
    weights: list[Proto],
    inputs: list[Proto] | None = None,
    outputs: list[Proto] | None = None,
    **more: Any,  # what helper.make_model takes
) -> Proto:
    """A model around *nodes* with the usual input and output."""
    graph = helper.make_graph(
        nodes,
        "graph",
        inputs if inputs is not None else [value("x", (1, WIDTH))],
        outputs if outputs is not None else [value("scores", (1, CLASSES))],
        weights,
    )
    more.setdefault("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, ir_version=9, **more)


def mlp_proto(hidden: int = 16, seed: int = 0) -> Proto:
    """Two layers and a softmax over eight features."""
    random = np.random.default_rng(seed)
    return model(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="bend"),
            helper.make_node("MatMul", ["r", "w2"], ["l"], name="second"),
            helper.make_node("Softmax", ["l"], ["scores"], name="shares"),
        ],
        [
            weight("w1", random.normal(size=(WIDTH, hidden))),
            weight("b1", random.normal(size=hidden)),
            weight("w2", random.normal(size=(hidden, CLASSES))),
        ],
    )


def mlp(hidden: int = 16, seed: int = 0) -> GoodModel:
    """The usual small model."""
    return GoodModel(mlp_proto(hidden, seed).SerializeToString(), signature())


def open_batch() -> GoodModel:
    """As exporters write it: an open batch, a quantiser's domain, an opset said twice."""
    proto = mlp_proto()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    proto.opset_import.append(helper.make_opsetid("", 17))
    return GoodModel(proto.SerializeToString(), signature())


def cnn(channels: int = 8, length: int = 128, seed: int = 0) -> GoodModel:
    """Three convolutions over raw windows."""
    random = np.random.default_rng(seed)
    nodes: list[Proto] = []
    weights: list[Proto] = []
    before, width = "x", channels
    for at, wide in enumerate((16, 32, 32)):
        weights += [
            weight(f"k{at}", random.normal(size=(wide, width, 5)) / width),
            weight(f"b{at}", random.normal(size=wide)),
        ]
        nodes += [
            helper.make_node("Conv", [before, f"k{at}", f"b{at}"], [f"c{at}"], strides=[2]),
            helper.make_node("Relu", [f"c{at}"], [f"r{at}"]),
        ]
        before, width = f"r{at}", wide
    weights.append(weight("w", random.normal(size=(width, CLASSES))))
    nodes += [
        helper.make_node("ReduceMean", [before], ["mean"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["l"]),
        helper.make_node("Softmax", ["l"], ["scores"]),
    ]
    proto = model(nodes, weights, [value("x", (1, channels, length))])
    return GoodModel(proto.SerializeToString(), signature((1, channels, length)))


def forest_proto(threshold: float = 0.5) -> Proto:
    """One tree with one split, as forests are written: everything in attributes."""
    tree = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_int64s=[0, 1, 2],
        class_ids=[0, 1],
        class_nodeids=[1, 2],
        class_treeids=[0, 0],
        class_weights=[1.0, 1.0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_truenodeids=[1, 0, 0],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_nodeids=[0, 1, 2],
        nodes_treeids=[0, 0, 0],
        nodes_values=[threshold, 0.0, 0.0],
        post_transform="NONE",
    )
    return model(
        [tree],
        [],
        outputs=[value("scores", (1, CLASSES)), value("label", (1,), TensorProto.INT64)],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )


def forest() -> GoodModel:
    """The smallest forest."""
    outputs = (
        TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, CLASSES]),
        TensorSpec(name="label", dtype=Dtype.INT64, shape=[1]),
    )
    return GoodModel(forest_proto().SerializeToString(), signature(outputs=outputs))


def mill(rounds: int, width: int = 512) -> GoodModel:
    """Admissible, finite and slow: *rounds* products of one large square matrix."""
    turn = np.roll(np.eye(width), 1, axis=0)
    nodes = [helper.make_node("MatMul", ["wide", "turn"], ["t0"])]
    nodes += [
        helper.make_node("MatMul", [f"t{at}", "turn"], [f"t{at + 1}"]) for at in range(rounds)
    ]
    nodes = [
        helper.make_node("MatMul", ["lift", "x"], ["wide0"]),
        helper.make_node("MatMul", ["wide0", "spread"], ["wide"]),
        *nodes,
        helper.make_node("ReduceMean", [f"t{rounds}"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("MatMul", ["mean", "narrow"], ["l"]),
        helper.make_node("Softmax", ["l"], ["scores"]),
    ]
    weights = [
        weight("turn", turn),
        weight("lift", np.ones((width, 1))),
        weight("spread", np.full((WIDTH, width), 0.01)),
        weight("narrow", np.full((width, CLASSES), 0.001)),
    ]
    return GoodModel(model(nodes, weights).SerializeToString(), signature())


def reference_scores(good: GoodModel, rows: NDArray[np.float32]) -> list[list[float]]:
    """What onnx's own slow evaluator gives for each row; another code than any runtime's."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - heavy, not for every test

    evaluator = ReferenceEvaluator(onnx.load_model_from_string(good.content))
    shape = good.signature.inputs[0].shape
    scores = []
    for row in rows:
        made: Any = evaluator.run(["scores"], {"x": row.reshape(shape)})  # arrays, by onnx's word
        scores.append(made[0].reshape(-1).tolist())
    return scores


def smoke(good: GoodModel, cases: int = 3, seed: int = 5) -> SmokeVectors:
    """Smoke vectors from the reference evaluator."""
    random = np.random.default_rng(seed)
    width = int(np.prod(good.signature.inputs[0].shape))
    rows = random.normal(size=(cases, width)).astype(np.float32)
    scores = reference_scores(good, rows)
    return SmokeVectors(
        cases=[
            SmokeCase(inputs=row.tolist(), outputs=wanted)
            for row, wanted in zip(rows, scores, strict=True)
        ]
    )
