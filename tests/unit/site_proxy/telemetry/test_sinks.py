"""The two upstreams: an HTTP endpoint that misbehaves in every way it can, and a folder."""

import datetime as dt
import json
from pathlib import Path

import aiohttp
import pytest

from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.journal.layout import crc32c
from edge_site_proxy.telemetry.batch import Outbound
from edge_site_proxy.telemetry.encoding import Encoding
from edge_site_proxy.telemetry.folder_sink import FolderSink, file_name
from edge_site_proxy.telemetry.http_sink import HttpSink
from edge_site_proxy.telemetry.retry import Verdict
from edge_site_proxy.telemetry.shipper import Draining
from tests.simulators.files import SimulatedFiles
from tests.unit.site_proxy.telemetry.made import AT, FaultServer, Plant, fill, journal_on, now

pytestmark = pytest.mark.anyio


def batch(sequence: int = 7, body: bytes = b"body") -> Outbound:
    """A batch on its way up."""
    return Outbound(
        seq=sequence,
        signal=Signal.LOGS,
        batch=BatchId(serial="gw-101", epoch=1, sequence=sequence),
        crc32c=crc32c(body),
        encoding=Encoding.GZIP,
        ingest_unix_nano=5,
        synchronised=False,
        body=body,
    )


async def test_headers() -> None:
    """What the proxy knows travels in headers; the body goes up as it came."""
    server = FaultServer()
    async with server.serving() as url, aiohttp.ClientSession() as session:
        sink = HttpSink(session, url, now=now, authorization=lambda: "Bearer x")
        outcome = await sink.send(batch())
        assert outcome.verdict is Verdict.DELIVERED
        ((path, headers),) = server.seen
        assert path == "/v1/logs"
        assert headers["x-batch-id"] == "gw-101/1/7"
        assert headers["x-batch-crc"] == f"{crc32c(b'body'):08x}"
        assert headers["x-ingest-unix-nano"] == "5"
        assert headers["x-ingest-clock"] == "unsynced"
        assert headers["content-encoding"] == "gzip"
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["authorization"] == "Bearer x"
        assert server.bodies["gw-101/1/7"] == b"body"


async def test_nobody_there() -> None:
    """A refused connection is an outage."""
    async with FaultServer().serving() as url:
        pass
    async with aiohttp.ClientSession() as session:
        outcome = await HttpSink(session, url, now=now).send(batch())
        assert outcome.verdict is Verdict.RETRY
        assert url in outcome.reason


async def test_every_fault(tmp_path: Path) -> None:
    """Busy, reset, hanging, failing, refusing: nothing lost, and repeats bear their id."""
    server = FaultServer(
        script=[503, "reset", "hang", 200, 500, 413, 200, "reset", 429, 400],
        headers={"retry-after": "3"},
    )
    async with (
        journal_on(SimulatedFiles()) as journal,
        server.serving() as url,
        aiohttp.ClientSession() as session,
    ):
        await fill(journal, range(1, 21))
        quick = Draining(deadline=dt.timedelta(seconds=0.2))
        plant = Plant(journal, HttpSink(session, url, now=now), tmp_path, draining=quick)
        await plant.drain()
        arrived = set(server.bodies)
        aside = set_aside(tmp_path)
        assert arrived | aside == {f"gw-101/1/{n}" for n in range(1, 21)}
        assert len(aside) == plant.letters.count == 2
        assert 3.0 in plant.slept
        sent = [headers["x-batch-id"] for _, headers in server.seen]
        assert len(sent) > len(set(sent))


def set_aside(folder: Path) -> set[str]:
    """Ids of the dead letters."""
    return {json.loads(path.read_bytes())["batch"] for path in folder.rglob("*.json")}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_folder(tmp_path: Path) -> None:
    """A file a batch, named by its id; a repeat finds it, another body of that name is refused."""
    sink = FolderSink(tmp_path)
    assert (await sink.send(batch())).verdict is Verdict.DELIVERED
    assert (await sink.send(batch())).verdict is Verdict.DELIVERED
    assert (await sink.send(batch(body=b"other"))).verdict is Verdict.REFUSED
    assert contents(tmp_path) == {"gw-101_1_7.logs.pb.gz": b"body"}
    assert file_name(batch()) == "gw-101_1_7.logs.pb.gz"


async def test_folder_away(tmp_path: Path) -> None:
    """A folder that is not there is an outage, and is never made up."""
    away = tmp_path / "usb"
    sink = FolderSink(away)
    outcome = await sink.send(batch())
    assert outcome.verdict is Verdict.RETRY
    assert contents(tmp_path) == {}
    away.mkdir()
    assert (await sink.send(batch())).verdict is Verdict.DELIVERED


async def test_date() -> None:
    """A Retry-After that is a date counts from our clock."""
    later = (AT + dt.timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    server = FaultServer(script=[503], headers={"retry-after": later})
    async with server.serving() as url, aiohttp.ClientSession() as session:
        outcome = await HttpSink(session, url, now=now).send(batch())
        assert outcome.after == dt.timedelta(seconds=30)
