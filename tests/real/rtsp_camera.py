"""A camera: sends a stream of pictures, each lighter than the one before, to an RTSP server.

python -m tests.real.rtsp_camera rtsp://HOST:PORT/NAME PICTURES
"""

import sys
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE = 25


def main() -> None:
    """Send so many, then say goodbye."""
    options = {"rtsp_transport": "udp"}
    with av.open(sys.argv[1], "w", format="rtsp", options=options) as container:
        stream: Any = container.add_stream("mpeg4", rate=RATE)  # Any: no types for its settings
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 5
        begun_s = time.monotonic()
        for number in range(int(sys.argv[2])):
            light = np.full((48, 64, 3), number % RATE * 10, np.uint8)
            frame = av.VideoFrame.from_ndarray(light, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            for packet in stream.encode(frame):
                container.mux(packet)
            time.sleep(max(0.0, begun_s + (number + 1) / RATE - time.monotonic()))


if __name__ == "__main__":
    main()
