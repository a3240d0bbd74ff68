"""Pulling a release: verified before it costs anything, complete before it is listed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    CHANNEL_TYPE,
    EMPTY_TYPE,
    TARGET,
    Descriptor,
    Index,
)
from edge_core.contracts.errors import NotFoundError, RefusedError, UnreachableError
from edge_core.oci import (
    EMPTY_BYTES,
    Layout,
    Limits,
    Offer,
    Progress,
    Registry,
    channel_manifest,
    channel_tag,
    encode_document,
    enlist,
    fetch_channel,
    pull_release,
)
from tests.simulators.registry import Faults, SimulatedRegistry

from .made import BUNDLE, CREATED, TARGETS, Made, put_release

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Site:
    """An upstream, what it has, and the mirror of a site."""

    upstream: SimulatedRegistry
    source: Registry
    made: Made
    origin: Layout
    mirror: Layout


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An upstream with one release and an empty mirror."""
    origin = Layout.create(tmp_path / "origin")
    made = put_release(origin)
    upstream = SimulatedRegistry()
    await upstream.publish(origin, "1.0")
    async with upstream.serving() as url, aiohttp.ClientSession() as session:
        source = Registry(session, url, "plant/pump-state")
        yield Site(upstream, source, made, origin, Layout.create(tmp_path / "mirror"))


def _trusting(offer: Offer) -> None:
    assert offer.bundles == (BUNDLE,)


async def test_the_whole_release(site: Site) -> None:
    """The mirror then has every blob of the origin, and the referrers under the subject."""
    steps: list[Progress] = []
    pulled = await pull_release(
        site.source, "1.0", site.mirror.blobs, verify=_trusting, progress=steps.append
    )
    listed = enlist(site.mirror, pulled, tag="1.0")
    assert listed.digest == site.made.index.digest
    assert await site.mirror.manifest("1.0") == await site.origin.manifest("1.0")
    (bundle,) = await site.mirror.referrers(listed.digest, BUNDLE_TYPE)
    assert bundle.digest == site.made.bundle.digest
    for _, manifest in pulled.manifests:
        for blob in (manifest.config, *manifest.layers):
            assert site.mirror.blobs.verify(blob.digest) == blob.size
    assert steps[-1].bytes_done == steps[-1].bytes_total > 0
    assert [step.bytes_done for step in steps] == sorted(step.bytes_done for step in steps)


async def test_one_target(site: Site) -> None:
    """Who wants one target gets no byte of the other."""
    pulled = await pull_release(
        site.source,
        site.made.index.digest,
        site.mirror.blobs,
        verify=_trusting,
        wanted=lambda entry: entry.annotations.get(TARGET) == TARGETS[1],
    )
    ((fetched, _),) = pulled.manifests
    assert fetched.digest == site.made.manifests[1].digest
    assert not site.mirror.blobs.has(site.made.manifests[0].digest)


async def test_what_does_not_verify_costs_nothing(site: Site) -> None:
    """When the check refuses, no manifest and no model has been asked for."""

    def refuse(_: Offer) -> None:
        raise RefusedError("no")

    with pytest.raises(RefusedError, match="no"):
        await pull_release(site.source, "1.0", site.mirror.blobs, verify=refuse)
    asked = {path for _, path, _ in site.upstream.requests}
    assert not any(made.digest in path for path in asked for made in site.made.manifests)
    assert await site.mirror.tags() == []


async def test_cut_and_pulled_again(site: Site) -> None:
    """Cut again and again, the same call goes on until everything is here."""
    site.upstream.faults = Faults(cut_after=7, cuts=4)
    for _ in range(3):
        with pytest.raises(UnreachableError):
            await pull_release(site.source, "1.0", site.mirror.blobs, verify=_trusting)
        assert not site.mirror.blobs.has(site.made.index.digest)
    await pull_release(site.source, "1.0", site.mirror.blobs, verify=_trusting)
    assert site.mirror.blobs.has(site.made.index.digest)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(manifests_max=1),
        Limits(attachments_max=1),
        Limits(attachment_bytes_max=5),
        Limits(release_bytes_max=1000),
    ],
    ids=str,
)
async def test_limits(site: Site, limits: Limits) -> None:
    """Beyond any limit is refused before it is fetched."""
    with pytest.raises(RefusedError, match="expected at most"):
        await pull_release(site.source, "1.0", site.mirror.blobs, verify=_trusting, limits=limits)
    assert await site.mirror.tags() == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "/model.onnx", "a/../../b", ".ssh", "a\nb"])
async def test_hostile_file_names(site: Site, name: str, tmp_path: Path) -> None:
    """A layer that wants to lie elsewhere ends the pull before any layer is fetched."""
    hostile = Layout.create(tmp_path / "hostile")
    put_release(hostile, filepath=name)
    with pytest.raises(RefusedError, match="file path: expected"):
        await pull_release(hostile, "1.0", site.mirror.blobs, verify=_trusting)


async def test_a_bundle_about_something_else(site: Site, tmp_path: Path) -> None:
    """A referrers list is not signed: what it lists is taken only if it says so itself."""
    other = Layout.create(tmp_path / "other")
    put_release(other, tag="2.0", filepath="other.onnx")
    await site.upstream.publish(other, "2.0")
    (digest,) = {made for made in site.upstream.referrers if made != site.made.index.digest}
    site.upstream.referrers[site.made.index.digest] += site.upstream.referrers[digest]
    pulled = await pull_release(site.source, "1.0", site.mirror.blobs, verify=_trusting)
    assert len(pulled.offer.attachments) == 2


async def test_an_index_in_an_index(site: Site, tmp_path: Path) -> None:
    """A release lists image manifests and nothing else."""
    layout = Layout.create(tmp_path / "nested")
    inner = layout.put_manifest(encode_document(Index(manifests=[])))
    layout.put_manifest(encode_document(Index(manifests=[inner])), tag="1.0")
    with pytest.raises(RefusedError, match="expected an image manifest"):
        await pull_release(layout, "1.0", site.mirror.blobs, verify=str)


async def test_sizes_that_lie(site: Site, tmp_path: Path) -> None:
    """An entry whose size is not that of its manifest is refused."""
    layout = Layout.create(tmp_path / "lying")
    made = put_release(layout)
    entry = made.manifests[0]
    lying = Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size + 1)
    layout.put_manifest(encode_document(Index(manifests=[lying])), tag="1.0")
    with pytest.raises(RefusedError):
        await pull_release(layout, "1.0", site.mirror.blobs, verify=str)


async def test_a_channel(site: Site, tmp_path: Path) -> None:
    """The channel of a site lies at its tag, one bundle a signer, and is nothing else."""
    layout = Layout.create(tmp_path / "channels")
    layout.put_blob(EMPTY_BYTES, media_type=EMPTY_TYPE)
    bundles = [layout.put_blob(text, media_type=BUNDLE_TYPE) for text in (b"{1}", b"{2}")]
    raw = channel_manifest(bundles, created=CREATED)
    layout.put_manifest(raw, tag=channel_tag("north"))
    assert (await layout.manifest("channel-north")).manifest().artifact_type == CHANNEL_TYPE
    assert await fetch_channel(layout, "north", site.mirror.blobs) == (b"{1}", b"{2}")
    with pytest.raises(NotFoundError):
        await fetch_channel(layout, "south", site.mirror.blobs)
    layout.put_manifest((await site.origin.manifest(site.made.bundle.digest)).raw, tag="channel-x")
    with pytest.raises(RefusedError, match="expected application/vnd"):
        await fetch_channel(layout, "x", site.mirror.blobs)
