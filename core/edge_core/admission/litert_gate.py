"""Whether a LiteRT model (`.tflite`) may be loaded.

One graph of operators that compute on plain tensors of fixed shape, every constant inside the
file and finite. Imported in the admission child only. The file is a flatbuffer of the schema
`schema.fbs` of TensorFlow Lite, version 3; its accessors check nothing, so what they stumble over
is a refusal here.
"""

import math
import re
import struct
from collections import Counter
from typing import Any, Final

import numpy as np

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import Admitted, GateLimits
from edge_core.contracts.artefact import Digest, Dtype, ModelSignature, TensorSpec

Table = Any  # generated accessors without types

IDENTIFIER: Final = b"TFL3"
VERSION: Final = 3
DIMENSIONS_MAX: Final = 8

# Control flow, variables, hash tables, text, random numbers, custom operators and everything
# that makes its size from values are left out on purpose.
OPERATORS: Final = frozenset(
    re.findall(
        r"\w+",
        """
ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_TO CAST CEIL
CONCATENATION CONV_2D CONV_3D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL
EXP EXPAND_DIMS FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GELU GREATER
GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL
LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM
MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE
REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE
RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT SELECT_V2 SIGN SIN SLICE
SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM
UNPACK ZEROS_LIKE
""",
    )
)
_DTYPES: Final = {each.name: each for each in Dtype}  # both sides call them the same
_FLOATS: Final = {"FLOAT16": np.float16, "FLOAT32": np.float32, "FLOAT64": np.float64}


def check_litert(
    name: str,
    content: bytes,
    digests: dict[str, Digest],
    signature: ModelSignature | None,
    limits: GateLimits,
) -> Admitted:
    """Judge the model in *content*.

    Raises:
        ModelRefusedError: the first thing that does not fit.
    """
    if content[4:8] != IDENTIFIER:
        raise ModelRefusedError(f"{name}: expected a LiteRT model, found other bytes")
    try:
        from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ModelRefusedError(f"{name}: litert is not installed on this machine") from error
    try:
        return _Reader(name, content, schema, limits).admitted(digests, signature)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelRefusedError(f"{name}: not a whole flatbuffer: {first[:120]!a}") from error


