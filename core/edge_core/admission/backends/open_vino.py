"""OpenVINO: for large networks on Intel's processors."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_core.admission.backends.protocol import Arrays, only, refused, wanted
from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import TensorSpec

CPU = "CPU"


class OpenVino:
    """One `.xml` with one `.bin`, in float32 even where the CPU has bfloat16."""

    def __init__(self, providers: Sequence[str] = ()) -> None:
        # Its package imports a usage reporter when that is installed; it also runs without.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # blocks it
        import openvino  # noqa: PLC0415 - heavy

        self._library = openvino
        self._asked = list(providers) or [CPU]
        self._compiled: Any = None  # untyped library
        self._request: Any = None  # likewise
        self._inputs: list[Any] = []  # likewise
        self._outputs: list[Any] = []  # likewise

    def load(
        self,
        files: Mapping[str, bytes],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        """See `Backend.load`."""
        topology, weights = only(files, ".xml"), only(files, ".bin")
        core = self._library.Core()
        here = wanted("openvino", self._asked, core.available_devices)
        try:
            self._compiled = core.compile_model(
                core.read_model(model=topology, weights=weights),
                here[0],
                {
                    "INFERENCE_PRECISION_HINT": "f32",
                    "INFERENCE_NUM_THREADS": 1,
                    "NUM_STREAMS": 1,
                    "PERFORMANCE_HINT": "LATENCY",
                },
            )
            self._inputs = [self._compiled.input(spec.name) for spec in inputs]
            self._outputs = [self._compiled.output(spec.name) for spec in outputs]
            self._request = self._compiled.create_infer_request()
        except Exception as error:
            raise refused("openvino", error) from error
        for spec, port in zip((*inputs, *outputs), (*self._inputs, *self._outputs), strict=True):
            _check(spec, port)

    def run(self, inputs: Arrays) -> Arrays:
        """See `Backend.run`."""
        made = self._request.infer(dict(zip(self._inputs, inputs, strict=True)))
        return [made[output] for output in self._outputs]

    def used(self) -> Sequence[str]:
        """See `Backend.used`: the devices, and the precision it computes in."""
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        return [
            f"{device} ({precision})"
            for device in self._compiled.get_property("EXECUTION_DEVICES")
        ]


def _check(spec: TensorSpec, port: Any) -> None:  # untyped library
    """Its own conversion between types would hide that a model is not what was signed."""
    found = str(np.dtype(port.element_type.to_dtype()))
    shape = [int(each) for each in port.shape] if port.partial_shape.is_static else spec.shape
    if found != spec.dtype or shape != spec.shape:
        raise ModelRefusedError(
            f"openvino does not load it: {spec.name!a}: expected {spec.dtype} {spec.shape}, "
            f"found {found} {shape}"
        )
