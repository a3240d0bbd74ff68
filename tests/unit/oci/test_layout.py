"""The image layout: what is put comes out, tags move, referrers are found, foreign ones too."""

import json
from pathlib import Path

import pytest

from edge_core.contracts.artefact import BUNDLE_TYPE, INDEX_TYPE, SBOM_TYPE, Descriptor, Index
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_core.oci import DigestMismatchError, Layout, encode_document, fallback_tag

from .made import BUNDLE, put_release

pytestmark = pytest.mark.anyio


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout."""
    return Layout.create(tmp_path / "layout")


async def test_a_release(layout: Layout, tmp_path: Path) -> None:
    """A release comes out by tag and by digest, its blobs by digest, byte for byte."""
    made = put_release(layout)
    by_tag = await layout.manifest("1.0")
    assert by_tag == await layout.manifest(made.index.digest)
    assert by_tag.digest == made.index.digest
    manifest = (await layout.manifest(made.manifests[0].digest)).manifest()
    await layout.blob(manifest.layers[0], tmp_path / "model")
    assert (tmp_path / "model").stat().st_size == manifest.layers[0].size
    assert await layout.tags() == ["1.0"]


async def test_referrers(layout: Layout) -> None:
    """Bundles and SBOMs are found by what they are about, by type or all."""
    made = put_release(layout)
    (bundle,) = await layout.referrers(made.index.digest, BUNDLE_TYPE)
    assert bundle.digest == made.bundle.digest
    assert bundle.annotations["dev.sigstore.bundle.content"] == "dsse-envelope"
    manifest = (await layout.manifest(bundle.digest)).manifest()
    assert layout.blobs.read(manifest.layers[0].digest) == BUNDLE
    assert manifest.subject is not None
    assert manifest.subject.digest == made.index.digest
    assert len(await layout.referrers(made.index.digest)) == 2
    assert len(await layout.referrers(made.index.digest, SBOM_TYPE)) == 1
    assert await layout.referrers(made.manifests[0].digest) == []


async def test_referrers_survive_a_plain_copy(layout: Layout) -> None:
    """The tag schema is kept beside, so whoever copies by tag takes them along."""
    made = put_release(layout)
    index = (await layout.manifest(fallback_tag(made.index.digest))).index()
    assert {entry.artifact_type for entry in index.manifests} == {BUNDLE_TYPE, SBOM_TYPE}


async def test_referrers_of_other_tools(layout: Layout) -> None:
    """A referrer that is listed in index.json alone is found by its subject."""
    made = put_release(layout)
    layout.untag(fallback_tag(made.index.digest))
    (bundle,) = await layout.referrers(made.index.digest, BUNDLE_TYPE)
    assert bundle.digest == made.bundle.digest


async def test_a_tag_moves(layout: Layout) -> None:
    """The same tag again points to the new release, other tags to the old one."""
    first = put_release(layout)
    layout.put_manifest((await layout.manifest("1.0")).raw, tag="stable")
    second = put_release(layout, filepath="other.onnx")
    assert (await layout.manifest("1.0")).digest == second.index.digest
    assert (await layout.manifest("stable")).digest == first.index.digest
    assert await layout.tags() == ["1.0", "stable"]
    layout.untag("1.0")
    layout.untag("1.0")
    assert await layout.tags() == ["stable"]
    with pytest.raises(NotFoundError, match=r"tag 1\.0"):
        await layout.manifest("1.0")


async def test_putting_twice_changes_nothing(layout: Layout) -> None:
    """Putting is idempotent, to the byte."""
    put_release(layout)
    before = (layout.root / "index.json").read_bytes()
    put_release(layout)
    assert (layout.root / "index.json").read_bytes() == before


async def test_rot(layout: Layout, tmp_path: Path) -> None:
    """Rotten manifests and blobs are refused, and nothing appears under the wanted name."""
    made = put_release(layout)
    manifest = (await layout.manifest(made.manifests[0].digest)).manifest()
    for digest in (manifest.layers[0].digest, made.index.digest):
        path = layout.blobs.path(digest)
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DigestMismatchError):
        await layout.blob(manifest.layers[0], tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(DigestMismatchError):
        await layout.manifest("1.0")


async def test_what_is_not_there(layout: Layout, tmp_path: Path) -> None:
    """A missing blob, tag or layout is said to be missing."""
    descriptor = Descriptor(media_type="x", digest="sha256:" + "0" * 64, size=1)
    with pytest.raises(NotFoundError):
        await layout.blob(descriptor, tmp_path / "blob")
    with pytest.raises(NotFoundError):
        await layout.manifest(descriptor.digest)
    with pytest.raises(NotFoundError, match="expected an image layout"):
        Layout.open(tmp_path / "nowhere")


def test_what_is_no_layout(tmp_path: Path, layout: Layout) -> None:
    """Another version is refused, and so is an index.json that is none."""
    (layout.root / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')
    with pytest.raises(RefusedError, match=r"image layout 1\.0\.0"):
        Layout.create(layout.root)
    other = Layout.create(tmp_path / "other")
    (other.root / "index.json").write_text("[]")
    with pytest.raises(RefusedError, match="expected a JSON object"):
        other.untag("x")


def test_what_is_not_put(layout: Layout) -> None:
    """A hostile tag and a document that is none are refused, and nothing is listed."""
    raw = encode_document(Index(manifests=[]))
    with pytest.raises(RefusedError, match="tag: expected"):
        layout.put_manifest(raw, tag="../../x")
    with pytest.raises(RefusedError, match="manifest: expected"):
        layout.put_manifest(b"{}", tag="x")
    listed = json.loads((layout.root / "index.json").read_bytes())
    assert listed == {"manifests": [], "mediaType": INDEX_TYPE, "schemaVersion": 2}
