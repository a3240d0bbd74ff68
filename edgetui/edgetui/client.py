"""Speaks to the site proxy over its Unix socket; the only module here that knows HTTP.

Every answer is decoded into a type of `edge_core.contracts.api` at this door. A refusal comes back
as the error class that its exit code names, so commands and screens react alike.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from edge_core.contracts import errors
from edge_core.contracts.api import Change, Problem
from edge_core.contracts.rollout import RolloutView

if TYPE_CHECKING:
    import aiohttp

SOCKET_DEFAULT: Final = Path("/run/edge-site/operator.sock")
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # 5,000 gateways with their health are some 10 MB
LINE_BYTES_MAX: Final = 1024 * 1024  # one server-sent event

BY_EXIT_CODE: Final[dict[int, type[errors.EdgeError]]] = {
    kind.exit_code: kind
    for kind in (
        errors.EdgeError,
        errors.UsageError,
        errors.RefusedError,
        errors.NotFoundError,
        errors.UnreachableError,
        errors.ConflictError,
        errors.TryAgainError,
        errors.NotPermittedError,
        errors.ConfigurationError,
    )
}

T = TypeVar("T")


class ChangedMeanwhileError(errors.ConflictError):
    """What was on the screen is no longer what is; `current` is what is there now."""

    def __init__(self, message: str, current: RolloutView | None) -> None:
        super().__init__(message)
        self.current = current


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator API of one site."""

    session: "aiohttp.ClientSession"
    socket: Path

    async def fetch(self, path: str, kind: type[T], **query: object) -> T:
        """Read what is at *path* as a *kind*.

        Raises:
            EdgeError: the class that the site proxy's refusal names, or UnreachableError.
        """
        return msgspec.json.decode(await self._call("GET", _with(path, query)), type=kind)

    async def lines(self, path: str, **query: object) -> AsyncIterator[bytes]:
        """Read a JSON-lines document at *path*, a line at a time."""
        async with self._answer("GET", _with(path, query)) as answer:
            async for line in answer.content:
                yield line

    async def change(
        self, path: str, body: msgspec.Struct, kind: type[T], *, etag: str | None = None
    ) -> T:
        """Change what is at *path*; *etag* is of what the person saw.

        Raises:
            ChangedMeanwhileError: it is no longer what the person saw.
            EdgeError: the class that the site proxy's refusal names, or UnreachableError.
        """
        headers = {"Content-Type": "application/json"}
        if etag is not None:
            headers["If-Match"] = f'"{etag}"'
        raw = await self._call("POST", path, data=msgspec.json.encode(body), headers=headers)
        return msgspec.json.decode(raw, type=kind)

    async def changes(self, after: int) -> AsyncIterator[Change | None]:
        """What changes from cursor *after* on, for as long as the connection holds.

        None is word that everything may have changed: the console was away for too long.

        Raises:
            UnreachableError: the feed ended; go on from the last cursor.
        """
        anew = False
        async with self._answer("GET", f"/v1/events?after={after}") as answer:
            async for line in answer.content:
                if line.startswith(b"event:"):
                    anew = line[6:].strip() == b"resync"
                elif line.startswith(b"data:"):
                    yield None if anew else msgspec.json.decode(line[5:], type=Change)
                    anew = False
        raise errors.UnreachableError(f"site proxy at {self.socket}: the live feed ended")

    async def _call(self, method: str, path: str, **settings: object) -> bytes:
        async with self._answer(method, path, **settings) as answer:
            raw = bytearray()
            async for chunk in answer.content.iter_chunked(64 * 1024):
                raw += chunk
                if len(raw) > ANSWER_BYTES_MAX:
                    raise errors.EdgeError(f"{path}: the answer is over {ANSWER_BYTES_MAX} bytes")
            return bytes(raw)

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, **settings: object
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        import aiohttp  # noqa: PLC0415 - see `connect`

        if self.session.closed:
            raise errors.UnreachableError(f"site proxy at {self.socket}: the console let go of it")
        try:
            async with self.session.request(
                method,
                f"http://site-proxy{path}",
                **settings,  # type: ignore[arg-type]  # data and headers, as given above
            ) as answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await answer.read())
                yield answer
        except aiohttp.ClientError as error:
            found = str(error)
            if isinstance(error, aiohttp.ClientConnectorError):
                found = error.os_error.strerror or found
            raise errors.UnreachableError(
                f"site proxy at {self.socket}: expected an answer, found: {found}; "
                "does it run, and may you open the socket?"
            ) from None
        except msgspec.DecodeError as error:
            raise errors.EdgeError(
                f"{path}: the site proxy's answer is of another version: {error}"
            ) from None


@asynccontextmanager
async def connect(socket: Path) -> AsyncIterator[Operator]:
    """The operator API at *socket*; nothing is sent yet.

    The HTTP client takes as long to import as everything else of the console together, so that
    happens here, beside the event loop: the first screen is drawn meanwhile.
    """
    await asyncio.to_thread(importlib.import_module, "aiohttp")
    import aiohttp  # noqa: PLC0415 - imported on the line above

    connector = aiohttp.UnixConnector(path=str(socket))
    # The caller sets the deadlines; a live feed is silent for as long as nothing happens.
    patience = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=patience, max_line_size=LINE_BYTES_MAX
    ) as session:
        yield Operator(session=session, socket=socket)


def part(text: str) -> str:
    """*text* as one segment of a path, whatever it contains."""
    return quote(text, safe="")


def _with(path: str, query: dict[str, object]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _refusal(status: int, raw: bytes) -> errors.EdgeError:
    try:
        problem = msgspec.json.decode(raw, type=Problem)
    except msgspec.DecodeError:
        return errors.EdgeError(f"the site proxy answered {status} without saying why")
    kind = BY_EXIT_CODE.get(problem.exit_code, errors.EdgeError)
    if kind is errors.ConflictError:
        return ChangedMeanwhileError(problem.message, problem.current)
    return kind(problem.message)
