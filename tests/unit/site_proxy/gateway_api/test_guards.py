"""Slow and oversized clients: closed in time, without holding anything else up."""

import asyncio
import gc
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from edge_site_proxy.api.gateway.limits import ConnectionLimits
from edge_site_proxy.api.gateway.protocol import GatewayProtocol
from tests.unit.site_proxy.gateway_api.served import HOST, Served, served

pytestmark = pytest.mark.anyio

SHORT = ConnectionLimits(head_bytes_max=2048, head_s=0.15, body_s=0.15, keep_alive_s=60)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop that the daemon runs on."""
    return "asyncio", {"use_uvloop": True}


async def said(server: Served, context: ssl.SSLContext, sent: bytes) -> bytes:
    """Everything the server answers to *sent* until it closes the connection."""
    reader, writer = await asyncio.open_connection(HOST, server.port, ssl=context)
    writer.write(sent)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


SLOW = {
    "nothing is sent at all": b"",
    "half a request line": b"POST /gateway/v1/sta",
    "headers without an end": b"POST /gateway/v1/status HTTP/1.1\r\nhost: x\r\n",
    "half a body": b"POST /gateway/v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{}",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
async def test_slow(sent: bytes, tmp_path: Path) -> None:
    """A client that stalls is closed when its time is up, without an answer."""
    async with served(tmp_path, SHORT) as server:
        context, _ = server.issue("gw-101")
        assert await said(server, context, sent) == b""


GET = b"GET /gateway/v1/desired HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = GET.replace(b"host: x", b"host: x\r\nconnection: close")
IN_A_ROW = {
    "two at once": (GET + LAST, [b"200", b"200"]),
    "one that is answered before its body": (
        b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc" + LAST,
        [b"404", b"200"],
    ),
    "five at once": (GET * 4 + LAST, [b"200"] * 5),
}


@pytest.mark.parametrize(("sent", "statuses"), IN_A_ROW.values(), ids=IN_A_ROW.keys())
async def test_in_a_row(sent: bytes, statuses: list[bytes], tmp_path: Path) -> None:
    """Requests that follow one another on one connection are each answered, in order."""
    async with served(tmp_path) as server:
        context, _ = server.issue("gw-101")
        answer = await said(server, context, sent)
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == statuses


async def test_nothing_is_kept_of_a_reset(tmp_path: Path) -> None:
    """A client that loses its power leaves nothing behind, not even a timer that holds it."""
    async with served(tmp_path, SHORT) as server:
        context, _ = server.issue("gw-101")
        client = await asyncio.to_thread(connected, context, server.port)
        client.sendall(GET)
        assert await asyncio.to_thread(client.recv, 4096)
        assert connections() == 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        async with asyncio.timeout(5):
            while connections():  # noqa: ASYNC110 - a collection tells nobody
                await asyncio.sleep(0.01)


def connections() -> int:
    """How many of the server's there are in memory, open or not."""
    gc.collect()
    return sum(isinstance(each, GatewayProtocol) for each in gc.get_objects())


async def test_slow_ourselves(tmp_path: Path) -> None:
    """What came in time is answered, even if we were too busy to read it in time."""
    async with served(tmp_path, SHORT) as server:
        context, _ = server.issue("gw-101")
        client = await asyncio.to_thread(connected, context, server.port)
        with client, Bell() as bell:
            client.send(b"GET /gateway/v1/desired HTTP/1.1\r\n")
            async with server.client(context) as other, other.get("/gateway/v1/desired") as answer:
                assert answer.status == 200  # so the first half was read, and its time runs

            def rest() -> None:
                bell.off()
                client.send(b"host: x\r\n\r\n")
                keep_busy(2 * SHORT.head_s)

            bell.on(rest)
            answered = await asyncio.to_thread(client.recv, 100)
            assert answered.startswith(b"HTTP/1.1 200 ")


def connected(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    """A client that blocks, so that it can send while the loop is busy."""
    return context.wrap_socket(socket.create_connection((HOST, port)), server_hostname=HOST)


class Bell:
    """Has the loop call where it reads sockets, before it looks at its timers again."""

    def __enter__(self) -> Self:
        self._here, self._there = socket.socketpair()
        self._here.settimeout(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._here.close()
        self._there.close()

    def on(self, call: Callable[[], None]) -> None:
        """Call once it is read."""
        asyncio.get_running_loop().add_reader(self._here, call)
        self._there.send(b"x")

    def off(self) -> None:
        """Call no more."""
        asyncio.get_running_loop().remove_reader(self._here)


def keep_busy(seconds: float) -> None:
    """Let nobody else have a turn, as a thousand handshakes would."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        pass


LARGE = {
    "many headers": b"GET /v2/ HTTP/1.1\r\n" + b"x-more: y\r\n" * 400 + b"\r\n",
    "one long header": b"GET /v2/ HTTP/1.1\r\nx-long: " + b"y" * 4096 + b"\r\n\r\n",
    "one header without an end": b"GET /v2/ HTTP/1.1\r\nx-long: " + b"y" * 8192,
    "a long request line": b"GET /v2/" + b"a" * 4096 + b" HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", LARGE.values(), ids=LARGE.keys())
async def test_large_head(sent: bytes, tmp_path: Path) -> None:
    """Headers above the bound get 431 and the connection ends, finished or not."""
    limits = ConnectionLimits(head_bytes_max=2048, head_s=5.0)
    async with served(tmp_path, limits) as server:
        context, _ = server.issue("gw-101")
        answer = await said(server, context, sent)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert answer.count(b"HTTP/1.1") == 1


async def test_patient(tmp_path: Path) -> None:
    """An idle connection between two requests is not a slow one."""
    async with served(tmp_path, SHORT) as server:
        context, _ = server.issue("gw-101")
        async with server.client(context) as client:
            for _ in range(2):
                async with client.get("/gateway/v1/desired") as answer:
                    assert answer.status == 200
                    await answer.read()
                await asyncio.sleep(0.25)
