"""The admission gate over mirrored releases: a bad model file never reaches the shelf."""

from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.artefact import (
    FILEPATH,
    MODEL_MANIFEST_TYPE,
    ROLE,
    TARGET,
    WEIGHT_CONFIG_TYPE,
    WEIGHT_TYPE,
    Descriptor,
    Index,
    LayerRole,
    Manifest,
)
from edge_core.contracts.errors import RefusedError
from edge_core.oci import EMPTY, EMPTY_BYTES, Layout, Pulled, encode_document, pull_release
from edge_site_proxy.mirror.gate import admit_release
from tests.simulators.good_models import mlp

pytestmark = pytest.mark.anyio


async def release(folder: Path, model: bytes | None, *, signature: bool = True) -> Pulled:
    """A release with one target: the good model, or other bytes in its place."""
    layout = Layout.create(folder)
    layout.put_blob(EMPTY_BYTES, media_type=EMPTY.media_type)
    good = mlp()
    (file,) = good.save(folder)
    content = file.path if model is None else model
    layers = [part(layout, content, LayerRole.MODEL, file.name, WEIGHT_TYPE)]
    if signature:
        raw = msgspec.json.encode(good.signature)
        layers.append(part(layout, raw, LayerRole.SIGNATURE, "signature.json", WEIGHT_CONFIG_TYPE))
    manifest = Manifest(artifact_type=MODEL_MANIFEST_TYPE, config=EMPTY, layers=layers)
    entry = msgspec.structs.replace(
        layout.put_manifest(encode_document(manifest)),
        annotations={TARGET: "linux-amd64/onnxruntime/fp32/b1"},
    )
    layout.put_manifest(encode_document(Index(manifests=[entry])), tag="v1")
    return await pull_release(layout, "v1", layout.blobs, verify=lambda _: None)


def part(
    layout: Layout, content: bytes | Path, role: LayerRole, name: str, kind: str
) -> Descriptor:
    """One layer."""
    annotations = {FILEPATH: name, ROLE: role.value}
    return layout.put_blob(content, media_type=kind, annotations=annotations)


async def test_good(tmp_path: Path) -> None:
    """A good model passes."""
    await admit_release(await release(tmp_path, None), Layout.open(tmp_path).blobs)


async def test_bad(tmp_path: Path) -> None:
    """Bytes that are no model are refused."""
    pulled = await release(tmp_path, b"\x08\x08" + b"x" * 100)
    with pytest.raises(RefusedError):
        await admit_release(pulled, Layout.open(tmp_path).blobs)


async def test_no_signature(tmp_path: Path) -> None:
    """A model without its contract is refused."""
    pulled = await release(tmp_path, None, signature=False)
    with pytest.raises(RefusedError, match=r"signature\.json"):
        await admit_release(pulled, Layout.open(tmp_path).blobs)
