"""The small manifests around a release: what carries a signature, an SBOM, a channel, a plan.

Form of a signature: as cosign v3 attaches a Sigstore bundle to a manifest (one layer, the empty
config, the subject, three annotations), so that stock tools find and verify it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    CHANNEL_TYPE,
    EMPTY_TYPE,
    PLAN_TYPE,
    SBOM_TYPE,
    Descriptor,
    Manifest,
)
from edge_core.oci.digest import digest_of
from edge_core.oci.documents import encode_document
from edge_core.oci.names import check_tag

EMPTY_BYTES: Final = b"{}"
EMPTY: Final = Descriptor(
    media_type=EMPTY_TYPE, digest=digest_of(EMPTY_BYTES), size=len(EMPTY_BYTES)
)
"""The empty config; whoever writes one of these manifests also keeps EMPTY_BYTES."""

CREATED: Final = "org.opencontainers.image.created"
_CONTENT: Final = "dev.sigstore.bundle.content"
_PREDICATE: Final = "dev.sigstore.bundle.predicateType"


def bundle_manifest(
    subject: Descriptor, bundle: Descriptor, *, predicate_type: str, created: datetime
) -> bytes:
    """The manifest that attaches *bundle*, a blob of BUNDLE_TYPE, to *subject*."""
    annotations = {
        CREATED: _instant(created),
        _CONTENT: "dsse-envelope",
        _PREDICATE: predicate_type,
    }
    return _attached(BUNDLE_TYPE, [bundle], subject=subject, annotations=annotations)


def sbom_manifest(subject: Descriptor, sbom: Descriptor, *, created: datetime) -> bytes:
    """The manifest that attaches *sbom*, a blob of SBOM_TYPE, to *subject*."""
    annotations = {CREATED: _instant(created)}
    return _attached(SBOM_TYPE, [sbom], subject=subject, annotations=annotations)


def channel_manifest(bundles: Sequence[Descriptor], *, created: datetime) -> bytes:
    """The manifest of a channel: one bundle a signer, all over the same document."""
    annotations = {CREATED: _instant(created)}
    return _attached(CHANNEL_TYPE, bundles, subject=None, annotations=annotations)


def plan_manifest(bundles: Sequence[Descriptor], *, created: datetime) -> bytes:
    """The manifest of a signed plan: one bundle a signer, all over the same document."""
    annotations = {CREATED: _instant(created)}
    return _attached(PLAN_TYPE, bundles, subject=None, annotations=annotations)


def channel_tag(site: str) -> str:
    """The tag at which a site looks for its channel."""
    return check_tag(f"channel-{site}")


def plan_tag(model: str) -> str:
    """The tag at which sites look for the newest plan of *model*."""
    return check_tag(f"plan-{model.replace('/', '-')}")


def _attached(
    artifact_type: str,
    layers: Sequence[Descriptor],
    *,
    subject: Descriptor | None,
    annotations: dict[str, str],
) -> bytes:
    # The subject's own annotations are the subject's business.
    bare = subject and Descriptor(
        media_type=subject.media_type, digest=subject.digest, size=subject.size
    )
    return encode_document(
        Manifest(
            artifact_type=artifact_type,
            config=EMPTY,
            layers=list(layers),
            subject=bare,
            annotations=annotations,
        )
    )


def _instant(created: datetime) -> str:
    return created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
