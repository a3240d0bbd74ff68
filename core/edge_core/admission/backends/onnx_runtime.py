"""ONNX Runtime: the usual one."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edge_core.admission.backends.protocol import Arrays, only, refused, wanted
from edge_core.contracts.artefact import TensorSpec

CPU = "CPUExecutionProvider"


class OnnxRuntime:
    """One `.onnx` file; what the providers asked for cannot compute falls to the CPU."""

    def __init__(self, providers: Sequence[str] = ()) -> None:
        assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1", "set before import"  # noqa: S101 - ours
        import onnxruntime  # noqa: PLC0415 - heavy, and starts an uploader unless told not to

        onnxruntime.disable_telemetry_events()
        self._library = onnxruntime
        self._asked = list(providers) or [CPU]
        self._session: Any = None  # untyped library
        self._names: tuple[list[str], list[str]] = ([], [])

    def load(
        self,
        files: Mapping[str, bytes],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        """See `Backend.load`."""
        content = only(files, ".onnx")
        here = wanted("onnxruntime", self._asked, self._library.get_available_providers())
        options = self._library.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = self._library.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        # Without this, bytes that begin like its own flat format would be read as such.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        try:
            self._session = self._library.InferenceSession(content, options, providers=here)
        except Exception as error:
            raise refused("onnxruntime", error) from error
        self._names = ([spec.name for spec in inputs], [spec.name for spec in outputs])

    def run(self, inputs: Arrays) -> Arrays:
        """See `Backend.run`."""
        given, outputs = self._names
        made: Arrays = self._session.run(outputs, dict(zip(given, inputs, strict=True)))
        return made

    def used(self) -> Sequence[str]:
        """See `Backend.used`: which provider got how many nodes, not which were registered."""
        placed: Counter[str] = Counter()
        for part in self._session.get_provider_graph_assignment_info():
            placed[part.ep_name] += len(part.get_nodes())
        return [f"{name} ({nodes} nodes)" for name, nodes in placed.most_common()]
