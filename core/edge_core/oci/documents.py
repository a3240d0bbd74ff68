"""Manifests and indexes: foreign bytes to our types and back, without ever changing a byte.

Format: OCI image-spec 1.1. Fields that we do not know are tolerated, since other tools add them;
what we know is checked. The bytes stay what they are and are what the digest is over.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from edge_core.contracts.artefact import (
    INDEX_TYPE,
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPE,
    Descriptor,
    Digest,
    Index,
    Manifest,
)
from edge_core.contracts.errors import RefusedError
from edge_core.oci.digest import digest_of
from edge_core.oci.errors import DigestMismatchError
from edge_core.trust.strict_json import convert, parse, shown

ENTRIES_MAX: Final = 4096  # layers of a manifest, or manifests of an index


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or index as it came.

    Attributes:
        raw: verbatim, the bytes that *digest* is over.
        media_type: what the document says it is.
        digest: of *raw*.
    """

    raw: bytes
    media_type: str
    digest: Digest

    @property
    def descriptor(self) -> Descriptor:
        """Points to this document."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw))

    def manifest(self) -> Manifest:
        """As an image manifest.

        Raises:
            RefusedError: it is something else.
        """
        document = decode_document(self.raw)
        if not isinstance(document, Manifest):
            raise RefusedError(f"{self.digest}: expected an image manifest, found an index")
        return document

    def index(self) -> Index:
        """As an image index.

        Raises:
            RefusedError: it is something else.
        """
        document = decode_document(self.raw)
        if not isinstance(document, Index):
            raise RefusedError(f"{self.digest}: expected an image index, found a manifest")
        return document


def fetched(raw: bytes, *, expected: Digest | None = None) -> Fetched:
    """Check the bytes of a manifest or index that somebody handed over.

    Args:
        raw: verbatim.
        expected: the digest it was asked for by, None if by tag.

    Raises:
        DigestMismatchError: other bytes than *expected*.
        RefusedError: not a manifest or index that we read.
    """
    digest = digest_of(raw)
    if expected is not None and digest != expected:
        raise DigestMismatchError("manifest", expected=expected, found=digest)
    return Fetched(raw=raw, media_type=decode_document(raw).media_type, digest=digest)


def decode_document(raw: bytes) -> Manifest | Index:
    """Decode a manifest or an index.

    Raises:
        RefusedError: not strict JSON, above 4 MiB, of another kind, or of two kinds at once.
    """
    document = parse(raw, what="manifest", bytes_max=MANIFEST_BYTES_MAX)
    if not isinstance(document, dict):
        raise RefusedError("manifest: expected a JSON object, found another value")
    # One document that is both would be one release to us and another to the next reader.
    lists = {"layers", "config"} & document.keys(), {"manifests"} & document.keys()
    if all(lists) or not any(lists):
        raise RefusedError("manifest: expected either layers or manifests, found both or neither")
    kind: type[Manifest | Index] = Index if lists[1] else Manifest
    media_type = INDEX_TYPE if lists[1] else MANIFEST_TYPE
    decoded = convert(document, kind, what="manifest")
    if decoded.schema_version != 2 or decoded.media_type != media_type:
        raise RefusedError(
            f"manifest: expected schema version 2 and {media_type}, "
            f"found {decoded.schema_version} and {shown(decoded.media_type)}"
        )
    entries = decoded.manifests if isinstance(decoded, Index) else decoded.layers
    if len(entries) > ENTRIES_MAX:
        raise RefusedError(
            f"manifest: expected at most {ENTRIES_MAX} entries, found {len(entries)}"
        )
    return decoded


def encode_document(document: Manifest | Index) -> bytes:
    """The bytes of a document of ours: compact JSON with sorted keys, so equal is equal."""
    # `omit_defaults` leaves out the two fields that every reader looks for first.
    fields = msgspec.to_builtins(document)
    fields |= {"schemaVersion": document.schema_version, "mediaType": document.media_type}
    return msgspec.json.encode(fields, order="sorted")
