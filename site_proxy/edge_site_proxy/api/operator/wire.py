"""Bodies, parameters and answers: decoded by type at the door, refused in one line."""

import hashlib
from datetime import datetime
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge_core.contracts.api import Problem
from edge_core.contracts.errors import (
    ConflictError,
    EdgeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TryAgainError,
    UnreachableError,
    UsageError,
)
from edge_core.contracts.rollout import RolloutView
from edge_site_proxy.api.operator.errors import BadRequestError

BODY_BYTES_MAX = 64 * 1024
LIMIT_MAX = 5000

T = TypeVar("T")

_STATUS: tuple[tuple[type[EdgeError], int], ...] = (
    (UsageError, 400),
    (NotPermittedError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (RefusedError, 422),
    (UnreachableError, 502),
    (TryAgainError, 503),
    (EdgeError, 500),
)


async def body_of(request: Request, kind: type[T]) -> T:
    """The request's body as a *kind*.

    Raises:
        BadRequestError: too long, no JSON, or not of that type; the message names the field.
    """
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES_MAX:
            raise BadRequestError(f"body: expected at most {BODY_BYTES_MAX} bytes, found more")
    try:
        return msgspec.json.decode(bytes(raw), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"body: expected a {kind.__name__}: {error}") from error


def parameter(request: Request, name: str, kind: type[T], default: T) -> T:
    """A query parameter as a *kind*.

    Raises:
        BadRequestError: it is not one.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"parameter {name}={text[:80]!r}: {error}") from error


def limit_of(request: Request, default: int) -> int:
    """`limit`, between 1 and the most we answer at once.

    Raises:
        BadRequestError: it is no number.
    """
    return max(1, min(LIMIT_MAX, parameter(request, "limit", int, default)))


def instant_of(request: Request, name: str) -> datetime:
    """A query parameter as an instant with its zone.

    Raises:
        BadRequestError: it is missing, no time, or has no zone.
    """
    text = request.query_params.get(name, "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequestError(
            f"parameter {name}={text[:80]!r}: expected a time like 2026-03-02T14:05:00Z"
        ) from error
    if moment.tzinfo is None:
        raise BadRequestError(f"parameter {name}={text[:80]!r}: expected a zone, found none")
    return moment


def answer(request: Request, value: object, status: int = 200) -> Response:
    """*value* as JSON with an ETag; 304 where the caller has these very bytes."""
    raw = msgspec.json.encode(value)
    etag = f'"{hashlib.sha256(raw).hexdigest()[:32]}"'
    if request.method == "GET" and request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"etag": etag})
    return Response(raw, status, {"etag": etag}, "application/json")


def refusal(error: EdgeError, current: RolloutView | None) -> Response:
    """What went wrong, for programs and for people."""
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    problem = Problem(
        error=type(error).__name__,
        message=str(error),
        exit_code=error.exit_code,
        current=current,
    )
    headers = {"retry-after": "5"} if status == 503 else {}
    return Response(msgspec.json.encode(problem), status, headers, "application/problem+json")


async def unknown_path(request: Request, error: Exception) -> Response:
    """A path or a method that there is none of."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    problem = Problem(
        error="NoSuchPathError",
        message=f"{request.method} {request.url.path[:200]}: expected a path of this API, "
        "see /v1/openapi.json",
        exit_code=NotFoundError.exit_code,
    )
    return Response(msgspec.json.encode(problem), status, None, "application/problem+json")
