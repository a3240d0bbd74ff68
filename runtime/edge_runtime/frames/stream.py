"""Takes pictures from a stream or a video file, inside a process that decodes.

A stream runs whether anybody looks or not: every picture is decoded, since each builds on the one
before, and the newest is given when the last one was taken.
"""

import time
from typing import Any, Final

from edge_runtime.errors import PictureError
from edge_runtime.frames.decode import check, library, pixels, words_of
from edge_runtime.frames.desk import Desk
from edge_runtime.frames.head import Refusal
from edge_runtime.frames.job import Lost, Passed, Refused

# What a stream may lead the library to: a playlist that names other things is not followed.
OVER_THE_NETWORK: Final = "https,rtp,rtsp,rtsps,srtp,tcp,tls,udp"
A_FILE: Final = "file"
TELL_S: Final = 1.0  # how often the daemon hears that a stream goes on
ROOM: Final = 1.25  # the library counts pixels with its own padding
DAMAGED_MAX: Final = 100  # packets in a row; nothing good will come of that stream


class _Sums:
    """What was not given, told now and then."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._told_s = time.monotonic()
        self.skipped = 0
        self.damaged = 0

    def tell(self) -> None:
        """Tell all there is; that there is nothing says that the stream goes on."""
        self._told_s = time.monotonic()
        self._desk.say(Passed(skipped=self.skipped, damaged=self.damaged))
        self.skipped = self.damaged = 0

    def tell_if_due(self) -> None:
        """Tell it if the last time was long enough ago."""
        if time.monotonic() - self._told_s >= TELL_S:
            self.tell()


def watch(desk: Desk, address: str, transport: str) -> None:
    """Give pictures of one stream until it ends, and say how it ended.

    Raises:
        Gone: the daemon has let go of us.
        MemoryError: there is not as much as it takes.
    """
    sums = _Sums(desk)
    try:
        ended: Lost | Refused = _watched(desk, sums, address, transport)
    except PictureError as error:
        ended = Refused(reason=Refusal(error.reason), words=str(error))
    sums.tell()
    desk.say(ended)


def _watched(desk: Desk, sums: _Sums, address: str, transport: str) -> Lost:
    av, job = library(), desk.job
    allowed = OVER_THE_NETWORK if job.dials else A_FILE
    options = {"rtsp_transport": transport, "protocol_whitelist": allowed}
    try:
        with av.open(address, options=options, timeout=(job.silence_s, job.silence_s)) as opened:
            if not opened.streams.video:
                return Lost(words="expected a video, found none")
            stream = opened.streams.video[0]
            check(stream.height, stream.width, job.pixels_max)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(int(job.pixels_max * ROOM))}
            sums.tell()
            _give(desk, sums, opened, stream)
    except MemoryError:
        raise
    except av.ExitError:
        # What the library says when we had it wait no longer.
        return Lost(words=f"expected an answer or a picture, found none for {job.silence_s:g} s")
    except (av.FFmpegError, OSError, ValueError) as error:
        return Lost(words=words_of(error))
    return Lost(words="expected it to go on, found its end", ended=True)


def _give(desk: Desk, sums: _Sums, opened: Any, stream: Any) -> None:  # Any: loaded late
    """Decode everything, and give what is asked for."""
    av, job = library(), desk.job
    due_s, wanted, damaged = time.monotonic(), True, 0
    for packet in opened.demux(stream):
        began_ns = time.perf_counter_ns()
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            damaged += 1
            sums.damaged += 1
            if damaged > DAMAGED_MAX:
                raise
            sums.tell_if_due()
            continue
        for frame in frames:
            damaged = 0
            # A stream may change its size at any picture.
            check(frame.height, frame.width, job.pixels_max)
            wanted = wanted or desk.wants_more()
            if wanted and time.monotonic() >= due_s:
                due_s, wanted = time.monotonic() + job.every_s, False
                desk.put(pixels(frame), began_ns)
            else:
                sums.skipped += 1
            desk.renew()
        sums.tell_if_due()
