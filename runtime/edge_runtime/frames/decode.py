"""Pictures, decoded by PyAV: only ever in a process of its own, and loaded only there."""

from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ExtraMissingError, PictureError
from edge_runtime.frames.head import Head, Refusal, read_head
from edge_runtime.frames.png import holds_all

_CODECS: Final = {"png": "png", "jpeg": "mjpeg"}
_ALIGNED: Final = 64  # the library counts rows and columns rounded up to as much as this


def decode(raw: bytes, pixels_max: int) -> NDArray[np.uint8]:
    """A whole picture, red first; how the camera was held is not looked at.

    Returns:
        Shape (row, column, 3).

    Raises:
        PictureError: no picture, too large, cut short, or damaged.
        MemoryError: there is not as much as it takes.
    """
    head = read_head(raw)
    check(head.rows, head.columns, pixels_max)
    if not head.whole:
        raise PictureError(
            Refusal.CUT, f"picture: expected a whole {head.kind.upper()}, found no end"
        )
    if head.kind == "png" and not holds_all(raw):
        raise PictureError(Refusal.DAMAGED, "picture: damaged: a PNG without all of its rows")
    av = library()
    codec = av.CodecContext.create(_CODECS[head.kind], "r")
    codec.thread_count = 1
    # The library's own bound as well: it is the library that would be lied to.
    codec.options = {"err_detect": "explode", "max_pixels": str(_bound(head))}
    try:
        frames = [*codec.decode(av.Packet(raw)), *codec.decode(None)]
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise PictureError(Refusal.DAMAGED, f"picture: damaged: {words_of(error)}") from None
    if len(frames) != 1 or (frames[0].height, frames[0].width) != (head.rows, head.columns):
        raise PictureError(
            Refusal.DAMAGED,
            f"picture: expected one of {head.columns} x {head.rows} pixels, found another",
        )
    return pixels(frames[0])


def check(rows: int, columns: int, pixels_max: int) -> None:
    """Refuse what is larger than any picture here.

    Raises:
        PictureError: it is.
    """
    if rows * columns > pixels_max:
        raise PictureError(
            Refusal.SIZE,
            f"picture: expected at most {pixels_max} pixels, found {columns} x {rows}",
        )


def pixels(frame: Any) -> NDArray[np.uint8]:  # Any: loaded late
    """A decoded frame as an array, shape (row, column, 3), red first."""
    found: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return found


def installed() -> None:
    """Say that PyAV is missing where it is; nothing is loaded.

    Raises:
        ExtraMissingError: it is not installed.
    """
    if find_spec("av") is None:
        raise ExtraMissingError(
            "frames: expected the library av, found none; install edge-mlops[frames]"
        )


@cache
def library() -> Any:  # Any: as above
    """PyAV; `installed` has said that it is there."""
    import av  # noqa: PLC0415 - tens of megabytes that no other process needs

    av.logging.set_level(None)  # what it would print is said by errors too
    return av


def words_of(error: Exception) -> str:
    """What the library says, in one printable line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ascii(said)[1:-1][:200]


def _bound(head: Head) -> int:
    rows, columns = (-(-edge // _ALIGNED) * _ALIGNED for edge in (head.rows, head.columns))
    return rows * columns
