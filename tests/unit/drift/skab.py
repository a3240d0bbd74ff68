"""Recorded runs of a real pump (SKAB), read where the recordings lie beside the repository."""

import csv
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import (
    Dtype,
    Feature,
    ModelSignature,
    Statistic,
    TensorSpec,
    Windowing,
)
from edge_core.features.grid import GridSpec, Rows, place
from edge_core.features.samples import Samples
from edge_core.features.statistics import Extractor
from edge_core.features.window import windows

SECOND_NS = 1_000_000_000
COLUMNS = {
    "vibration1": ("g", "Accelerometer1RMS"),
    "vibration2": ("g", "Accelerometer2RMS"),
    "current": ("A", "Current"),
    "pressure": ("bar", "Pressure"),
    "voltage": ("V", "Voltage"),
    "flow": ("l/min", "Volume Flow RateRMS"),
}
ROLES = tuple(COLUMNS)
STATISTICS = [statistic for statistic in Statistic if statistic is not Statistic.LAST]
SIGNATURE = ModelSignature(
    inputs=[
        TensorSpec(name="features", dtype=Dtype.FLOAT32, shape=[1, len(ROLES) * len(STATISTICS)])
    ],
    outputs=[TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, 2])],
    features=[
        Feature(role=role, unit=COLUMNS[role][0], statistic=statistic)
        for role in ROLES
        for statistic in STATISTICS
    ],
    windowing=Windowing(period_s=1, length_rows=64, stride_rows=8, gap_rows_max=8),
    classes=["normal", "valve"],
    normal_class="normal",
    safe_output="normal",
)


def folder() -> Path:
    """Where the recordings are, if they are here at all."""
    shared = os.environ.get("EDGE_SHARED")
    beside = Path(__file__).parents[4] / "shared"
    return (Path(shared) if shared else beside) / "data" / "skab-pump" / "data"


@dataclass(frozen=True)
class Recording:
    """One experiment on a grid of seconds; `onset_ns` is where its label begins."""

    rows: Rows
    onset_ns: int


def load(name: str) -> Recording:
    """Read one file through the grid, as a gateway would."""
    with (folder() / name).open(newline="") as lines:
        listed = list(csv.DictReader(lines, delimiter=";"))
    times_ns = np.array([_time_ns(line["datetime"]) for line in listed], np.int64)
    values = np.array(
        [[float(line[column]) for _, column in COLUMNS.values()] for line in listed], np.float32
    )
    labelled = [float(line.get("anomaly") or 0) > 0 for line in listed]
    count, tags = values.shape
    samples = Samples(
        np.tile(np.arange(tags, dtype=np.int32), count),
        values.ravel(),
        np.zeros(count * tags, np.uint8),
        np.repeat(times_ns, tags),
    )
    first, last = int(times_ns[0]) // SECOND_NS, int(times_ns[-1]) // SECOND_NS
    spec = GridSpec(SECOND_NS, (5 * SECOND_NS,) * tags)
    onset = labelled.index(True) if any(labelled) else count - 1
    return Recording(place(samples, spec, first, last - first + 1), int(times_ns[onset]))


def _time_ns(text: str) -> int:
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(at.timestamp()) * SECOND_NS


def features(name: str) -> NDArray[np.float32]:
    """Feature vectors of all windows that have enough good rows."""
    whole = [
        window.values
        for window in windows(load(name).rows, SIGNATURE.windowing)
        if window.good_share.min() >= SIGNATURE.windowing.good_share_min
    ]
    return Extractor(SIGNATURE).matrix(np.stack(whole))
