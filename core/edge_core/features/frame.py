"""Pictures as tensors: the one place where a model's view of a picture gets its meaning.

In this order, with a picture of H x W pixels and a model that wants h x w:

    fit        letterbox  scaled by s = min(h/H, w/W), the rest filled evenly on both sides
               crop       scaled by s = max(h/H, w/W), what is too much cut evenly on both sides
               stretch    scaled by h/H and w/W
    scaling    bilinear with pixel centres at halves and no smoothing: output pixel i is taken at
               (i + 1/2) H/h' - 1/2, kept within 0 ... H-1, of the h' rows that the picture gets
    channels   rgb, bgr, or grey as 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
    numbers    (value * scale - mean) / sd, one mean and one sd a channel; for uint8 rounded
    layout     nchw or nhwc, with a first dimension of one

Sizes h' = round(s H) and offsets are whole; of an odd rest the smaller part comes first.
"""

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.frame import FrameInput
from edge_core.features.errors import ColumnError, ContractError
from edge_core.features.window import Assessment, Window

PICTURE_UNIT = "picture"  # what a source of pictures supplies in place of a tag's unit
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def tensor(picture: NDArray[np.uint8], wanted: FrameInput) -> NDArray[np.float32 | np.uint8]:
    """A picture as the model wants it.

    Args:
        picture: shape (row, column, 3), red first.
        wanted: from the model's signature.

    Returns:
        Shape (1, channel, row, column) or (1, row, column, channel).

    Raises:
        ColumnError: the picture has another shape, or no pixel.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ColumnError(f"picture: expected shape (row, column, 3), found {picture.shape}")
    canvas = _fitted(picture, wanted)
    if wanted.channels == "grey":
        canvas = (canvas @ _LUMA)[..., None]
    elif wanted.channels == "bgr":
        canvas = canvas[..., ::-1]
    if wanted.layout == "nchw":
        canvas = canvas.transpose(2, 0, 1)
    if wanted.dtype == "uint8":
        return np.ascontiguousarray(np.rint(canvas)[None], dtype=np.uint8)
    return np.ascontiguousarray(_scaled(canvas, wanted)[None])


def assess_picture(window: Window, role: str, why: str = "") -> Assessment:
    """Whether there is a picture to score; *why* is what its source said where there is none."""
    if window.picture is not None:
        return Assessment(scorable=True)
    silent_s = (window.end_ns - window.start_ns) / 1e9
    cause = f" ({why})" if why else ""
    return Assessment(
        scorable=False,
        reason=f"no verdict: input bad: {role} shows nothing for {silent_s:.1f} s{cause}",
        bad=(role,),
        why=(why or "shows nothing",),
    )


def shape_of(wanted: FrameInput) -> list[int]:
    """The shape of what `tensor` gives."""
    depth = 1 if wanted.channels == "grey" else 3
    if wanted.layout == "nchw":
        return [1, depth, wanted.height, wanted.width]
    return [1, wanted.height, wanted.width, depth]


def check_frame(signature: ModelSignature, wanted: FrameInput) -> None:
    """Refuse a model of pictures that contradicts itself.

    Raises:
        ContractError: naming what contradicts what.
    """
    if signature.features or signature.regime_role is not None or len(signature.inputs) != 1:
        raise ContractError(
            "frame: expected one input, no features and no regime, since a picture is the window"
        )
    (taken,) = signature.inputs
    shape = shape_of(wanted)
    if taken.shape[1:] != shape[1:] or taken.dtype != wanted.dtype:
        raise ContractError(
            f"input {taken.name!r}: expected shape (batch, {', '.join(map(str, shape[1:]))}) of "
            f"{wanted.dtype} as the frame says, found {tuple(taken.shape)} of {taken.dtype}"
        )


def _scaled(canvas: NDArray[np.float32], wanted: FrameInput) -> NDArray[np.float32]:
    ends = (-1, 1, 1) if wanted.layout == "nchw" else (1, 1, -1)
    mean = np.array(wanted.mean or [0.0], np.float32).reshape(ends)
    deviation = np.array(wanted.sd or [1.0], np.float32).reshape(ends)
    return (canvas * np.float32(wanted.scale) - mean) / deviation


def _fitted(picture: NDArray[np.uint8], wanted: FrameInput) -> NDArray[np.float32]:
    rows, columns = picture.shape[:2]
    size = wanted.height, wanted.width
    down, across = wanted.height / rows, wanted.width / columns
    if wanted.fit == "stretch":
        return _sampled(picture, size, size)
    by = min(down, across) if wanted.fit == "letterbox" else max(down, across)
    made = max(1, round(by * rows)), max(1, round(by * columns))
    if wanted.fit == "crop":
        return _sampled(picture, made, size)
    top, left = (wanted.height - made[0]) // 2, (wanted.width - made[1]) // 2
    canvas = np.full((*size, 3), wanted.fill, np.float32)
    canvas[top : top + made[0], left : left + made[1]] = _sampled(picture, made, made)
    return canvas


def _sampled(
    picture: NDArray[np.uint8], made: tuple[int, int], kept: tuple[int, int]
) -> NDArray[np.float32]:
    """The middle *kept* of the picture scaled to *made*; no more than that is ever computed."""
    if picture.shape[:2] == made == kept:
        return picture.astype(np.float32)
    above, below, down = _between(picture.shape[0], made[0], kept[0])
    left, right, across = _between(picture.shape[1], made[1], kept[1])
    # Pixels are picked before anything is computed: a line of a million of them costs nothing.
    above, below = above[:, None], below[:, None]
    first = _mixed(picture[above, left], picture[above, right], across[None, :, None])
    second = _mixed(picture[below, left], picture[below, right], across[None, :, None])
    return first + (second - first) * down[:, None, None]


def _mixed(
    first: NDArray[np.uint8], second: NDArray[np.uint8], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    near = first.astype(np.float32)
    mixed: NDArray[np.float32] = near + (second.astype(np.float32) - near) * share
    return mixed


def _between(
    have: int, made: int, kept: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each output pixel the two that it lies between, and how far from the first."""
    output = np.arange(kept) + (made - kept) // 2
    place = np.clip((output + 0.5) * have / made - 0.5, 0, have - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, have - 1), (place - first).astype(np.float32)
