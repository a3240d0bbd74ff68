"""An OCI image layout: releases in a folder, readable by every OCI tool, read and written by us.

Format: OCI image-spec 1.1, image layout. `index.json` is replaced as a whole, under a lock, so
builders may put into one layout side by side. A manifest with a subject is listed without a tag
and under the referrers tag schema, so that it survives a copy to any registry.
"""

import asyncio
import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from edge_core.contracts.artefact import (
    INDEX_TYPE,
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPE,
    Descriptor,
    Digest,
    Index,
    Manifest,
    is_digest,
)
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.oci.digest import CHUNK_BYTES
from edge_core.oci.disk import replace_bytes
from edge_core.oci.documents import Fetched, decode_document, encode_document, fetched
from edge_core.oci.names import check_reference, check_tag, fallback_tag, is_fallback_tag
from edge_core.oci.part import is_complete, open_part
from edge_core.oci.store import BlobStore
from edge_core.trust.strict_json import decode

REF_NAME: Final = "org.opencontainers.image.ref.name"
_MARKER: Final = b'{"imageLayoutVersion":"1.0.0"}'
_VERSION: Final = "1.0.0"


class _Marker(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    image_layout_version: str


@dataclass(frozen=True, slots=True)
class Layout:
    """One image layout: a `Source`, and a place to put releases.

    The `put` methods and `untag` block; a daemon calls them through `asyncio.to_thread`.

    Attributes:
        root: the folder.
    """

    root: Path

    @classmethod
    def create(cls, root: Path) -> Self:
        """The layout at *root*, made if there is none.

        Raises:
            RefusedError: *root* is a layout of another version.
        """
        root.mkdir(parents=True, exist_ok=True)
        layout = cls(root)
        with layout._locked():
            if not (root / "index.json").exists():
                replace_bytes(root / "index.json", encode_document(Index(manifests=[])))
            if not (root / "oci-layout").exists():
                replace_bytes(root / "oci-layout", _MARKER)
        return cls.open(root)

    @classmethod
    def open(cls, root: Path) -> Self:
        """The layout at *root*.

        Raises:
            NotFoundError: there is none.
            RefusedError: it is of another version.
        """
        marker = decode(_read(root / "oci-layout"), _Marker, what=f"{root}/oci-layout")
        if marker.image_layout_version != _VERSION:
            raise RefusedError(f"{root}: expected image layout {_VERSION}, found another version")
        return cls(root)

    @property
    def blobs(self) -> BlobStore:
        """The blobs of this layout."""
        return BlobStore(self.root)

    async def manifest(self, reference: str) -> Fetched:
        """See `Source.manifest`."""
        return await asyncio.to_thread(self._manifest, check_reference(reference))

    async def blob(self, descriptor: Descriptor, into: Path) -> None:
        """See `Source.blob`."""
        await asyncio.to_thread(self._copy, descriptor, into)

    async def referrers(
        self, subject: Digest, artifact_type: str | None = None
    ) -> list[Descriptor]:
        """See `Source.referrers`."""
        return await asyncio.to_thread(self._referrers, subject, artifact_type)

    async def tags(self) -> list[str]:
        """See `Source.tags`."""
        names = (_tag_of(entry) for entry in await asyncio.to_thread(self._entries))
        return sorted({name for name in names if name is not None and not is_fallback_tag(name)})

    def put_blob(
        self,
        content: bytes | Path,
        *,
        media_type: str,
        annotations: dict[str, str] | None = None,
    ) -> Descriptor:
        """Keep *content*, bytes or a file to copy, and point to it."""
        if isinstance(content, bytes):
            digest = self.blobs.add_bytes(content)
        else:
            digest = self.blobs.add_file(content)
        size = self.blobs.path(digest).stat().st_size
        return Descriptor(
            media_type=media_type, digest=digest, size=size, annotations=annotations or {}
        )

    def put_manifest(self, raw: bytes, *, tag: str | None = None) -> Descriptor:
        """Keep a manifest or index and list it: by *tag*, by its subject, or by digest alone.

        A tag that was there moves. Blobs it points to should be here before.

        Raises:
            RefusedError: not a manifest or index, or not a tag.
        """
        document = decode_document(raw)
        self.blobs.add_bytes(raw)
        descriptor = msgspec.structs.replace(
            fetched(raw).descriptor, artifact_type=_artifact_type(document)
        )
        with self._locked():
            entries = self._entries()
            if document.subject is not None:
                annotated = msgspec.structs.replace(descriptor, annotations=document.annotations)
                entries = self._listed(entries, annotated, document.subject.digest)
            self._replace(_put(entries, descriptor, tag=None if tag is None else check_tag(tag)))
        return descriptor

    def untag(self, tag: str) -> None:
        """Forget *tag*; the blobs stay until somebody removes them. No such tag is fine."""
        with self._locked():
            self._replace(entry for entry in self._entries() if _tag_of(entry) != tag)

    def _manifest(self, reference: str) -> Fetched:
        if is_digest(reference):
            digest = reference
        else:
            found = [entry for entry in self._entries() if _tag_of(entry) == reference]
            if not found:
                raise NotFoundError(f"tag {reference}: not in {self.root}")
            digest = found[-1].digest
        return fetched(self.blobs.read(digest), expected=digest)

    def _copy(self, descriptor: Descriptor, into: Path) -> None:
        if is_complete(descriptor, into):
            return
        with self.blobs.open(descriptor.digest) as blob, open_part(descriptor, into) as part:
            part.restart()  # a copy from disk is as fast as hashing what is there
            while chunk := blob.read(CHUNK_BYTES):
                part.write(chunk)
            part.finish()

    def _referrers(self, subject: Digest, artifact_type: str | None) -> list[Descriptor]:
        tag = fallback_tag(subject)
        found: dict[Digest, Descriptor] = {}
        for entry in self._entries():
            if _tag_of(entry) == tag:
                listed = fetched(self.blobs.read(entry.digest), expected=entry.digest).index()
                found |= {each.digest: each for each in listed.manifests}
            elif entry.media_type in {MANIFEST_TYPE, INDEX_TYPE} and entry.digest not in found:
                # Other tools list a referrer in index.json and nowhere else.
                document = decode_document(self.blobs.read(entry.digest))
                if document.subject is not None and document.subject.digest == subject:
                    found[entry.digest] = msgspec.structs.replace(
                        entry,
                        artifact_type=_artifact_type(document),
                        annotations=document.annotations,
                    )
        return [each for each in found.values() if artifact_type in {None, each.artifact_type}]

    def _listed(
        self, entries: list[Descriptor], referrer: Descriptor, subject: Digest
    ) -> list[Descriptor]:
        """*entries* with *referrer* in the tag-schema index of *subject*."""
        tag = fallback_tag(subject)
        listed: list[Descriptor] = []
        for entry in entries:
            if _tag_of(entry) == tag:
                listed = fetched(self.blobs.read(entry.digest)).index().manifests
        if all(each.digest != referrer.digest for each in listed):
            listed = [*listed, referrer]
        raw = encode_document(Index(manifests=listed))
        self.blobs.add_bytes(raw)
        return _put(entries, fetched(raw).descriptor, tag=tag)

    def _entries(self) -> list[Descriptor]:
        document = decode_document(_read(self.root / "index.json"))
        if not isinstance(document, Index):
            raise RefusedError(f"{self.root}/index.json: expected an image index")
        return document.manifests

    def _replace(self, entries: Iterable[Descriptor]) -> None:
        replace_bytes(self.root / "index.json", encode_document(Index(manifests=list(entries))))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / ".lock").open("wb") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
            yield


