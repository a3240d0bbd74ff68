"""The Open Inference Protocol as one small ASGI application; the model is whatever decides now.

    GET  /v2                                   server metadata
    GET  /v2/health/live, /v2/health/ready
    GET  /v2/models/NAME[/versions/V]          model metadata
    GET  /v2/models/NAME[/versions/V]/ready
    POST /v2/models/NAME[/versions/V]/infer    JSON, or JSON and binary tensors

Clients share one short queue of their own, one request at a time goes to the worker, and a full
queue is answered with 503 and Retry-After: a client can never delay the line's windows.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from edge_core.contracts.errors import EdgeError, NotFoundError, RefusedError, TryAgainError
from edge_runtime.api.tensors import DATATYPES, RequestError, decode, encode
from edge_runtime.config import ServingConfig
from edge_runtime.errors import NoModelError
from edge_runtime.inference.errors import WorkerLostError
from edge_runtime.model import Model
from edge_runtime.scoring import Scorer

Message = MutableMapping[str, Any]  # Any: ASGI's own type
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADER_LENGTH: Final = b"inference-header-content-length"
_JSON: Final = b"application/json"
_BINARY: Final = b"application/octet-stream"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _TooLargeError(RefusedError):
    """The body is longer than we take."""


class _QueueFullError(TryAgainError):
    """Too many clients at once."""


class InferenceApp:
    """ASGI application of one gateway."""

    def __init__(self, config: ServingConfig, scorer: Scorer) -> None:
        self._config = config
        self._scorer = scorer
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except EdgeError as error:
            answer = _problem(error)
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Message, receive: Receive) -> _Answer:
        path = str(scope["path"]).rstrip("/")
        if path == "/v2":
            return _json(_SERVER)
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            ready = self._scorer.route.effective is not None
            return _json({"ready": ready}, 200 if ready else 503)
        if path.startswith("/v2/models/"):
            return await self._model(path.removeprefix("/v2/models/"), scope, receive)
        raise NotFoundError(f"{path[:80]!a}: no such path")

    async def _model(self, path: str, scope: Message, receive: Receive) -> _Answer:
        path, act = _act_of(path)
        name, _, version = path.partition("/versions/")
        model = self._scorer.route.effective
        if model is None:
            raise NoModelError("no model is loaded")
        if name != model.release.model or version not in {"", model.release.version}:
            raise NotFoundError(
                f"expected model {model.release.model} version {model.release.version}, "
                f"found {path[:80]!a}"
            )
        if act == "ready":
            return _json({"ready": True})
        if act == "infer":
            if scope["method"] != "POST":
                return _Answer(405, b'{"error":"expected POST"}')
            return await self._infer(model, scope, receive)
        return _json(_metadata(model))

    async def _infer(self, model: Model, scope: Message, receive: Receive) -> _Answer:
        if self._waiting >= self._config.queue:
            raise _QueueFullError(f"expected at most {self._config.queue} requests at once")
        self._waiting += 1
        try:
            body = await _body(receive, self._config.body_bytes_max)
            infer = decode(body, _header_length(scope), model.signature.inputs)
            async with self._turn:
                outputs = await model.worker.run(infer.arrays)
        except WorkerLostError as error:
            raise NoModelError(f"the model has just left: {error}") from error
        finally:
            self._waiting -= 1
        named = (model.release.model, model.release.version)
        encoded, head = encode(infer, model.signature.outputs, outputs, named)
        if head is None:
            return _Answer(200, encoded)
        return _Answer(200, encoded, _BINARY, ((HEADER_LENGTH, str(head).encode()),))


_SERVER: Final = {"name": "edge-gateway", "version": "0.1.0", "extensions": ["binary_tensor_data"]}


def _metadata(model: Model) -> dict[str, Any]:  # Any: JSON values
    signature = model.signature
    return {
        "name": model.release.model,
        "versions": [model.release.version],
        "platform": "edge-mlops",
        "inputs": [
            {"name": each.name, "datatype": DATATYPES[each.dtype], "shape": each.shape}
            for each in signature.inputs
        ],
        "outputs": [
            {"name": each.name, "datatype": DATATYPES[each.dtype], "shape": each.shape}
            for each in signature.outputs
        ],
        "parameters": {"digest": model.digest, "classes": signature.classes},
    }


def _act_of(path: str) -> tuple[str, str]:
    for act in ("ready", "infer"):
        if path.endswith(f"/{act}"):
            return path.removesuffix(f"/{act}"), act
    return path, ""


def _header_length(scope: Message) -> int | None:
    for name, value in scope["headers"]:
        if name.lower() == HEADER_LENGTH:
            if not (value.isdigit() and len(value) < 10):
                raise RequestError("inference-header-content-length: expected a number")
            return int(value)
    return None


async def _body(receive: Receive, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestError("request: the client left before its end")
        part = bytes(message.get("body", b""))
        size += len(part)
        if size > bytes_max:
            raise _TooLargeError(f"request: expected at most {bytes_max} bytes, found more")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _json(document: object, status: int = 200) -> _Answer:
    return _Answer(status, msgspec.json.encode(document))


def _problem(error: EdgeError) -> _Answer:
    body = msgspec.json.encode({"error": str(error)})
    match error:
        case TryAgainError():
            return _Answer(503, body, headers=((b"retry-after", b"1"),))
        case NotFoundError():
            return _Answer(404, body)
        case _TooLargeError():
            return _Answer(413, body)
        case RefusedError():
            return _Answer(400, body)
        case _:
            return _Answer(500, body)
