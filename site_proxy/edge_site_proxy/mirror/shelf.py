"""What a gateway may see: releases that verified, and everything they reach. In memory, by digest.

The bytes lie in the mirror's image layout; a blob that no verified release reaches is not there
as far as a gateway can tell.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_core.contracts.artefact import TARGET, Descriptor, Digest, Manifest
from edge_core.oci import Fetched, Offer, Pulled
from edge_site_proxy.api.gateway.ports import BlobFile, ManifestBytes
from edge_site_proxy.mirror.decide import repository_of


@dataclass(slots=True)
class _Repository:
    """The releases of one model."""

    tags: dict[str, Digest] = field(default_factory=dict)
    documents: dict[Digest, ManifestBytes] = field(default_factory=dict)
    blobs: dict[Digest, int] = field(default_factory=dict)
    referrers: dict[Digest, list[Descriptor]] = field(default_factory=dict)

    def add(self, document: Fetched, manifest: Manifest) -> None:
        for blob in (manifest.config, *manifest.layers):
            self.blobs[blob.digest] = blob.size
        self.keep(document)

    def keep(self, document: Fetched) -> None:
        kept = ManifestBytes(document.digest, document.media_type, document.raw)
        self.documents[document.digest] = kept
        # A manifest is a blob as well, as the distribution-spec allows.
        self.blobs[document.digest] = len(document.raw)


@dataclass(slots=True)
class Shelf:
    """One repository a model.

    Attributes:
        root: of the image layout that has the bytes.
    """

    root: Path
    _repositories: dict[str, _Repository] = field(default_factory=dict)

    def put(self, pulled: Pulled, *, name: str, tag: str) -> None:
        """Make a verified release visible in repository *name*, all at once."""
        repository = self._repositories.setdefault(name, _Repository())
        for attachment in pulled.offer.attachments:
            repository.add(attachment, attachment.manifest())
        for document, manifest in pulled.manifests:
            repository.add(document, manifest)
        index = pulled.offer.index
        repository.referrers[index.digest] = [_entry(each) for each in pulled.offer.attachments]
        repository.keep(index)
        repository.tags[tag] = index.digest

    def __contains__(self, digest: object) -> bool:
        """Whether the release or manifest is visible anywhere."""
        return any(digest in each.documents for each in self._repositories.values())

    def tags(self, name: str) -> list[str] | None:
        """All tags; None where there is no such repository."""
        repository = self._repositories.get(name)
        return None if repository is None else list(repository.tags)

    def manifest(self, name: str, reference: str) -> ManifestBytes | None:
        """By tag or digest."""
        repository = self._repositories.get(name, _NOTHING)
        return repository.documents.get(repository.tags.get(reference, reference))

    def blob(self, name: str, digest: Digest) -> BlobFile | None:
        """By digest."""
        size = self._repositories.get(name, _NOTHING).blobs.get(digest)
        if size is None:
            return None
        path = self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")
        return BlobFile(digest, path, size)

    def sizes(self, offer: Offer) -> dict[str, int]:
        """Bytes of each build of a release that is here, by its target."""
        found: dict[str, int] = {}
        for entry in offer.release.manifests:
            document = self.manifest(repository_of(offer), entry.digest)
            if document is not None:
                manifest = msgspec.json.decode(document.raw, type=Manifest)
                blobs = {blob.digest: blob.size for blob in (manifest.config, *manifest.layers)}
                found[entry.annotations.get(TARGET, "")] = sum(blobs.values())
        return found

    def referrers(self, name: str, digest: Digest) -> list[Descriptor]:
        """What names *digest* as its subject."""
        return list(self._repositories.get(name, _NOTHING).referrers.get(digest, []))


_NOTHING = _Repository()


def _entry(attachment: Fetched) -> Descriptor:
    """How the referrers API lists it: its own type, or else its config's."""
    manifest = attachment.manifest()
    return msgspec.structs.replace(
        attachment.descriptor,
        artifact_type=manifest.artifact_type or manifest.config.media_type,
        annotations=manifest.annotations,
    )
