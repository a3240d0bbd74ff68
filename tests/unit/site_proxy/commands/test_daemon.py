"""The whole daemon on loopback: a gateway enrols, reports, ships, and is shut out again."""

import asyncio
import base64
import gzip
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from edge_core.contracts.gateway import Desired, References, StatusReply, StatusReport
from edge_core.contracts.plant import ClockQuality
from edge_core.journal.layout import crc32c
from edge_site_proxy.daemon import Ports
from tests.unit.site_proxy.commands.sites import SiteFolder
from tests.unit.site_proxy.identity.made import Gateway

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop that the daemon runs on."""
    return "asyncio", {"use_uvloop": True}


@dataclass
class Client:
    """A gateway as far as the site proxy can tell."""

    site: SiteFolder
    ports: Ports
    gateway: Gateway

    async def enrol(self, token: str) -> aiohttp.ClientSession:
        """Get a certificate; gives a session that shows it."""
        ca = str(self.site.folder / "identity" / "ca.pem")
        login = aiohttp.encode_basic_auth(self.gateway.serial, token)
        headers = {"authorization": login, "content-type": "application/pkcs10"}
        url = f"https://127.0.0.1:{self.ports.enrolment}/.well-known/est/simpleenroll"
        trust = ssl.create_default_context(cafile=ca)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
            session.post(url, data=self.gateway.request(), headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()
            body = base64.b64decode(await answer.read())
        (certificate,) = pkcs7.load_der_pkcs7_certificates(body)
        key = self.gateway.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = self.site.folder / "client.pem"
        write(chain, key + certificate.public_bytes(Encoding.PEM))
        trust.load_cert_chain(chain)
        base = f"https://127.0.0.1:{self.ports.gateways}"
        return aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=trust))


def write(path: Path, content: bytes) -> None:
    """Write a file."""
    path.write_bytes(content)


def listing(folder: Path) -> list[str]:
    """Names in *folder*."""
    return sorted(path.name for path in folder.iterdir())


def report(serial: str) -> bytes:
    """A first heartbeat."""
    return msgspec.json.encode(
        StatusReport(
            serial=serial,
            boot_epoch=1,
            sequence=1,
            software="1",
            clock=ClockQuality(synchronised=True, error_max_us=10),
            references=References(),
            effective=None,
            running=None,
        )
    )


async def test_whole_day(site: SiteFolder) -> None:
    """Token, certificate, heartbeat, desired state, telemetry into the folder, revocation."""
    token = json.loads(site.on("token", "--serial", "gw-101", "--json").out)["token"]
    async with site.running() as ports:
        client = Client(site, ports, Gateway("gw-101"))
        async with await client.enrol(token) as session:
            async with session.post("/gateway/v1/status", data=report("gw-101")) as answer:
                reply = msgspec.json.decode(await answer.read(), type=StatusReply)
            async with session.get("/gateway/v1/desired") as answer:
                assert answer.headers["etag"] == f'"{reply.desired_etag}"'
                assert msgspec.json.decode(await answer.read(), type=Desired).serial == "gw-101"
            await ship(session, site.folder / "telemetry-out")
            site.on("token", "--serial", "gw-101", "--revoke", "--reason", "stolen")
            await eventually(lambda: shut_out(session))
    verified = site.on("audit", "verify", "--json")
    assert (verified.code, json.loads(verified.out)["verified"]) == (0, True)
    wal = site.on("wal", "verify", "--json")
    assert (wal.code, json.loads(wal.out)["records"]) == (0, 1)
    (line,) = site.on("wal", "cat").out.splitlines()
    assert json.loads(line)["batch"] == "gw-101/1/1"


async def ship(session: aiohttp.ClientSession, folder: Path) -> None:
    """Send one batch and wait until it is in the folder."""
    body = gzip.compress(b"\x0a\x02ab")
    headers = {
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "x-batch-id": "gw-101/1/1",
        "x-batch-crc": f"{crc32c(body):08x}",
    }
    async with session.post("/v1/metrics", data=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    await eventually(lambda: arrived(folder, "gw-101_1_1.metrics.pb.gz"))


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until *check* holds."""
    for _ in range(200):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("never came true")


async def arrived(folder: Path, name: str) -> bool:
    """Whether *name* is what *folder* holds."""
    return listing(folder) == [name]


async def shut_out(session: aiohttp.ClientSession) -> bool:
    """Whether the gateway API refuses the certificate."""
    return await status_of(session) == 403


async def status_of(session: aiohttp.ClientSession) -> int:
    """What the gateway API says now."""
    async with session.get("/gateway/v1/desired") as answer:
        return answer.status


async def test_stops_quickly(site: SiteFolder) -> None:
    """With a connection open, stopping takes less than three seconds."""
    token = json.loads(site.on("token", "--serial", "gw-101", "--json").out)["token"]
    loop = asyncio.get_running_loop()
    async with site.running() as ports:
        session = await Client(site, ports, Gateway("gw-101")).enrol(token)
        assert await status_of(session) == 200
        begun = loop.time()
    assert loop.time() - begun < 3.0
    await session.close()


async def test_port_taken(site: SiteFolder) -> None:
    """A port in use ends the daemon with one line before anything else was touched."""
    async with site.running() as ports:
        text = site.config.read_text().replace("port = 0", f"port = {ports.gateways}", 1)
        write(site.config, text.encode())
        with pytest.raises(ExceptionGroup) as died:
            async with site.running():
                pass
        assert died.group_contains(Exception, match="expected a free address")
