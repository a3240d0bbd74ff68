"""The OpenVINO target: intermediate representation in full float32, made in a child process.

The converter parses a model that is foreign to us, and it keeps global state; in a child neither
can harm the packer.
"""

import subprocess
import sys
from pathlib import Path

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import Target
from edge_packaging.errors import NotBuildableError

CONVERT_S_MAX = 300.0  # a conversion that long has hung

# The converter reports its use to its maker and writes below the home folder unless it cannot
# find the module that does so.
CONVERT = """
import sys
sys.modules["openvino_telemetry"] = None
import openvino
model = openvino.convert_model(sys.argv[1])
for port in model.inputs:
    if port.partial_shape.is_dynamic:
        shape = [1 if d.is_dynamic else d.get_length() for d in port.partial_shape]
        model.reshape({port: shape})
openvino.save_model(model, sys.argv[2], compress_to_fp16=False)
"""


def build_openvino(source: Path, target: Target, folder: Path) -> list[ModelFile]:
    """Convert *source* to `model.xml` and `model.bin`.

    Raises:
        NotBuildableError: OpenVINO has no rule for an operator, or the conversion hung.
    """
    path = folder / "model.xml"
    try:
        done = subprocess.run(
            [sys.executable, "-c", CONVERT, str(source), str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=CONVERT_S_MAX,
        )
    except subprocess.TimeoutExpired:
        raise NotBuildableError(f"{target}: conversion took over {CONVERT_S_MAX:.0f} s") from None
    if done.returncode != 0 or not path.exists():
        raise NotBuildableError(f"{target}: OpenVINO cannot run this model: {_cause(done.stderr)}")
    return [ModelFile(name=name, path=folder / name) for name in ("model.xml", "model.bin")]


def _cause(stderr: str) -> str:
    """The line that names the operator, if there is one, else the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [
        line for line in lines if "OpenVINO does not support" in line or "No conversion" in line
    ]
    return (telling or lines or ["no word from it"])[-1][:300]
