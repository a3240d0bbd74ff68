"""Models that nobody should load, each with the word that its refusal must hold.

Every entry is a sentence about what is wrong. The bytes are made here and nowhere stored: what
attackers and broken exporters do to ONNX files; what they do to OpenVINO's is in `bad_pairs`.
"""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.simulators.bad_pairs import HUGE, BadModel, bad_pairs
from tests.simulators.good_models import (
    CLASSES,
    WIDTH,
    Proto,
    forest_proto,
    mlp_proto,
    model,
    value,
    weight,
)


def _onnx(content: bytes, says: str) -> BadModel:
    return BadModel({"model.onnx": content}, says)


def _changed(change: Callable[[Proto], object], says: str, proto: Proto | None = None) -> BadModel:
    """The small good model after *change*."""
    changed = mlp_proto() if proto is None else proto
    change(changed)
    return _onnx(changed.SerializeToString(), says)


def _with_node(
    says: str, *nodes: Proto, weights: tuple[Proto, ...] = (), **more: Any
) -> BadModel:  # for make_model
    """A model with *nodes* in front of a plain product."""
    last = helper.make_node("MatMul", ["x", "w"], ["scores"])
    given = [weight("w", np.ones((WIDTH, CLASSES))), *weights]
    return _onnx(model([*nodes, last], given, **more).SerializeToString(), says)


def _external(tensor: Proto, location: str, offset: str = "0") -> None:
    """Point *tensor* outside of the file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, said in (("location", location), ("offset", offset), ("length", "512")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, said


def _outside(location: str, offset: str = "0") -> BadModel:
    return _changed(
        lambda proto: _external(proto.graph.initializer[0], location, offset), "external data"
    )


def _hidden_constant() -> BadModel:
    tensor = weight("hidden", np.ones(4))
    _external(tensor, "../outside.bin")
    return _with_node("external data", helper.make_node("Constant", [], ["k"], value=tensor))


def _branch(depth: int, weights: list[Proto] | None = None) -> Proto:
    """A graph that chooses, *depth* times inside one another."""
    if depth == 0:
        node = helper.make_node("Constant", [], ["b"], value=weight("one", np.ones(1)))
        return helper.make_graph([node], "leaf", [], [value("b", (1,))], weights or [])
    inner = _branch(depth - 1, weights)
    node = helper.make_node("If", ["yes"], ["b"], then_branch=inner, else_branch=_branch(0))
    return helper.make_graph([node], f"level-{depth}", [], [value("b", (1,))])


def _nested(depth: int, says: str, weights: list[Proto] | None = None) -> BadModel:
    choose = helper.make_node(
        "If", ["yes"], ["b"], then_branch=_branch(depth, weights), else_branch=_branch(0)
    )
    yes = numpy_helper.from_array(np.ones((), np.bool_), "yes")
    return _with_node(says, choose, weights=(yes,))


def _external_in_branch() -> BadModel:
    tensor = weight("deep", np.ones(4))
    _external(tensor, "/etc/passwd")
    return _nested(1, "external data", [tensor])


def _loop(operator: str) -> BadModel:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["go"]),
            helper.make_node("Identity", ["v"], ["u"]),
        ],
        "body",
        [
            value("i", (), TensorProto.INT64),
            value("again", (), TensorProto.BOOL),
            value("v", (1,)),
        ],
        [value("go", (), TensorProto.BOOL), value("u", (1,))],
    )
    weights = (
        numpy_helper.from_array(np.array(10**15), "n"),
        numpy_helper.from_array(np.ones((), np.bool_), "yes"),
        weight("v0", np.ones(1)),
    )
    node = helper.make_node(operator, ["n", "yes", "v0"], ["vn"], body=body)
    return _with_node(f"operator {operator}", node, weights=weights)


def _sizes(name: str, *values: int) -> Proto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def _bomb(operator: str, inputs: list[str], *weights: Proto) -> BadModel:
    return _with_node(operator, helper.make_node(operator, inputs, ["big"]), weights=weights)


def _doubling() -> BadModel:
    """Forty small steps, each twice as much as the last."""
    nodes = [
        helper.make_node("Concat", [f"d{at}", f"d{at}"], [f"d{at + 1}"], axis=0)
        for at in range(40)
    ]
    return _with_node("Concat makes", *nodes, weights=(weight("d0", np.ones(1024)),))


def _value_sized() -> BadModel:
    """The size of the output is computed from the window itself."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["n"], to=TensorProto.INT64),
        helper.make_node("Range", ["zero", "n", "step"], ["big"]),
    ]
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    step = numpy_helper.from_array(np.array(1, np.int64), "step")
    return _with_node("depends on values", *nodes, weights=(zero, step))


