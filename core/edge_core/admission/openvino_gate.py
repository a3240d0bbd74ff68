"""Whether an OpenVINO IR pair (`.xml` and `.bin`) may be loaded.

Only operators of the numbered opsets that compute on plain tensors are let through, every
constant must lie inside the weights, and every tensor has a fixed, bounded shape.
"""

import math
import re
from collections import Counter
from typing import Final

import numpy as np

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import Admitted, GateLimits
from edge_core.admission.openvino_topology import Layer, Port, read_topology
from edge_core.contracts.artefact import Digest, Dtype, ModelSignature, TensorSpec

_OPSET = re.compile(r"opset([1-9]|1[0-6])\Z")
_FLOATS: Final = {"f16": np.float16, "f32": np.float32, "f64": np.float64}
_BITS: Final = {"f32": 32, "f16": 16, "bf16": 16, "f64": 64, "i64": 64, "i32": 32, "i16": 16} | {
    "i8": 8,
    "i4": 4,
    "u64": 64,
    "u32": 32,
    "u16": 16,
    "u8": 8,
    "u4": 4,
    "boolean": 8,
    "u1": 1,
}
_DTYPES: Final = {
    "BOOL": Dtype.BOOL,
    "I8": Dtype.INT8,
    "I16": Dtype.INT16,
    "I32": Dtype.INT32,
    "I64": Dtype.INT64,
    "U8": Dtype.UINT8,
    "U16": Dtype.UINT16,
    "U32": Dtype.UINT32,
    "U64": Dtype.UINT64,
    "FP16": Dtype.FLOAT16,
    "FP32": Dtype.FLOAT32,
    "FP64": Dtype.FLOAT64,
}

# What trained models of tags and windows come out as. Control flow, state, sequences, text and
# random numbers are left out on purpose; so is everything that makes its size from values.
OPERATORS: Final = frozenset(
    re.findall(
        r"\w+",
        """
Abs Acos Acosh Add Asin Asinh Atan Atanh AvgPool BatchNormInference Broadcast Ceiling Clamp
Concat Const Convert ConvertLike Convolution ConvolutionBackpropData Cos Cosh CumSum
DepthToSpace Divide Elu Equal Erf Exp FakeConvert FakeQuantize Floor FloorMod GRUCell
GRUSequence Gather GatherElements GatherND Gelu Greater GreaterEqual GroupConvolution
GroupConvolutionBackpropData GroupNormalization HSigmoid HSwish HardSigmoid IsFinite LRN
LSTMCell LSTMSequence Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor
MVN MatMul MaxPool Maximum Minimum Mish Mod Multiply Negative NormalizeL2 NotEqual PRelu Pad
Parameter Power RNNCell RNNSequence ReLU ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Reshape Result Round ScatterElementsUpdate
Select Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Sinh Slice SoftMax SoftPlus SoftSign
Softmax SpaceToDepth Split Sqrt SquaredDifference Squeeze StridedSlice Subtract Swish Tan Tanh
Tile TopK Transpose Unsqueeze VariadicSplit
""",
    )
)


def check_openvino(
    names: tuple[str, str],
    parts: tuple[bytes, bytes],
    digests: dict[str, Digest],
    signature: ModelSignature | None,
    limits: GateLimits,
) -> Admitted:
    """Judge the pair in *parts*, topology first, weights second, called by *names*.

    Raises:
        ModelRefusedError: the first thing that does not fit.
    """
    topology, weights = parts
    layers = read_topology(names[0], topology, limits)
    newest = 0
    for layer in layers:
        newest = max(newest, _operator(names[0], layer))
        _ports(names[0], layer, limits)
        if layer.kind == "Const":
            _constant(names, layer, weights)
    wanted = (signature.inputs, signature.outputs) if signature else (None, None)
    inputs = _interface(f"{names[0]}: input", layers, "Parameter", wanted[0])
    outputs = _interface(f"{names[0]}: output", layers, "Result", wanted[1])
    operators = Counter(layer.kind for layer in layers)
    return Admitted(
        format="openvino",
        digests=digests,
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators),
        nodes=len(layers),
        weight_bytes=len(weights),
        opsets={"": newest},
    )


