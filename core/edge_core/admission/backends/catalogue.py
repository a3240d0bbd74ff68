"""Which class runs which runtime; it is imported when one is opened."""

import importlib
from typing import Any, Final

from edge_core.admission.backends.protocol import USUAL_PLAN, Backend, BackendPlan
from edge_core.admission.errors import ModelRefusedError

_HERE: Final = "edge_core.admission.backends"
BACKENDS: Final = {
    "onnxruntime": f"{_HERE}.onnx_runtime:OnnxRuntime",
    "openvino": f"{_HERE}.open_vino:OpenVino",
    "litert": f"{_HERE}.lite_rt:LiteRt",
    "tensorrt": f"{_HERE}.tensor_rt:TensorRt",
}


def open_backend(runtime: str, plan: BackendPlan = USUAL_PLAN) -> Backend:
    """The backend of *runtime*, with nothing loaded.

    Raises:
        ModelRefusedError: there is no such runtime, or it is not installed here.
    """
    place = plan.backend or BACKENDS.get(runtime)
    if place is None:
        raise ModelRefusedError(f"runtime {runtime!a}: expected one of {', '.join(BACKENDS)}")
    module, _, name = place.partition(":")
    try:
        make: Any = getattr(importlib.import_module(module), name)  # a class, by its name
        backend: Backend = make(plan.providers)
    except (ImportError, AttributeError) as error:
        raise ModelRefusedError(
            f"runtime {runtime!a}: not installed on this machine: {str(error)[:200]!a}"
        ) from error
    return backend
