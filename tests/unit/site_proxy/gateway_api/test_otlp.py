"""The door for telemetry: what is taken as it is, and what is refused before it is kept."""

import pytest

from edge_core.contracts.errors import ConflictError, RefusedError, TryAgainError
from edge_core.contracts.gateway import OTLP_BYTES_MAX
from edge_core.contracts.telemetry import BatchId, Signal
from tests.unit.site_proxy.gateway_api.asked import Answered, Api

pytestmark = pytest.mark.anyio

BODY = b"\x0a\x02ab"
GOOD = {
    "content-type": "application/x-protobuf",
    "x-batch-id": "gw-101/3/7",
    "x-batch-crc": "0123abcd",
}


async def post(api: Api, headers: dict[str, str], body: bytes = BODY) -> Answered:
    """Send a batch of metrics."""
    answer = await api.ask("POST", "/v1/metrics", body, headers)
    assert answer is not None
    return answer


async def test_taken() -> None:
    """A batch reaches the receiver byte for byte, with what its sender declared."""
    api = Api()
    answer = await post(api, GOOD | {"content-encoding": "gzip"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    (taken,) = api.receiver.taken
    assert (taken.signal, taken.source, taken.encoding) == (Signal.METRICS, "gw-101", "gzip")
    assert (taken.batch, taken.crc32c) == (
        BatchId(serial="gw-101", epoch=3, sequence=7),
        0x0123ABCD,
    )
    assert taken.body == BODY


async def test_stock_sdk() -> None:
    """A sender that declares nothing is served as well."""
    api = Api()
    answer = await post(api, {"content-type": "application/x-protobuf"})
    assert answer.status == 200
    assert (api.receiver.taken[0].batch, api.receiver.taken[0].encoding) == (None, "identity")


WRONG = {
    "the batch of another": ({"x-batch-id": "gw-102/3/7"}, BODY, 403, "gw-102"),
    "an id of another form": ({"x-batch-id": "gw-101/3"}, BODY, 400, "x-batch-id"),
    "a checksum that is none": ({"x-batch-crc": "xyz"}, BODY, 400, "x-batch-crc"),
    "JSON": ({"content-type": "application/json"}, BODY, 415, "application/x-protobuf"),
    "too much": ({}, b"x" * (OTLP_BYTES_MAX + 1), 413, str(OTLP_BYTES_MAX)),
}


@pytest.mark.parametrize(("headers", "body", "status", "names"), WRONG.values(), ids=WRONG.keys())
async def test_refused(headers: dict[str, str], body: bytes, status: int, names: str) -> None:
    """What is wrong with a batch is said in one line, and nothing is kept."""
    api = Api()
    answer = await post(api, GOOD | headers, body)
    assert answer.status == status
    assert names in answer.body.decode()
    assert not api.receiver.taken


async def test_id_without_checksum() -> None:
    """An id without a checksum would let another body pass as a repeat."""
    answer = await post(Api(), {k: v for k, v in GOOD.items() if k != "x-batch-crc"})
    assert answer.status == 400


OUTCOMES = {
    "full: come back later": (TryAgainError("full"), 503),
    "an id used twice": (ConflictError("other bytes"), 409),
    "it can never be stored": (RefusedError("too large for a segment"), 422),
}


@pytest.mark.parametrize(("error", "status"), OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_outcomes(error: Exception, status: int) -> None:
    """What the receiver says becomes a status; a full buffer says when to come back."""
    api = Api()
    api.receiver.error = error
    answer = await post(api, GOOD)
    assert answer.status == status
    assert ("retry-after" in answer.headers) == (status == 503)
