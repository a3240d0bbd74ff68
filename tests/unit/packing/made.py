"""A build that takes a second: a small network, its contract, windows of an invented machine."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_core.contracts.artefact import (
    Dtype,
    Feature,
    ModelSignature,
    Statistic,
    TensorSpec,
    Windowing,
)
from tests.simulators.good_models import mlp

ROWS = 16
ROLES = ("flow", "pressure")
DIGEST = "sha256:" + "ab" * 32
TARGETS = ("linux-amd64/onnxruntime/fp32/b1", "linux-amd64/openvino/fp32/b1")

BUILD = """\
model = "pump"
version = "1.2.3"
release = 4
{source}signature = "signature.json"
windows = "windows.npz"
targets = [{targets}]

[reference]
replicates = 10
horizon_windows = 50
settle_windows = 0
thin = true

[card]
purpose = "To be tested."
limits = "None worth naming."
owner = "the tests"
licence = "CC0-1.0"

[card.metrics]
f1 = 0.9

[provenance]
builder = "https://builder.example/ci"

[provenance.source]
uri = "git+https://source.example/repo@refs/tags/v1"
commit = "{commit}"

[provenance.data_set]
uri = "dvc+https://data.example/set"
digest = "{digest}"
"""


def contract() -> ModelSignature:
    """What the small network of `good_models` takes and gives, as a contract."""
    good = mlp()
    width = good.signature.inputs[0].shape[-1]
    classes = good.signature.outputs[0].shape[-1]
    statistics = list(Statistic)
    features = [
        Feature(
            role=ROLES[n // len(statistics) % len(ROLES)],
            unit="1",
            statistic=statistics[n % len(statistics)],
        )
        for n in range(width)
    ]
    labels = [f"c{n}" for n in range(classes)]
    return ModelSignature(
        inputs=[
            TensorSpec(name=good.signature.inputs[0].name, dtype=Dtype.FLOAT32, shape=[1, width])
        ],
        outputs=[
            TensorSpec(
                name=good.signature.outputs[0].name, dtype=Dtype.FLOAT32, shape=[1, classes]
            )
        ],
        features=features,
        windowing=Windowing(period_s=0.1, length_rows=ROWS, stride_rows=ROWS, gap_rows_max=2),
        classes=labels,
        normal_class=labels[0],
        safe_output=labels[0],
    )


def tag_windows() -> dict[str, Any]:  # Any: arrays, which savez takes by their names
    """The archive of a model of windows: some normal running, and all that was trained on."""
    rng = np.random.default_rng(3)
    normal = rng.normal(size=(60, ROWS, len(contract().roles))).astype(np.float32)
    return {"normal": normal, "modes": np.full(60, "r1"), "trained": normal[:40]}


def write_inputs(
    folder: Path,
    *,
    targets: tuple[str, ...] = TARGETS[:1],
    extra: str = "",
    source: str = 'source = "model.onnx"\n',
) -> Path:
    """Everything a build reads, in *folder*; returns the path of `build.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "windows.npz", **tag_windows())
    (folder / "model.onnx").write_bytes(mlp().content)
    (folder / "signature.json").write_bytes(msgspec.json.encode(contract()))
    path = folder / "build.toml"
    listed = ", ".join(f'"{t}"' for t in targets)
    path.write_text(
        extra + BUILD.format(targets=listed, commit="c" * 40, digest=DIGEST, source=source),
        encoding="utf-8",
    )
    return path


POLICY = """\
version = 1
{keys}
[[rules]]
stage = "production"
keys = [{ids}]
threshold = {threshold}
builder_ids = ["https://builder.example/ci"]
sources = ["git+https://source.example/repo"]
"""


def policy(keys: dict[str, Path], threshold: int) -> str:
    """A trust policy that pins the public halves of *keys*."""
    entries = "".join(f'[[keys]]\nid = "{name}"\npath = "{path}"\n' for name, path in keys.items())
    ids = ", ".join(f'"{name}"' for name in keys)
    return POLICY.format(keys=entries, ids=ids, threshold=threshold)
