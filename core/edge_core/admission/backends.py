"""The runtimes, each as a small class; a runtime is imported when one is opened, in a child only.

One thread and no telemetry: on a gateway the runtimes' own pools cost CPU and make the slowest
one per cent forty times slower, and a plant's machine reports to nobody.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import ModelSignature

RUNTIMES = ("onnxruntime", "openvino")


class Backend(Protocol):
    """One loaded model."""

    def load(
        self, files: Mapping[str, bytes], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Build the session from bytes by file name; inputs and outputs go by these names.

        Raises:
            ModelRefusedError: the files are not of this runtime, or it refused them.
        """

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> Sequence[NDArray[np.generic]]:
        """All outputs for all inputs, both in the order given to `load`."""


def open_backend(runtime: str) -> Backend:
    """The backend called *runtime*, with nothing loaded.

    Raises:
        ModelRefusedError: there is no such runtime here.
    """
    if runtime == "onnxruntime":
        return OnnxRuntime()
    if runtime == "openvino":
        return OpenVino()
    raise ModelRefusedError(f"runtime {runtime!a}: expected one of {', '.join(RUNTIMES)}")


class OnnxRuntime:
    """onnxruntime on the CPU."""

    def __init__(self) -> None:
        assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1", "set before import"  # noqa: S101 - ours
        import onnxruntime  # noqa: PLC0415 - heavy, and starts an uploader unless told not to

        self._library = onnxruntime
        self._session: Any = None  # untyped library
        self._names: tuple[list[str], list[str]] = ([], [])

    def load(
        self, files: Mapping[str, bytes], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """See `Backend.load`."""
        content = _only(files, ".onnx")
        options = self._library.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = self._library.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        # Without this, bytes that begin like its own flat format would be read as such.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = self._library.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _refused("onnxruntime", error) from error
        self._names = (list(inputs), list(outputs))

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> Sequence[NDArray[np.generic]]:
        """See `Backend.run`."""
        given, wanted = self._names
        made: list[NDArray[np.generic]] = self._session.run(
            wanted, dict(zip(given, inputs, strict=True))
        )
        return made


class OpenVino:
    """OpenVINO on the CPU, in float32 even where the CPU has bfloat16."""

    def __init__(self) -> None:
        # Its package imports a usage reporter when that is installed; it also runs without.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # blocks it
        import openvino  # noqa: PLC0415 - heavy

        self._library = openvino
        self._request: Any = None  # untyped library
        self._inputs: list[Any] = []  # likewise
        self._outputs: list[Any] = []  # likewise

    def load(
        self, files: Mapping[str, bytes], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """See `Backend.load`."""
        topology, weights = _only(files, ".xml"), _only(files, ".bin")
        try:
            core = self._library.Core()
            compiled = core.compile_model(
                core.read_model(model=topology, weights=weights),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "f32",
                    "INFERENCE_NUM_THREADS": 1,
                    "NUM_STREAMS": 1,
                    "PERFORMANCE_HINT": "LATENCY",
                },
            )
            self._inputs = [compiled.input(name) for name in inputs]
            self._outputs = [compiled.output(name) for name in outputs]
            self._request = compiled.create_infer_request()
        except Exception as error:
            raise _refused("openvino", error) from error

    def run(self, inputs: Sequence[NDArray[np.generic]]) -> Sequence[NDArray[np.generic]]:
        """See `Backend.run`."""
        made = self._request.infer(dict(zip(self._inputs, inputs, strict=True)))
        return [made[output] for output in self._outputs]


def tensor_names(signature: ModelSignature) -> tuple[list[str], list[str]]:
    """Names of the inputs and of the outputs, in order, as `Backend.load` takes them."""
    return [spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs]


def _only(files: Mapping[str, bytes], suffix: str) -> bytes:
    found = [content for name, content in files.items() if PurePosixPath(name).suffix == suffix]
    if len(found) != 1:
        raise ModelRefusedError(f"model files {sorted(files)}: expected exactly one {suffix}")
    return found[0]


def _refused(runtime: str, error: Exception) -> Exception:
    """A runtime's own exception as a refusal; memory stays memory, whoever ran out of it."""
    text = str(error)
    if isinstance(error, MemoryError) or out_of_memory(text):
        return MemoryError(text[:200])
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    return ModelRefusedError(f"{runtime} does not load it: {first[:200]!a}")


def out_of_memory(text: str) -> bool:
    """Whether a runtime's message says that an allocation failed."""
    return any(mark in text for mark in ("bad_alloc", "Failed to allocate", "allocate memory"))
