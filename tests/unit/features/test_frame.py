"""Pictures as tensors: each choice on a picture small enough to compute by hand."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.contracts.frame import FrameInput
from edge_core.features.errors import ColumnError
from edge_core.features.frame import shape_of, tensor

PLAIN = FrameInput(role="camera", height=2, width=2, scale=1.0, fill=9)


def grey(rows: list[list[int]]) -> NDArray[np.uint8]:
    """A picture of grey pixels."""
    return np.repeat(np.array(rows, np.uint8)[..., None], 3, axis=2)


def red(made: NDArray[np.float32 | np.uint8]) -> list[list[float]]:
    """The first channel of a tensor of layout nchw."""
    found: list[list[float]] = made[0, 0].tolist()
    return found


# picture, what is asked for, first channel
CASES: dict[str, tuple[list[list[int]], dict[str, object], list[list[float]]]] = {
    "the same size: as it is": ([[1, 2], [3, 4]], {}, [[1, 2], [3, 4]]),
    "half the size: the mean of each two by two": (
        [[0, 2, 4, 6], [2, 4, 6, 8], [8, 8, 0, 0], [8, 8, 0, 4]],
        {},
        [[2, 6], [8, 1]],
    ),
    "twice the size: three quarters of the nearer pixel": (
        [[0, 100]],
        {"height": 1, "width": 4, "fit": "stretch"},
        [[0, 25, 75, 100]],
    ),
    "wide, letterboxed: filled above and below": (
        [[1, 1, 5, 5]],
        {"height": 3, "width": 4},
        [[9, 9, 9, 9], [1, 1, 5, 5], [9, 9, 9, 9]],
    ),
    "an odd rest: the smaller part comes first": (
        [[1, 5]],
        {},
        [[1, 5], [9, 9]],
    ),
    "wide, cropped: cut on both sides": (
        [[0, 1, 2, 3], [4, 5, 6, 7]],
        {"fit": "crop"},
        [[1, 2], [5, 6]],
    ),
    "wide, stretched": (
        [[0, 2, 4, 6], [0, 2, 4, 6]],
        {"fit": "stretch"},
        [[1, 5], [1, 5]],
    ),
    "scaled, mean and deviation": (
        [[10, 20], [30, 40]],
        {"scale": 0.1, "mean": [1.0, 0.0, 0.0], "sd": [2.0, 1.0, 1.0]},
        [[0.0, 0.5], [1.0, 1.5]],
    ),
    "of type uint8: rounded": (
        [[0, 1, 1, 1]],
        {"height": 1, "dtype": "uint8", "fit": "stretch"},
        [[0, 1]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    """Each row says what comes of one picture."""
    rows, changes, expected = CASES[name]
    wanted = msgspec.structs.replace(PLAIN, **changes)
    np.testing.assert_allclose(red(tensor(grey(rows), wanted)), expected, atol=1e-5)


COLOUR = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [0, 0, 0]]], np.uint8)


def test_channels_and_layout() -> None:
    """Red first, blue first or grey; channels before rows or after columns."""
    rgb = tensor(COLOUR, PLAIN)
    assert rgb.shape == (1, 3, 2, 2)
    assert rgb[0, :, 0, 0].tolist() == [10, 20, 30]
    bgr = tensor(COLOUR, msgspec.structs.replace(PLAIN, channels="bgr", layout="nhwc"))
    assert bgr.shape == (1, 2, 2, 3)
    assert bgr[0, 0, 0].tolist() == [30, 20, 10]
    luma = tensor(COLOUR, msgspec.structs.replace(PLAIN, channels="grey"))
    assert luma.shape == (1, 1, 2, 2)
    assert luma[0, 0, 0, 0] == pytest.approx(0.299 * 10 + 0.587 * 20 + 0.114 * 30)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["letterbox", "crop", "stretch"]),
    st.sampled_from(["float32", "uint8"]),
)
def test_any_size(have: tuple[int, int], want: tuple[int, int], fit: str, dtype: str) -> None:
    """Whatever the sizes, the shape is as asked for and no value leaves its range."""
    wanted = FrameInput(
        role="camera",
        height=want[0],
        width=want[1],
        fit=fit,  # type: ignore[arg-type]  # drawn
        dtype=dtype,  # type: ignore[arg-type]  # drawn
        scale=1.0,
    )
    picture = np.full((*have, 3), 200, np.uint8)
    found = tensor(picture, wanted)
    assert list(found.shape) == shape_of(wanted)
    assert set(np.unique(found).tolist()) <= {114, 200}
    assert 200 in found


def test_extreme_picture() -> None:
    """A line of pixels is cropped without ever being scaled as a whole."""
    picture = np.zeros((1, 1_000_000, 3), np.uint8)
    wanted = FrameInput(role="camera", height=512, width=512, fit="crop")
    assert tensor(picture, wanted).shape == (1, 3, 512, 512)


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 4), (0, 2, 3)])
def test_no_picture(shape: tuple[int, ...]) -> None:
    """What is no picture is refused."""
    with pytest.raises(ColumnError, match="picture: expected shape"):
        tensor(np.zeros(shape, np.uint8), PLAIN)


def test_one_number_a_channel() -> None:
    """Means and deviations are one a channel."""
    with pytest.raises(ValueError, match="mean: expected 1 numbers"):
        FrameInput(role="camera", height=1, width=1, channels="grey", mean=[1.0, 2.0, 3.0])
