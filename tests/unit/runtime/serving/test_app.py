"""The Open Inference Protocol: what is there, JSON and binary tensors, refusals in words."""

import asyncio
import struct
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.artefact import Dtype, TensorSpec
from edge_runtime.api.app import Answer, InferenceApp, Request
from edge_runtime.api.settings import ServingConfig
from edge_runtime.inference.errors import (
    ModelFailedError,
    WindowQuarantinedError,
    WorkerBusyError,
    WorkerLostError,
)
from edge_runtime.route import Route
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import signature

pytestmark = pytest.mark.anyio

ROW = [1.0, 0.0, 2.0, 0.0]
INFER = "/v2/models/pump/infer"


def app(worker: SimulatedWorker | None = None, **more: Any) -> InferenceApp:  # fields of it
    """An application with model 1 in charge; *more* are settings."""
    route = Route(loaded("1", worker)[0])
    return InferenceApp(ServingConfig(**more), lambda: route, lambda: 0.0)


async def call(
    served: InferenceApp,
    path: str,
    body: bytes | None = None,
    headers: dict[bytes, bytes] | None = None,
) -> Answer:
    """One request as a connection would hand it on."""
    method = b"GET" if body is None else b"POST"
    return await served.answer(Request(method, path, headers or {}, body or b""))


def request(**changes: Any) -> dict[str, Any]:  # JSON values
    """A good request, with *changes* to its input."""
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [ROW]}
    return {"id": "7", "inputs": [{**tensor, **changes}]}


def binary(head: dict[str, Any], tail: bytes) -> tuple[bytes, dict[bytes, bytes]]:  # JSON values
    """A body with raw tensors, and the header that says where they begin."""
    for tensor in head["inputs"]:
        tensor.pop("data", None)
    text = msgspec.json.encode(head)
    return text + tail, {b"inference-header-content-length": str(len(text)).encode()}


async def test_json() -> None:
    """A row in, scores out, with the model that gave them and the client's own id."""
    answer = await call(app(), INFER, msgspec.json.encode(request()))
    found = msgspec.json.decode(answer.body)
    assert answer.status == 200
    assert (found["id"], found["model_name"], found["model_version"]) == ("7", "pump", "1")
    assert found["outputs"][0]["data"] == pytest.approx([0.9, 0.1])
    assert found["outputs"][0]["shape"] == [1, 2]


async def test_flat_or_nested() -> None:
    """Data may be flat, or nested as the shape says."""
    worker = SimulatedWorker("x")
    for data in (ROW, [ROW]):
        await call(app(worker), INFER, msgspec.json.encode(request(data=data)))
    assert [asked.tolist() for asked in worker.asked] == [[ROW], [ROW]]


