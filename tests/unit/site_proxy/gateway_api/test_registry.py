"""The read-only registry: every assertion of OCI distribution-spec 1.1 that pulling needs."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    SBOM_TYPE,
    Descriptor,
)
from edge_site_proxy.api.gateway.ports import BlobFile, ManifestBytes
from edge_site_proxy.api.gateway.ranges import Span, parse_range
from tests.unit.site_proxy.gateway_api.asked import Answered, Api

pytestmark = pytest.mark.anyio

# Unknown fields, a data field and odd spacing: bytes that no re-encoding would give back.
RAW = b'{ "schemaVersion":2, "mediaType":"' + MANIFEST_TYPE.encode() + b'", "x":{"data":"e30="} }'
CONTENT = bytes(range(256)) * 8
UNKNOWN = "sha256:" + "0" * 64


def digest_of(content: bytes) -> str:
    """SHA-256, as OCI writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


MANIFEST = digest_of(RAW)
BLOB = digest_of(CONTENT)
EMPTY = digest_of(b"")


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """One repository with three tags, two blobs and two referrers, and an empty one."""
    api = Api()
    manifest = ManifestBytes(MANIFEST, MANIFEST_TYPE, RAW)
    api.shelf.named["models/pump"] = dict.fromkeys(["v2", "v10", "v1", MANIFEST], manifest)
    api.shelf.named["models/empty"] = {}
    for content in (CONTENT, b""):
        path = tmp_path / hashlib.sha256(content).hexdigest()
        path.write_bytes(content)
        digest = digest_of(content)
        api.shelf.blobs[digest] = BlobFile(digest, path, len(content))
    api.shelf.entries[MANIFEST] = [
        Descriptor(
            media_type=MANIFEST_TYPE,
            digest=digest_of(kind.encode()),
            size=7,
            artifact_type=kind,
            annotations={"a": "b"},
        )
        for kind in (BUNDLE_TYPE, SBOM_TYPE)
    ]
    return api


@dataclass(frozen=True)
class Case:
    """What is asked, and what must come back."""

    path: str
    status: int
    method: str = "GET"
    range: str | None = None
    body: bytes | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


WHOLE = {
    "content-type": MANIFEST_TYPE,
    "content-length": str(len(RAW)),
    "docker-content-digest": MANIFEST,
}
OCTETS = {"content-length": "2048", "docker-content-digest": BLOB}
PUMP = "/v2/models/pump"
TAGS = f"{PUMP}/tags/list"


def listed(*tags: str) -> bytes:
    """A page of tags."""
    return msgspec.json.encode({"name": "models/pump", "tags": list(tags)})


