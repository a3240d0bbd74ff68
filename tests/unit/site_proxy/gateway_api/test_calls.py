"""What a gateway says and gets: heartbeat, desired state, permit, review; and what is refused."""

import datetime as dt

import msgspec
import pytest

from edge_core.contracts.gateway import (
    STATUS_BYTES_MAX,
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    References,
    StatusReply,
    StatusReport,
)
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.review import Channel, Routing, SuspectWindow
from tests.simulators.newer import newer
from tests.unit.site_proxy.gateway_api.asked import Api

pytestmark = pytest.mark.anyio

DIGEST = "sha256:" + "a" * 64
AT = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)


def report(serial: str) -> bytes:
    """A heartbeat of *serial*."""
    return msgspec.json.encode(
        StatusReport(
            serial=serial,
            boot_epoch=1,
            sequence=1,
            software="1",
            clock=ClockQuality(synchronised=True, error_max_us=10),
            references=References(),
            effective=None,
            running=None,
        )
    )


def window(serial: str, number: int = 1, of: str | None = None) -> SuspectWindow:
    """A suspect window of *serial*."""
    return SuspectWindow(
        id=f"{of or serial}:1:{number}",
        serial=serial,
        digest=DIGEST,
        started=AT,
        ended=AT,
        period_s=1.0,
        channels=[Channel(role="flow", unit="m3/h", values=[1.0, None])],
        classes=["normal", "leak"],
        scores=[0.5, 0.5],
        prediction="leak",
        routing=Routing.UNCERTAIN,
        why="close call",
    )


async def post(api: Api, path: str, body: bytes) -> tuple[int, bytes]:
    """Send JSON."""
    answer = await api.ask("POST", path, body)
    assert answer is not None
    return answer.status, answer.body


async def test_heartbeat() -> None:
    """A heartbeat reaches the site under the certificate's serial and says what to fetch."""
    api = Api()
    status, body = await post(api, "/gateway/v1/status", report("gw-101"))
    assert status == 200
    assert msgspec.json.decode(body, type=StatusReply).desired_etag == "g1"
    assert [each.serial for each in api.site.reports] == ["gw-101"]


async def test_desired_once() -> None:
    """With the ETag it has, a gateway gets 304 and no body; after a change it gets the new one."""
    api = Api()
    first = await api.ask("GET", "/gateway/v1/desired")
    assert first is not None
    assert msgspec.json.decode(first.body, type=Desired).generation == 1
    known = {"if-none-match": first.headers["etag"]}
    same = await api.ask("GET", "/gateway/v1/desired", headers=known)
    assert same is not None
    assert (same.status, same.body) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    api.site.generation = 2
    changed = await api.ask("GET", "/gateway/v1/desired", headers=known)
    assert changed is not None
    assert changed.status == 200


async def test_permit() -> None:
    """A permit comes back as the site grants it."""
    asked = PermitRequest(digest=DIGEST, attempt=3, boot_epoch=1)
    status, body = await post(Api(), "/gateway/v1/permit", msgspec.json.encode(asked))
    assert status == 200
    assert msgspec.json.decode(body, type=PermitReply).epoch == 3


async def test_pull() -> None:
    """A gateway may download so many bytes."""
    body = msgspec.json.encode(
        PullRequest(digest="sha256:" + "0" * 64, attempt=1, bytes_missing=77)
    )
    status, said = await post(Api(), "/gateway/v1/pull", body)
    assert status == 200
    assert msgspec.json.decode(said, type=PullReply) == PullReply(granted=True, bytes=77)


async def test_review() -> None:
    """Windows go to the queue, one or several at a time; a repeat is recognised."""
    api = Api()
    one = msgspec.json.encode(window("gw-101", 1))
    assert await post(api, "/gateway/v1/review", one) == (200, b'{"taken":1,"known":0}')
    both = msgspec.json.encode([window("gw-101", 1), window("gw-101", 2)])
    assert await post(api, "/gateway/v1/review", both) == (200, b'{"taken":1,"known":1}')


