"""Takes pictures from a camera's stream or a video file, through a process of its own.

The process decodes every picture and gives the newest whenever the last one was taken. A camera
that falls silent is dialled again, and so is one whose pictures ended the process.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import DecoderLostError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decode import installed
from edge_runtime.frames.decoder import Decoder, Starts
from edge_runtime.frames.head import Refusal
from edge_runtime.frames.job import Decoded, Dial, Lost, More, Passed, Ready, Refused
from edge_runtime.frames.newest import Frame, Newest
from edge_runtime.inference.spec import LossKind

log = structlog.get_logger(__name__)

# The library may wait for a name, for a connection and for what the stream is made of, each once.
DIAL_WAITS: Final = 4


@dataclass(slots=True)
class VideoSource:
    """One camera or one file.

    Attributes:
        config: where it is, and what is too large.
        newest: takes the pictures.
        starter: where the process that decodes comes from.
        unix_ns: the wall clock; a picture of a stream is of when it came.
    """

    config: FramesConfig
    newest: Newest
    starter: Starts
    unix_ns: Callable[[], int]
    _told: str = ""
    _number: int = 0

    async def run(self) -> None:
        """Take pictures for ever; a file begins anew at its end.

        Raises:
            ConfigurationError: the file with the password cannot be read.
            ExtraMissingError: PyAV is not installed.
        """
        installed()
        dial = Dial(address=self._address(), transport=self.config.transport)
        while True:
            decoder = Decoder(self.starter, self.config, dials=self._remote)
            try:
                await decoder.begin()
                while True:
                    await self._watch(decoder, dial)
                    await asyncio.sleep(self.config.retry_s)
            except DecoderLostError as error:
                if error.blamed:
                    self.newest.refuse(self.config.role, error.kind, str(error))
                self._lost(str(error))
            finally:
                decoder.close()
            await asyncio.sleep(self.config.retry_s)

    async def _watch(self, decoder: Decoder, dial: Dial) -> None:
        """Take the pictures of one connection until it ends.

        Raises:
            DecoderLostError: the process ended.
        """
        decoder.say(dial)
        self._number, wait_s = 0, DIAL_WAITS * self.config.silence_s
        while True:
            try:
                async with asyncio.timeout(wait_s + self.config.decode_s):
                    said = await decoder.hear()
            except TimeoutError:
                decoder.kill(LossKind.DEADLINE, "neither gave a picture nor said why")
                continue
            wait_s = self.config.silence_s
            match said:
                case Decoded():
                    await self._take(decoder, said)
                case Passed(skipped=skipped, damaged=damaged):
                    self._pass_over(skipped, damaged)
                case Refused(reason=reason, words=words):
                    self.newest.refuse(self.config.role, reason, self._lost(words))
                    return
                case Lost(words=words, ended=ended):
                    if self._remote or not ended:
                        self._lost(f"{self._place}: {words}")
                    return
                case Ready():
                    decoder.kill(LossKind.PROTOCOL, "said what no decoder says")

    async def _take(self, decoder: Decoder, said: Decoded) -> None:
        picture = await decoder.picture(said)
        decoder.say(More())
        if not self._number:
            self._told = ""
            log.info("source.connected", source=self.config.name)
        self._number += 1
        role, name = self.config.role, str(self._number)
        self.newest.put(Frame(role, picture.pixels, self.unix_ns(), name, picture.taken_us))

    def _pass_over(self, skipped: int, damaged: int) -> None:
        self.newest.skip(self.config.role, skipped)
        if damaged:
            words = f"{self._place}: {damaged} damaged packets"
            self.newest.refuse(self.config.role, Refusal.DAMAGED, words, damaged)

    def _lost(self, words: str) -> str:
        """Say once why no picture comes; what was said."""
        shown = ascii(words)[1:-1]
        self.newest.lost(self.config.role, shown)
        if self._told != shown:
            self._told = shown
            log.warning("source.lost", source=self.config.name, reason=shown)
        return shown

    @property
    def _remote(self) -> bool:
        """Whether it is reached over a network."""
        return "://" in self._place

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
