"""Whether the weights of an ONNX model are what they say: inside, complete, finite, bounded.

Imported in the admission child only.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import GateLimits

Proto = Any  # onnx ships no usable types for its messages

# Element type -> bits in raw_data, and the typed field that may be used instead (onnx.proto).
_KINDS: Final = {
    TensorProto.FLOAT: (32, "float_data"),
    TensorProto.DOUBLE: (64, "double_data"),
    TensorProto.FLOAT16: (16, "int32_data"),
    TensorProto.BFLOAT16: (16, "int32_data"),
    TensorProto.INT8: (8, "int32_data"),
    TensorProto.UINT8: (8, "int32_data"),
    TensorProto.INT16: (16, "int32_data"),
    TensorProto.UINT16: (16, "int32_data"),
    TensorProto.INT32: (32, "int32_data"),
    TensorProto.UINT32: (32, "uint64_data"),
    TensorProto.INT64: (64, "int64_data"),
    TensorProto.UINT64: (64, "uint64_data"),
    TensorProto.BOOL: (8, "int32_data"),
}
_TYPED: Final = ("float_data", "int32_data", "string_data", "int64_data", "double_data")
_FLOATS: Final = {
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
}


def check_weights(name: str, model: Proto, limits: GateLimits) -> int:
    """Judge every tensor and every number list anywhere in *model*; their bytes together.

    Raises:
        ModelRefusedError: the first one that does not fit.
    """
    total = 0
    for message in _messages(model):
        kind = message.DESCRIPTOR.name
        if kind == "SparseTensorProto":
            raise ModelRefusedError(f"{name}: holds a sparse tensor, expected dense ones")
        if kind == "TensorProto":
            total += _tensor(name, message, limits)
        elif kind == "AttributeProto":
            total += _attribute(name, message, limits)
        if total > limits.weight_bytes_max:
            raise ModelRefusedError(
                f"{name}: expected at most {limits.weight_bytes_max} bytes of weights"
            )
    return total


def _messages(root: Proto) -> Iterator[Proto]:
    """Every message below *root*, wherever it hides."""
    work = [root]
    while work:
        message = work.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            work.extend(value if field.is_repeated else [value])


def _tensor(name: str, tensor: Proto, limits: GateLimits) -> int:
    called = f"{name}: tensor {tensor.name[:80]!a}"
    if tensor.data_location != TensorProto.DEFAULT or len(tensor.external_data):
        raise ModelRefusedError(f"{called}: holds external data, expected its bytes in the file")
    if tensor.data_type not in _KINDS or tensor.HasField("segment"):
        raise ModelRefusedError(f"{called}: element type {tensor.data_type} is not admitted")
    if len(tensor.dims) > 8 or any(dim < 0 for dim in tensor.dims):
        raise ModelRefusedError(f"{called}: expected at most 8 dimensions, none negative")
    bits, field = _KINDS[tensor.data_type]
    count = int(math.prod(tensor.dims))
    size = (count * bits + 7) // 8
    if size > limits.weight_bytes_max:
        raise ModelRefusedError(
            f"{called}: shape {list(tensor.dims)} means {size} bytes, expected at most "
            f"{limits.weight_bytes_max}"
        )
    _complete(called, tensor, field, count, size)
    if tensor.data_type in _FLOATS and not _finite(tensor):
        raise ModelRefusedError(f"{called}: holds NaN or infinity, expected finite weights")
    return size


def _complete(called: str, tensor: Proto, field: str, count: int, size: int) -> None:
    """Exactly as much as the shape says, in exactly one place."""
    raw = tensor.HasField("raw_data")
    others = [other for other in (*_TYPED, "uint64_data") if other != field or raw]
    if any(len(getattr(tensor, other)) for other in others):
        raise ModelRefusedError(f"{called}: expected its values in one place, found two")
    have, want = (len(tensor.raw_data), size) if raw else (len(getattr(tensor, field)), count)
    if have != want:
        unit = "bytes" if raw else "values"
        raise ModelRefusedError(
            f"{called}: shape {list(tensor.dims)} expects {want} {unit}, found {have}"
        )


def _finite(tensor: Proto) -> bool:
    values: NDArray[Any] = numpy_helper.to_array(tensor)  # its dtype is the tensor's
    return bool(np.isfinite(values.astype(np.float64, copy=False)).all())


def _attribute(name: str, attribute: Proto, limits: GateLimits) -> int:
    """Number lists in attributes are weights too: a forest keeps its thresholds there."""
    called = f"{name}: attribute {attribute.name[:80]!a}"
    if attribute.ref_attr_name:
        raise ModelRefusedError(f"{called}: refers to a function's attribute, expected a value")
    size = 4 * len(attribute.floats) + 8 * len(attribute.ints)
    size += sum(len(text) for text in attribute.strings) + len(attribute.s)
    if size > limits.attribute_bytes_max:
        raise ModelRefusedError(
            f"{called}: {size} bytes, expected at most {limits.attribute_bytes_max}"
        )
    if not math.isfinite(attribute.f) or not np.isfinite(np.array(attribute.floats)).all():
        raise ModelRefusedError(f"{called}: holds NaN or infinity, expected finite numbers")
    return size
