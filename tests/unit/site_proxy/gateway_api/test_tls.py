"""Who gets in: certificates, headers that claim otherwise, reload; over real TLS on loopback."""

import asyncio
import dataclasses
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientError

from edge_site_proxy.api.gateway.calls import SERIAL_HEADER
from edge_site_proxy.identity import drops
from edge_site_proxy.identity.authority import Authority, make_root
from edge_site_proxy.identity.drops import RevokeDrop
from edge_site_proxy.identity.errors import AuthorityError
from tests.unit.site_proxy.gateway_api.served import HOST, Served, served, wall, write_server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both loops: the daemon runs on uvloop, asyncio is the fallback."""
    return "asyncio", {"use_uvloop": request.param}


async def status_of(server: Served, context: ssl.SSLContext, **headers: str) -> tuple[int, str]:
    """Ask for the desired state."""
    async with (
        server.client(context) as client,
        client.get("/gateway/v1/desired", headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def test_own_certificate(tmp_path: Path) -> None:
    """A certificate of the site CA gets in as the serial it names."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        status, body = await status_of(server, context)
        assert status == 200
        assert '"serial":"gw-101"' in body


async def test_bad_certificates(tmp_path: Path) -> None:
    """No certificate, another CA, an ended one: no request gets through, and the log says why."""
    stranger = Authority(make_root("north", now=wall()))
    async with served(tmp_path) as server:
        bad = [
            server.trusting(),
            server.issue("gw-101", by=stranger)[0],
            server.issue("gw-101", ended=True)[0],
        ]
        for count, context in enumerate(bad, start=1):
            with pytest.raises(ClientError):
                await status_of(server, context)
            assert server.handshakes.refused >= count


async def test_old_tls(tmp_path: Path) -> None:
    """TLS 1.2 is refused."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ClientError):
            await status_of(server, context)


async def test_revoked_on_open_connection(tmp_path: Path) -> None:
    """A revoked gateway gets 403 on the connection it already has, with the reason as JSON."""
    async with served(tmp_path) as server:
        context = await server.enrolled("gw-101")
        async with server.client(context) as client:
            async with client.get("/gateway/v1/desired") as answer:
                assert answer.status == 200
            drops.put(tmp_path / "drops", RevokeDrop(serial="gw-101", reason="stolen"))
            await server.register.take_drops(wall())
            for path in ("/gateway/v1/desired", "/v2/", "/v1/metrics"):
                async with client.get(path) as answer:
                    assert answer.status == 403
                    assert "revoked" in (await answer.json())["message"]


async def test_header_claims_another(tmp_path: Path) -> None:
    """A header that claims another serial is refused, and the answer names both."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        status, body = await status_of(server, context, **{SERIAL_HEADER: "gw-102"})
        assert status == 403
        assert "gw-101" in body
        assert "gw-102" in body
        status, _ = await status_of(server, context, **{SERIAL_HEADER: "gw-101"})
        assert status == 200


async def test_forwarding_headers(tmp_path: Path) -> None:
    """Headers of a proxy in front change nothing: nobody may forge an identity with them."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        forged = {"X-Forwarded-For": "10.0.0.1", "X-SSL-Client-CN": "gw-102"}
        status, body = await status_of(server, context, **forged)
        assert status == 200
        assert "gw-102" not in body


async def test_reload(tmp_path: Path) -> None:
    """After a reload the new certificate is shown, the old CA refused, the new one taken."""
    async with served(tmp_path) as server:
        before, _ = server.issue("gw-101")
        root = make_root("north", now=wall())
        renewed = Authority(root)
        (tmp_path / "ca.pem").write_bytes(root.certificate_pem)
        write_server(tmp_path, renewed)
        server.tls.reload()
        after, _ = dataclasses.replace(server, authority=renewed).issue("gw-101")
        status, _ = await status_of(server, after)
        assert status == 200
        before.load_verify_locations(cadata=root.certificate_pem.decode())
        with pytest.raises(ClientError):
            await status_of(server, before)


async def test_failed_reload(tmp_path: Path) -> None:
    """A reload with a broken file says so, and what was in force stays in force."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        (tmp_path / "server.pem").write_bytes(b"broken")
        with pytest.raises(AuthorityError, match="expected PEM"):
            server.tls.reload()
        status, _ = await status_of(server, context)
        assert status == 200


async def test_no_resumption(tmp_path: Path) -> None:
    """The server hands out no session tickets: a resumed session would not be verified again."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        reader, writer = await asyncio.open_connection(HOST, server.port, ssl=context)
        writer.write(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        connection = writer.get_extra_info("ssl_object")
        assert not connection.session.has_ticket
        writer.close()


async def test_one_connection(tmp_path: Path) -> None:
    """Many requests share one connection."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        connector = aiohttp.TCPConnector(ssl=context, limit=1)
        async with aiohttp.ClientSession(server.url, connector=connector) as client:
            for _ in range(5):
                async with client.get("/gateway/v1/desired") as answer:
                    assert answer.status == 200
