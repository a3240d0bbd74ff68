"""The registry client against a registry that goes wrong in every way we know."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from edge_core.contracts.artefact import BUNDLE_TYPE, Descriptor, Index
from edge_core.contracts.errors import (
    EdgeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TryAgainError,
    UnreachableError,
)
from edge_core.oci import DigestMismatchError, Layout, Registry, digest_of, encode_document
from edge_core.oci.part import Part, lock_part
from tests.simulators.registry import Faults, SimulatedRegistry
from tests.simulators.waiting import until

from .made import put_release

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 10_000  # above two megabytes: more than one chunk
BLOB = Descriptor(media_type="x", digest=digest_of(CONTENT), size=len(CONTENT))


@dataclass(frozen=True)
class Line:
    """A registry, the client that talks to it, and where a blob goes."""

    registry: SimulatedRegistry
    client: Registry
    session: aiohttp.ClientSession
    url: str
    into: Path

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request so far."""
        return [asked for _, _, asked in self.registry.requests]


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    """A registry that has one blob."""
    registry = SimulatedRegistry()
    registry.put_blob(CONTENT)
    async with registry.serving() as url, aiohttp.ClientSession() as session:
        client = Registry(session, url, "plant/pump-state")
        yield Line(registry, client, session, url, tmp_path / "blob")


def _free(final: Path) -> bool:
    """Whether nobody holds the part of *final*."""
    try:
        lock_part(BLOB, final).close()
    except TryAgainError:
        return False
    return True


def _part(line: Line) -> Path:
    return line.into.with_name("blob.part")


async def test_a_blob(line: Line) -> None:
    """A blob arrives whole, and fetching it again asks nobody."""
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert not _part(line).exists()
    await line.client.blob(BLOB, line.into)
    assert line.ranges == [None]