def _put(
    entries: list[Descriptor], descriptor: Descriptor, *, tag: str | None
) -> list[Descriptor]:
    """*entries* with *descriptor* listed once under *tag*, which nothing else has any more.

    An entry keeps its place, so that putting the same again changes no byte.
    """
    listed = [entry for entry in entries if entry.digest == descriptor.digest]
    if tag is None:
        return entries if listed else [*entries, descriptor]
    named = msgspec.structs.replace(descriptor, annotations={REF_NAME: tag})
    held = [_tag_of(entry) == tag for entry in entries]
    if not any(held):
        # A tag takes the place of an entry that had none.
        held = [_tag_of(entry) is None and entry in listed for entry in entries]
    if not any(held):
        return [*entries, named]
    return [named if here else entry for entry, here in zip(entries, held, strict=True)]


def _tag_of(entry: Descriptor) -> str | None:
    return entry.annotations.get(REF_NAME)


def _artifact_type(document: Manifest | Index) -> str | None:
    """What a referrers list says of *document*: its own type, else that of its config."""
    if isinstance(document, Manifest):
        return document.artifact_type or document.config.media_type
    return document.artifact_type


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MANIFEST_BYTES_MAX + 1)  # one more is refused by the decoder
    except FileNotFoundError:
        raise NotFoundError(f"{path}: expected an image layout, found no such file") from None
