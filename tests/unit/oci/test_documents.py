"""Manifests and indexes: foreign ones are read as they are, odd ones not at all."""

import json

import pytest

from edge_core.contracts.artefact import Descriptor, Index, Manifest
from edge_core.contracts.errors import RefusedError
from edge_core.oci import (
    DigestMismatchError,
    decode_document,
    digest_of,
    encode_document,
    fetched,
)

LAYER = Descriptor(media_type="text/plain", digest="sha256:" + "b" * 64, size=3)
MANIFEST = Manifest(config=LAYER, layers=[LAYER, LAYER], annotations={"b": "1", "a": "2"})
INDEX = Index(manifests=[LAYER])


def test_round_trip() -> None:
    """What we write we read, and equal documents are equal bytes."""
    for document in (MANIFEST, INDEX):
        raw = encode_document(document)
        assert decode_document(raw) == document
        assert encode_document(decode_document(raw)) == raw
        assert json.loads(raw)["schemaVersion"] == 2
        assert json.loads(raw)["mediaType"] == document.media_type


def test_foreign_fields_are_tolerated_and_kept() -> None:
    """Fields of other tools do not disturb us, and the bytes stay what they were."""
    foreign = json.loads(encode_document(MANIFEST)) | {"org.example": {"x": [1]}}
    foreign["layers"][0] |= {"urls": ["https://x"], "data": "aGk=", "platform": {"os": "linux"}}
    raw = json.dumps(foreign, indent=3).encode()
    found = fetched(raw, expected=digest_of(raw))
    assert found.raw == raw
    assert found.manifest() == MANIFEST
    assert found.descriptor.size == len(raw)


def _with(document: Manifest | Index, **changes: object) -> bytes:
    return json.dumps(json.loads(encode_document(document)) | changes).encode()


REFUSED = {
    "both kinds at once": _with(MANIFEST, manifests=[]),
    "neither kind": b'{"schemaVersion":2}',
    "no object": b"[]",
    "another schema": _with(MANIFEST, schemaVersion=1),
    "another media type": _with(MANIFEST, mediaType="application/vnd.docker.manifest"),
    "an index that says it is a manifest": _with(INDEX, mediaType=MANIFEST.media_type),
    "a digest of another algorithm": _with(
        INDEX, manifests=[{"mediaType": "x", "size": 1, "digest": "sha512:" + "a" * 128}]
    ),
    "a digest that climbs": _with(
        INDEX, manifests=[{"mediaType": "x", "size": 1, "digest": "sha256:../../etc/passwd"}]
    ),
    "a negative size": _with(
        INDEX, manifests=[{"mediaType": "x", "size": -1, "digest": LAYER.digest}]
    ),
    "a key twice": encode_document(INDEX).replace(b"{", b'{"manifests":[],', 1),
    "above four megabytes": encode_document(INDEX) + b" " * 4 * 1024 * 1024,
    "a flood of entries": _with(
        INDEX, manifests=[{"mediaType": "x", "size": 1, "digest": LAYER.digest}] * 4097
    ),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw: bytes) -> None:
    """Every row is refused in one line."""
    with pytest.raises(RefusedError, match=r"\Amanifest: ") as refusal:
        decode_document(raw)
    assert str(refusal.value).isprintable()


def test_other_bytes_than_asked_for() -> None:
    """A manifest that has another digest is not looked into."""
    with pytest.raises(DigestMismatchError):
        fetched(b"{}", expected=LAYER.digest)


def test_the_wrong_kind_is_said() -> None:
    """Whoever wants an index and gets a manifest is told, and the other way round."""
    with pytest.raises(RefusedError, match="expected an image index"):
        fetched(encode_document(MANIFEST)).index()
    with pytest.raises(RefusedError, match="expected an image manifest"):
        fetched(encode_document(INDEX)).manifest()
