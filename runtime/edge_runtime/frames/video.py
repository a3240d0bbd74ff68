"""Takes pictures from a camera's stream or a video file, in a thread of its own.

A stream runs whether anybody looks or not: every picture is decoded, since each builds on the one
before, and the newest is handed on. A camera that falls silent is dialled again.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import PayloadError, SourceLostError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decode import check, library, pixels
from edge_runtime.frames.head import Head
from edge_runtime.frames.newest import Frame, Newest

log = structlog.get_logger(__name__)

# What a stream may lead the library to; a playlist that names other things is not followed.
PROTOCOLS: Final = "file,https,rtp,rtsp,rtsps,srtp,tcp,tls,udp"


@dataclass(slots=True)
class VideoSource:
    """One camera or one file.

    Attributes:
        config: where it is, and what is too large.
        newest: takes the pictures.
        monotonic: seconds that never step.
        unix_ns: the wall clock; a picture of a stream is of when it came.
    """

    config: FramesConfig
    newest: Newest
    monotonic: Callable[[], float]
    unix_ns: Callable[[], int]
    _told: str = ""

    async def run(self) -> None:
        """Take pictures for ever; a file begins anew at its end.

        Raises:
            ConfigurationError: the file with the password cannot be read.
            ExtraMissingError: PyAV is not installed.
        """
        address = self._address()
        await asyncio.to_thread(library)
        loop = asyncio.get_running_loop()
        while True:
            ended = threading.Event()
            try:
                await asyncio.to_thread(self._watch, address, ended, loop)
            except (SourceLostError, PayloadError) as error:
                if isinstance(error, PayloadError):
                    self.newest.refuse(self.config.role)
                if self._told != str(error):
                    self._told = str(error)
                    log.warning("source.lost", source=self.config.name, reason=self._told)
            finally:
                ended.set()  # a thread cannot be cancelled: it looks at this at each picture
            await asyncio.sleep(self.config.retry_s)

    def _watch(
        self, address: str, ended: threading.Event, loop: asyncio.AbstractEventLoop
    ) -> None:
        for number, (picture, at_ns) in enumerate(self._pictures(address, ended), 1):
            frame = Frame(self.config.role, picture, at_ns, str(number))
            try:
                loop.call_soon_threadsafe(self._take, frame)
            except RuntimeError:
                return  # the loop has ended, and we with it

    def _take(self, frame: Frame) -> None:
        if frame.name == "1":
            self._told = ""
            log.info("source.connected", source=self.config.name)
        self.newest.put(frame)

    def _pictures(self, address: str, ended: threading.Event) -> Iterator[tuple[Any, int]]:
        """Pictures as they come, and when.

        Raises:
            SourceLostError: no stream, or it broke off.
            PayloadError: its pictures are too large.
        """
        av = library()
        due_s = self.monotonic()
        options = {"rtsp_transport": "tcp", "protocol_whitelist": PROTOCOLS}
        limits = {"max_pixels": str(self.config.pixels_max)}
        silence_s = self.config.silence_s
        try:
            with av.open(address, options=options, timeout=(silence_s, silence_s)) as container:
                if not container.streams.video:
                    raise SourceLostError(f"{self._place}: expected a video, found none")
                stream = container.streams.video[0]
                check(
                    Head("jpeg", stream.height, stream.width, whole=True), self.config.pixels_max
                )
                stream.codec_context.thread_count = 1
                stream.codec_context.options = limits
                for frame in container.decode(stream):
                    if ended.is_set():
                        return
                    # A stream may change its size at any picture.
                    check(
                        Head("jpeg", frame.height, frame.width, whole=True),
                        self.config.pixels_max,
                    )
                    if self.monotonic() < due_s:
                        self.newest.skip(self.config.role)
                        continue
                    due_s = self.monotonic() + self.config.every_s
                    yield pixels(frame), self.unix_ns()
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            words = ascii(getattr(error, "strerror", None) or type(error).__name__)[1:-1]
            raise SourceLostError(f"{self._place}: {words}") from None

    @property
    def _place(self) -> str:
        """Where it is, without the secret."""
        return self.config.video or ""

    def _address(self) -> str:
        """Where it is, with user and password."""
        place = urlsplit(self._place)
        if self.config.user is None or not place.hostname:
            return self._place
        secret = ""
        if self.config.password is not None:
            try:
                secret = ":" + quote(self.config.password.read_text().strip(), safe="")
            except (OSError, UnicodeDecodeError):
                raise ConfigurationError(
                    f"{self.config.password}: expected a password file"
                ) from None
        host = place.netloc.rpartition("@")[2]
        who = quote(self.config.user, safe="")
        return urlunsplit(place._replace(netloc=f"{who}{secret}@{host}"))
