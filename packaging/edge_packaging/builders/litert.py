"""The LiteRT target: the admitted flatbuffer itself, byte for byte."""

import shutil
from pathlib import Path

from edge_core.admission.model import ModelFile


def build_litert(source: Path, folder: Path) -> list[ModelFile]:
    """Copy *source* to `model.tflite`; nobody here converts to this form."""
    path = folder / "model.tflite"
    shutil.copyfile(source, path)
    return [ModelFile(name=path.name, path=path)]
