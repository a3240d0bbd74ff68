"""The onnxruntime target: the admitted ONNX file itself, byte for byte."""

import shutil
from pathlib import Path

from edge_core.admission.model import ModelFile


def build_onnxruntime(source: Path, folder: Path) -> list[ModelFile]:
    """Copy *source* to `model.onnx`: what was validated is what ships."""
    path = folder / "model.onnx"
    shutil.copyfile(source, path)
    return [ModelFile(name=path.name, path=path)]