async def test_a_newer_gateway() -> None:
    """What a newer gateway says beyond what is known here is ignored, and the rest is taken."""
    api = Api()
    assert (await post(api, "/gateway/v1/status", newer(report("gw-101"))))[0] == 200
    assert api.site.reports == [msgspec.json.decode(report("gw-101"), type=StatusReport)]
    suspect = window("gw-101")
    sent = newer(msgspec.json.encode([suspect]))
    assert await post(api, "/gateway/v1/review", sent) == (200, b'{"taken":1,"known":0}')
    assert api.site.windows == {suspect.id: suspect}
    permit = PermitRequest(digest=DIGEST, attempt=3, boot_epoch=1)
    pull = PullRequest(digest=DIGEST, attempt=1, bytes_missing=77)
    for path, asked in (("permit", permit), ("pull", pull)):
        said = await post(api, f"/gateway/v1/{path}", newer(msgspec.json.encode(asked)))
        assert said[0] == 200


REFUSED = {
    "a heartbeat of another serial": ("status", report("gw-102"), 403, "gw-102"),
    "a window of another serial": (
        "review",
        msgspec.json.encode(window("gw-102")),
        403,
        "gw-102",
    ),
    "a window whose id claims another": (
        "review",
        msgspec.json.encode(window("gw-101", of="gw-102")),
        403,
        "gw-102",
    ),
    "no JSON": ("status", b"\xff{", 400, "status"),
    "a heartbeat with a field by another name": (
        "status",
        report("gw-101").replace(b'"software"', b'"softwear"'),
        400,
        "missing required field `software`",
    ),
    "too much": ("status", b" " * (STATUS_BYTES_MAX + 1), 413, str(STATUS_BYTES_MAX)),
    "too many windows": (
        "review",
        msgspec.json.encode([window("gw-101", n) for n in range(17)]),
        400,
        "16",
    ),
    "no such call": ("wish", b"{}", 404, "wish"),
}


@pytest.mark.parametrize(("path", "body", "status", "names"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(path: str, body: bytes, status: int, names: str) -> None:
    """A wrong request gets its status and one line that names the thing; nothing is kept."""
    api = Api()
    found, said = await post(api, f"/gateway/v1/{path}", body)
    assert found == status
    assert names in msgspec.json.decode(said)["message"]
    assert not api.site.reports
    assert not api.site.windows


async def test_too_much_declared() -> None:
    """A declared length above the bound is refused before a byte of the body is read."""
    headers = {"content-length": str(STATUS_BYTES_MAX + 1)}
    answer = await Api().ask("POST", "/gateway/v1/status", b"{}", headers, leaves_after=0)
    assert answer is not None
    assert answer.status == 413


async def test_client_leaves() -> None:
    """A client that leaves in the middle of its body gets no answer and leaves no trace."""
    api = Api()
    body = report("gw-101") + b" " * 40_000
    assert await api.ask("POST", "/gateway/v1/status", body, leaves_after=1) is None
    assert not api.site.reports


async def test_unknown_gateway() -> None:
    """A good certificate of a gateway that the inventory lacks gets 404."""
    status, _ = await post(Api(serial="gw-999"), "/gateway/v1/status", report("gw-999"))
    assert status == 404


async def test_wrong_method() -> None:
    """Another method gets 405 and is told which one."""
    answer = await Api().ask("PUT", "/gateway/v1/status", b"{}")
    assert answer is not None
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


RENEWALS = {
    "a signing request is signed for the certificate's own serial": (
        ("POST", "application/pkcs10", b"wanted"),
        (200, [("gw-101", b"wanted")]),
    ),
    "to look is not to ask": (("GET", "application/pkcs10", b""), (405, [])),
    "what is no signing request is not handed on": (("POST", "text/plain", b"wanted"), (415, [])),
}


@pytest.mark.parametrize("name", RENEWALS)
async def test_renewal(name: str) -> None:
    """Each row is a request for the next certificate, its status, and what was signed for whom."""
    (method, kind, body), (status, signed) = RENEWALS[name]
    api = Api()
    path = "/.well-known/est/simplereenroll"
    answer = await api.ask(method, path, body, {"content-type": kind})
    assert answer is not None
    assert (answer.status, api.identity.signed) == (status, signed)
