"""The control socket: a person at the gateway asks, watches, or orders a rollback, offline.

One JSON line in, one JSON line out, over a Unix socket that only its owner and group may open. Who
watches gets a line an event after that, until either side leaves.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from edge_core.contracts.errors import ConfigurationError, EdgeError, NotFoundError, RefusedError
from edge_runtime.errors import DaemonAbsentError, DaemonRefusedError

LINE_BYTES_MAX: Final = 256 * 1024
ANSWER_S: Final = 10.0
PATH_CHARS_MAX: Final = 107  # sockaddr_un(7)


class StatusAsked(Struct, frozen=True, kw_only=True, tag_field="do", tag="status"):
    """How is it?"""


class RollbackAsked(Struct, frozen=True, kw_only=True, tag_field="do", tag="rollback"):
    """Leave what runs."""

    reason: Annotated[str, Meta(min_length=3, max_length=500)]


class WatchAsked(Struct, frozen=True, kw_only=True, tag_field="do", tag="watch"):
    """What goes on? Values every so often; of no roles means of all."""

    every_s: Annotated[float, Meta(ge=0.05, le=3600)] = 1.0
    roles: Annotated[list[str], Meta(max_length=512)] = []


class Answer(Struct, frozen=True, kw_only=True):
    """What came of it; `error` names the class of a refusal, with its exit code."""

    body: dict[str, Any] = {}  # the caller prints it as it is
    error: str | None = None
    message: str = ""
    exit_code: int = 0


Asked = StatusAsked | RollbackAsked
Handler = Callable[[Asked], Awaitable[dict[str, Any]]]  # Any: JSON values
Watch = Callable[[WatchAsked], AsyncIterator[Struct]]


class ControlServer:
    """Answers on one socket."""

    def __init__(self, path: Path, handler: Handler, watch: Watch | None = None) -> None:
        self._path = checked(path)
        self._handler = handler
        self._watch = watch
        self._watched: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Answer for ever; the socket goes with us.

        Raises:
            ConfigurationError: the socket cannot be made there.
        """
        before = os.umask(0o117)
        try:
            self._path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(
                self._answer, self._path, limit=LINE_BYTES_MAX
            )
        except OSError as error:
            raise ConfigurationError(
                f"control_socket {self._path}: cannot be made: {error.strerror}; nobody at this "
                "gateway can ask it or order a rollback; name one below /run"
            ) from None
        finally:
            os.umask(before)
        try:
            async with server:
                try:
                    await server.serve_forever()
                finally:
                    # Whoever watches would hold us for ever.
                    for writer in self._watched:
                        writer.transport.abort()
        finally:
            # A disk that takes nothing keeps the socket; the next start takes it away.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_S):
                asked = _read(await reader.readline())
                if not isinstance(asked, WatchAsked):
                    said = asked if isinstance(asked, Answer) else await self._said(asked)
                    await _send(writer, said)
            if isinstance(asked, WatchAsked):
                await self._show(asked, writer)
        writer.close()

    async def _show(self, asked: WatchAsked, writer: asyncio.StreamWriter) -> None:
        """Every event as it comes, until the other side leaves."""
        if self._watch is None:
            await _send(writer, _refusal(NotFoundError("watch: nothing to see here")))
            return
        self._watched.add(writer)
        try:
            await _send(writer, Answer())
            async with contextlib.aclosing(self._watch(asked)) as events:  # type: ignore[type-var]  # it is a generator
                async for event in events:
                    async with asyncio.timeout(ANSWER_S):
                        await _send(writer, event)
        except EdgeError as error:
            await _send(writer, _refusal(error))
        finally:
            self._watched.discard(writer)

    async def _said(self, asked: Asked) -> Answer:
        try:
            return Answer(body=await self._handler(asked))
        except EdgeError as error:
            return _refusal(error)


def _read(line: bytes) -> Asked | WatchAsked | Answer:
    """What is asked, or why that is nothing that can be asked."""
    try:
        asked: Asked | WatchAsked = msgspec.json.decode(line, type=Asked | WatchAsked)
    except msgspec.MsgspecError as error:
        return _refusal(RefusedError(f"request: {error}"))
    return asked


def _refusal(error: EdgeError) -> Answer:
    return Answer(error=type(error).__name__, message=str(error), exit_code=error.exit_code)


async def _send(writer: asyncio.StreamWriter, line: Struct) -> None:
    writer.write(msgspec.json.encode(line) + b"\n")
    await writer.drain()


def ask(path: Path, asked: Asked) -> Answer:
    """Ask the daemon. Blocks.

    Raises:
        DaemonAbsentError: nobody answers.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_S)
            client.connect(str(checked(path)))
            client.sendall(msgspec.json.encode(asked) + b"\n")
            with client.makefile("rb") as answers:
                return msgspec.json.decode(answers.readline(LINE_BYTES_MAX), type=Answer)
    except (OSError, msgspec.MsgspecError) as error:
        raise DaemonAbsentError(
            f"{path}: expected the daemon to answer, found: {error}; is it running?"
        ) from None


def watch(path: Path, asked: WatchAsked) -> Iterator[bytes]:
    """What goes on in the daemon, one JSON line an event. Blocks.

    Raises:
        DaemonAbsentError: nobody answers, or the daemon has ended.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_S)
            client.connect(str(checked(path)))
            client.sendall(msgspec.json.encode(asked) + b"\n")
            # Between two events any time may pass.
            client.settimeout(None)
            with client.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(LINE_BYTES_MAX), type=Answer)
                if answer.error is not None:
                    raise DaemonRefusedError(answer.message, answer.exit_code)
                while (line := lines.readline(LINE_BYTES_MAX)).endswith(b"\n"):
                    yield line
    except (OSError, msgspec.MsgspecError) as error:
        raise DaemonAbsentError(
            f"{path}: expected the daemon to answer, found: {error}; is it running?"
        ) from None
    raise DaemonAbsentError(f"{path}: the daemon has ended")


def checked(path: Path) -> Path:
    """The path, if a socket can have it.

    Raises:
        ConfigurationError: it is too long for the kernel.
    """
    if len(str(path).encode()) > PATH_CHARS_MAX:
        raise ConfigurationError(
            f"control_socket {path}: expected at most {PATH_CHARS_MAX} characters"
        )
    return path
