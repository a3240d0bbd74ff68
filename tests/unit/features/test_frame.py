"""Pictures as tensors: each choice on a picture small enough to compute by hand."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.contracts.artefact import Dtype, Feature, ModelSignature, Statistic, TensorSpec
from edge_core.contracts.frame import FrameInput
from edge_core.features.errors import ColumnError, ContractError
from edge_core.features.frame import check_frame, shape_of, tensor
from tests.unit.features.strategies import windowing

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
    "tall, letterboxed: filled left and right": (
        [[1], [1], [5], [5]],
        {"height": 4, "width": 3},
        [[9, 1, 9], [9, 1, 9], [9, 5, 9], [9, 5, 9]],
    ),
    "the same size, stretched: as it is": ([[1, 2], [3, 4]], {"fit": "stretch"}, [[1, 2], [3, 4]]),
    "an odd rest, cropped: the smaller part is cut first": (
        [[0, 1, 2, 3]],
        {"height": 1, "width": 3, "fit": "crop"},
        [[0, 1, 2]],
    ),
    "letterboxed between pixels": (
        [[0, 1, 4, 5]],
        {"height": 3, "width": 2},
        [[9, 9], [0.5, 4.5], [9, 9]],
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
    made = tensor(grey(rows), wanted)
    np.testing.assert_allclose(red(made), expected, atol=1e-5)
    assert made.dtype == np.dtype(wanted.dtype)
    assert made.flags.c_contiguous


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


def test_a_mean_a_channel_either_way() -> None:
    """Each channel has its own mean and deviation, whichever axis the channels are."""
    mean, sd = [10.0, 20.0, 30.0], [1.0, 2.0, 10.0]
    wanted = msgspec.structs.replace(PLAIN, mean=mean, sd=sd)
    expected = (COLOUR - np.array(mean)) / np.array(sd)
    columns_last = tensor(COLOUR, msgspec.structs.replace(wanted, layout="nhwc"))
    assert shape_of(msgspec.structs.replace(wanted, layout="nhwc")) == [1, 2, 2, 3]
    np.testing.assert_allclose(columns_last[0], expected)
    np.testing.assert_allclose(tensor(COLOUR, wanted)[0], expected.transpose(2, 0, 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 254, 255]), min_size=36, max_size=36),
    st.integers(1, 9),
    st.sampled_from(["rgb", "grey"]),
)
def test_rounded(pixels: list[int], size: int, channels: str) -> None:
    """As whole numbers a picture is what it is otherwise, to within a half: nothing wraps."""
    picture = np.array(pixels, np.uint8).reshape(4, 3, 3)
    wanted = msgspec.structs.replace(
        PLAIN, height=size, width=9 - size // 2, fit="stretch", channels=channels
    )
    whole = tensor(picture, msgspec.structs.replace(wanted, dtype="uint8"))
    assert np.abs(whole - tensor(picture, wanted)).max() <= 0.5


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


def pictured(**changes: object) -> ModelSignature:
    """A model of two by two pictures in colour."""
    made = ModelSignature(
        inputs=[TensorSpec(name="x", dtype=Dtype.FLOAT32, shape=[1, 3, 2, 2])],
        outputs=[TensorSpec(name="y", dtype=Dtype.FLOAT32, shape=[1, 2])],
        features=[],
        windowing=windowing(),
        classes=["normal", "leak"],
        normal_class="normal",
        safe_output="normal",
        frame=PLAIN,
    )
    return msgspec.structs.replace(made, **changes)


def taking(dtype: Dtype, *shape: int) -> list[TensorSpec]:
    """One input."""
    return [TensorSpec(name="x", dtype=dtype, shape=list(shape))]


# what is otherwise about a model, what is otherwise about its pictures
FITTING: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "as its frame says": ({}, {}),
    "several pictures at once": ({"inputs": taking(Dtype.FLOAT32, 8, 3, 2, 2)}, {}),
    "rows first": ({"inputs": taking(Dtype.FLOAT32, 1, 2, 2, 3)}, {"layout": "nhwc"}),
    "grey": ({"inputs": taking(Dtype.FLOAT32, 1, 1, 2, 2)}, {"channels": "grey"}),
    "whole numbers": ({"inputs": taking(Dtype.UINT8, 1, 3, 2, 2)}, {"dtype": "uint8"}),
}


@pytest.mark.parametrize("name", FITTING)
def test_model_of_pictures(name: str) -> None:
    """Each row is a model that takes what its frame makes of a picture."""
    model, frame = FITTING[name]
    check_frame(pictured(**model), msgspec.structs.replace(PLAIN, **frame))


FLOW = Feature(role="flow", unit="l/min", statistic=Statistic.MEAN)
ALONE = "frame: expected one input, no features and no regime"
CONTRARY: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "features beside the picture": ({"features": [FLOW]}, {}, ALONE),
    "a regime beside it": ({"regime_role": "recipe"}, {}, ALONE),
    "a second input": ({"inputs": taking(Dtype.FLOAT32, 1, 3, 2, 2) * 2}, {}, ALONE),
    "no input": ({"inputs": []}, {}, ALONE),
    "another size": (
        {},
        {"height": 3},
        r"'x': expected shape \(batch, 3, 3, 2\) of float32 .+ found \(1, 3, 2, 2\) of float32",
    ),
    "another type": ({}, {"dtype": "uint8"}, "of uint8 as the frame says"),
    "another depth": ({}, {"channels": "grey"}, r"\(batch, 1, 2, 2\)"),
}


@pytest.mark.parametrize("name", CONTRARY)
def test_contradiction(name: str) -> None:
    """Each row is a model of pictures that contradicts itself, and what is said of that."""
    model, frame, says = CONTRARY[name]
    with pytest.raises(ContractError, match=says):
        check_frame(pictured(**model), msgspec.structs.replace(PLAIN, **frame))