CASES = {
    "the base answers": Case("/v2/", 200),
    "the base answers without its slash": Case("/v2", 200),
    "a manifest by tag, byte for byte": Case(
        f"{PUMP}/manifests/v1", 200, body=RAW, headers=WHOLE
    ),
    "a manifest by digest": Case(f"{PUMP}/manifests/{MANIFEST}", 200, body=RAW, headers=WHOLE),
    "HEAD gives its headers and no body": Case(
        f"{PUMP}/manifests/v1", 200, "HEAD", body=b"", headers=WHOLE
    ),
    "no such tag": Case(f"{PUMP}/manifests/v9", 404, code="MANIFEST_UNKNOWN"),
    "no such digest": Case(f"{PUMP}/manifests/{UNKNOWN}", 404, code="MANIFEST_UNKNOWN"),
    "a malformed digest is no crash": Case(
        f"{PUMP}/manifests/sha256:baddigeststring", 404, code="MANIFEST_UNKNOWN"
    ),
    "HEAD of no such tag": Case(f"{PUMP}/manifests/v9", 404, "HEAD", body=b""),
    "a blob": Case(f"{PUMP}/blobs/{BLOB}", 200, body=CONTENT, headers=OCTETS),
    "HEAD of a blob": Case(f"{PUMP}/blobs/{BLOB}", 200, "HEAD", body=b"", headers=OCTETS),
    "an empty blob": Case(f"{PUMP}/blobs/{EMPTY}", 200, body=b"", headers={"content-length": "0"}),
    "no such blob": Case(f"{PUMP}/blobs/{UNKNOWN}", 404, code="BLOB_UNKNOWN"),
    "a blob by a malformed digest": Case(f"{PUMP}/blobs/sha256:x", 400, code="DIGEST_INVALID"),
    "a range": Case(
        f"{PUMP}/blobs/{BLOB}", 206, range="bytes=500-1499", body=CONTENT[500:1500],
        headers={"content-range": "bytes 500-1499/2048", "content-length": "1000"},
    ),
    "a range to the end": Case(
        f"{PUMP}/blobs/{BLOB}", 206, range="bytes=500-", body=CONTENT[500:],
        headers={"content-range": "bytes 500-2047/2048"},
    ),
    "the last bytes": Case(
        f"{PUMP}/blobs/{BLOB}", 206, range="bytes=-500", body=CONTENT[-500:],
        headers={"content-range": "bytes 1548-2047/2048"},
    ),
    "a range past the end": Case(
        f"{PUMP}/blobs/{BLOB}", 206, range="bytes=2000-5000", body=CONTENT[2000:],
        headers={"content-range": "bytes 2000-2047/2048"},
    ),
    "HEAD of a range": Case(
        f"{PUMP}/blobs/{BLOB}", 206, "HEAD", range="bytes=0-9", body=b"",
        headers={"content-length": "10"},
    ),
    "a range backwards": Case(
        f"{PUMP}/blobs/{BLOB}", 416, range="bytes=500-0",
        headers={"content-range": "bytes */2048"},
    ),
    "a range beyond": Case(
        f"{PUMP}/blobs/{BLOB}", 416, range="bytes=5000-10000",
        headers={"content-range": "bytes */2048"},
    ),
    "tags, sorted": Case(TAGS, 200, body=listed("v1", "v10", "v2"), absent=("link",)),
    "tags after one": Case(f"{TAGS}?last=v1", 200, body=listed("v10", "v2")),
    "the first tag, with the way to the next": Case(
        f"{TAGS}?n=1", 200, body=listed("v1"),
        headers={"link": f'<{TAGS}?n=1&last=v1>; rel="next"'},
    ),
    "the last page has no next": Case(
        f"{TAGS}?n=2&last=v1", 200, body=listed("v10", "v2"), absent=("link",)
    ),
    "no tags wanted": Case(f"{TAGS}?n=0", 200, body=listed(), absent=("link",)),
    "a number of tags that is none": Case(f"{TAGS}?n=many", 400, code="UNSUPPORTED"),
    "tags of an empty repository": Case(
        "/v2/models/empty/tags/list", 200, body=b'{"name":"models/empty","tags":[]}'
    ),
    "tags of no such repository": Case("/v2/models/none/tags/list", 404, code="NAME_UNKNOWN"),
    "an impossible name": Case("/v2/Models/pump/tags/list", 400, code="NAME_INVALID"),
    "a name that climbs": Case("/v2/../etc/blobs/" + BLOB, 400, code="NAME_INVALID"),
    "nothing we know": Case("/v2/models/pump", 404, code="NAME_UNKNOWN"),
    "referrers of an unknown subject are none": Case(
        f"{PUMP}/referrers/{UNKNOWN}", 200,
        body=msgspec.json.encode({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}),
        headers={"content-type": INDEX_TYPE}, absent=("oci-filters-applied",),
    ),
    "referrers of a malformed digest": Case(f"{PUMP}/referrers/x", 400, code="DIGEST_INVALID"),
    "nothing can be pushed": Case(f"{PUMP}/blobs/uploads/", 405, "POST", code="UNSUPPORTED"),
    "nothing can be put": Case(f"{PUMP}/manifests/v1", 405, "PUT", code="UNSUPPORTED"),
    "nothing can be patched": Case(f"{PUMP}/blobs/{BLOB}", 405, "PATCH", code="UNSUPPORTED"),
    "nothing can be deleted": Case(f"{PUMP}/manifests/v1", 405, "DELETE", code="UNSUPPORTED"),
}  # fmt: skip


