"""Publishes a release with all that is attached to it: to another layout, or to a registry.

oras moves the bytes to a registry; what is pushed is exactly what lies in the layout, so every
digest stays. Registries without the referrers API get the tag schema of OCI 1.1 as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_core.contracts.artefact import INDEX_TYPE, Descriptor, Digest, Index
from edge_core.contracts.errors import NotPermittedError, RefusedError, UnreachableError
from edge_core.oci import (
    Fetched,
    Layout,
    check_repository,
    encode_document,
    fallback_tag,
    fetched,
)

if TYPE_CHECKING:
    import oras.client
    import oras.container
    import requests

REFERRERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Content:
    """All that belongs to one tag, in an order in which each thing is there before what names it.

    Attributes:
        blobs: plain blobs.
        manifests: manifests by the reference they go under, a tag or their digest.
    """

    blobs: list[Descriptor]
    manifests: list[tuple[str, Fetched]]


async def content(layout: Layout, tag: str) -> Content:
    """Collect *tag*: its manifests, their blobs, and every referrer."""
    top = await layout.manifest(tag)
    blobs: list[Descriptor] = []
    manifests: list[tuple[str, Fetched]] = []
    if top.media_type == INDEX_TYPE:
        for listed in top.index().manifests:
            inner = await layout.manifest(listed.digest)
            blobs += _blobs(inner)
            manifests.append((inner.digest, inner))
    else:
        blobs += _blobs(top)
    manifests.append((tag, top))
    referrers = (await layout.referrers(top.digest))[:REFERRERS_MAX]
    for referrer in referrers:
        attached = await layout.manifest(referrer.digest)
        blobs += _blobs(attached)
        manifests.append((attached.digest, attached))
    if referrers:
        manifests.append((fallback_tag(top.digest), _listing(referrers)))
    return Content(blobs=list({b.digest: b for b in blobs}.values()), manifests=manifests)


def _blobs(document: Fetched) -> Iterator[Descriptor]:
    manifest = document.manifest()
    yield manifest.config
    yield from manifest.layers


def _listing(referrers: list[Descriptor]) -> Fetched:
    return fetched(encode_document(Index(manifests=referrers)))


async def to_layout(source: Layout, tag: str, into: Path) -> Digest:
    """Copy *tag* and all that belongs to it into the layout at *into*; returns its digest."""
    target = Layout.create(into)
    wanted = await content(source, tag)
    for blob in wanted.blobs:
        target.blobs.add_file(source.blobs.path(blob.digest), expected=blob.digest)
    for reference, document in wanted.manifests:
        if reference == fallback_tag(document.digest):
            continue
        target.put_manifest(document.raw, tag=reference if reference == tag else None)
    return (await target.manifest(tag)).digest


def to_registry(
    wanted: Content, source: Layout, *, registry: str, repository: str, insecure: bool
) -> Digest:
    """Push what `content` collected; blocks, for as long as the network takes.

    Args:
        wanted: one tag and all that belongs to it.
        source: where its bytes are.
        registry: host and port.
        repository: name inside the registry.
        insecure: plain HTTP, for a registry on this machine.

    Raises:
        UnreachableError: no answer, or it broke off.
        NotPermittedError: the registry wants other credentials.
        RefusedError: the registry did not take a manifest.
    """
    import oras.client  # noqa: PLC0415 - takes seconds, and only a registry needs it
    import oras.container  # noqa: PLC0415 - likewise
    import requests  # noqa: PLC0415 - likewise

    check_repository(repository)
    client = oras.client.OrasClient(hostname=registry, insecure=insecure)
    container = oras.container.Container(f"{registry}/{repository}")
    try:
        for blob in wanted.blobs:
            _push_blob(client, container, source.blobs.path(blob.digest), blob)
        for reference, document in wanted.manifests:
            _push_manifest(client, container, reference, document)
    except (requests.RequestException, OSError) as error:
        raise UnreachableError(f"registry {registry}: {error}") from error
    return next(d.digest for r, d in reversed(wanted.manifests) if not r.startswith("sha256"))


def _push_blob(
    client: "oras.client.OrasClient",
    container: "oras.container.Container",
    path: Path,
    blob: Descriptor,
) -> None:
    layer = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
    # Chunked, since the plain upload reads the whole file into memory.
    answer = client.upload_blob(str(path), container, layer, do_chunked=True)
    _expect(answer, f"blob {blob.digest}")


def _push_manifest(
    client: "oras.client.OrasClient",
    container: "oras.container.Container",
    reference: str,
    document: Fetched,
) -> None:
    # The raw bytes: the library would encode the document anew, under another digest.
    url = f"{client.prefix}://{container.registry}/v2/{container.api_prefix}/manifests/{reference}"
    headers = {"Content-Type": document.media_type}
    answer = client.do_request(url, "PUT", data=document.raw, headers=headers)
    _expect(answer, f"manifest {reference}")
    found = answer.headers.get("Docker-Content-Digest", document.digest)
    if found != document.digest:
        raise RefusedError(f"manifest {reference}: expected {document.digest}, found {found}")


def _expect(answer: "requests.Response", what: str) -> None:
    if answer.status_code in (401, 403):
        raise NotPermittedError(f"{what}: the registry wants other credentials: log in first")
    if answer.status_code >= 500:
        raise UnreachableError(f"{what}: the registry answered {answer.status_code}")
    if answer.status_code >= 400:
        raise RefusedError(f"{what}: the registry answered {answer.status_code}")
