"""Whether a graph would allocate without bound: every intermediate tensor has a size cap.

Shapes are inferred from the fixed inputs by onnx's own inference with data propagation. An
operator whose output size is decided by *values* (`ConstantOfShape`, `Tile`, `Range`) must come
out with a known shape; for the rest, a shape that stays unknown is bounded by the child's limits.
Imported in the admission child only.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import onnx
import onnx.shape_inference

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import GateLimits
from edge_core.contracts.artefact import TensorSpec

Proto = Any  # onnx ships no usable types for its messages

# Operators that can make much out of little, because a value says how much.
GROWING: Final = frozenset(
    {"ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Upsample", "OneHot"}
    | {"AffineGrid", "CenterCropPad", "MaxUnpool", "Col2Im", "BlackmanWindow", "HannWindow"}
    | {"HammingWindow", "MelWeightMatrix", "DFT", "STFT", "EyeLike", "ConvTranspose", "Unique"}
    | {"SplitToSequence", "SequenceConstruct", "RoiAlign", "GridSample", "NonMaxSuppression"}
)
_ELEMENT_BYTES = 4  # most tensors are float32; a factor of two does not matter to a cap


def check_shapes(name: str, model: Proto, inputs: list[TensorSpec], limits: GateLimits) -> None:
    """Judge the size of every tensor that the graph makes, its inputs fixed to *inputs*.

    Raises:
        ModelRefusedError: too large, or a growing operator whose output has no known size.
    """
    for value, spec in zip(model.graph.input, inputs, strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            dim.dim_value = size
    graph = _inferred(name, model, values=False)
    _check(name, graph, limits)
    if any(True for _ in _open_growing(graph)):
        # Only now are values followed too, since doing so can itself be made to grow.
        graph = _inferred(name, model, values=True)
        _check(name, graph, limits)
        for node, made in _open_growing(graph):
            raise ModelRefusedError(
                f"{name}: {node.op_type} makes {made!a}, whose size depends on values; expected "
                "a shape that is known beforehand"
            )


def _inferred(name: str, model: Proto, *, values: bool) -> Proto:
    # onnx has no inference for the trees of ai.onnx.ml, and strictly it then gives up on all that
    # follows them. Without strictness it leaves those open, and growing operators stay refused.
    strict = all(node.domain != "ai.onnx.ml" for node in model.graph.node)
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=strict, data_prop=values).graph
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise ModelRefusedError(f"{name}: shapes do not fit together: {first!a}") from error


def _made(graph: Proto) -> Iterator[tuple[Proto, str, list[int] | None]]:
    """Every node with each name that it makes, and the shape if it is known whole."""
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        for made in node.output:
            yield node, made, _dims(known.get(made))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _made(attribute.g)


def _open_growing(graph: Proto) -> Iterator[tuple[Proto, str]]:
    for node, made, dims in _made(graph):
        if made and dims is None and node.op_type in GROWING:
            yield node, made


def _check(name: str, graph: Proto, limits: GateLimits) -> None:
    for node, made, dims in _made(graph):
        if dims is not None and math.prod(dims) * _ELEMENT_BYTES > limits.tensor_bytes_max:
            raise ModelRefusedError(
                f"{name}: {node.op_type} makes {made!a} of shape {dims}, expected at most "
                f"{limits.tensor_bytes_max} bytes"
            )


def _dims(value: Proto) -> list[int] | None:
    """The shape if it is known whole, else None."""
    if value is None or not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") for dim in dims):
        return None
    return [int(dim.dim_value) for dim in dims]