async def test_given_up_while_its_part_is_locked(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch that is cancelled while a thread locks its part leaves no lock behind."""
    begun, go_on = threading.Event(), threading.Event()
    opened: list[Part] = []

    def slowly(descriptor: Descriptor, final: Path) -> Part:
        begun.set()
        go_on.wait()
        opened.append(lock_part(descriptor, final))
        return opened[0]

    monkeypatch.setattr("edge_core.oci.registry.lock_part", slowly)
    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(line.client.blob(BLOB, line.into))
        await asyncio.to_thread(begun.wait)
        fetching.cancel()
    assert fetching.cancelled()
    go_on.set()
    await until(lambda: len(opened) == 1, "its thread has locked the part")
    await until(lambda: _free(line.into), "nobody holds the part")


@pytest.mark.parametrize("cut", [0, 1, 1000, 1_048_576, len(CONTENT) - 1])
async def test_cut_and_resumed(line: Line, cut: int) -> None:
    """Cut anywhere, the next call asks for the rest alone."""
    line.registry.faults = Faults(cut_after=cut)
    with pytest.raises(UnreachableError):
        await line.client.blob(BLOB, line.into)
    assert not line.into.exists()
    arrived = _part(line).stat().st_size
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert line.ranges == [None, f"bytes={arrived}-" if arrived else None]


class Rationed:
    """A meter that gives so many bytes at a time, and so many in all."""

    def __init__(self, piece: int, whole: int) -> None:
        self.piece = piece
        self.left = whole
        self.came = 0

    async def allow(self, missing: int) -> int:
        """The next piece."""
        if self.left <= 0:
            raise TryAgainError("no bytes now")
        return min(missing, self.piece, self.left)

    async def took(self, count: int) -> None:
        """Count them."""
        self.left -= count
        self.came += count


async def test_in_pieces(line: Line) -> None:
    """A metered blob comes in pieces as large as the meter makes them, each asked for."""
    meter = Rationed(1_000_000, len(CONTENT))
    client = Registry(line.session, line.url, "plant/pump-state", meter=meter)
    await client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert line.ranges == ["bytes=0-999999", "bytes=1000000-1999999", "bytes=2000000-"]
    assert meter.came == len(CONTENT)


async def test_a_meter_that_is_empty(line: Line) -> None:
    """What came before the meter was empty stays, and with more bytes it goes on there."""
    meter = Rationed(400_000, 900_000)
    client = Registry(line.session, line.url, "plant/pump-state", meter=meter)
    with pytest.raises(TryAgainError, match="no bytes now"):
        await client.blob(BLOB, line.into)
    assert _part(line).stat().st_size == 900_000
    assert line.ranges[-1] == "bytes=800000-899999"
    meter.left = len(CONTENT)
    await client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert meter.came == len(CONTENT)


async def test_a_metered_blob_that_is_cut(line: Line) -> None:
    """A piece that breaks off is not asked for again in the same call."""
    line.registry.faults = Faults(cut_after=1000, cuts=1)
    meter = Rationed(1_000_000, len(CONTENT))
    client = Registry(line.session, line.url, "plant/pump-state", meter=meter)
    with pytest.raises(UnreachableError):
        await client.blob(BLOB, line.into)
    assert len(line.ranges) == 1
    await client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT


async def test_metered_by_a_registry_without_ranges(line: Line) -> None:
    """What knows no ranges sends all of it at once, and the meter hears of that."""
    line.registry.faults = Faults(ignores_range=True)
    meter = Rationed(1_000_000, len(CONTENT))
    client = Registry(line.session, line.url, "plant/pump-state", meter=meter)
    await client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert meter.came == len(CONTENT)


async def test_all_arrived_but_not_named(line: Line) -> None:
    """A part that is complete is checked and named without a request."""
    _part(line).write_bytes(CONTENT)
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert line.ranges == []


@pytest.mark.parametrize("size", [1, 1000, len(CONTENT)])
async def test_a_rotten_part(line: Line, size: int) -> None:
    """What rotted on our disk costs one full fetch, and no refusal."""
    _part(line).write_bytes(b"\xff" * size)
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert line.ranges[-1] is None


async def test_rot_under_the_name(line: Line) -> None:
    """What lies under the name already is checked too, and replaced if wrong."""
    line.into.write_bytes(b"\xff" * len(CONTENT))
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "faults", [Faults(ignores_range=True), Faults(lies_about_range=False)], ids=["200", "206"]
)
async def test_answers_to_a_range(line: Line, faults: Faults) -> None:
    """A registry may serve the range or the whole; the blob is right in both cases."""
    _part(line).write_bytes(CONTENT[:1000])
    line.registry.faults = faults
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "faults", [Faults(refuses_range=True), Faults(lies_about_range=True)], ids=["416", "from 0"]
)
async def test_a_range_that_is_not_served(line: Line, faults: Faults) -> None:
    """A registry that is broken there costs one try; the next one starts again."""
    _part(line).write_bytes(CONTENT[:1000])
    line.registry.faults = faults
    with pytest.raises(UnreachableError):
        await line.client.blob(BLOB, line.into)
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT


WRONG: dict[str, tuple[Faults, type[EdgeError]]] = {
    "wrong bytes": (Faults(wrong_bytes=True), DigestMismatchError),
    "more bytes": (Faults(size_off=1), RefusedError),
    "compressed bytes": (Faults(compresses=True), RefusedError),
    "a redirect to a file": (Faults(redirect_to="file:///etc/passwd"), RefusedError),
    "a redirect to another scheme": (Faults(redirect_to="ftp://127.0.0.1/x"), RefusedError),
    "a redirect in a circle": (Faults(redirect_to=f"/v2/x/blobs/{BLOB.digest}"), RefusedError),
    "400": (Faults(status=400), RefusedError),
    "401": (Faults(status=401), NotPermittedError),
    "403": (Faults(status=403), NotPermittedError),
    "404": (Faults(status=404), NotFoundError),
    "429": (Faults(status=429), UnreachableError),
    "500": (Faults(status=500), UnreachableError),
    "503": (Faults(status=503), UnreachableError),
}


@pytest.mark.parametrize(("faults", "error"), WRONG.values(), ids=WRONG.keys())
async def test_wrong(line: Line, faults: Faults, error: type[EdgeError]) -> None:
    """Each thing a caller does differently has its class, and nothing gets the name."""
    line.registry.faults = faults
    with pytest.raises(error) as refusal:
        await line.client.blob(BLOB, line.into)
    assert type(refusal.value) is error
    assert str(refusal.value).isprintable()
    assert not line.into.exists()


async def test_the_caller_gives_up(line: Line) -> None:
    """Whoever waits decides for how long, and what had arrived by then is not fetched again."""
    line.registry.faults = Faults(stall_after=2_000_000)
    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(line.client.blob(BLOB, line.into))
        await line.registry.stalled.wait()
        fetching.cancel()
    arrived = _part(line).stat().st_size
    line.registry.faults = Faults()
    await line.client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert line.ranges == [None, f"bytes={arrived}-" if arrived else None]


@pytest.mark.parametrize(
    "link", ["<http://127.0.0.1:1/x>", "<data:,x>", "<http://[>", "</v2/x/tags/list>"]
)
async def test_pages_that_lead_astray(line: Line, link: str) -> None:
    """The next page is at the same registry, and there is an end to pages."""
    line.registry.faults = Faults(link=f'{link}; rel="next"')
    with pytest.raises(RefusedError):
        await line.client.tags()
    assert len(line.registry.requests) <= 64


async def test_nobody_there(line: Line, unused_tcp_port: int) -> None:
    """A closed port is unreachable."""
    client = Registry(line.session, f"http://127.0.0.1:{unused_tcp_port}", "x")
    with pytest.raises(UnreachableError):
        await client.manifest("1.0")


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that nobody may listen on."""
    return 1


async def test_a_release(line: Line, tmp_path: Path) -> None:
    """Manifests come byte for byte by tag and digest; referrers with and without the API."""
    layout = Layout.create(tmp_path / "layout")
    made = put_release(layout)
    await line.registry.publish(layout, "1.0")
    for reference in ("1.0", made.index.digest):
        assert await line.client.manifest(reference) == await layout.manifest(reference)
    for missing in (False, True):
        line.registry.faults.no_referrers = missing
        (bundle,) = await line.client.referrers(made.index.digest, BUNDLE_TYPE)
        assert bundle.digest == made.bundle.digest
        assert len(await line.client.referrers(made.index.digest)) == 2
        assert await line.client.referrers(made.manifests[0].digest) == []


async def test_manifests_that_are_not(line: Line) -> None:
    """Other bytes than asked for, another type, and too many bytes are refused."""
    raw = encode_document(Index(manifests=[]))
    digest = line.registry.put_manifest(raw, tag="1.0")
    line.registry.faults = Faults(content_type="text/html")
    with pytest.raises(RefusedError, match="expected content type"):
        await line.client.manifest("1.0")
    line.registry.blobs[digest] = encode_document(Index(manifests=[], annotations={"a": "b"}))
    line.registry.faults = Faults()
    with pytest.raises(DigestMismatchError):
        await line.client.manifest(digest)
    line.registry.blobs[digest] = b" " * (4 * 1024 * 1024 + 1)
    line.registry.faults = Faults(content_type="text/html")
    with pytest.raises(RefusedError, match="found more"):
        await line.client.manifest(digest)


async def test_tags(line: Line) -> None:
    """Tags come sorted, over pages, without bookkeeping and without names that are none."""
    for tag in ("b", "a", "1.0", "sha256-" + "a" * 64, "../x"):
        line.registry.tags[tag] = BLOB.digest
    assert await line.client.tags() == ["1.0", "a", "b"]
    line.registry.faults = Faults(page=1)
    assert await line.client.tags() == ["1.0", "a", "b"]


async def test_the_authorization_goes_home_only(line: Line) -> None:
    """The header is asked for anew at every request and stays behind on a redirect elsewhere."""
    values = iter(["Bearer one", "Bearer two"])
    client = Registry(
        line.session, line.url, "plant/pump-state", authorization=lambda: next(values)
    )
    elsewhere = SimulatedRegistry()
    elsewhere.put_blob(CONTENT)
    async with elsewhere.serving() as url:
        line.registry.faults = Faults(redirect_to=f"{url}/v2/x/blobs/{BLOB.digest}")
        await client.blob(BLOB, line.into)
    assert line.into.read_bytes() == CONTENT
    assert line.registry.authorizations == ["Bearer one"]
    assert elsewhere.authorizations == [None]


@pytest.mark.parametrize("url", ["", "registry", "ftp://x", "file:///x", "http://u:p@x", "//x"])
async def test_base_urls_that_are_none(line: Line, url: str) -> None:
    """A base URL has a scheme and a host, and no secret in it."""
    with pytest.raises(RefusedError, match="registry: expected"):
        Registry(line.session, url, "x")
    with pytest.raises(RefusedError, match="repository: expected"):
        Registry(line.session, "http://x", "../x")
