"""Samples, signatures and rows that the feature tests are made of."""

import numpy as np
from hypothesis import strategies as st

from edge_core.contracts.artefact import (
    Dtype,
    Feature,
    ModelSignature,
    Statistic,
    TensorSpec,
    Windowing,
)
from edge_core.features.grid import GridSpec
from edge_core.features.samples import Samples

PERIOD_NS = 100
LATENESS_NS = 350
SPEC = GridSpec(PERIOD_NS, (450, 250, 10_000), lateness_ns=LATENESS_NS)
FIRST_ROW, ROWS = 10, 30

Record = tuple[int, float, int, int]  # tag, value, quality, source time in ns

records = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0.0, 1.0, -2.5, float("nan"), float("inf")]),
        st.integers(0, 3),
        st.integers(FIRST_ROW * PERIOD_NS - 500, (FIRST_ROW + ROWS) * PERIOD_NS),
    ),
    max_size=60,
)


def samples(listed: list[Record]) -> Samples:
    """Columns of listed records, in their order."""
    return Samples(
        np.array([record[0] for record in listed], np.int32),
        np.array([record[1] for record in listed], np.float32),
        np.array([record[2] for record in listed], np.uint8),
        np.array([record[3] for record in listed], np.int64),
    )


def windowing(length: int = 10, stride: int = 5, gap: int = 3, share: float = 0.8) -> Windowing:
    """Windows of one-second rows."""
    return Windowing(
        period_s=1.0,
        length_rows=length,
        stride_rows=stride,
        gap_rows_max=gap,
        good_share_min=share,
    )


def signature(
    features: list[tuple[str, str, Statistic]], columns: int | None = None
) -> ModelSignature:
    """A two-class model of these (role, unit, statistic)."""
    return ModelSignature(
        inputs=[
            TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, columns or len(features)]),
        ],
        outputs=[TensorSpec(name="scores", dtype=Dtype.FLOAT32, shape=[1, 2])],
        features=[
            Feature(role=role, unit=unit, statistic=statistic)
            for role, unit, statistic in features
        ],
        windowing=windowing(),
        classes=["normal", "fault"],
        normal_class="normal",
        safe_output="normal",
    )
