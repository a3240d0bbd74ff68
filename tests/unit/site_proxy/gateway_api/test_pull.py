"""A gateway's own OCI client pulls from the gateway API over mutual TLS, with resume."""

from pathlib import Path

import aiohttp
import pytest

from edge_core.contracts.artefact import Descriptor
from edge_core.contracts.errors import UnreachableError
from edge_core.oci import Registry, digest_of
from edge_site_proxy.api.gateway.ports import BlobFile, ManifestBytes
from tests.unit.site_proxy.gateway_api.served import served
from tests.unit.site_proxy.gateway_api.test_registry import MANIFEST, RAW

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 4096


def read(path: Path) -> bytes:
    """A whole file."""
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    """Make a file."""
    path.write_bytes(content)


class Pieces:
    """A meter that gives out pieces of one size."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def allow(self, missing: int) -> int:
        """The next piece."""
        return min(missing, self.size)

    async def took(self, count: int) -> None:
        """As fast as it comes."""
        assert count > 0


async def test_metered(tmp_path: Path) -> None:
    """What was given out comes piece by piece; who does not ask gets nothing, and may later."""
    async with served(tmp_path) as server, aiohttp.ClientSession() as session:
        digest = digest_of(CONTENT)
        write(tmp_path / "blob", CONTENT)
        server.shelf.blobs[digest] = BlobFile(digest, tmp_path / "blob", len(CONTENT))
        server.shelf.named["models/pump"] = {}
        server.site.send_max = 300_000
        context = await server.enrolled("gw-101")
        wanted = Descriptor(media_type="x/y", digest=digest, size=len(CONTENT))
        greedy = Registry(session, server.url, "models/pump", ssl=context)
        with pytest.raises(UnreachableError, match="status 429"):
            await greedy.blob(wanted, tmp_path / "mine")
        meter = Pieces(300_000)
        asking = Registry(session, server.url, "models/pump", ssl=context, meter=meter)
        await asking.blob(wanted, tmp_path / "mine")
        assert read(tmp_path / "mine") == CONTENT


async def test_pull(tmp_path: Path) -> None:
    """Tags, manifest, referrers, and a blob of which a part is here already."""
    async with served(tmp_path) as server, aiohttp.ClientSession() as session:
        digest = digest_of(CONTENT)
        write(tmp_path / "blob", CONTENT)
        server.shelf.blobs[digest] = BlobFile(digest, tmp_path / "blob", len(CONTENT))
        server.shelf.named["models/pump"] = {
            "v1": ManifestBytes(MANIFEST, "application/vnd.oci.image.index.v1+json", RAW)
        }
        context = await server.enrolled("gw-101")
        registry = Registry(session, server.url, "models/pump", ssl=context)
        assert await registry.tags() == ["v1"]
        assert await registry.referrers(MANIFEST) == []
        write(tmp_path / "mine.part", CONTENT[:100_000])
        wanted = Descriptor(media_type="x/y", digest=digest, size=len(CONTENT))
        await registry.blob(wanted, tmp_path / "mine")
        assert read(tmp_path / "mine") == CONTENT
