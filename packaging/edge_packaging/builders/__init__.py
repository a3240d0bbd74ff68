"""Builders: one module a runtime, each turns an ONNX source into the files of one target."""

from pathlib import Path
from typing import Final

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import ModelSignature, Target
from edge_packaging.builders.onnxruntime import build_onnxruntime
from edge_packaging.builders.openvino import build_openvino
from edge_packaging.errors import NotBuildableError

PRECISIONS: Final = {"onnxruntime": ("fp32",), "openvino": ("fp32",)}


def build(
    source: Path, signature: ModelSignature, target: Target, folder: Path
) -> list[ModelFile]:
    """The files of *target*, in *folder*.

    Raises:
        NotBuildableError: nobody here builds that runtime or precision, or the runtime cannot
            run the model.
    """
    if target.precision not in PRECISIONS.get(target.runtime, ()):
        offered = sorted(f"{r}/{p}" for r, all_of in PRECISIONS.items() for p in all_of)
        raise NotBuildableError(f"{target}: expected one of {', '.join(offered)}")
    if target.batch != signature.inputs[0].shape[0]:
        raise NotBuildableError(
            f"{target}: expected b{signature.inputs[0].shape[0]}, the batch of signature.json"
        )
    if target.runtime == "openvino":
        return build_openvino(source, target, folder)
    return build_onnxruntime(source, folder)