def _tensor(change: Callable[[Proto], object], says: str) -> BadModel:
    return _changed(lambda proto: change(proto.graph.initializer[1]), says)


def _fill(tensor: Proto, number: float) -> None:
    tensor.raw_data = np.full(16, number, np.float32).tobytes()


def _typed_nan(tensor: Proto) -> None:
    tensor.ClearField("raw_data")
    tensor.float_data.extend([float("nan")] * 16)


def _rename(name: str, says: str = "printable") -> BadModel:
    def change(proto: Proto) -> None:
        proto.graph.node[0].name = name

    return _changed(change, says)


def _function() -> BadModel:
    local = helper.make_function(
        "custom",
        "Local",
        ["a"],
        ["b"],
        [helper.make_node("Relu", ["a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    return _changed(lambda proto: proto.functions.append(local), "local functions")


def _deep_bytes(levels: int) -> bytes:
    """A type inside a sequence inside a type, and so on: small, and deadly to recursion."""
    inner = b""
    for _ in range(levels):
        inner = b"\x0a" + _varint(len(inner)) + inner  # Sequence.elem_type
        inner = b"\x22" + _varint(len(inner)) + inner  # Type.sequence_type
    info = b"\x0a\x01x" + b"\x12" + _varint(len(inner)) + inner
    graph = b"\x5a" + _varint(len(info)) + info
    return b"\x08\x09" + b"\x3a" + _varint(len(graph)) + graph


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../etc/cron.d/model.onnx", mlp_proto().SerializeToString())
    return packed.getvalue()


def _files() -> dict[str, BadModel]:
    good = mlp_proto().SerializeToString()
    graph = b"\x3a" + _varint(len(good)) + good
    return {
        "an empty file": _onnx(b"", "empty"),
        "random bytes": _onnx(np.random.default_rng(1).bytes(4096), "model.onnx"),
        "a zip archive": _onnx(_zip(), "model.onnx"),
        "a web page": _onnx(b"<!doctype html><title>404</title>", "model.onnx"),
        "a model cut in half": _onnx(good[: len(good) // 2], "cut short"),
        "a model without its last byte": _onnx(good[:-1], "model.onnx"),
        "bytes after the model": _onnx(good + b"\xfa\x7f\x03abc", "does not define"),
        "a second graph that parsers merge": _onnx(good + graph, "twice"),
        "a number longer than 10 bytes": _onnx(b"\x08" + b"\xff" * 11, "longer than 10"),
        "a length beyond the file": _onnx(b"\x3a\xff\xff\xff\xff\x0f", "cut short"),
        "an ancient group field": _onnx(good + b"\x0b", "expected a protobuf field"),
        "messages nested a thousand deep": _onnx(_deep_bytes(500), "nested messages"),
        "a flat file of another runtime": _onnx(
            b"\x1c\x00\x00\x00ORTM" + b"\0" * 64, "model.onnx"
        ),
        "two models at once": BadModel({"a.onnx": good, "b.onnx": good}, "expected one .onnx"),
        "a pickle": BadModel({"model.pkl": b"\x80\x04."}, "expected one .onnx"),
    }


def _outsides() -> dict[str, BadModel]:
    return {
        "weights above the folder": _outside("../../secret.bin"),
        "weights at an absolute path": _outside("/etc/passwd"),
        "weights behind a link": _outside("weights-link.bin"),
        "weights at a memory address": _outside("*/_ORT_MEM_ADDR_/*", "140000000000000"),
        "weights at a huge offset": _outside("weights.bin", str(2**62)),
        "outside weights in an attribute": _hidden_constant(),
        "outside weights inside a branch": _external_in_branch(),
    }


def _bombs() -> dict[str, BadModel]:
    one = weight("one", np.ones(1))
    zero, step = (numpy_helper.from_array(np.array(at, np.int64), f"z{at}") for at in (0, 1))
    end = numpy_helper.from_array(np.array(HUGE, np.int64), "end")
    return {
        "a constant of forty gigabytes": _bomb("ConstantOfShape", ["s"], _sizes("s", HUGE)),
        "an expansion to forty gigabytes": _bomb("Expand", ["one", "s"], one, _sizes("s", HUGE)),
        "tiles of forty gigabytes": _bomb("Tile", ["one", "s"], one, _sizes("s", HUGE)),
        "a range of ten billion": _bomb("Range", ["z0", "end", "z1"], zero, end, step),
        "padding of forty gigabytes": _bomb("Pad", ["one", "s"], one, _sizes("s", 0, HUGE)),
        "forty steps that each double": _doubling(),
        "a size that the window decides": _value_sized(),
        "a loop of a billion rounds": _loop("Loop"),
        "a scan": _loop("Scan"),
        "choices nested ten deep": _nested(10, "nest"),
        "a shape without its weights": _tensor(
            lambda tensor: tensor.dims.__setitem__(slice(None), [HUGE]), "means"
        ),
        "a shape beyond all numbers": _tensor(
            lambda tensor: tensor.dims.__setitem__(slice(None), [2**40, 2**40]), "means"
        ),
        "thirty thousand nodes": _with_node(
            "at most",
            *[helper.make_node("Identity", ["x"], [f"i{at}"]) for at in range(30_000)],
        ),
    }


def _weights() -> dict[str, BadModel]:
    return {
        "weights shorter than their shape": _tensor(
            lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-4]), "expects 64 bytes"
        ),
        "weights longer than their shape": _tensor(
            lambda tensor: setattr(tensor, "raw_data", tensor.raw_data + b"1234"), "found 68"
        ),
        "weights in two places": _tensor(
            lambda tensor: tensor.float_data.append(1.0), "found two"
        ),
        "a negative dimension": _tensor(
            lambda tensor: tensor.dims.__setitem__(slice(None), [-16]), "negative"
        ),
        "weights that are not numbers": _tensor(lambda tensor: _fill(tensor, np.nan), "NaN"),
        "infinite weights": _tensor(lambda tensor: _fill(tensor, -np.inf), "NaN or infinity"),
        "typed weights that are not numbers": _tensor(_typed_nan, "NaN"),
        "a forest with a threshold that is no number": _onnx(
            forest_proto(float("nan")).SerializeToString(), "nodes_values"
        ),
        "an unknown element type": _tensor(
            lambda tensor: setattr(tensor, "data_type", 99), "element type 99"
        ),
        "weights of text": _tensor(
            lambda tensor: setattr(tensor, "data_type", TensorProto.STRING), "element type"
        ),
        "a sparse weight": _changed(
            lambda proto: proto.graph.sparse_initializer.append(
                helper.make_sparse_tensor(weight("s", np.ones(1)), _sizes("at", 0), [4])
            ),
            "sparse",
        ),
    }


def _graphs() -> dict[str, BadModel]:
    custom = [helper.make_opsetid("", 17), helper.make_opsetid("com.evil", 1)]
    microsoft = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return {
        "an unknown domain": _with_node(
            "com.evil",
            helper.make_node("Own", ["x"], ["y"], domain="com.evil"),
            opset_imports=custom,
        ),
        "a node of a domain that is not declared": _with_node(
            "com.evil", helper.make_node("Own", ["x"], ["y"], domain="com.evil")
        ),
        "a vendor's operator": _with_node(
            "com.microsoft",
            helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"),
            opset_imports=microsoft,
        ),
        "an opset from the future": _with_node(
            "found 999", opset_imports=[helper.make_opsetid("", 999)]
        ),
        "an opset from the past": _with_node(
            "found 3", opset_imports=[helper.make_opsetid("", 3)]
        ),
        "no opset": _changed(lambda proto: proto.ClearField("opset_import"), "found none"),
        "two opsets of one domain": _changed(
            lambda proto: proto.opset_import.append(helper.make_opsetid("ai.onnx", 18)),
            "17 and 18",
        ),
        "local functions": _function(),
        "training information": _changed(lambda proto: proto.training_info.add(), "training"),
        "an operator that does not exist": _with_node(
            "no operator", helper.make_node("Teleport", ["x"], ["y"])
        ),
        "random numbers": _with_node(
            "other values", helper.make_node("RandomNormal", [], ["y"], shape=[1])
        ),
        "a graph without nodes": _changed(
            lambda proto: proto.graph.ClearField("node"), "found none"
        ),
        "a value made twice": _changed(
            lambda proto: proto.graph.node.append(proto.graph.node[0]), "not a valid"
        ),
        "nodes in a circle": _changed(
            lambda proto: proto.graph.node[0].input.__setitem__(0, "l"), "not a valid"
        ),
        "an operator with too few inputs": _with_node(
            "not a valid", helper.make_node("MatMul", ["x"], ["y"])
        ),
        "shapes that do not fit": _with_node(
            "do not fit", helper.make_node("MatMul", ["x", "x"], ["y"])
        ),
        "a terminal escape in a name": _rename("\x1b[2J\x1b[31mAPPROVED"),
        "a name that runs right to left": _rename("model\u202egnp.exe"),
        "a line break in a name": _rename("ok\n2026 level=info gate=PASS"),
        "a name of ten thousand letters": _rename("n" * 10_000),
    }


def _interfaces() -> dict[str, BadModel]:
    def rename_input(proto: Proto) -> None:
        proto.graph.input[0].name = proto.graph.node[0].input[0] = "features"

    def batch_of_two(proto: Proto) -> None:
        for side in (proto.graph.input[0], proto.graph.output[0]):
            side.type.tensor_type.shape.dim[0].dim_value = 2

    def no_shape(proto: Proto) -> None:
        proto.graph.input[0].type.tensor_type.ClearField("shape")

    def doubles(proto: Proto) -> None:
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE

    def open_width(proto: Proto) -> None:
        proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "W"

    return {
        "an input of another name": _changed(rename_input, "features"),
        "another batch": _changed(batch_of_two, "[2, 8]"),
        "an input without a shape": _changed(no_shape, "dimensions"),
        "an input of doubles": _changed(doubles, "the signature expects float32"),
        "an open width": _changed(open_width, "0 is an open one"),
        "an input of a billion values": _changed(
            lambda proto: proto.graph.input[0].CopyFrom(value("x", (1, 40_000, 30_000))),
            "values",
        ),
        "an input more": _changed(
            lambda proto: proto.graph.input.append(value("extra", (1, 2))), "extra"
        ),
        "an output more": _changed(
            lambda proto: proto.graph.output.append(value("h", (1, 16))), "outputs"
        ),
        "no output": _changed(lambda proto: proto.graph.ClearField("output"), "found 0"),
        "an input that is a weight too": _changed(
            lambda proto: proto.graph.input.append(value("w1", (8, 16))), "weight as well"
        ),
        "an output that nothing makes": _changed(
            lambda proto: proto.graph.node[3].output.__setitem__(0, "other"),
            "not an output of any node",
        ),
    }


def bad_models() -> dict[str, BadModel]:
    """All of them, by what is wrong."""
    kinds = (_files, _outsides, _bombs, _weights, _graphs, _interfaces, bad_pairs)
    return {name: bad for kind in kinds for name, bad in kind().items()}
