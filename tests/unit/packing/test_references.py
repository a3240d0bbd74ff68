"""Smoke vectors: short enough for a gateway, and exact all the same."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_core.contracts.artefact import DOCUMENT_BYTES_MAX
from edge_packaging.errors import NotBuildableError
from edge_packaging.references import coarse, encoded, smoke_places, smoke_vectors

PLACES = {
    "as many as there are": (3, 16, 11, [0, 1, 2]),
    "the first and the last": (101, 2, 11, [0, 100]),
    "spread evenly": (101, 5, 11, [0, 25, 50, 75, 100]),
    "one alone": (7, 1, 11, [0]),
    "of small pictures those that two MiB hold": (101, 16, 3 * 150 * 150, [0, 25, 50, 75, 100]),
    "of large pictures one": (101, 16, 3 * 640 * 640, [0]),
}


@pytest.mark.parametrize(
    ("windows", "cases", "values", "places"), PLACES.values(), ids=PLACES.keys()
)
def test_places(windows: int, cases: int, values: int, places: list[int]) -> None:
    """Smoke cases cover what the model has seen from end to end, as far as a link allows."""
    assert smoke_places(windows, cases, values).tolist() == places


rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.just(3)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(rows)
def test_inputs_are_exact(given_rows: np.ndarray) -> None:
    """What a gateway reads back is bit for bit what the model was given."""
    made = smoke_vectors(given_rows, np.zeros((len(given_rows), 1), np.float32))
    read = msgspec.json.decode(encoded(made), type=type(made))
    found = np.array([case.inputs for case in read.cases], np.float32)
    assert found.tobytes() == given_rows.tobytes()


@given(rows)
def test_outputs_are_far_within_their_tolerance(outputs: np.ndarray) -> None:
    """What is lost in writing outputs down is a hundredth of what two runtimes may differ."""
    made = smoke_vectors(np.zeros((len(outputs), 1), np.float32), outputs)
    found = np.array([case.outputs for case in made.cases])
    assert np.abs(found - outputs).max() <= made.absolute_tolerance / 100


def test_few_digits() -> None:
    """An input takes no more digits than its float32 has."""
    values = np.array([[0.1, 1e-7, -0.25, 3e8, 1 / 3]], np.float32)
    made = smoke_vectors(values, np.zeros((1, 1), np.float32))
    assert b'"inputs":[0.1,1e-7,-0.25,300000000.0,0.33333334]' in encoded(made)


def test_bytes_are_written_as_such() -> None:
    """A picture in bytes takes no decimal point."""
    made = smoke_vectors(np.array([[7, 255]], np.uint8), np.zeros((1, 1), np.float32))
    assert b'"inputs":[7,255]' in encoded(made)


@given(hnp.arrays(np.float32, 5, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)))
def test_three_digits(values: np.ndarray) -> None:
    """No value moves by more than half of its third digit, and nought stays nought."""
    short = coarse(values)
    assert short.dtype == values.dtype
    for before, after in zip(values.tolist(), short.tolist(), strict=True):
        if before == 0:
            assert after == 0
            continue
        digit = 10.0 ** (math.floor(math.log10(abs(before))) - 2)
        assert abs(after - before) <= 0.5001 * digit + 1e-6 * abs(before)
        assert len(f"{after:.7g}".strip("-").partition("e")[0].replace(".", "").strip("0")) <= 3


def pictures(count: int, side: int) -> np.ndarray:
    """Pictures in three digits."""
    random = np.random.default_rng(1)
    return coarse(random.random((count, 3, side, side), np.float32))


def test_a_large_picture_is_read() -> None:
    """A picture of a camera's usual size is a case that a gateway reads."""
    made = smoke_vectors(pictures(1, 640), np.zeros((1, 2), np.float32))
    assert len(encoded(made)) <= DOCUMENT_BYTES_MAX


def test_a_picture_that_no_gateway_would_read_is_refused() -> None:
    """One case that alone is too long is refused before anything is signed."""
    with pytest.raises(NotBuildableError, match="expected at most 16777216 bytes"):
        smoke_vectors(pictures(1, 1000), np.zeros((1, 2), np.float32))
