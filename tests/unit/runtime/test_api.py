"""The Open Inference Protocol: JSON and binary tensors, refusals in words, a queue that sheds."""

import asyncio
import struct
from typing import Any

import msgspec
import pytest

from edge_runtime.api.protocol import InferenceApp
from edge_runtime.config import ServingConfig
from edge_runtime.inference.errors import WorkerLostError
from edge_runtime.scoring import Route, Scorer
from tests.simulators.models import SimulatedWorker, loaded

pytestmark = pytest.mark.anyio

ROW = [1.0, 0.0, 2.0, 0.0]
INFER = "/v2/models/pump/infer"


def app(worker: SimulatedWorker | None = None, **more: Any) -> InferenceApp:  # fields of it
    """An application with model 1 in charge; *more* are settings."""
    scorer = Scorer("gw-1", 1, lambda: 0.0)
    scorer.route = Route(loaded("1", worker)[0])
    return InferenceApp(ServingConfig(**more), scorer)


async def call(
    served: InferenceApp,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request as a server would hand it on."""
    sent: list[dict[str, Any]] = []  # ASGI messages

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: Any) -> None:  # an ASGI message
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET" if body is None else "POST",
        "path": path,
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
    }
    await served(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def request(**changes: Any) -> dict[str, Any]:  # JSON values
    """A good request, with *changes* to its input."""
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [ROW]}
    return {"id": "7", "inputs": [{**tensor, **changes}]}


async def test_json() -> None:
    """A row in, scores out, with the model that gave them."""
    status, _, body = await call(app(), INFER, msgspec.json.encode(request()))
    answer = msgspec.json.decode(body)
    assert status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "pump", "1")
    assert answer["outputs"][0]["data"] == pytest.approx([0.9, 0.1])


async def test_binary() -> None:
    """Raw tensors go both ways, after a JSON header whose length is declared."""
    asked = request(parameters={"binary_data_size": 16})
    del asked["inputs"][0]["data"]
    asked["parameters"] = {"binary_data_output": True}
    head = msgspec.json.encode(asked)
    status, headers, body = await call(
        app(),
        INFER,
        head + struct.pack("<4f", *ROW),
        {"Inference-Header-Content-Length": str(len(head))},
    )
    assert status == 200
    length = int(headers[b"inference-header-content-length"])
    assert msgspec.json.decode(body[:length])["outputs"][0]["parameters"] == {
        "binary_data_size": 8
    }
    assert struct.unpack("<2f", body[length:]) == pytest.approx((0.9, 0.1))


REFUSED: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "request"),
    "no input": (b'{"inputs":[]}', "request"),
    "another name": (msgspec.json.encode(request(name="y")), "expected x"),
    "another shape": (msgspec.json.encode(request(shape=[4], data=ROW)), "expected FP32 [1, 4]"),
    "too few values": (msgspec.json.encode(request(data=[1.0])), "expected 4 values"),
    "another datatype": (msgspec.json.encode(request(datatype="FP16")), "datatype"),
    "words for numbers": (msgspec.json.encode(request(data=["a"] * 4)), "numbers"),
    "bytes that are not there": (
        msgspec.json.encode(request(parameters={"binary_data_size": 16})),
        "expected 16 bytes",
    ),
    "an output that is not there": (
        msgspec.json.encode({**request(), "outputs": [{"name": "z"}]}),
        "outputs",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str) -> None:
    """Each row is a mistake of a client, and a word of the answer it gets."""
    raw, words = REFUSED[name]
    status, _, body = await call(app(), INFER, raw)
    assert status == 400
    assert words in msgspec.json.decode(body)["error"]


async def test_metadata_and_health() -> None:
    """A client can ask what is there before it asks for scores."""
    served = app()
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/pump/ready"):
        assert (await call(served, path))[0] == 200
    _, _, body = await call(served, "/v2/models/pump/versions/1")
    assert msgspec.json.decode(body)["inputs"][0]["shape"] == [1, 4]
    for path in ("/v2/models/other", "/v2/models/pump/versions/2/infer", "/metrics"):
        assert (await call(served, path))[0] == 404
    empty = InferenceApp(ServingConfig(), Scorer("gw-1", 1, lambda: 0.0))
    assert (await call(empty, "/v2/health/ready"))[0] == 503
    assert (await call(empty, INFER, b"{}"))[0] == 503


async def test_too_long() -> None:
    """A body beyond the bound is not even read to its end."""
    status, _, _ = await call(app(body_bytes_max=1024), INFER, b" " * 2000)
    assert status == 413


async def test_full_queue_sheds() -> None:
    """One request more than the queue holds is told to come back."""
    waits = asyncio.Event()

    class Slow(SimulatedWorker):
        async def infer(self, features: Any) -> Any:  # arrays
            await waits.wait()
            return await SimulatedWorker.infer(self, features)

    served = app(Slow("x"), queue=2)
    body = msgspec.json.encode(request())
    async with asyncio.TaskGroup() as group:
        two = [group.create_task(call(served, INFER, body)) for _ in range(2)]
        await asyncio.sleep(0)
        status, headers, _ = await call(served, INFER, body)
        assert (status, headers[b"retry-after"]) == (503, b"1")
        waits.set()
    assert [task.result()[0] for task in two] == [200, 200]


async def test_model_leaves_meanwhile() -> None:
    """A model that is retired under a request is worth a retry."""
    worker = SimulatedWorker("x", failure=WorkerLostError("closed"))
    status, _, _ = await call(app(worker), INFER, msgspec.json.encode(request()))
    assert status == 503
