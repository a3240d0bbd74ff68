"""Decodes one file after the other, in a process that is replaced when a picture ends it."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from edge_runtime.errors import DecoderLostError, PictureError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decoder import Decoder, Picture, Starts
from edge_runtime.frames.job import Decoded, Look, Refused
from edge_runtime.inference.spec import LossKind

log = structlog.get_logger(__name__)


class FileDecoder:
    """Asks for a process when the first picture comes; use it as a context, which ends it."""

    def __init__(self, starter: Starts, config: FramesConfig) -> None:
        self._starter = starter
        self._config = config
        self._decoder: Decoder | None = None

    async def decode(self, file: int) -> Picture:
        """The picture in the open *file*; one at a time. Cancelling ends the process.

        Raises:
            PictureError: it cannot be used, or it has ended the process.
            DecoderLostError: the process ended, and not because of the picture.
        """
        if self._decoder is None:
            self._decoder = await self._begun()
        decoder = self._decoder
        try:
            return await self._decoded(decoder, file)
        except PictureError:
            raise
        except DecoderLostError as error:
            self.close()
            if not error.blamed:
                raise
            log.warning(
                "decoder.ended", source=self._config.name, kind=error.kind, pid=decoder.pid
            )
            raise PictureError(error.kind, f"picture: ended its {error}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process, if there is one."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _begun(self) -> Decoder:
        decoder = Decoder(self._starter, self._config)
        try:
            await decoder.begin()
        except BaseException:
            decoder.close()
            raise
        return decoder

    async def _decoded(self, decoder: Decoder, file: int) -> Picture:
        decoder.say(Look(), file)
        within_s = self._config.decode_s
        try:
            async with asyncio.timeout(within_s):
                said = await decoder.hear()
        except TimeoutError:
            decoder.kill(LossKind.DEADLINE, f"gave no answer within {within_s:g} s")
            said = await decoder.hear()
        match said:
            case Decoded():
                return await decoder.picture(said)
            case Refused(reason=reason, words=words):
                raise PictureError(reason, ascii(words)[1:-1])
        decoder.kill(LossKind.PROTOCOL, "answered what was not asked")
        await decoder.hear()
        raise AssertionError("a decoder that was killed says nothing")
