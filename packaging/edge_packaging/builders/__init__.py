"""Builders: one module a runtime, each turns a form of the model into the files of one target."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import ModelSignature, Target
from edge_core.contracts.remote import REMOTE
from edge_packaging.builders.litert import build_litert
from edge_packaging.builders.onnxruntime import build_onnxruntime
from edge_packaging.builders.openvino import build_openvino
from edge_packaging.builders.remote import build_remote
from edge_packaging.errors import NotBuildableError
from edge_packaging.sources import Sources

# What a server computes in is its own affair, so its target may say anything.
PRECISIONS: Final = {
    "onnxruntime": ("fp32",),
    "openvino": ("fp32",),
    "litert": ("fp32",),
    REMOTE: ("fp32", "fp16", "bf16", "int8", "int4"),
}
TENSORRT: Final = "tensorrt"

Build = Callable[[Path], list[ModelFile]]
Form = TypeVar("Form")


def builder(forms: Sources, signature: ModelSignature, target: Target) -> Build:
    """What makes the files of *target* in a folder; it raises `NotBuildableError` as well.

    Raises:
        NotBuildableError: nobody here builds that runtime or precision, or there is no form of
            the model that it could be built from.
    """
    _check(signature, target)
    match target.runtime:
        case "openvino":
            return partial(build_openvino, _there(forms.onnx, target, "an .onnx"), target)
        case "litert":
            return partial(build_litert, _there(forms.tflite, target, "a .tflite"))
        case "remote":
            return partial(build_remote, _there(forms.remote, target, "a table [remote]"))
        case _:
            return partial(build_onnxruntime, _there(forms.onnx, target, "an .onnx"))


def _check(signature: ModelSignature, target: Target) -> None:
    if target.precision not in PRECISIONS.get(target.runtime, ()):
        offered = ", ".join(
            f"{runtime}/{each}" for runtime, all_of in PRECISIONS.items() for each in all_of
        )
        why = ""
        if target.runtime == TENSORRT:
            why = "an engine is machine code for the GPU and TensorRT of the box it is built on: "
        raise NotBuildableError(f"{target}: {why}expected one of {offered}")
    batch = signature.inputs[0].shape[0]
    if target.batch != batch:
        raise NotBuildableError(f"{target}: expected b{batch}, the batch of signature.json")


def _there(form: Form | None, target: Target, what: str) -> Form:
    if form is None:
        raise NotBuildableError(f"{target}: expected {what} to build it from, found none")
    return form
