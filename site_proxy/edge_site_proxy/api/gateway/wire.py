"""Requests and answers in raw ASGI: the hot path has no framework in it.

HTTP status codes exist here and in the other modules of `api`, and nowhere else.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from edge_core.contracts.api import Problem
from edge_core.contracts.errors import (
    ConfigurationError,
    ConflictError,
    EdgeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TryAgainError,
    UnreachableError,
    UsageError,
)
from edge_core.contracts.gateway import OTLP_BYTES_MAX

Message = MutableMapping[str, Any]  # ASGI's own type: what a key holds depends on "type"
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

Wire = TypeVar("Wire")

RETRY_AFTER_S: Final = 5  # a full journal drains in seconds or in hours; the sender adds jitter
JSON: Final = b"application/json"

_STATUS: Final[dict[type[EdgeError], int]] = {
    UsageError: 400,
    NotPermittedError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    RefusedError: 422,
    ConfigurationError: 500,
    UnreachableError: 502,
    TryAgainError: 503,
}


class WrongRequestError(UsageError):
    """The request itself is wrong: 400 unless it says otherwise."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClientLeftError(Exception):
    """The other side is gone; there is nobody to answer and nothing to log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response; headers are lower case, content-length is added when sent."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class Request:
    """One request, its headers looked up by lower-case name, its body read at most once."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    receive: Receive = field(repr=False)

    def header(self, name: str) -> str | None:
        """The header as text, or None if it was not sent."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def declared(self) -> int:
        """How long the body is said to be, bytes; without a word as long as any may be."""
        length = self.headers.get(b"content-length", b"")
        if length.isdigit():
            return int(length)
        return OTLP_BYTES_MAX if b"transfer-encoding" in self.headers else 0

    async def body(self, bytes_max: int) -> bytes:
        """The whole body.

        Raises:
            WrongRequestError: longer than *bytes_max*; read no further than that.
            ClientLeftError: the client left in the middle of it.
        """
        self._check_declared(bytes_max)
        chunks: list[bytes] = []
        total = 0
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientLeftError
            chunk = message.get("body", b"")
            total += len(chunk)
            if total > bytes_max:
                raise self._too_large(f"more than {bytes_max}", bytes_max)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _check_declared(self, bytes_max: int) -> None:
        if b"content-length" in self.headers and self.declared > bytes_max:
            raise self._too_large(str(self.declared), bytes_max)

    def _too_large(self, found: str, bytes_max: int) -> WrongRequestError:
        return WrongRequestError(
            f"{self.path}: expected a body of at most {bytes_max} bytes, found {found}",
            status=413,
        )


def request_of(scope: Message, receive: Receive) -> Request:
    """The request in *scope*; of a header sent twice the last one counts."""
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        headers=dict(scope["headers"]),
        receive=receive,
    )


async def respond(send: Send, answer: Answer, *, head_only: bool = False) -> None:
    """Send *answer*; with *head_only* without its body but with that body's length."""
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    if answer.status in {204, 304}:
        headers = list(answer.headers)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if head_only or answer.status in {204, 304} else answer.body
    await send({"type": "http.response.body", "body": body})


def json_answer(value: object, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """*value* as JSON, 200."""
    return Answer(200, msgspec.json.encode(value), headers=headers)


def problem(error: EdgeError) -> Answer:
    """Every refusal in one shape: a class for programs, one line for people."""
    status = error.status if isinstance(error, WrongRequestError) else status_of(error)
    body = Problem(error=type(error).__name__, message=str(error), exit_code=error.exit_code)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status == 503:
        headers = ((b"retry-after", str(RETRY_AFTER_S).encode()),)
    return Answer(status, msgspec.json.encode(body), headers=headers)


def status_of(error: EdgeError) -> int:
    """The status of the family that *error* belongs to."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def decoded(raw: bytes, kind: type[Wire], what: str) -> Wire:
    """*raw* JSON as *kind*.

    Raises:
        WrongRequestError: it is not that; the message names the field.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WrongRequestError(f"{what}: {error}") from None


def not_allowed(request: Request, allowed: str) -> Answer:
    """405 with what would have been allowed."""
    error = UsageError(f"{request.path}: expected {allowed}, found {request.method[:16]}")
    body = Problem(error="MethodNotAllowed", message=str(error), exit_code=error.exit_code)
    return Answer(405, msgspec.json.encode(body), headers=((b"allow", allowed.encode()),))
