"""The gate for LiteRT models: what plants run passes, the rest is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from edge_core.admission.admit import admit
from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.gate import static_gate
from edge_core.admission.model import GateLimits, ModelFile
from tests.simulators.good_models import mlp, signature, smoke
from tests.simulators.lite_models import bad_lite, mlp_lite

LIMITS = GateLimits()
GOOD = mlp_lite()

Change = Callable[[Any], None]  # generated tables without types


def test_good_is_admitted() -> None:
    """The small model passes, and its summary is what its signature says."""
    summary = static_gate({"model.tflite": GOOD}, signature(), LIMITS)
    assert (summary.format, summary.nodes) == ("litert", 3)
    assert summary.operators == {"FULLY_CONNECTED": 2, "SOFTMAX": 1}
    assert (summary.inputs, summary.outputs) == (signature().inputs, signature().outputs)
    assert summary.weight_bytes == 4 * (8 * 16 + 16 + 16 * 3)


@pytest.mark.anyio
async def test_admission_runs_it(tmp_path: Path) -> None:
    """In the limited child it reproduces the smoke vectors of the same layers in ONNX."""
    path = tmp_path / "blob"
    path.write_bytes(GOOD)
    files = [ModelFile(name="model.tflite", path=path)]
    found = await admit(files, signature(), smoke(mlp()), "litert")
    assert (found.runtime, found.cases) == ("litert", 3)
    assert found.error_max < 1e-4


def custom(model: Any) -> None:
    """Somebody's own operator."""
    model.operatorCodes[0].customCode = "Evil\n"


def operator(code: int) -> Change:
    """Another operator in the first one's place."""

    def change(model: Any) -> None:
        first = model.operatorCodes[0]
        first.builtinCode, first.deprecatedBuiltinCode = code, min(code, 127)

    return change


def two_graphs(model: Any) -> None:
    """A second graph, as control flow has it."""
    model.subgraphs = [*model.subgraphs, model.subgraphs[0]]


def not_finite(model: Any) -> None:
    """A weight that is no number."""
    model.buffers[1].data = np.full(16 * 8, np.nan, np.float32).view(np.uint8)


def short(model: Any) -> None:
    """A weight that ends before its shape does."""
    model.buffers[1].data = np.zeros(12, np.uint8)


def wide(model: Any) -> None:
    """A tensor that takes all memory."""
    model.subgraphs[0].tensors[3].shape = [65_536, 65_536]


def open_shape(model: Any) -> None:
    """A dimension that the file leaves open."""
    model.subgraphs[0].tensors[0].shapeSignature = [-1, 8]


def outside(model: Any) -> None:
    """A weight that lies behind the flatbuffer."""
    model.buffers[1].offset, model.buffers[1].size = 1 << 40, 64


def variable(model: Any) -> None:
    """A tensor that remembers the last window."""
    model.subgraphs[0].tensors[3].isVariable = True


def renamed(model: Any) -> None:
    """An input that is called otherwise."""
    model.subgraphs[0].tensors[0].name = "y\x1b[2J"


BAD: dict[str, tuple[Change, str]] = {
    "somebody's own operator": (custom, "is not one of LiteRT's own"),
    "a loop": (operator(schema.BuiltinOperator.WHILE), "operator WHILE is not admitted"),
    "a variable": (operator(schema.BuiltinOperator.VAR_HANDLE), "operator VAR_HANDLE is not"),
    "an operator that nobody knows": (operator(9999), "operator 0 is not admitted"),
    "two graphs": (two_graphs, "expected one graph of version 3, found 2"),
    "weights that are no numbers": (not_finite, "expected 128 finite numbers"),
    "weights that end early": (short, "expected 128 finite numbers"),
    "a tensor too large": (wide, "bytes of tensor r, found"),
    "an open dimension": (open_shape, "expected a fixed shape, found [-1, 8]"),
    "weights outside of the file": (outside, "lies outside of the flatbuffer"),
    "a memory of the last window": (variable, "variable, sparse or outside"),
    "another input": (renamed, "inputs: the signature expects"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_is_refused(name: str) -> None:
    """What nobody should load is refused, and the line says what is wrong in inert text."""
    change, says = BAD[name]
    with pytest.raises(ModelRefusedError) as refused:
        static_gate({"model.tflite": bad_lite(change)}, signature(), LIMITS)
    line = str(refused.value)
    assert says in line
    assert line.isascii()
    assert line.isprintable()


def test_other_bytes() -> None:
    """What is no LiteRT model at all is refused before anything reads it."""
    with pytest.raises(ModelRefusedError, match="expected a LiteRT model"):
        static_gate({"model.tflite": b"hello"}, signature(), LIMITS)


def judged(content: bytes) -> str:
    """The summary's format, or the refusal; anything else fails the test."""
    try:
        return static_gate({"model.tflite": content}, signature(), LIMITS).format
    except ModelRefusedError as error:
        return str(error)


@given(st.integers(8, len(GOOD) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_is_judged(at: int, noise: bytes) -> None:
    """Whatever is written into the file, the gate ends, with a summary or with a refusal."""
    said = judged(GOOD[:at] + noise + GOOD[at + len(noise) :])
    assert said == "litert" or said.startswith("model.tflite: ")
    assert said.isprintable()


@given(st.integers(0, len(GOOD) - 1))
def test_cut_short(length: int) -> None:
    """A file that ends early never raises anything but a refusal."""
    said = judged(GOOD[:length])
    assert said == "litert" or said.startswith("model.tflite: ")
    assert said.isprintable()
