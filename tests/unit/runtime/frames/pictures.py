"""Pictures and videos made for a test, so that none lies in the repository."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray


def gradient(rows: int = 24, columns: int = 32, shift: int = 0) -> NDArray[np.uint8]:
    """A picture in which every pixel is another."""
    numbers = np.arange(rows * columns * 3) * 7 + shift
    return (numbers % 251).reshape(rows, columns, 3).astype(np.uint8)


def encoded(picture: NDArray[np.uint8], kind: Literal["png", "jpeg"] = "png") -> bytes:
    """The picture as a file."""
    name, pixels = {"png": ("png", "rgb24"), "jpeg": ("mjpeg", "yuvj444p")}[kind]
    codec: Any = av.CodecContext.create(name, "w")
    codec.height, codec.width = picture.shape[:2]
    codec.pix_fmt, codec.time_base = pixels, Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def video(path: Path, count: int) -> None:
    """A file of *count* pictures, each lighter than the one before."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            light = np.full((48, 64, 3), number * 10, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(light, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
