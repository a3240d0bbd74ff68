"""Pictures and videos, decoded by PyAV: loaded only where there is a source of pictures."""

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ExtraMissingError, PayloadError
from edge_runtime.frames.head import Head, read_head

_CODECS: Final = {"png": "png", "jpeg": "mjpeg"}


def decode(raw: bytes, pixels_max: int) -> NDArray[np.uint8]:
    """A whole picture, red first; how the camera was held is not looked at.

    Returns:
        Shape (row, column, 3).

    Raises:
        PayloadError: no picture, too large, cut short, or damaged.
        ExtraMissingError: PyAV is not installed.
    """
    head = read_head(raw)
    check(head, pixels_max)
    if not head.whole:
        raise PayloadError(f"picture: expected a whole {head.kind.upper()}, found no end")
    av = library()
    codec = av.CodecContext.create(_CODECS[head.kind], "r")
    codec.thread_count = 1
    # The library's own bound as well: it is the library that would be lied to.
    codec.options = {"err_detect": "explode", "max_pixels": str(pixels_max)}
    try:
        frames = [*codec.decode(av.Packet(raw)), *codec.decode(None)]
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise PayloadError(f"picture: damaged: {_words(error)}") from None
    if len(frames) != 1 or (frames[0].height, frames[0].width) != (head.rows, head.columns):
        raise PayloadError(
            f"picture: expected one of {head.columns} x {head.rows} pixels, found another"
        )
    return pixels(frames[0])


def check(head: Head, pixels_max: int) -> None:
    """Refuse what is larger than any picture here.

    Raises:
        PayloadError: it is.
    """
    if head.rows * head.columns > pixels_max:
        raise PayloadError(
            f"picture: expected at most {pixels_max} pixels, found {head.columns} x {head.rows}"
        )


def pixels(frame: Any) -> NDArray[np.uint8]:  # Any: loaded late
    """A decoded frame as an array, shape (row, column, 3), red first."""
    found: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return found


@cache
def library() -> Any:  # Any: as above
    """PyAV.

    Raises:
        ExtraMissingError: it is not installed.
    """
    try:
        import av  # noqa: PLC0415 - tens of megabytes that a gateway without pictures never needs
    except ImportError:
        raise ExtraMissingError(
            "frames: expected the library av, found none; install edge-mlops[frames]"
        ) from None
    av.logging.set_level(None)  # what it would print is said by errors too
    return av


def _words(error: Exception) -> str:
    return ascii(getattr(error, "strerror", None) or str(error))[1:-1][:200]
