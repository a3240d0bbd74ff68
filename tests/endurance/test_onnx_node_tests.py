"""The ONNX project's own node tests: what ONNX Runtime passes comes out of a worker the same.

The tests ship in the onnx package and are made when they are asked for. What a signature cannot
describe (text, sequences, tensors without a value) and what ONNX Runtime itself does not run is
refused in one line; an answer that holds NaN or infinity is a model error, as it is at the line.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx.backend.test.loader import load_model_tests

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.limited import ENVIRONMENT
from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import ModelSignature
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.errors import ModelFailedError
from edge_runtime.inference.spec import EngineConfig, LoadSpec
from tests.simulators.good_models import signature

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # the tests divide by zero on purpose
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

DIGEST = "sha256:" + "0d" * 32
EXPECTED = {
    "same answer",
    "same answer, not the test's",  # ONNX Runtime differs from the test, and so do we
    "another each time, and never the test's",  # dropout draws its mask anew
    "no signature",
    "refused",
    "model error",
}
PASSED_MIN = 1000  # of the tests of one onnx release; far fewer means that we do not see them

Arrays = list[Any]  # arrays of any dtype; for some tests lists of them, or nothing


@dataclass(frozen=True)
class Case:
    """One node test: a model, what goes in, and what must come out."""

    name: str
    content: bytes
    inputs: dict[str, Any]  # arrays, lists of them, or nothing
    outputs: list[str]
    expected: list[Any]
    rtol: float
    atol: float


def cases() -> Iterator[Case]:
    """Every data set of every node test."""
    for test in load_model_tests(kind="node"):
        proto: Any = test.model  # onnx has no usable types
        sets: Any = test.data_sets  # likewise: it also holds scalars, lists and nothing
        inputs = [each.name for each in proto.graph.input]
        for given, expected in sets:
            yield Case(
                name=test.name,
                content=proto.SerializeToString(),
                inputs={
                    name: np.asarray(each) if isinstance(each, np.generic) else each
                    for name, each in zip(inputs, given, strict=False)
                },
                outputs=[each.name for each in proto.graph.output],
                expected=list(expected),
                rtol=test.rtol,
                atol=test.atol,
            )


class Peer:
    """ONNX Runtime alone, as its users call it."""

    def __init__(self) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = ENVIRONMENT["ORT_DISABLE_TELEMETRY"]
        import onnxruntime  # noqa: PLC0415 - starts an uploader unless told not to

        self._library: Any = onnxruntime
        self._options: Any = onnxruntime.SessionOptions()
        self._options.log_severity_level = 4
        self._options.intra_op_num_threads = 1

    def run(self, case: Case) -> Arrays | None:
        """Its outputs, or None where it does not run the model."""
        try:
            session = self._library.InferenceSession(
                case.content, self._options, providers=["CPUExecutionProvider"]
            )
            return list(session.run(case.outputs, case.inputs))
        except Exception:  # noqa: BLE001 - of any kind; that is what is asked
            return None


def passes(case: Case, made: Arrays) -> bool:
    """Whether *made* is what the test expects, judged as onnx's own runner does."""
    if len(made) != len(case.expected):
        return False
    for have, want in zip(made, case.expected, strict=True):
        if not isinstance(have, np.ndarray) or have.dtype != want.dtype:
            return False
        if have.shape != want.shape or have.dtype.kind not in "biuf":
            return False
        if not np.allclose(have, want, case.rtol, case.atol, equal_nan=True):
            return False
    return True


def described(case: Case, made: Arrays) -> ModelSignature | None:
    """The signature of a model with these tensors, None where none can say it."""
    try:
        inputs = [tensor(name, values) for name, values in case.inputs.items()]
        outputs = [tensor(name, values) for name, values in zip(case.outputs, made, strict=True)]
        fields = {"inputs": inputs, "outputs": outputs}
        usual = msgspec.to_builtins(signature())
        return msgspec.convert({**usual, **fields}, ModelSignature)
    except (msgspec.ValidationError, AttributeError):
        return None


def tensor(name: str, values: Any) -> dict[str, Any]:
    """What a tensor is, still to be checked."""
    dtype = values.dtype.name if values.dtype.kind in "biuf" else "text"
    return {"name": name, "dtype": dtype, "shape": list(values.shape)}


async def outcome(engine: Engine, case: Case, peer: Peer, path: Path) -> str:
    """What became of one test, in words; every other words than those expected fail it."""
    made = peer.run(case)
    passed = made is not None and passes(case, made)
    shown = described(case, case.expected if made is None else made)
    if shown is None:
        return "no signature"
    await asyncio.to_thread(path.write_bytes, case.content)
    try:
        found = await through_a_worker(engine, case, shown, path)
    except ModelRefusedError as error:
        word, finite = f"refused: {error}", True
    except ModelFailedError as error:
        finite = made is not None and all(np.isfinite(each).all() for each in made)
        word = f"model error: {error}"
    else:
        return judged(found, made, passed=passed)
    if (passed and finite) or not word.isprintable():
        return f"passed, but {word}"
    return word.partition(":")[0]


async def through_a_worker(
    engine: Engine, case: Case, shown: ModelSignature, path: Path
) -> tuple[NDArray[Any], ...]:  # of any dtype
    """The outputs of *case*, computed where a gateway computes them."""
    inputs = tuple(case.inputs.values())
    worker = await engine.load(
        LoadSpec(
            digest=DIGEST,
            runtime="onnxruntime",
            files=(ModelFile(name="model.onnx", path=path),),
            signature=shown,
            warm=inputs,
            slots=1,
            spare=False,
            deadline_s=20.0,
        )
    )
    try:
        return await worker.run(inputs)
    finally:
        worker.close()


def judged(found: tuple[NDArray[Any], ...], made: Arrays | None, *, passed: bool) -> str:
    """How the worker's answer compares with ONNX Runtime's own."""
    if made is None:
        return "runs here, and not in ONNX Runtime alone"
    same = all(
        have.dtype == want.dtype and np.allclose(have, want, 1e-6, 1e-7)
        for have, want in zip(found, made, strict=True)
    )
    if same:
        return "same answer" if passed else "same answer, not the test's"
    return "another answer" if passed else "another each time, and never the test's"


async def test_node_tests(tmp_path: Path) -> None:
    """Each of the node tests that ONNX Runtime passes gives the same answer through a worker."""
    peer = Peer()
    found: Counter[str] = Counter()
    wrong: list[str] = []
    async with open_engine(EngineConfig()) as engine:
        for case in cases():
            word = await outcome(engine, case, peer, tmp_path / "model")
            if word in EXPECTED:
                found[word] += 1
            else:
                wrong.append(f"{case.name}: {word}")
    print(dict(found))  # noqa: T201 - how many of each, for whoever looks
    assert not wrong
    assert found["same answer"] >= PASSED_MIN
