"""Brings a release from a source into a store: first what is signed, then what it weighs.

The caller's check runs when index and bundles are here and no model is: what does not verify
costs no bandwidth. Every manifest and blob is reached by digest from the index.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    CHANNEL_TYPE,
    FILEPATH,
    MANIFEST_TYPE,
    PLAN_TYPE,
    SBOM_TYPE,
    Descriptor,
    Index,
    Manifest,
)
from edge_core.contracts.errors import RefusedError
from edge_core.oci.attachments import channel_tag, plan_tag
from edge_core.oci.documents import Fetched
from edge_core.oci.errors import DigestMismatchError
from edge_core.oci.layout import Layout
from edge_core.oci.names import check_filepath
from edge_core.oci.source import Source
from edge_core.oci.store import BlobStore

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a release may cost; beyond it is refused before it is fetched.

    Attributes:
        release_bytes_max: all wanted layers together.
        manifests_max: targets of one release.
        attachments_max: bundles and SBOMs of one release.
        attachment_bytes_max: one bundle or SBOM.
    """

    release_bytes_max: int = 4096 * MIB
    manifests_max: int = 64
    attachments_max: int = 64
    attachment_bytes_max: int = 16 * MIB


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Offer:
    """A release as it is offered: nothing in it is believed yet.

    Attributes:
        index: the release, verbatim.
        release: the same, decoded.
        bundles: the signatures on it, verbatim.
        attachments: manifests of bundles and SBOMs, verbatim.
    """

    index: Fetched
    release: Index
    bundles: tuple[bytes, ...]
    attachments: tuple[Fetched, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is, in bytes of the wanted layers."""

    bytes_done: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """A release of which everything wanted is in the store.

    Attributes:
        offer: what was offered, and now is here.
        manifests: the wanted ones, in the order of the index.
    """

    offer: Offer
    manifests: tuple[tuple[Fetched, Manifest], ...]


def everything(_: Descriptor) -> bool:
    """Wants every target of a release."""
    return True


async def look_up(
    source: Source, reference: str, store: BlobStore, *, limits: Limits = DEFAULT_LIMITS
) -> Offer:
    """What *source* offers at *reference*, with its bundles and SBOMs, which go to *store*.

    Raises:
        RefusedError: it is no release, or it goes beyond *limits*.
        EdgeError: as `Source`.
    """
    index = await source.manifest(reference)
    release = index.index()
    if len(release.manifests) > limits.manifests_max:
        raise RefusedError(
            f"{index.digest}: expected at most {limits.manifests_max} targets, "
            f"found {len(release.manifests)}"
        )
    bundles: list[bytes] = []
    attachments: list[Fetched] = []
    for listed in await _attached(source, index, limits):
        attachment = await source.manifest(listed.digest)
        document = attachment.manifest()
        if document.subject is None or document.subject.digest != index.digest:
            continue  # the list is not signed; what it lists says itself what it is about
        contents = await _contents(source, document, store, limits)
        if document.artifact_type == BUNDLE_TYPE:
            bundles += contents
        attachments.append(attachment)
    return Offer(
        index=index, release=release, bundles=tuple(bundles), attachments=tuple(attachments)
    )


async def pull_release(
    source: Source,
    reference: str,
    store: BlobStore,
    *,
    verify: Callable[[Offer], object],
    wanted: Callable[[Descriptor], bool] = everything,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[Progress], None] | None = None,
) -> Pulled:
    """Bring a release into *store*: index, wanted manifests, all their blobs, and attachments.

    Cut off anywhere, the same call later fetches only what is missing.

    Args:
        source: where from.
        reference: a tag or a digest.
        store: where to.
        verify: called once with the offer; whatever it raises ends the pull before a manifest or
            a model is fetched.
        wanted: which entries of the index to bring.
        limits: what the release may cost.
        progress: called after every blob.

    Raises:
        RefusedError: not a release, beyond *limits*, or a name that no file may have.
        DigestMismatchError: bytes are not what their digest says.
        EdgeError: as `Source`, and whatever *verify* raises.
    """
    offer = await look_up(source, reference, store, limits=limits)
    verify(offer)
    manifests = [
        await _wanted_manifest(source, entry) for entry in offer.release.manifests if wanted(entry)
    ]
    blobs = {
        blob.digest: blob
        for _, manifest in manifests
        for blob in (manifest.config, *manifest.layers)
    }
    total = sum(blob.size for blob in blobs.values())
    if total > limits.release_bytes_max:
        raise RefusedError(
            f"{offer.index.digest}: expected at most {limits.release_bytes_max} bytes of layers, "
            f"found {total}"
        )
    done = 0
    for blob in blobs.values():
        await source.blob(blob, store.path(blob.digest))
        done += blob.size
        if progress is not None:
            progress(Progress(bytes_done=done, bytes_total=total))
    # The index comes last: where it lies, everything wanted below it lies too.
    for document in (*(each for each, _ in manifests), *offer.attachments, offer.index):
        await asyncio.to_thread(store.add_bytes, document.raw)
    return Pulled(offer=offer, manifests=tuple(manifests))


def enlist(layout: Layout, pulled: Pulled, *, tag: str) -> Descriptor:
    """List a release, pulled into the blobs of *layout*, under *tag*, with its attachments.

    Blocks; a daemon calls it through `asyncio.to_thread`.
    """
    for attachment in pulled.offer.attachments:
        layout.put_manifest(attachment.raw)
    return layout.put_manifest(pulled.offer.index.raw, tag=tag)


async def fetch_channel(
    source: Source, site: str, store: BlobStore, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[bytes, ...]:
    """The bundles of the channel of *site*, for `edge_core.trust.verify_channel`.

    Raises:
        NotFoundError: the source has no channel for *site*.
        RefusedError: what it has is no channel, or goes beyond *limits*.
        EdgeError: as `Source`.
    """
    return await _bundles(source, channel_tag(site), CHANNEL_TYPE, store, limits)


async def fetch_plan(
    source: Source, model: str, store: BlobStore, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[bytes, ...]:
    """The bundles of the newest plan of *model*, for `edge_core.trust.verify_plan`.

    Raises:
        NotFoundError: the source has no plan for *model*.
        RefusedError: what it has is no plan, or goes beyond *limits*.
        EdgeError: as `Source`.
    """
    return await _bundles(source, plan_tag(model), PLAN_TYPE, store, limits)


async def _bundles(
    source: Source, tag: str, kind: str, store: BlobStore, limits: Limits
) -> tuple[bytes, ...]:
    document = (await source.manifest(tag)).manifest()
    if document.artifact_type != kind:
        raise RefusedError(f"{tag}: expected {kind}, found another type")
    return tuple(await _contents(source, document, store, limits))


async def _attached(source: Source, index: Fetched, limits: Limits) -> list[Descriptor]:
    listed = [
        *await source.referrers(index.digest, BUNDLE_TYPE),
        *await source.referrers(index.digest, SBOM_TYPE),
    ]
    if len(listed) > limits.attachments_max:
        raise RefusedError(
            f"{index.digest}: expected at most {limits.attachments_max} attachments, "
            f"found {len(listed)}"
        )
    return listed


async def _contents(
    source: Source, document: Manifest, store: BlobStore, limits: Limits
) -> list[bytes]:
    """The blobs of a small manifest, by way of *store*."""
    blobs = (document.config, *document.layers)
    if sum(blob.size for blob in blobs) > limits.attachment_bytes_max:
        raise RefusedError(
            f"attachment: expected at most {limits.attachment_bytes_max} bytes, found more"
        )
    for blob in blobs:
        await source.blob(blob, store.path(blob.digest))
    bytes_max = limits.attachment_bytes_max
    return [
        await asyncio.to_thread(store.read, layer.digest, bytes_max=bytes_max)
        for layer in document.layers
    ]


async def _wanted_manifest(source: Source, entry: Descriptor) -> tuple[Fetched, Manifest]:
    if entry.media_type != MANIFEST_TYPE:
        raise RefusedError(f"{entry.digest}: expected an image manifest in a release")
    document = await source.manifest(entry.digest)
    if len(document.raw) != entry.size or document.digest != entry.digest:
        raise DigestMismatchError("manifest", expected=entry.digest, found=document.digest)
    manifest = document.manifest()
    names = [
        layer.annotations[FILEPATH] for layer in manifest.layers if FILEPATH in layer.annotations
    ]
    for name in names:
        check_filepath(name)
    if len(set(names)) != len(names):
        raise RefusedError(f"{entry.digest}: expected each file path once, found one twice")
    return document, manifest