def _operator(name: str, layer: Layer) -> int:
    """The number of the opset that the layer's operator is from."""
    opset = _OPSET.match(layer.version)
    if opset is None:
        raise ModelRefusedError(
            f"{name}: layer {layer.name!a}: expected opset1 to opset16, found {layer.version!a}"
        )
    if layer.kind not in OPERATORS:
        raise ModelRefusedError(
            f"{name}: layer {layer.name!a}: operator {layer.kind!a} is not admitted"
        )
    return int(opset[1])


def _ports(name: str, layer: Layer, limits: GateLimits) -> None:
    for port in (*layer.takes, *layer.makes):
        if len(port.dims) > 8 or math.prod(port.dims) * 4 > limits.tensor_bytes_max:
            raise ModelRefusedError(
                f"{name}: layer {layer.name!a}: a tensor of shape {port.dims[:9]}, expected at "
                f"most {limits.tensor_bytes_max} bytes"
            )


def _constant(names: tuple[str, str], layer: Layer, weights: bytes) -> None:
    """The constant lies inside the weights, is as long as its shape says, and is finite."""
    called = f"{names[0]}: constant {layer.name!a}"
    element = layer.facts.get("element_type", "")
    offset, size = (_number(called, layer.facts.get(key, "")) for key in ("offset", "size"))
    if element not in _BITS or len(layer.makes) != 1:
        raise ModelRefusedError(f"{called}: element type {element[:40]!a} is not admitted")
    count = math.prod(layer.makes[0].dims)
    need = (count * _BITS[element] + 7) // 8
    if size != need:
        raise ModelRefusedError(f"{called}: its shape expects {need} bytes, found {size}")
    if offset + size > len(weights):
        raise ModelRefusedError(
            f"{called}: lies at {offset} to {offset + size}, expected within the "
            f"{len(weights)} bytes of {names[1]}"
        )
    if element in _FLOATS:
        values = np.frombuffer(weights, _FLOATS[element], count, offset)
        if not np.isfinite(values).all():
            raise ModelRefusedError(f"{called}: holds NaN or infinity, expected finite weights")


def _number(called: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ModelRefusedError(f"{called}: expected a number, found {text[:40]!a}")
    return int(text)


def _interface(
    side: str, layers: list[Layer], kind: str, wanted: list[TensorSpec] | None
) -> list[TensorSpec]:
    """What the topology declares on one side, compared with the signature's."""
    ends = [layer for layer in layers if layer.kind == kind]
    if not 1 <= len(ends) <= 8 or (wanted is not None and len(wanted) != len(ends)):
        expected = "1 to 8" if wanted is None else len(wanted)
        raise ModelRefusedError(f"{side}s: expected {expected}, found {len(ends)}")
    found = []
    for at, layer in enumerate(ends):
        spec = _spec(side, layer, wanted[at].name if wanted else None)
        if wanted is not None and spec != wanted[at]:
            raise ModelRefusedError(
                f"{side} {spec.name!a}: the signature expects {wanted[at].name!a} "
                f"{wanted[at].dtype} {wanted[at].shape}, found {spec.dtype} {spec.shape}"
            )
        found.append(spec)
    return found


def _spec(side: str, layer: Layer, wanted: str | None) -> TensorSpec:
    ports: list[Port] = layer.takes if layer.kind == "Result" else layer.makes
    dtype = _DTYPES.get(ports[0].precision) if len(ports) == 1 else None
    if dtype is None or not 1 <= len(ports[0].dims) <= 4 or 0 in ports[0].dims:
        raise ModelRefusedError(f"{side} {layer.name!a}: expected numbers with 1 to 4 dimensions")
    names = [*layer.names, *ports[0].names, layer.name.split("/sink_port")[0]]
    name = wanted if wanted in names else names[0]
    return TensorSpec(name=name, dtype=dtype, shape=ports[0].dims)
