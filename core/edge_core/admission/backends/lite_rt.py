"""LiteRT, which was TensorFlow Lite: for networks that were quantised for small machines."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_core.admission.backends.protocol import Arrays, only, refused, wanted
from edge_core.admission.errors import ModelRefusedError
from edge_core.contracts.artefact import TensorSpec

XNNPACK, PLAIN = "XNNPACK", "CPU"


class LiteRt:
    """One `.tflite` file with fixed shapes and built-in operators."""

    def __init__(self, providers: Sequence[str] = ()) -> None:
        from ai_edge_litert import interpreter  # noqa: PLC0415 - heavy, and an extra

        self._library = interpreter
        self._use = wanted("litert", list(providers) or [XNNPACK], [XNNPACK, PLAIN])[0]
        self._interpreter: Any = None  # untyped library
        self._inputs: list[int] = []
        self._outputs: list[int] = []

    def load(
        self,
        files: Mapping[str, bytes],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        """See `Backend.load`."""
        kinds = self._library.OpResolverType
        plain = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter = self._library.Interpreter(
                model_content=only(files, ".tflite"),
                num_threads=1,
                experimental_op_resolver_type=kinds.BUILTIN if self._use == XNNPACK else plain,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise refused("litert", error) from error
        self._inputs = _places("input", self._interpreter.get_input_details(), inputs)
        self._outputs = _places("output", self._interpreter.get_output_details(), outputs)

    def run(self, inputs: Arrays) -> Arrays:
        """See `Backend.run`."""
        for place, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(place, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(place) for place in self._outputs]

    def used(self) -> Sequence[str]:
        """See `Backend.used`."""
        return [self._use]


def _places(side: str, found: list[dict[str, Any]], wanted: Sequence[TensorSpec]) -> list[int]:
    """Where each wanted tensor is, by its name as the model's author knew it."""
    by_name = {_author_name(each["name"]): each for each in found}
    places = []
    for spec in wanted:
        each = by_name.get(_author_name(spec.name))
        if each is None:
            raise ModelRefusedError(
                f"litert does not load it: expected {side} {spec.name!a}, found {sorted(by_name)}"
            )
        shape, dtype = each["shape"].tolist(), np.dtype(each["dtype"]).name
        if math.prod(shape) != math.prod(spec.shape) or dtype != spec.dtype:
            raise ModelRefusedError(
                f"litert does not load it: {side} {spec.name!a}: expected {spec.dtype} "
                f"{spec.shape}, found {dtype} {shape}"
            )
        places.append(int(each["index"]))
    return places


def _author_name(name: str) -> str:
    """Without what the converter of TensorFlow puts before and behind."""
    return str(name).removeprefix("serving_default_").removesuffix(":0")