@pytest.mark.parametrize("declared", [True, False])
async def test_binary(declared: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Raw tensors go both ways; where no header says how long the JSON is, the JSON does."""
    asked = request(parameters={"binary_data_size": 16})
    asked["parameters"] = {"binary_data_output": True}
    body, headers = binary(asked, struct.pack("<4f", *ROW))
    worker = SimulatedWorker("x")
    answer = await call(app(worker), INFER, body, headers if declared else {})
    assert answer.status == 200
    length = int(dict(answer.headers)[b"inference-header-content-length"])
    [output] = msgspec.json.decode(answer.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 8}
    assert struct.unpack("<2f", answer.body[length:]) == pytest.approx((0.9, 0.1))
    assert worker.asked[0].tolist() == [ROW]


async def test_requested_outputs() -> None:
    """An output asked for as raw bytes comes so, whatever the request says of the others."""
    asked = {**request(), "outputs": [{"name": "scores", "parameters": {"binary_data": True}}]}
    answer = await call(app(), INFER, msgspec.json.encode(asked))
    assert answer.content_type == b"application/octet-stream"


async def test_several_inputs() -> None:
    """Inputs come in any order and reach the model in its own, each in its type."""
    made = msgspec.structs.replace(
        signature(),
        inputs=[
            TensorSpec(name="a", dtype=Dtype.FLOAT64, shape=[1, 4]),
            TensorSpec(name="b", dtype=Dtype.UINT8, shape=[1, 2]),
        ],
    )
    asked: list[Any] = []  # arrays

    class Keeps(SimulatedWorker):
        async def run(self, inputs: Any) -> Any:  # arrays
            asked.extend(inputs)
            return (np.array([[0.5, 0.5]], np.float32),)

    # No line could fill them, so no line has such a model; the protocol does not know that.
    route = Route(replace(loaded("1", Keeps("x"))[0], signature=made))
    served = InferenceApp(ServingConfig(), lambda: route, lambda: 0.0)
    tensors = [
        {"name": "b", "shape": [1, 2], "datatype": "UINT8", "data": [7, 255]},
        {
            "name": "a",
            "shape": [1, 4],
            "datatype": "FP64",
            "parameters": {"binary_data_size": 32},
        },
    ]
    text = msgspec.json.encode({"inputs": tensors})
    answer = await call(served, INFER, text + struct.pack("<4d", *ROW))
    assert answer.status == 200
    assert [each.dtype.name for each in asked] == ["float64", "uint8"]
    assert [each.tolist() for each in asked] == [[ROW], [[7, 255]]]


BIG = 2**31
REFUSED: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "request"),
    "nothing at all": (b"", "expected a JSON header"),
    "no input": (b'{"inputs":[]}', "request"),
    "JSON that is deep": (b'{"inputs":' + b"[" * 60_000, "request"),
    "data that are deep": (
        msgspec.json.encode(request(data=0)).replace(
            b'"data":0', b'"data":' + b"[" * 9000 + b"]" * 9000
        ),
        "request",
    ),
    "another name": (msgspec.json.encode(request(name="y")), "expected x"),
    "another shape": (msgspec.json.encode(request(shape=[4], data=ROW)), "expected FP32 [1, 4]"),
    "a batch": (msgspec.json.encode(request(shape=[2, 4], data=ROW * 2)), "expected FP32 [1, 4]"),
    "a negative dimension": (msgspec.json.encode(request(shape=[-1, 4])), "shape"),
    "no dimension's length": (msgspec.json.encode(request(shape=[0, 4])), "shape"),
    "a shape whose product overflows": (
        msgspec.json.encode(request(shape=[BIG, BIG, 4])),
        "shape",
    ),
    "a product far beyond the data": (
        msgspec.json.encode(request(shape=[16_000_000, 16_000_000])),
        "expected 256000000000000 values",
    ),
    "a shape of a thousand dimensions": (msgspec.json.encode(request(shape=[1] * 1000)), "shape"),
    "too few values": (msgspec.json.encode(request(data=[1.0])), "expected 4 values"),
    "rows of unequal length": (
        msgspec.json.encode(request(shape=[2, 2], data=[[1.0], [1.0, 2.0, 3.0]])),
        "nested otherwise",
    ),
    "another datatype": (msgspec.json.encode(request(datatype="FP16")), "found FP16"),
    "no such datatype": (msgspec.json.encode(request(datatype="FP99")), "datatype"),
    "words for numbers": (msgspec.json.encode(request(data=["a"] * 4)), "expected values of FP32"),
    "truth for numbers": (msgspec.json.encode(request(data=[True] * 4)), "values of FP32"),
    "a number too large for its type": (msgspec.json.encode(request(data=[1e300] * 4)), "finite"),
    "a whole number too large": (
        msgspec.json.encode(request(datatype="INT8", data=[300] * 4)),
        "out of bounds",
    ),
    "not a number": (msgspec.json.encode(request(data=ROW)).replace(b"2.0", b"NaN"), "request"),
    "no data": (msgspec.json.encode(request()).replace(b'"data"', b'"dat"'), "expected data"),
    "bytes that are not there": (
        msgspec.json.encode(request(parameters={"binary_data_size": 16})),
        "expected 16 bytes",
    ),
    "more bytes than there can be": (
        msgspec.json.encode(request(parameters={"binary_data_size": 2**62})),
        "expected 4611686018427387904 bytes",
    ),
    "a negative number of bytes": (
        msgspec.json.encode(request(parameters={"binary_data_size": -1})),
        "binary_data_size",
    ),
    "bytes that nobody declared": (msgspec.json.encode(request()) + b"\0" * 16, "found 16"),
    "one input twice": (
        msgspec.json.encode({"inputs": request()["inputs"] * 2}),
        "found 'x' twice",
    ),
    "a hundred inputs": (msgspec.json.encode({"inputs": request()["inputs"] * 100}), "length"),
    "an output that is not there": (
        msgspec.json.encode({**request(), "outputs": [{"name": "z"}]}),
        "expected scores, found 'z'",
    ),
    "an extension that is not offered": (
        msgspec.json.encode(
            {**request(), "outputs": [{"name": "scores", "parameters": {"classification": 2}}]}
        ),
        "not offered",
    ),
    "shared memory": (
        msgspec.json.encode(request(parameters={"shared_memory_region": "r"})),
        "not offered",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str) -> None:
    """Each row is a mistake of a client, and a word of the answer it gets."""
    raw, words = REFUSED[name]
    answer = await call(app(), INFER, raw)
    assert words in msgspec.json.decode(answer.body)["error"]
    assert answer.status == 400


HEADERS = {
    "a length that is no number": ({b"inference-header-content-length": b"-5"}, "number"),
    "a length beyond the body": ({b"inference-header-content-length": b"99999999"}, "JSON header"),
    "a length within the JSON": ({b"inference-header-content-length": b"9"}, "request"),
    "a body that is packed": ({b"content-encoding": b"gzip"}, "expected identity"),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_refused_by_header(name: str) -> None:
    """Each row is a header that does not go with its body."""
    headers, words = HEADERS[name]
    answer = await call(app(), INFER, msgspec.json.encode(request()), headers)
    assert words in msgspec.json.decode(answer.body)["error"]
    assert answer.status == 400


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    """Whatever bytes a client sends, it gets an answer of the protocol."""
    good = msgspec.json.encode(request())
    at = data.draw(st.integers(0, len(good)))
    until = data.draw(st.integers(at, len(good)))
    body = good[:at] + data.draw(st.binary(max_size=40)) + good[until:]
    length = data.draw(st.none() | st.integers(0, len(body) + 1))
    headers = {} if length is None else {b"inference-header-content-length": str(length).encode()}
    answer = asyncio.run(call(app(), INFER, body, headers))
    assert answer.status in {200, 400}


async def test_metadata_and_health() -> None:
    """A client can ask what is there before it asks for scores."""
    served = app()
    for path in ("/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/pump/ready"):
        assert (await call(served, path)).status == 200
    found = msgspec.json.decode((await call(served, "/v2/models/pump/versions/1")).body)
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]
    for path in ("/v2/models/other", "/v2/models/pump/versions/2/infer", "/metrics", "/v2/%ff"):
        assert (await call(served, path)).status == 404
    wrong = await call(served, INFER)
    assert (wrong.status, wrong.headers) == (405, ((b"allow", b"POST"),))


async def test_no_model() -> None:
    """Without a model the server lives and is not ready."""
    empty = InferenceApp(ServingConfig(), Route, lambda: 0.0)
    assert (await call(empty, "/v2/health/live")).status == 200
    assert (await call(empty, "/v2/health/ready")).status == 503
    assert (await call(empty, INFER, b"{}")).status == 503


async def test_safe_mode() -> None:
    """In safe mode the model decides nothing, for clients neither."""
    route = Route(loaded("1")[0], safe_mode=True)
    served = InferenceApp(ServingConfig(), lambda: route, lambda: 0.0)
    body = msgspec.json.encode(request())
    for path, sent in (("/v2/health/ready", None), ("/v2/models/pump/ready", None), (INFER, body)):
        assert (await call(served, path, sent)).status == 503


FAILURES: dict[str, tuple[Exception, int]] = {
    "the model left meanwhile: a retry helps": (WorkerLostError("closed"), 503),
    "windows hold every slot: a retry helps": (WorkerBusyError("full"), 503),
    "the model cannot answer this": (ModelFailedError("scores: NaN"), 500),
    "the model died of this, twice": (WindowQuarantinedError(7, ()), 500),
    "what nobody thought of": (ZeroDivisionError("ours"), 500),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_failures(name: str) -> None:
    """Each row is how an inference can end, and what its client hears."""
    failure, status = FAILURES[name]
    answer = await call(
        app(SimulatedWorker("x", failure=failure)), INFER, msgspec.json.encode(request())
    )
    assert answer.status == status
    assert "ours" not in msgspec.json.decode(answer.body)["error"].split()


async def test_body_bound() -> None:
    """A body may be as long as its model can use, and no longer than the configuration says."""
    assert app().body_bytes_max == 64 * 1024 + 4 * 32
    assert app(body_bytes_max=1024).body_bytes_max == 1024
