"""What each request of the Open Inference Protocol is answered; the model is whatever decides now.

    GET  /v2                                   server metadata
    GET  /v2/health/live, /v2/health/ready
    GET  /v2/models/NAME[/versions/V]          model metadata
    GET  /v2/models/NAME[/versions/V]/ready
    POST /v2/models/NAME[/versions/V]/infer    JSON, or JSON and binary tensors

Knows nothing of sockets. In safe mode the model decides nothing, so clients get nothing of it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import numpy as np
import structlog

from edge_core.contracts.artefact import TensorSpec
from edge_core.contracts.errors import EdgeError, NotFoundError, RefusedError, TryAgainError
from edge_runtime.api.door import Door, TurnedAwayError
from edge_runtime.api.settings import ServingConfig
from edge_runtime.api.tensors import (
    DATATYPES,
    Infer,
    RequestError,
    Tensor,
    decode,
    encode,
    wanted_outputs,
)
from edge_runtime.errors import NoModelError
from edge_runtime.inference.errors import WindowQuarantinedError, WorkerLostError
from edge_runtime.model import Model
from edge_runtime.route import Route

log = structlog.get_logger(__name__)

HEADER_LENGTH: Final = b"inference-header-content-length"
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
# What the JSON around the values of one request may take, and each of its values: 17 digits,
# sign, point, exponent, comma, space, and brackets.
FRAME_BYTES: Final = 64 * 1024
VALUE_BYTES: Final = 32
RETRY_S: Final = 1.0

_SERVER: Final = {"name": "edge-gateway", "version": "0.1.0", "extensions": ["binary_tensor_data"]}
_PREFIX: Final = "/v2/models/"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; the names of its headers are in lower case."""

    method: bytes
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back; `headers` are beside the usual ones."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class TooLargeError(RefusedError):
    """The request is longer than we take."""


class HeadTooLargeError(RefusedError):
    """The request line and headers are longer than we take."""


