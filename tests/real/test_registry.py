"""Debian's docker-registry: the client gets on with a registry that knows no referrers API."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    EMPTY_TYPE,
    FILEPATH,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MODEL_CONFIG_TYPE,
    MODEL_MANIFEST_TYPE,
    WEIGHT_TYPE,
    Descriptor,
    Index,
    Manifest,
)
from edge_core.contracts.errors import NotFoundError
from edge_core.oci import (
    EMPTY_BYTES,
    Layout,
    Registry,
    bundle_manifest,
    encode_document,
    enlist,
    fallback_tag,
    pull_release,
)
from edge_core.trust import (
    BUILD_TYPE,
    BuildDefinition,
    Builder,
    FileSigner,
    Keyring,
    PinnedKey,
    Provenance,
    ResourceDescriptor,
    Rule,
    RunDetails,
    provenance_statement,
    sign_statement,
    verify_release,
)

BINARY = shutil.which("docker-registry")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.real,
    pytest.mark.skipif(
        BINARY is None and os.environ.get("CI") != "true",
        reason="docker-registry is not installed: apt-get install docker-registry",
    ),
]

CONFIG = """\
version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: {root}
http:
  addr: 127.0.0.1:{port}
"""
STARTS_WITHIN_S = 20.0
REPOSITORY = "plant/pump-state"
MODEL = bytes(range(256)) * 20_000


@dataclass(frozen=True)
class Plant:
    """A real registry with one signed release, and the client that reads it."""

    client: Registry
    origin: Layout
    index: Descriptor
    model: Descriptor
    keyring: Keyring


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP session."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def url(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[URL]:
    """The base URL of a registry that lives as long as the test."""
    assert BINARY is not None, "CI needs docker-registry"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "config.yml"
    config.write_text(CONFIG.format(root=tmp_path / "registry", port=port))
    process = await asyncio.create_subprocess_exec(
        BINARY,
        "serve",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        base = URL(f"http://127.0.0.1:{port}")
        async with asyncio.timeout(STARTS_WITHIN_S):
            await _answers(session, base)
        yield base
    finally:
        process.terminate()
        await process.wait()


async def _answers(session: aiohttp.ClientSession, base: URL) -> None:
    while True:
        try:
            async with session.get(base / "v2/"):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)  # a foreign process says in no other way that it is up


@pytest.fixture
async def plant(url: URL, session: aiohttp.ClientSession, tmp_path: Path) -> Plant:
    """A signed release, made in a layout and pushed as any tool would."""
    origin = Layout.create(tmp_path / "origin")
    signer = FileSigner.generate(tmp_path / "key")
    model = origin.put_blob(MODEL, media_type=WEIGHT_TYPE, annotations={FILEPATH: "model.onnx"})
    config = origin.put_blob(b'{"descriptor":{}}', media_type=MODEL_CONFIG_TYPE)
    manifest = Manifest(artifact_type=MODEL_MANIFEST_TYPE, config=config, layers=[model])
    target = origin.put_manifest(encode_document(manifest))
    index = origin.put_manifest(encode_document(Index(manifests=[target])), tag="1.0")
    signed = sign_statement(
        provenance_statement(_provenance(), name="pump-state", digest=index.digest), signer
    )
    bundle = origin.put_blob(signed, media_type=BUNDLE_TYPE)
    origin.put_blob(EMPTY_BYTES, media_type=EMPTY_TYPE)
    attached = bundle_manifest(
        index, bundle, predicate_type="https://slsa.dev/provenance/v1", created=datetime.now(UTC)
    )
    referrer = origin.put_manifest(attached)
    pushed = _Push(session, url / "v2" / REPOSITORY, origin)
    manifests = {target.digest, index.digest, referrer.digest}
    for digest in origin.blobs.digests():
        if digest not in manifests:
            await pushed.blob(digest)
    await pushed.manifest(target.digest, MANIFEST_TYPE, target.digest)
    await pushed.manifest(index.digest, INDEX_TYPE, "1.0")
    await pushed.manifest(referrer.digest, MANIFEST_TYPE, referrer.digest)
    schema = fallback_tag(index.digest)
    await pushed.manifest((await origin.manifest(schema)).digest, INDEX_TYPE, schema)
    return Plant(
        client=Registry(session, str(url), REPOSITORY),
        origin=origin,
        index=index,
        model=model,
        keyring=Keyring.of([PinnedKey(id="release-a", key=signer.public_key)]),
    )


@dataclass(frozen=True)
class _Push:
    session: aiohttp.ClientSession
    repository: URL
    origin: Layout

    async def blob(self, digest: str) -> None:
        """Upload one blob as a whole."""
        async with self.session.post(self.repository / "blobs/uploads/") as begun:
            location = URL(begun.headers["Location"])
        upload = location.update_query(digest=digest)
        with self.origin.blobs.open(digest) as content:
            async with self.session.put(upload, data=content) as done:
                assert done.status == 201

    async def manifest(self, digest: str, media_type: str, reference: str) -> None:
        """Put one manifest."""
        content = self.origin.blobs.read(digest)
        headers = {"Content-Type": media_type}
        url = self.repository / "manifests" / reference
        async with self.session.put(url, data=content, headers=headers) as done:
            assert done.status == 201, await done.text()


def _provenance() -> Provenance:
    return Provenance(
        build_definition=BuildDefinition(
            build_type=BUILD_TYPE,
            external_parameters={"source": "file"},
            resolved_dependencies=[
                ResourceDescriptor(
                    name="source", uri="git+https://repo", digest={"gitCommit": "a1" * 20}
                ),
                ResourceDescriptor(name="dataset", digest={"sha256": "0b" * 32}),
            ],
        ),
        run_details=RunDetails(builder=Builder(id="https://ci")),
    )


async def test_the_trip(plant: Plant, tmp_path: Path) -> None:
    """Pushed, found by its tag, verified by its referrer, mirrored: the same bytes all the way."""
    mirror = Layout.create(tmp_path / "mirror")
    rule = Rule(
        stage="production",
        keys=["release-a"],
        threshold=1,
        builder_ids=["https://ci"],
        sources=["git+https://repo"],
    )
    pulled = await pull_release(
        plant.client,
        "1.0",
        mirror.blobs,
        verify=lambda offer: verify_release(
            offer.index.digest, offer.bundles, rule, plant.keyring
        ),
    )
    enlist(mirror, pulled, tag="1.0")
    assert await mirror.manifest("1.0") == await plant.origin.manifest("1.0")
    assert mirror.blobs.verify(plant.model.digest) == len(MODEL)
    assert len(await mirror.referrers(plant.index.digest, BUNDLE_TYPE)) == 1


@pytest.mark.parametrize("arrived", [0, 1, 1_000_000, len(MODEL) - 1, len(MODEL)])
async def test_resume(plant: Plant, tmp_path: Path, arrived: int) -> None:
    """Whatever had arrived, the rest is served as a range; the very end is never asked for."""
    (tmp_path / "model.part").write_bytes(MODEL[:arrived])
    await plant.client.blob(plant.model, tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == MODEL


async def test_what_it_lists(plant: Plant) -> None:
    """Tags without the bookkeeping; no referrers is an empty list; what is missing is missing."""
    assert await plant.client.tags() == ["1.0"]
    assert await plant.client.referrers(plant.model.digest) == []
    with pytest.raises(NotFoundError):
        await plant.client.manifest("2.0")
    with pytest.raises(NotFoundError):
        await plant.client.manifest("sha256:" + "0" * 64)
