"""The usual small model as a `.tflite`: the same weights, written without TensorFlow."""

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from onnx import numpy_helper

from tests.simulators.good_models import CLASSES, WIDTH, mlp_proto

Table = Any  # generated classes without types


def bad_lite(change: Callable[[Table], None]) -> bytes:
    """The small model after *change* to its tables."""
    return _mlp(16, 0, 1, change)


def mlp_lite(hidden: int = 16, seed: int = 0, batch: int = 1) -> bytes:
    """As `good_models.mlp`, for LiteRT and *batch* rows at once."""
    return _mlp(hidden, seed, batch, lambda _: None)


def _mlp(hidden: int, seed: int, batch: int, change: Callable[[Table], None]) -> bytes:
    proto: Any = mlp_proto(hidden, seed)  # onnx has no usable types
    weights = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    lite = _Lite()
    x = lite.tensor("x", [batch, WIDTH])
    first = lite.tensor("w1", [hidden, WIDTH], weights["w1"].T)
    bias = lite.tensor("b1", [hidden], weights["b1"])
    bent = lite.tensor("r", [batch, hidden])
    second = lite.tensor("w2", [CLASSES, hidden], weights["w2"].T)
    logits = lite.tensor("l", [batch, CLASSES])
    scores = lite.tensor("scores", [batch, CLASSES])
    relu = tfl.ActivationFunctionType.RELU
    lite.fully_connected([x, first, bias], bent, relu)
    lite.fully_connected([bent, second, -1], logits, tfl.ActivationFunctionType.NONE)
    lite.softmax(logits, scores)
    return lite.build([x], [scores], change)


class _Lite:
    """A model that grows tensor by tensor; buffer 0 is the empty one by convention."""

    def __init__(self) -> None:
        self._model: Table = tfl.ModelT()
        self._model.version = 3
        self._model.operatorCodes = []
        self._model.buffers = [tfl.BufferT()]
        self._graph: Table = tfl.SubGraphT()
        self._graph.tensors = []
        self._graph.operators = []
        self._model.subgraphs = [self._graph]

    def tensor(self, name: str, shape: list[int], values: Any = None) -> int:  # any float array
        """Its number."""
        made: Table = tfl.TensorT()
        made.name, made.shape, made.type, made.buffer = name, shape, tfl.TensorType.FLOAT32, 0
        if values is not None:
            buffer: Table = tfl.BufferT()
            raw = np.ascontiguousarray(values, np.float32).tobytes()
            buffer.data = np.frombuffer(raw, np.uint8)
            self._model.buffers.append(buffer)
            made.buffer = len(self._model.buffers) - 1
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def fully_connected(self, inputs: list[int], output: int, activation: int) -> None:
        """One dense layer; weights are of shape (out, in)."""
        options: Table = tfl.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation
        kind = tfl.BuiltinOptions.FullyConnectedOptions
        self._operator(tfl.BuiltinOperator.FULLY_CONNECTED, inputs, output, kind, options)

    def softmax(self, given: int, output: int) -> None:
        """Shares that sum to 1."""
        options: Table = tfl.SoftmaxOptionsT()
        options.beta = 1.0
        kind = tfl.BuiltinOptions.SoftmaxOptions
        self._operator(tfl.BuiltinOperator.SOFTMAX, [given], output, kind, options)

    def _operator(
        self, builtin: int, inputs: list[int], output: int, kind: int, options: Table
    ) -> None:
        code: Table = tfl.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
        self._model.operatorCodes.append(code)
        made: Table = tfl.OperatorT()
        made.opcodeIndex = len(self._model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType, made.builtinOptions = kind, options
        self._graph.operators.append(made)

    def build(
        self, inputs: list[int], outputs: list[int], change: Callable[[Table], None]
    ) -> bytes:
        """The file, after *change*."""
        self._graph.inputs, self._graph.outputs = inputs, outputs
        change(self._model)
        builder = flatbuffers.Builder(4096)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
