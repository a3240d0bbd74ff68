"""Which forms of one model a build starts from, and which of them the others are held against."""

from dataclasses import dataclass
from pathlib import Path

from edge_core.admission.model import ModelFile
from edge_core.contracts.remote import RemoteModel
from edge_packaging.config import BuildConfig
from edge_packaging.errors import BuildConfigError

ONNX, TFLITE = ".onnx", ".tflite"
RUNTIMES = {ONNX: "onnxruntime", TFLITE: "litert"}  # what says how a source answers


@dataclass(frozen=True, slots=True)
class Sources:
    """The forms that there are of one model.

    Attributes:
        source: what every target is held against; None where only a server has the model.
        runtime: what runs it.
        onnx: what ONNX Runtime and OpenVINO are built from.
        tflite: what LiteRT is built from.
        remote: the model's name at a server.
    """

    source: ModelFile | None
    runtime: str
    onnx: Path | None
    tflite: Path | None
    remote: RemoteModel | None


def sources_of(config: BuildConfig) -> Sources:
    """The forms that *config* names; nothing is read.

    Raises:
        BuildConfigError: a file is of another kind than its setting is for.
    """
    named, lite = config.source, config.tflite
    kind = ONNX if named is None else named.suffix
    if kind not in RUNTIMES:
        raise BuildConfigError(f"source {named}: expected an .onnx or a .tflite")
    if lite is not None and (named is None or kind != ONNX or lite.suffix != TFLITE):
        raise BuildConfigError(
            f"tflite {lite}: expected a .tflite beside a source that is an .onnx, found source "
            f"{named or 'none'}"
        )
    return Sources(
        source=None if named is None else ModelFile(name=f"model{kind}", path=named),
        runtime=RUNTIMES[kind],
        onnx=named if kind == ONNX else None,
        tflite=named if kind == TFLITE else lite,
        remote=config.remote,
    )
