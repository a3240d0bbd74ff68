"""Whether a graph would allocate without bound: every intermediate tensor has a size cap.

Shapes are inferred from the fixed inputs by onnx's own inference with data propagation. An
operator whose output size is decided by *values* (`ConstantOfShape`, `Tile`, `Range`) must come
out with a known shape; for the rest, a shape that stays unknown is bounded by the child's limits.
Imported in the admission child only.
"""

import math
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
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise ModelRefusedError(f"{name}: shapes do not fit together: {first!a}") from error
    _check(name, inferred.graph, limits)


def _check(name: str, graph: Proto, limits: GateLimits) -> None:
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        for made in node.output:
            _size(name, node, made, known.get(made), limits)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _check(name, attribute.g, limits)


def _size(name: str, node: Proto, made: str, value: Proto, limits: GateLimits) -> None:
    dims = _dims(value)
    if dims is None:
        if made and node.op_type in GROWING:
            raise ModelRefusedError(
                f"{name}: {node.op_type} makes {made!a}, whose size depends on values; expected "
                "a shape that is known beforehand"
            )
        return
    if math.prod(dims) * _ELEMENT_BYTES > limits.tensor_bytes_max:
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
