"""Finds a model's contract: a `signature.json`, a release in an image layout, or what runs here.

It is read to propose tags, never to load a model, so nothing of it has to be verified first.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.contracts.artefact import (
    INDEX_TYPE,
    MODEL_NAME,
    MODEL_VERSION,
    ROLE,
    LayerRole,
    ModelSignature,
)
from edge_core.contracts.errors import NotFoundError
from edge_core.features.contract import check_signature
from edge_core.oci import BlobStore, Layout
from edge_core.oci.documents import fetched
from edge_core.trust.strict_json import decode
from edge_runtime.update.store import RecordStore

SIGNATURE_BYTES_MAX: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Contract:
    """A model's contract and what it is called."""

    name: str
    signature: ModelSignature


def contract_at(path: Path, release: str | None = None) -> Contract:
    """The contract in the file or folder at *path*.

    Args:
        path: a `signature.json`, an image layout, or a gateway's data folder.
        release: which one of several: a version or a digest, or the beginning of one.

    Raises:
        NotFoundError: there is none, or several and *release* does not tell.
        RefusedError: what is there is no contract.
    """
    if path.is_dir():
        found = _in_data(path) if (path / "record").is_dir() else _in_layout(path)
        chosen = _one(path, found, release)
    else:
        chosen = Contract(str(path), _signature(_read(path), str(path)))
    check_signature(chosen.signature)
    return chosen


@dataclass(frozen=True, slots=True)
class _Release:
    name: str
    version: str
    digest: str
    store: BlobStore
    manifest: str


def _one(path: Path, found: Sequence[_Release], release: str | None) -> Contract:
    wanted = [
        each
        for each in found
        if release is None or each.version == release or each.digest.startswith(release)
    ]
    if len({each.digest for each in wanted}) != 1:
        known = ", ".join(f"{each.name} {each.version}" for each in found) or "none"
        raise NotFoundError(
            f"{path}: expected --release to say which one of {known}, found {release or 'nothing'}"
        )
    chosen = wanted[0]
    title = f"{chosen.name} {chosen.version}"
    manifest = fetched(chosen.store.read(chosen.manifest), expected=chosen.manifest).manifest()
    for layer in manifest.layers:
        if layer.annotations.get(ROLE) == LayerRole.SIGNATURE.value:
            raw = chosen.store.read(layer.digest, bytes_max=SIGNATURE_BYTES_MAX)
            return Contract(title, _signature(raw, title))
    raise NotFoundError(f"{title}: expected a layer with role signature, found none")


def _in_layout(path: Path) -> list[_Release]:
    """Every release of an image layout that has a tag; the builds of one share its contract."""
    layout = Layout.open(path)
    found = [_release(layout, tag) for tag in asyncio.run(layout.tags())]
    return list({each.digest: each for each in found if each is not None}.values())


def _release(layout: Layout, tag: str) -> _Release | None:
    document = asyncio.run(layout.manifest(tag))
    if document.media_type != INDEX_TYPE:
        return None
    index = document.index()
    if MODEL_NAME not in index.annotations or not index.manifests:
        return None
    return _Release(
        name=index.annotations[MODEL_NAME],
        version=index.annotations.get(MODEL_VERSION, ""),
        digest=document.digest,
        store=layout.blobs,
        manifest=index.manifests[0].digest,
    )


def _in_data(path: Path) -> list[_Release]:
    """Every release that this gateway keeps; what runs stands alone when it is the only one."""
    record, store = RecordStore(path / "record").record, BlobStore(path / "store")
    kept = record.slots.referenced
    entries = [entry for digest, entry in record.entries.items() if digest in kept]
    return [
        _Release(
            name=entry.release.model,
            version=entry.release.version,
            digest=entry.release.digest,
            store=store,
            manifest=entry.manifest,
        )
        for entry in entries
    ]


def _signature(raw: bytes, what: str) -> ModelSignature:
    return decode(raw, ModelSignature, what=what, bytes_max=SIGNATURE_BYTES_MAX)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SIGNATURE_BYTES_MAX + 1)
    except OSError as error:
        raise NotFoundError(
            f"{path}: expected a signature.json, an image layout or a data folder: "
            f"{error.strerror}"
        ) from None
