"""ONNX Runtime: the usual one."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edge_core.admission.backends.protocol import Arrays, only, refused, wanted
from edge_core.contracts.artefact import TensorSpec

CPU = "CPUExecutionProvider"


def _part(field: int, content: bytes) -> bytes:
    """A field of a protobuf message that is itself a message or a text, below 128 bytes."""
    return bytes((field << 3 | 2, len(content))) + content


_ONE_FLOAT = _part(1, b"\x08\x01" + _part(2, _part(1, b"\x08\x01")))
_COPIES = (
    _part(1, _part(1, b"x") + _part(2, b"y") + _part(4, b"Identity"))  # the only node
    + _part(2, b"copy")
    + _part(11, _part(1, b"x") + _part(2, _ONE_FLOAT))
    + _part(12, _part(1, b"y") + _part(2, _ONE_FLOAT))
)
COPY = b"\x08\x08" + _part(7, _COPIES) + _part(8, b"\x10\x11")
"""A model that copies one number: ONNX's IR version 8, its own operators of version 17."""


def warm() -> None:
    """Load `COPY`, so that what a first session sets up is there for every process forked later.

    A first session takes 8.5 ms and touches 880 pages; one in a process forked after this takes
    2.4 ms and touches 350.
    """
    OnnxRuntime().load({"copy.onnx": COPY}, [], [])


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