class MethodError(RefusedError):
    """The path is right and the method is not."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"expected the method {allowed}")
        self.allowed = allowed


class InferenceApp:
    """Answers the clients of one gateway; *route* says who decides now."""

    def __init__(
        self,
        config: ServingConfig,
        route: Callable[[], Route],
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._route = route
        self.door = Door(config.queue, monotonic)

    @property
    def body_bytes_max(self) -> int:
        """How long a body may be: no longer than what its model can take in."""
        model = self._route().effective
        if model is None:
            return FRAME_BYTES
        values = sum(math.prod(spec.shape) for spec in model.signature.inputs)
        return min(self._config.body_bytes_max, FRAME_BYTES + VALUE_BYTES * values)

    async def answer(self, request: Request) -> Answer:
        """The answer to one request; what goes wrong is an answer too."""
        try:
            return await self._answer(request)
        except EdgeError as error:
            return problem(error)
        except Exception:
            # A client's bytes must never end the daemon, whatever we have not thought of.
            log.exception("serving.failed", path=request.path[:200])
            return Answer(500, msgspec.json.encode({"error": "our own failure; see the log"}))

    async def _answer(self, request: Request) -> Answer:
        path = unquote(request.path, errors="replace").rstrip("/")
        if path.startswith(_PREFIX):
            return await self._of_model(path.removeprefix(_PREFIX), request)
        if path == "/v2":
            answer = _document(_SERVER)
        elif path == "/v2/health/live":
            answer = _document({"live": True})
        elif path == "/v2/health/ready":
            answer = _document({"ready": self._ready()}, ready=self._ready())
        else:
            raise NotFoundError(f"{path[:80]!a}: no such path")
        _demand(request, b"GET")
        return answer

    def _ready(self) -> bool:
        route = self._route()
        return route.effective is not None and not route.safe_mode

    async def _of_model(self, path: str, request: Request) -> Answer:
        path, act = _act_of(path)
        model = self._named(path)
        if act == "infer":
            _demand(request, b"POST")
            return await self._infer(model, request)
        _demand(request, b"GET")
        if act == "ready":
            ready = self._ready()
            return _document({"name": model.release.model, "ready": ready}, ready=ready)
        return _document(_metadata(model))

    def _named(self, path: str) -> Model:
        name, _, version = path.partition("/versions/")
        model = self._route().effective
        if model is None:
            raise NoModelError("no model is loaded")
        if name != model.release.model or version not in {"", model.release.version}:
            raise NotFoundError(
                f"expected model {model.release.model} version {model.release.version}, "
                f"found {path[:80]!a}"
            )
        return model

    async def _infer(self, model: Model, request: Request) -> Answer:
        if not self._ready():
            raise NoModelError("safe mode: the model decides nothing now")
        if request.headers.get(b"content-encoding", b"identity") != b"identity":
            raise RequestError("content-encoding: expected identity")
        signature = model.signature
        # Decoding takes the daemon's only thread: not for whoever is turned away anyway.
        async with self.door.place():
            infer = decode(request.body, _header_length(request))
            wanted_outputs(infer.request, dict.fromkeys(spec.name for spec in signature.outputs))
            arrays = fitting(infer, signature.inputs)
            try:
                outputs = await self.door.run(model.worker, arrays)
            except WorkerLostError as error:
                raise NoModelError(f"the model has just left: {error}") from error
        given = dict(zip((spec.name for spec in signature.outputs), outputs, strict=True))
        named = (model.release.model, model.release.version)
        body, head = encode(infer.request, given, named)
        if head is None:
            return Answer(200, body)
        return Answer(200, body, BINARY, ((HEADER_LENGTH, str(head).encode()),))


def fitting(infer: Infer, inputs: list[TensorSpec]) -> tuple[Tensor, ...]:
    """The arrays of a request in the order of a model's *inputs*.

    Raises:
        RequestError: they are not what the model takes.
    """
    given = infer.tensors
    if len(given) != len(inputs) or any(spec.name not in given for spec in inputs):
        names = ", ".join(spec.name for spec in inputs)
        raise RequestError(f"inputs: expected {names}, found {ascii(', '.join(given))[1:-1]}")
    arrays = tuple(given[spec.name] for spec in inputs)
    for array, spec in zip(arrays, inputs, strict=True):
        if array.dtype.name != spec.dtype or list(array.shape) != spec.shape:
            raise RequestError(
                f"input {spec.name}: expected {DATATYPES[spec.dtype]} {spec.shape}, "
                f"found {DATATYPES[array.dtype.name]} {list(array.shape)}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RequestError(f"input {spec.name}: expected finite numbers")
    return arrays


def problem(error: EdgeError) -> Answer:
    """The answer to a request that failed, as the protocol has it."""
    status = 500
    headers: tuple[tuple[bytes, bytes], ...] = ()
    match error:
        case TryAgainError():
            after_s = error.after_s if isinstance(error, TurnedAwayError) else RETRY_S
            status, headers = 503, (_retry_after(after_s),)
        case NotFoundError():
            status = 404
        case MethodError():
            status, headers = 405, ((b"allow", error.allowed.encode()),)
        case TooLargeError():
            status = 413
        case HeadTooLargeError():
            status = 431
        case WindowQuarantinedError():
            pass  # a refusal of this request, and the model's failure
        case RefusedError():
            status = 400
    return Answer(status, msgspec.json.encode({"error": str(error)}), headers=headers)


def _retry_after(seconds: float) -> tuple[bytes, bytes]:
    return b"retry-after", str(math.ceil(seconds)).encode()


def _demand(request: Request, method: bytes) -> None:
    if request.method != method:
        raise MethodError(method.decode())


def _act_of(path: str) -> tuple[str, str]:
    for act in ("ready", "infer"):
        if path.endswith(f"/{act}"):
            return path.removesuffix(f"/{act}"), act
    return path, ""


def _header_length(request: Request) -> int | None:
    value = request.headers.get(HEADER_LENGTH)
    if value is None:
        return None
    if not (value.isdigit() and len(value) < 10):
        raise RequestError("inference-header-content-length: expected a number")
    return int(value)


def _document(found: object, *, ready: bool = True) -> Answer:
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, msgspec.json.encode(found))


def _metadata(model: Model) -> dict[str, Any]:  # Any: JSON values
    signature = model.signature
    return {
        "name": model.release.model,
        "versions": [model.release.version],
        "platform": "edge-mlops",
        "inputs": [_described(each) for each in signature.inputs],
        "outputs": [_described(each) for each in signature.outputs],
        "parameters": {"digest": model.digest, "classes": signature.classes},
    }


def _described(spec: TensorSpec) -> dict[str, Any]:  # Any: JSON values
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": spec.shape}
