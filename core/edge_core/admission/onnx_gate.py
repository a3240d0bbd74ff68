"""Whether an ONNX graph may be loaded: domains, operators, names, nesting, inputs and outputs.

Imported in the admission child only. Weights are judged in `onnx_weights`, the sizes of
intermediate tensors in `onnx_shapes`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import onnx
import onnx.checker

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import Admitted, GateLimits
from edge_core.admission.onnx_shapes import check_shapes
from edge_core.admission.onnx_weights import check_weights
from edge_core.admission.wire import walk
from edge_core.contracts.artefact import Digest, Dtype, ModelSignature, TensorSpec

# Generated stubs of onnx change between versions; its messages are handled as untyped.
Proto = Any  # onnx ships no usable types for its messages

ML_DOMAIN = "ai.onnx.ml"
# Quantisers declare this domain even where no node uses it; a node that does is refused.
DECLARED_ONLY = frozenset({"com.microsoft"})

_DTYPES: Final = {
    onnx.TensorProto.BOOL: Dtype.BOOL,
    onnx.TensorProto.INT8: Dtype.INT8,
    onnx.TensorProto.INT16: Dtype.INT16,
    onnx.TensorProto.INT32: Dtype.INT32,
    onnx.TensorProto.INT64: Dtype.INT64,
    onnx.TensorProto.UINT8: Dtype.UINT8,
    onnx.TensorProto.UINT16: Dtype.UINT16,
    onnx.TensorProto.UINT32: Dtype.UINT32,
    onnx.TensorProto.UINT64: Dtype.UINT64,
    onnx.TensorProto.FLOAT16: Dtype.FLOAT16,
    onnx.TensorProto.FLOAT: Dtype.FLOAT32,
    onnx.TensorProto.DOUBLE: Dtype.FLOAT64,
}
VALUES_MAX: Final = 4 * 1024 * 1024  # of one input or output; a window is far smaller

REFUSED_OPERATORS: Final = {
    "Loop": "repeats without a bound that can be seen",
    "Scan": "repeats without a bound that can be seen",
    "SequenceMap": "repeats without a bound that can be seen",
    "StringConcat": "handles text",
    "StringSplit": "handles text",
    "StringNormalizer": "handles text",
    "TfIdfVectorizer": "handles text",
    "RegexFullMatch": "handles text",
    "ImageDecoder": "decodes foreign bytes",
    "Optional": "handles optional values",
    "RandomNormal": "gives other values each time",
    "RandomNormalLike": "gives other values each time",
    "RandomUniform": "gives other values each time",
    "RandomUniformLike": "gives other values each time",
    "Multinomial": "gives other values each time",
    "Bernoulli": "gives other values each time",
}
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")


def check_onnx(
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
    walk(name, content, limits.entries_max)
    model = _parse(name, content)
    opsets = _opsets(name, model, limits)
    _no_extras(name, model)
    operators = _nodes(name, model.graph, opsets, limits)
    weight_bytes = check_weights(name, model, limits)
    inputs, outputs = _interface(name, model.graph, signature)
    _well_formed(name, model)
    check_shapes(name, model, inputs, limits)
    return Admitted(
        format="onnx",
        digests=digests,
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators),
        nodes=sum(operators.values()),
        weight_bytes=weight_bytes,
        opsets=opsets,
    )


def _parse(name: str, content: bytes) -> Proto:
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:
        raise ModelRefusedError(f"{name}: expected an ONNX model: {_line(error)}") from error


def _opsets(name: str, model: Proto, limits: GateLimits) -> dict[str, int]:
    """The declared domain versions, each once and within the range that we run."""
    ranges = {
        "": (limits.opset_min, limits.opset_max),
        ML_DOMAIN: (1, limits.ml_opset_max),
    } | dict.fromkeys(DECLARED_ONLY, (1, 1))
    opsets: dict[str, int] = {}
    for declared in model.opset_import:
        domain = "" if declared.domain == "ai.onnx" else declared.domain
        if domain not in ranges:
            raise ModelRefusedError(
                f"{name}: operator domain {domain[:80]!a}: expected ai.onnx or {ML_DOMAIN}"
            )
        low, high = ranges[domain]
        if not low <= declared.version <= high:
            raise ModelRefusedError(
                f"{name}: opset of {domain or 'ai.onnx'}: expected {low} to {high}, "
                f"found {declared.version}"
            )
        # Converters do write the same line twice; two versions would be read either way.
        if opsets.setdefault(domain, declared.version) != declared.version:
            raise ModelRefusedError(
                f"{name}: opset of {domain or 'ai.onnx'}: expected one, found "
                f"{opsets[domain]} and {declared.version}"
            )
    if "" not in opsets:
        raise ModelRefusedError(f"{name}: expected an opset of ai.onnx, found none")
    return opsets


def _no_extras(name: str, model: Proto) -> None:
    """Only inference: no local functions, no training, no device placement."""
    for field, what in (
        ("functions", "local functions"),
        ("training_info", "training information"),
        ("configuration", "device configurations"),
    ):
        if len(getattr(model, field)):
            raise ModelRefusedError(f"{name}: holds {what}, expected none")


def _nodes(name: str, graph: Proto, opsets: dict[str, int], limits: GateLimits) -> Counter[str]:
    """Check every node of every graph; how often each operator occurs."""
    operators: Counter[str] = Counter()
    for depth, inner in _graphs(graph, 0):
        if depth > limits.nesting_max:
            raise ModelRefusedError(
                f"{name}: graphs nested {depth} deep, expected at most {limits.nesting_max}"
            )
        _names(name, inner, limits)
        for node in inner.node:
            operators[_operator(name, node, opsets)] += 1
        if operators.total() > limits.nodes_max:
            raise ModelRefusedError(f"{name}: expected at most {limits.nodes_max} nodes")
    if not operators:
        raise ModelRefusedError(f"{name}: expected a graph with nodes, found none")
    return operators


def _graphs(graph: Proto, depth: int) -> Iterator[tuple[int, Proto]]:
    """This graph and all inside it. The walk has bounded the depth of this recursion."""
    yield depth, graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for below in [*inner, *attribute.graphs]:
                yield from _graphs(below, depth + 1)


def _names(name: str, graph: Proto, limits: GateLimits) -> None:
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    texts = [graph.name, *(value.name for value in values)]
    for node in graph.node:
        texts += [node.name, node.op_type, *node.input, *node.output]
        texts += [attribute.name for attribute in node.attribute]
    for text in texts:
        if len(text) > limits.name_chars_max or not _PRINTABLE.match(text):
            raise ModelRefusedError(
                f"{name}: name {text[:80]!a}: expected at most {limits.name_chars_max} "
                "printable ASCII characters"
            )


def _operator(name: str, node: Proto, opsets: dict[str, int]) -> str:
    domain = "" if node.domain == "ai.onnx" else node.domain
    called = f"node {node.name!a}" if node.name else f"a {node.op_type!a} node"
    if domain not in opsets or domain in DECLARED_ONLY or node.overload:
        raise ModelRefusedError(
            f"{name}: {called}: operator {node.op_type!a} of domain {domain!a}: expected one of "
            f"ai.onnx or {ML_DOMAIN} whose opset is declared"
        )
    why = REFUSED_OPERATORS.get(node.op_type)
    if why is not None:
        raise ModelRefusedError(f"{name}: {called}: operator {node.op_type} {why}")
    if not onnx.defs.has(node.op_type, opsets[domain], domain):
        raise ModelRefusedError(
            f"{name}: {called}: {domain or 'ai.onnx'} {opsets[domain]} has no operator "
            f"{node.op_type!a}"
        )
    return f"{domain}.{node.op_type}" if domain else str(node.op_type)


def _interface(
    name: str, graph: Proto, signature: ModelSignature | None
) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """What the graph declares, compared with the signature, both whole and in order."""
    weights = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name in weights:
            raise ModelRefusedError(f"{name}: input {value.name!a} is a weight as well")
    wanted_in = signature.inputs if signature else None
    wanted_out = signature.outputs if signature else None
    inputs = _declared(name, "input", list(graph.input), wanted_in)
    return inputs, _declared(name, "output", list(graph.output), wanted_out)


def _declared(
    name: str, side: str, values: list[Proto], wanted: list[TensorSpec] | None
) -> list[TensorSpec]:
    if not 1 <= len(values) <= 8:
        raise ModelRefusedError(f"{name}: expected 1 to 8 {side}s, found {len(values)}")
    batch = wanted[0].shape[0] if wanted else 1
    found = [_spec(name, side, value, batch) for value in values]
    if wanted is not None:
        _same(name, side, found, wanted)
    return found


def _same(name: str, side: str, found: list[TensorSpec], wanted: list[TensorSpec]) -> None:
    names = [spec.name for spec in found]
    if names != [spec.name for spec in wanted]:
        raise ModelRefusedError(
            f"{name}: {side}s: the signature expects {[spec.name for spec in wanted]}, "
            f"found {names}"
        )
    for have, want in zip(found, wanted, strict=True):
        if have != want:
            raise ModelRefusedError(
                f"{name}: {side} {have.name!a}: the signature expects {want.dtype} {want.shape}, "
                f"found {have.dtype} {have.shape}"
            )


def _spec(name: str, side: str, value: Proto, batch: int) -> TensorSpec:
    """One declared tensor; an open first dimension is the batch, no other may be open."""
    kind = value.type.tensor_type
    dtype = _DTYPES.get(kind.elem_type) if value.type.HasField("tensor_type") else None
    if dtype is None:
        raise ModelRefusedError(
            f"{name}: {side} {value.name!a}: expected a tensor of numbers, found "
            f"{value.type.WhichOneof('value')} of element type {kind.elem_type}"
        )
    dims = [int(dim.dim_value) if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    if dims and not kind.shape.dim[0].HasField("dim_value"):
        dims[0] = batch
    if not 1 <= len(dims) <= 4 or not all(1 <= dim <= 65536 for dim in dims) or not value.name:
        raise ModelRefusedError(
            f"{name}: {side} {value.name!a}: expected a name and 1 to 4 dimensions of 1 to 65536, "
            f"found {dims} (0 is an open one)"
        )
    if math.prod(dims) > VALUES_MAX:
        raise ModelRefusedError(
            f"{name}: {side} {value.name!a}: expected at most {VALUES_MAX} values, found {dims}"
        )
    return TensorSpec(name=value.name, dtype=dtype, shape=dims)


def _well_formed(name: str, model: Proto) -> None:
    """What onnx itself checks: attributes of each operator, single assignment, order."""
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelRefusedError(f"{name}: not a valid ONNX model: {_line(error)}") from error


def _line(error: Exception) -> str:
    """The first line of a foreign message, inert and short."""
    return ascii((str(error).strip().splitlines() or [type(error).__name__])[0][:200])[1:-1]