class _Reader:
    """One model, and where the names of its numbers are."""

    def __init__(self, name: str, content: bytes, schema: Table, limits: GateLimits) -> None:
        self._name = name
        self._model: Table = schema.Model.GetRootAs(content, 0)
        self._types = _names(schema.TensorType)
        self._builtins = _names(schema.BuiltinOperator)
        self._limits = limits

    def admitted(self, digests: dict[str, Digest], signature: ModelSignature | None) -> Admitted:
        """The summary of the model, once everything about it fits."""
        model, limits = self._model, self._limits
        if model.Version() != VERSION or model.SubgraphsLength() != 1:
            raise self._refusal(
                f"expected one graph of version {VERSION}, found {model.SubgraphsLength()} of "
                f"version {model.Version()}"
            )
        graph: Table = model.Subgraphs(0)
        self._bounded("operators", graph.OperatorsLength(), limits.nodes_max)
        for what, count in (
            ("tensors", graph.TensorsLength()),
            ("buffers", model.BuffersLength()),
            ("operator codes", model.OperatorCodesLength()),
        ):
            self._bounded(what, count, limits.entries_max)
        codes = [self._operator(at) for at in range(model.OperatorCodesLength())]
        used = [codes[graph.Operators(at).OpcodeIndex()] for at in range(graph.OperatorsLength())]
        weight_bytes = sum(self._weights(graph.Tensors(at)) for at in range(graph.TensorsLength()))
        self._bounded("bytes of weights", weight_bytes, limits.weight_bytes_max)
        wanted = (signature.inputs, signature.outputs) if signature else (None, None)
        return Admitted(
            format="litert",
            digests=digests,
            inputs=self._interface("input", graph, graph.InputsAsNumpy(), wanted[0]),
            outputs=self._interface("output", graph, graph.OutputsAsNumpy(), wanted[1]),
            operators=dict(Counter(used)),
            nodes=len(used),
            weight_bytes=weight_bytes,
            opsets={"tflite": VERSION},
        )

    def _operator(self, at: int) -> str:
        code: Table = self._model.OperatorCodes(at)
        if code.CustomCode() is not None:
            raise self._refusal(f"operator {code.CustomCode()[:40]!a} is not one of LiteRT's own")
        # Codes above 127 came later and have a field of their own; the larger one holds.
        name = self._builtins.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
        if name not in OPERATORS:
            raise self._refusal(f"operator {name or at} is not admitted")
        return name

    def _weights(self, tensor: Table) -> int:
        """Bytes of the tensor's constant; it is as long as its shape says, and finite."""
        called = self._called(tensor)
        shape = self._shape(tensor)
        kind = self._types.get(tensor.Type(), "")
        if tensor.IsVariable() or tensor.Sparsity() is not None or tensor.ExternalBuffer():
            raise self._refusal(f"tensor {called} is variable, sparse or outside of the file")
        bound = math.prod(shape) * 8
        self._bounded(f"bytes of tensor {called}", bound, self._limits.tensor_bytes_max)
        buffer: Table = self._model.Buffers(tensor.Buffer())
        if buffer.Offset() or buffer.Size():
            raise self._refusal(f"tensor {called} lies outside of the flatbuffer")
        if buffer.DataIsNone() or not buffer.DataLength():
            return 0
        content: Table = buffer.DataAsNumpy()
        if kind in _FLOATS:
            values = np.frombuffer(content.tobytes(), _FLOATS[kind])
            if values.size != math.prod(shape) or not np.isfinite(values).all():
                raise self._refusal(
                    f"tensor {called}: expected {math.prod(shape)} finite numbers, found others"
                )
        return int(content.size)

    def _shape(self, tensor: Table) -> list[int]:
        count = tensor.ShapeLength()
        self._bounded(f"dimensions of tensor {self._called(tensor)}", count, DIMENSIONS_MAX)
        shape = [int(tensor.Shape(at)) for at in range(count)]
        signed = [int(tensor.ShapeSignature(at)) for at in range(tensor.ShapeSignatureLength())]
        if any(each < 1 for each in (*shape, *signed)):
            raise self._refusal(
                f"tensor {self._called(tensor)}: expected a fixed shape, found {signed or shape}"
            )
        return shape

    def _interface(
        self, side: str, graph: Table, places: Table, wanted: list[TensorSpec] | None
    ) -> list[TensorSpec]:
        """The tensors at *places*, in the order of *wanted*, which they must equal."""
        found = {}
        for spec in (self._spec(side, graph.Tensors(int(place))) for place in places):
            found[spec.name] = spec
        if wanted is None:
            return list(found.values())
        if found != {spec.name: spec for spec in wanted}:
            have = [f"{spec.name} {spec.dtype} {spec.shape}" for spec in found.values()]
            want = [f"{spec.name} {spec.dtype} {spec.shape}" for spec in wanted]
            raise self._refusal(f"{side}s: the signature expects {want}, found {have[:8]}")
        return wanted

    def _spec(self, side: str, tensor: Table) -> TensorSpec:
        name = self._called(tensor)
        dtype = _DTYPES.get(self._types.get(tensor.Type(), ""))
        shape = self._shape(tensor)
        if dtype is None or not 1 <= len(shape) <= 4 or not name:
            raise self._refusal(f"{side} {name!a}: expected numbers with 1 to 4 dimensions")
        return TensorSpec(name=name, dtype=dtype, shape=shape)

    def _called(self, tensor: Table) -> str:
        """The tensor's name as its author knew it, inert."""
        raw: bytes = tensor.Name() or b""
        text = ascii(raw[: self._limits.name_chars_max].decode("utf-8", "replace"))[1:-1]
        return text.removeprefix("serving_default_").removesuffix(":0")[:128]

    def _bounded(self, what: str, count: int, most: int) -> None:
        if count > most:
            raise self._refusal(f"expected at most {most} {what}, found {count}")

    def _refusal(self, words: str) -> ModelRefusedError:
        return ModelRefusedError(f"{self._name}: {words}")


def _names(generated: type) -> dict[int, str]:
    """What the numbers of a generated enumeration are called."""
    return {
        number: name
        for name, number in vars(generated).items()
        if isinstance(number, int) and not name.startswith("_")
    }
