"""Reads a release out of the blob store: nothing in it is believed before its digest was checked.

The functions block; the daemon calls them through `asyncio.to_thread`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import (
    DOCUMENT_BYTES_MAX,
    FILEPATH,
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    ROLE,
    TARGET,
    Descriptor,
    DriftReference,
    Index,
    LayerRole,
    Manifest,
    ModelSignature,
    ReleaseRef,
    SmokeVectors,
    Target,
)
from edge_core.contracts.errors import RefusedError
from edge_core.contracts.plant import SafetyClass
from edge_core.oci.documents import fetched
from edge_core.oci.pull import Offer, Pulled
from edge_core.oci.store import BlobStore
from edge_core.trust.policy import Trust
from edge_core.trust.release import verify_release
from edge_core.trust.strict_json import decode
from edge_runtime.errors import AssignmentRefusedError
from edge_runtime.update.record import Entry

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a gateway reads of one build of a release."""

    entry: Entry
    runtime: str
    files: tuple[ModelFile, ...]
    signature: ModelSignature
    smoke: SmokeVectors
    reference: DriftReference | None


def choose(index: Index, targets: Sequence[Target]) -> Descriptor:
    """The build for the first of *targets* that the release has.

    Raises:
        AssignmentRefusedError: it has none of them.
    """
    offered = {entry.annotations.get(TARGET, ""): entry for entry in index.manifests}
    for target in targets:
        if str(target) in offered:
            return offered[str(target)]
    wanted = ", ".join(str(target) for target in targets)
    raise AssignmentRefusedError(
        "no_target", f"expected a build for one of {wanted}, found {', '.join(sorted(offered))}"
    )


def check_names(index: Index, release: ReleaseRef) -> None:
    """The index must call itself what the assignment calls it.

    Raises:
        AssignmentRefusedError: another model, version or release number.
    """
    found = index.annotations
    expected = {
        MODEL_NAME: release.model,
        MODEL_VERSION: release.version,
        RELEASE_NUMBER: str(release.release),
    }
    for key, value in expected.items():
        if found.get(key) != value:
            raise AssignmentRefusedError(
                "mislabelled", f"{key}: expected {value!r}, found {found.get(key, 'none')!r}"
            )


def trusted(
    trust: Trust, stage: str, safety_class: SafetyClass, release: ReleaseRef
) -> Callable[[Offer], tuple[str, ...]]:
    """A check of an offer against the site's trust policy; gives the signers.

    The check raises:
        RefusedError: other bytes than assigned, or a step of verification failed.
    """

    def check(offer: Offer) -> tuple[str, ...]:
        if offer.index.digest != release.digest:
            raise AssignmentRefusedError(
                "digest", f"expected release {release.digest}, found {offer.index.digest}"
            )
        check_names(offer.release, release)
        rule = trust.rule(stage, safety_class)
        return verify_release(release.digest, offer.bundles, rule, trust.keyring).signers

    return check


def entry_from_disk(
    store: BlobStore, pulled: Pulled, check: Callable[[Offer], tuple[str, ...]], attempt: int
) -> Entry:
    """Read every byte of a pulled release back from disk, verify all of it, and say so.

    Raises:
        RefusedError: a byte or a signature is not what it must be; bad blobs are quarantined.
    """
    index = fetched(store.read(pulled.offer.index.digest), expected=pulled.offer.index.digest)
    attachments = [
        fetched(store.read(each.digest), expected=each.digest) for each in pulled.offer.attachments
    ]
    bundles = _bundles(store, [each.manifest() for each in attachments], pulled.offer.bundles)
    offer = Offer(
        index=index,
        release=index.index(),
        bundles=bundles,
        attachments=tuple(attachments),
    )
    signers = check(offer)
    document, manifest = pulled.manifests[0]
    descriptor = next(each for each in index.index().manifests if each.digest == document.digest)
    below = [
        blob
        for each in (manifest, *(each.manifest() for each in attachments))
        for blob in (each.config, *each.layers)
    ]
    blobs = [index.digest, document.digest, *(each.digest for each in attachments)]
    blobs += list(dict.fromkeys(blob.digest for blob in below))
    size_bytes = sum(store.verify(digest) for digest in blobs)
    return Entry(
        release=_named(index.index(), index.digest),
        target=descriptor.annotations[TARGET],
        manifest=document.digest,
        blobs=blobs,
        size_bytes=size_bytes,
        signers=list(signers),
        attempt=attempt,
    )


def contents(store: BlobStore, entry: Entry) -> Contents:
    """The documents of a verified entry, and where its model files lie.

    Raises:
        RefusedError: a blob rotted, or a document is not of its form.
        NotFoundError: a blob is gone.
    """
    manifest = fetched(store.read(entry.manifest), expected=entry.manifest).manifest()
    return Contents(
        entry=entry,
        runtime=Target.parse(entry.target).runtime,
        files=_model_files(store, manifest),
        signature=_required(store, manifest, LayerRole.SIGNATURE, ModelSignature),
        smoke=_required(store, manifest, LayerRole.SMOKE, SmokeVectors),
        reference=_document(store, manifest, LayerRole.REFERENCE, DriftReference),
    )


def _bundles(
    store: BlobStore, attachments: Sequence[Manifest], offered: Sequence[bytes]
) -> tuple[bytes, ...]:
    """The offered bundles again, this time as they lie on disk."""
    on_disk = {
        store.read(layer.digest, bytes_max=DOCUMENT_BYTES_MAX)
        for manifest in attachments
        for layer in manifest.layers
    }
    return tuple(bundle for bundle in offered if bundle in on_disk)


def _named(index: Index, digest: str) -> ReleaseRef:
    found = index.annotations
    return ReleaseRef(
        model=found[MODEL_NAME],
        version=found[MODEL_VERSION],
        release=int(found[RELEASE_NUMBER]),
        digest=digest,
    )


def _layers(manifest: Manifest, role: LayerRole) -> list[Descriptor]:
    return [layer for layer in manifest.layers if layer.annotations.get(ROLE) == role.value]


def _model_files(store: BlobStore, manifest: Manifest) -> tuple[ModelFile, ...]:
    files = tuple(
        ModelFile(
            name=layer.annotations.get(FILEPATH, ""),
            path=store.path(layer.digest),
            digest=layer.digest,
        )
        for layer in _layers(manifest, LayerRole.MODEL)
    )
    if not files:
        raise RefusedError("release: expected a layer with role model, found none")
    return files


def _required(store: BlobStore, manifest: Manifest, role: LayerRole, kind: type[T]) -> T:
    document = _document(store, manifest, role, kind)
    if document is None:
        raise RefusedError(f"release: expected a layer with role {role}, found none")
    return document


def _document(store: BlobStore, manifest: Manifest, role: LayerRole, kind: type[T]) -> T | None:
    layers = _layers(manifest, role)
    if not layers:
        return None
    raw = store.read(layers[0].digest, bytes_max=DOCUMENT_BYTES_MAX)
    return decode(raw, kind, what=f"{role}.json", bytes_max=DOCUMENT_BYTES_MAX)
