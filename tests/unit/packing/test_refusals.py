"""What is wrong with a kind of model is found before a release exists, and told in one line."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_packaging.__main__ import main
from tests.unit.packing.kinds import KINDS, ONNX, Kind

TAG = "pump-1.2.3"
CLASSIFIES = KINDS["a classification, for every runtime"]
LITE = KINDS["a classification from a LiteRT file alone"]
SERVED = KINDS["a model that only a server has"]
REGRESSION = KINDS["a regression in thousands"]
ANOMALY = KINDS["an anomaly"]
SEGMENTATION = KINDS["a segmentation of pictures"]
BYTES = KINDS["a classification of pictures in bytes"]

Plain = dict[str, Any]  # a signature as plain values


@dataclass(frozen=True, slots=True)
class Wrong:
    """A kind with one thing wrong: how the build ends, and what the line must say.

    Attributes:
        contract: changes `signature.json`.
        archive: changes `windows.npz`.
    """

    kind: Kind
    exit_code: int
    says: str
    contract: Callable[[Plain], None] = lambda _: None
    archive: Callable[[Plain], None] = lambda _: None


def only(kind: Kind, runtime: str, **changes: Any) -> Kind:  # any field of it
    """*kind* for *runtime* alone, with *changes*."""
    return replace(kind, runtimes=(runtime,), **changes)


WRONG = {
    "a regression that gives three numbers": Wrong(
        REGRESSION,
        78,
        "output 'hours': expected [batch, 1], the quantity, found [1, 3]",
        contract=lambda said: said["outputs"][0].update(shape=[1, 3]),
    ),
    "a regression whose file gives three numbers": Wrong(
        replace(REGRESSION, content=CLASSIFIES.content),
        3,
        "hours",
    ),
    "a quantity without a unit": Wrong(
        REGRESSION,
        78,
        "missing required field `unit` - at `$.outcome`",
        contract=lambda said: said["outcome"].pop("unit"),
    ),
    "a feature without a unit": Wrong(
        ANOMALY,
        78,
        "missing required field `unit` - at `$.features[0]`",
        contract=lambda said: said["features"][0].pop("unit"),
    ),
    "a class more than there are bounds for": Wrong(
        REGRESSION,
        78,
        "regression: expected 3 ascending bounds for 4 classes, found [500.0, 3000.0]",
        contract=lambda said: said["classes"].append("new"),
    ),
    "an anomaly with three classes": Wrong(
        ANOMALY,
        78,
        "anomaly: expected two classes, found 3",
        contract=lambda said: said["classes"].append("stranger"),
    ),
    "a mask without places": Wrong(
        SEGMENTATION,
        78,
        "output 'places': expected [batch, 2, ...], one score a class and place, found [1, 2]",
        contract=lambda said: said["outputs"][0].update(shape=[1, 2]),
    ),
    "a kind nobody reads": Wrong(
        ANOMALY,
        78,
        "$.outcome",
        contract=lambda said: said["outcome"].update(kind="detection"),
    ),
    "a picture of other channels than the input": Wrong(
        SEGMENTATION,
        78,
        "input 'x': expected shape (batch, 1, 12, 16) of float32 as the frame says",
        contract=lambda said: said["frame"].update(channels="grey", mean=[], sd=[]),
    ),
    "three means for one channel": Wrong(
        SEGMENTATION,
        78,
        "mean: expected 1 numbers or none, found 3",
        contract=lambda said: said["frame"].update(channels="grey"),
    ),
    "pictures with features": Wrong(
        BYTES,
        78,
        "frame: expected one input, no features",
        contract=lambda said: said.update(
            features=[{"role": "flow", "unit": "1", "statistic": "mean"}]
        ),
    ),
    "features in another type": Wrong(
        CLASSIFIES,
        78,
        "inputs: expected one of float32, the features, found 'x' of float64",
        contract=lambda said: said["inputs"][0].update(dtype="float64"),
    ),
    "a row of features that is a sequence": Wrong(
        CLASSIFIES,
        78,
        "inputs: expected [batch, 8], one row of features, found [1, 5, 8]",
        contract=lambda said: said["inputs"][0].update(shape=[1, 5, 8]),
    ),
    "pictures of one channel in the archive": Wrong(
        BYTES,
        78,
        "pictures: expected uint8 of shape (picture, row, column, 3), found uint8 of (20, 24, 20)",
        archive=lambda held: held.update(pictures=held["pictures"][..., 0]),
    ),
    "pictures as shares": Wrong(
        BYTES,
        78,
        "found float64 of (20, 24, 20, 3)",
        archive=lambda held: held.update(pictures=held["pictures"] / 255),
    ),
    "an archive of windows for a model of pictures": Wrong(
        BYTES,
        78,
        "expected arrays `pictures`",
        archive=lambda held: held.update(normal=held.pop("pictures")),
    ),
    "words in place of windows": Wrong(
        CLASSIFIES,
        78,
        "normal: expected numbers, found <U",
        archive=lambda held: held.update(normal=held["normal"].astype(str)),
    ),
    "no window at all": Wrong(
        CLASSIFIES,
        78,
        "trained: expected shape (window, 16, 2), found (0, 16, 2)",
        archive=lambda held: held.update(trained=held["trained"][:0]),
    ),
    "a LiteRT file that is none": Wrong(
        replace(LITE, lite=b"\x1c\x00\x00\x00TFL2" + bytes(64)),
        3,
        "model.tflite: expected a LiteRT model, found other bytes",
    ),
    "a LiteRT file that is cut short": Wrong(
        replace(LITE, lite=(LITE.lite or b"")[:200]), 3, "model.tflite: not a whole flatbuffer"
    ),
    "a LiteRT file of another model": Wrong(
        replace(CLASSIFIES, content=REGRESSION.content),
        3,
        "scores",
    ),
    "LiteRT without a file for it": Wrong(
        only(CLASSIFIES, "litert", source=ONNX),
        3,
        "linux-amd64/litert/fp32/b1: expected a .tflite to build it from, found none",
    ),
    "ONNX Runtime from a LiteRT file": Wrong(
        only(LITE, "onnxruntime"),
        3,
        "linux-amd64/onnxruntime/fp32/b1: expected an .onnx to build it from, found none",
    ),
    "two LiteRT files": Wrong(
        replace(LITE, source=LITE.source + 'tflite = "model.tflite"\n'),
        78,
        "expected a .tflite beside a source that is an .onnx",
    ),
    "a source of no known kind": Wrong(
        replace(LITE, source='source = "model.pb"\n'), 78, "expected an .onnx or a .tflite"
    ),
    "a server without the model's name": Wrong(
        only(CLASSIFIES, "remote", source=ONNX),
        3,
        "linux-amd64/remote/fp32/b1: expected a table [remote] to build it from, found none",
    ),
    "a server's model by a path": Wrong(
        only(SERVED, "remote", source='remote = { model = "../admin" }\n'),
        78,
        "remote.model: expected text",
    ),
    "a server's model of which nothing was recorded": Wrong(
        replace(SERVED, recorded=False),
        78,
        "expected an array `outputs`, what the server's model gave for each window",
    ),
    "a record of too few windows": Wrong(
        SERVED,
        78,
        "outputs: expected shape (40, 3), one a window, found (39, 3)",
        archive=lambda held: held.update(outputs=held["outputs"][1:]),
    ),
    "a record with holes": Wrong(
        SERVED,
        78,
        "outputs: expected finite values, found NaN or infinity",
        archive=lambda held: held.update(outputs=held["outputs"] * np.nan),
    ),
    "a record of another model than the source": Wrong(
        replace(CLASSIFIES, recorded=True),
        3,
        "as recorded: expected what its source says of 99.9% of 40 windows, found ",
        archive=lambda held: held.update(outputs=held["outputs"][:, ::-1]),
    ),
    "an engine of TensorRT": Wrong(
        only(CLASSIFIES, "tensorrt"),
        3,
        "linux-amd64/tensorrt/fp32/b1: an engine is machine code for the GPU and TensorRT of the "
        "box it is built on",
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_refused_in_one_line(
    wrong: Wrong, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The thing is named with what was expected and found; nothing is tagged."""
    config = wrong.kind.write(tmp_path)
    contract = tmp_path / "signature.json"
    said = msgspec.json.decode(contract.read_bytes())
    wrong.contract(said)
    contract.write_bytes(msgspec.json.encode(said))
    with np.load(tmp_path / "windows.npz") as archive:
        held = dict(archive)
    wrong.archive(held)
    np.savez(tmp_path / "windows.npz", **held)
    capsys.readouterr()
    assert main(["build", str(config), "--out", str(tmp_path / "out")]) == wrong.exit_code
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert wrong.says in told.strip().splitlines()[-1]
    assert main(["show", str(tmp_path / "out"), TAG]) == 4
