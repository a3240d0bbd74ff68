"""The control socket: a person at the gateway asks how it is, or orders a rollback, offline.

One JSON line in, one JSON line out, over a Unix socket that only its owner and group may open.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from edge_core.contracts.errors import ConfigurationError, EdgeError
from edge_runtime.errors import DaemonAbsentError

LINE_BYTES_MAX: Final = 256 * 1024
ANSWER_S: Final = 10.0
PATH_CHARS_MAX: Final = 107  # sockaddr_un(7)


class StatusAsked(Struct, frozen=True, kw_only=True, tag_field="do", tag="status"):
    """How is it?"""


class RollbackAsked(Struct, frozen=True, kw_only=True, tag_field="do", tag="rollback"):
    """Leave what runs."""

    reason: Annotated[str, Meta(min_length=3, max_length=500)]


class Answer(Struct, frozen=True, kw_only=True):
    """What came of it; `error` names the class of a refusal, with its exit code."""

    body: dict[str, Any] = {}  # the caller prints it as it is
    error: str | None = None
    message: str = ""
    exit_code: int = 0


Asked = StatusAsked | RollbackAsked
Handler = Callable[[Asked], dict[str, Any]]  # Any: JSON values


class ControlServer:
    """Answers on one socket."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = checked(path)
        self._handler = handler

    async def run(self) -> None:
        """Answer for ever; the socket goes with us.

        Raises:
            ConfigurationError: the socket cannot be made there.
        """
        self._path.unlink(missing_ok=True)
        before = os.umask(0o117)
        try:
            server = await asyncio.start_unix_server(
                self._answer, self._path, limit=LINE_BYTES_MAX
            )
        except OSError as error:
            raise ConfigurationError(
                f"control_socket {self._path}: cannot be made: {error.strerror}"
            ) from None
        finally:
            os.umask(before)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_S):
                line = await reader.readline()
                writer.write(msgspec.json.encode(self._handled(line)) + b"\n")
                await writer.drain()
        writer.close()

    def _handled(self, line: bytes) -> Answer:
        try:
            asked: Asked = msgspec.json.decode(line, type=Asked)
            return Answer(body=self._handler(asked))
        except msgspec.MsgspecError as error:
            return Answer(error="RefusedError", message=f"request: {error}", exit_code=3)
        except EdgeError as error:
            return Answer(
                error=type(error).__name__, message=str(error), exit_code=error.exit_code
            )


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