async def asked(api: Api, case: Case) -> Answered:
    """Ask it."""
    headers = {} if case.range is None else {"range": case.range}
    answer = await api.ask(case.method, case.path, headers=headers)
    assert answer is not None
    return answer


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_assertions(case: Case, api: Api) -> None:
    """What the distribution-spec asks of a registry one pulls from."""
    answer = await asked(api, case)
    assert answer.status == case.status
    if case.body is not None:
        assert answer.body == case.body
    if case.code is not None:
        (error,) = msgspec.json.decode(answer.body)["errors"]
        assert error["code"] == case.code
    for name, value in case.headers.items():
        assert answer.headers[name] == value
    assert not set(case.absent) & set(answer.headers)


async def test_referrers(api: Api) -> None:
    """Referrers come as an index of whole descriptors; a filter says that it was applied."""
    every = await asked(api, Case(f"{PUMP}/referrers/{MANIFEST}", 200))
    entries = msgspec.json.decode(every.body)["manifests"]
    assert [entry["artifactType"] for entry in entries] == [BUNDLE_TYPE, SBOM_TYPE]
    assert all({"mediaType", "size", "digest", "annotations"} <= entry.keys() for entry in entries)
    quoted = BUNDLE_TYPE.replace("+", "%2B")
    some = await asked(api, Case(f"{PUMP}/referrers/{MANIFEST}?artifactType={quoted}", 200))
    (entry,) = msgspec.json.decode(some.body)["manifests"]
    assert entry["artifactType"] == BUNDLE_TYPE
    assert some.headers["oci-filters-applied"] == "artifactType"


RANGES = {
    "several ranges are answered with the whole": ("bytes=0-1,4-5", 10, None),
    "another unit is": ("items=0-1", 10, None),
    "no numbers are": ("bytes=-", 10, None),
    "the last none": ("bytes=-0", 10, "unsatisfiable"),
    "more than there is from the end": ("bytes=-50", 10, Span(0, 10)),
    "of nothing": ("bytes=0-", 0, "unsatisfiable"),
    "exactly the size": ("bytes=10-", 10, "unsatisfiable"),
}


@pytest.mark.parametrize(("header", "size", "span"), RANGES.values(), ids=RANGES.keys())
async def test_ranges(header: str, size: int, span: object) -> None:
    """Corners of RFC 9110 section 14.2."""
    assert parse_range(header, size) == span


METERED = {
    "a whole blob is more than it was given": ("GET", None, 429),
    "a piece of that size is not": ("GET", "bytes=0-999", 206),
    "to ask how large it is takes nothing": ("HEAD", None, 200),
}


@pytest.mark.parametrize(("method", "span", "status"), METERED.values(), ids=METERED.keys())
async def test_metered(api: Api, method: str, span: str | None, status: int) -> None:
    """A gateway gets no byte that it was not given; it is told to try again."""
    api.site.send_max = 1000
    headers = {} if span is None else {"range": span}
    answer = await api.ask(method, f"{PUMP}/blobs/{BLOB}", headers=headers)
    assert answer is not None
    assert answer.status == status
    if status == 429:
        assert msgspec.json.decode(answer.body)["errors"][0]["code"] == "TOOMANYREQUESTS"


async def test_documents_are_not_metered(api: Api) -> None:
    """Manifests are small, and say what there is to ask for."""
    api.site.send_max = 0
    answer = await api.ask("GET", f"{PUMP}/manifests/v1")
    assert answer is not None
    assert answer.status == 200
