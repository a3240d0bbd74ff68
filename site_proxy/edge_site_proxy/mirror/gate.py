"""The static admission gate over a mirrored release: bad models stop here, not at a gateway."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from edge_core.admission.admit import inspect
from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import LayerRole, Manifest, ModelSignature
from edge_core.contracts.errors import RefusedError
from edge_core.oci import BlobStore, Pulled
from edge_site_proxy.mirror.decide import layers_of

Gate = Callable[[Pulled, BlobStore], Awaitable[None]]

_INSPECTED: Final = (".onnx", ".xml", ".bin")  # what the gate can read; others are engines' own


async def admit_release(pulled: Pulled, store: BlobStore) -> None:
    """Look at every model of a release, in a limited child process.

    Raises:
        RefusedError: a model that may not be loaded, or no signature beside it.
        AdmissionError: the child could not be run.
    """
    seen: set[tuple[str, ...]] = set()
    for _, manifest in pulled.manifests:
        files = _model_files(manifest, store)
        key = tuple(file.digest or "" for file in files)
        if files and key not in seen:
            seen.add(key)
            await inspect(files, _signature(manifest, store))


def _model_files(manifest: Manifest, store: BlobStore) -> Sequence[ModelFile]:
    return [
        ModelFile(name, store.path(layer.digest), layer.digest)
        for name, layer in layers_of(manifest, LayerRole.MODEL)
        if name.endswith(_INSPECTED)
    ]


def _signature(manifest: Manifest, store: BlobStore) -> ModelSignature:
    layers = layers_of(manifest, LayerRole.SIGNATURE)
    if len(layers) != 1:
        raise RefusedError(f"release: expected one signature.json a target, found {len(layers)}")
    raw = store.read(layers[0][1].digest)
    try:
        return msgspec.json.decode(raw, type=ModelSignature)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"signature.json: {error}") from None


async def admit_any(_pulled: Pulled, _store: BlobStore) -> None:
    """No gate here: every gateway has its own."""
