"""HTTP as clients really speak it: in pieces, without headers, too long, too slow, and rudely."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.api.serving import Serving
from edge_runtime.api.settings import ServingConfig
from edge_runtime.route import Route
from tests.simulators.broker import make_authority
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.waiting import until

pytestmark = pytest.mark.anyio

ROW = [1.0, 0.0, 2.0, 0.0]
BODY = msgspec.json.encode(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}
)
HEAD = b"POST /v2/models/pump/infer HTTP/1.1\r\nHost: gateway\r\n"
INFER = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
NONSENSE = HEAD + b"Content-Length: 3\r\n\r\nno!"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: gateway\r\n\r\n"


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@asynccontextmanager
async def served(
    worker: SimulatedWorker | None = None, clock: Clock | None = None, **more: Any
) -> AsyncIterator[Serving]:
    """A server on a port of the kernel's choice; *more* are settings."""
    route = Route(loaded("1", worker)[0])
    serving = Serving(ServingConfig(port=0, **more), lambda: route, clock or Clock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serving.run())
        await until(lambda: serving.port > 0, "a port")
        try:
            yield serving
        finally:
            task.cancel()


Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def client(serving: Serving, **more: Any) -> AsyncIterator[Peer]:  # of a connection
    """A client's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port, **more)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Status, head and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split()[1]), head, await reader.readexactly(length)


SPOKEN: dict[str, tuple[bytes, list[int]]] = {
    "no Content-Type": (INFER, [200]),
    "no JSON": (NONSENSE + INFER, [400, 200]),
    "two requests in one piece": (INFER + LIVE, [200, 200]),
    "twenty requests in one piece": (LIVE * 20, [200] * 20),
    "chunked": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        [200],
    ),
    "an upgrade that is offered": (
        INFER.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 1) + LIVE,
        [200, 200],
    ),
    "a tunnel": (b"CONNECT plc:4840 HTTP/1.1\r\nHost: plc\r\n\r\n", [405]),
    "HTTP/1.0": (LIVE.replace(b"1.1", b"1.0"), [200]),
    "the client's last": (LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), [200]),
    "with a query": (LIVE.replace(b"live", b"live?verbose=1"), [200]),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", [400]),
    "two lengths": (INFER.replace(b"Host", b"Content-Length: 5\r\nHost"), [400]),
    "a length and chunks": (INFER.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"), [400]),
    "a length that is no number": (INFER.replace(b"Length: ", b"Length: -"), [400]),
    "a body too long, said at once": (HEAD + b"Content-Length: 99999999\r\n\r\n", [413]),
    "a body too long, in chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + b" " * 200_000,
        [413],
    ),
    "headers too long": (LIVE.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 20_000 + b"\r\n"), [431]),
    "a thousand headers": (LIVE.replace(b"\r\n\r\n", b"\r\nX: 1" * 9000), [431]),
    "another method": (LIVE.replace(b"GET", b"DELETE"), [405]),
}


@pytest.mark.parametrize("name", SPOKEN)
async def test_spoken(name: str) -> None:
    """Each row is what a client sends, and how each of its requests is answered."""
    raw, statuses = SPOKEN[name]
    async with served() as serving, client(serving) as (reader, writer):
        writer.write(raw)
        found = [await answer(reader) for _ in statuses]
        assert [status for status, *_ in found] == statuses
        for status, _, body in found:
            assert ("error" in msgspec.json.decode(body)) is (status != 200)
        with contextlib.suppress(OSError):  # it may have left already
            writer.write_eof()
        assert await reader.read() == b""


async def test_pieces() -> None:
    """A request that comes byte by byte is a request."""
    async with served() as serving, client(serving) as (reader, writer):
        for at in range(len(INFER)):
            writer.write(INFER[at : at + 1])
            await asyncio.sleep(0)
        status, *_ = await answer(reader)
    assert status == 200


async def test_endless_head() -> None:
    """A header that never ends is not kept."""
    async with served() as serving, client(serving) as (reader, writer):
        writer.write(LIVE[:-2] + b"X: ")
        for _ in range(100):
            await asyncio.sleep(0)
            writer.write(b"x" * 1000)
        assert (await answer(reader))[0] == 431


async def test_expect() -> None:
    """A client that asks before it sends a long body is told to go on."""
    async with served() as serving, client(serving) as (reader, writer):
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        status, *_ = await answer(reader)
    assert status == 200


SLOW = {
    "nothing": b"",
    "half a head": HEAD[:20],
    "half a body": INFER[:-5],
    "one request and no more": LIVE,
}


@pytest.mark.parametrize("name", SLOW)
async def test_slow(name: str) -> None:
    """A client that stops after this much is ended when its time is up."""
    clock = Clock()
    async with served(clock=clock) as serving, client(serving) as (reader, writer):
        writer.write(SLOW[name])
        if SLOW[name] == LIVE:
            await answer(reader)
        await asyncio.sleep(0.05)
        clock.now_s = 1000.0
        async with asyncio.timeout(10):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)


async def test_too_many_connections() -> None:
    """One more than there may be is told so; when one leaves there is room again."""
    async with served(connections_max=2) as serving:
        async with client(serving) as (first, sent), client(serving) as (second, also):
            for reader, writer in ((first, sent), (second, also)):
                writer.write(LIVE)
                assert (await answer(reader))[0] == 200
            async with client(serving) as (third, _):
                status, head, _ = await answer(third)
                assert (status, b"retry-after" in head) == (503, True)
        await asyncio.sleep(0.05)
        async with client(serving) as (reader, writer):
            writer.write(LIVE)
            assert (await answer(reader))[0] == 200


async def test_full_queue() -> None:
    """A request beyond the queue is told when to come back; a client that leaves costs nothing."""
    waits = asyncio.Event()

    class Slow(SimulatedWorker):
        async def run(self, inputs: Any) -> Any:  # arrays
            await waits.wait()
            return await SimulatedWorker.run(self, inputs)

    async with (
        served(Slow("x"), queue=2) as serving,
        client(serving) as (one, first),
        client(serving) as (_, second),
    ):
        first.write(INFER)
        second.write(INFER)
        await asyncio.sleep(0.05)
        second.close()
        async with client(serving) as (three, third):
            third.write(INFER)
            status, head, _ = await answer(three)
            assert (status, b"retry-after: 1\r\n" in head) == (503, True)
            # Who is turned away costs nothing more: nobody looks into what it brought.
            third.write(NONSENSE)
            assert (await answer(three))[0] == 503
        waits.set()
        assert (await answer(one))[0] == 200


def padded(size: int) -> bytes:
    """A request whose body has so many bytes."""
    return HEAD + b"Content-Length: %d\r\n\r\n" % size + BODY.rjust(size)


class Waits(SimulatedWorker):
    """Answers nobody until it may."""

    def __init__(self) -> None:
        super().__init__("x")
        self.may = asyncio.Event()

    async def run(self, inputs: Any) -> Any:  # arrays
        """One answer, once it may."""
        await self.may.wait()
        return await SimulatedWorker.run(self, inputs)


async def test_one_body_a_connection() -> None:
    """What a client sends behind a request that is not answered yet is not read."""
    worker, size = Waits(), 60_000
    async with served(worker) as serving, client(serving) as (reader, writer):
        writer.write(padded(size) * 8)
        await until(lambda: serving.bodies.held == size, "the first body")
        await asyncio.sleep(0.05)
        assert serving.bodies.held == size
        worker.may.set()
        assert [(await answer(reader))[0] for _ in range(8)] == [200] * 8
        await until(lambda: serving.bodies.held == 0, "all is let go of")


async def test_many_bodies() -> None:
    """However many clients send long bodies at once, together they get no more than the bound."""
    worker, size, clients = Waits(), 60_000, 16
    bounds: dict[str, Any] = {"body_bytes_max": 65_536, "bodies_bytes_max": 4 * size}
    found: list[list[int]] = []

    async def asks(serving: Serving) -> None:
        async with client(serving) as (reader, writer):
            writer.write(padded(size) * 8)
            statuses = [(await answer(reader))[0]]
            while statuses[-1] == 200 and len(statuses) < 8:
                statuses.append((await answer(reader))[0])
            found.append(statuses)

    async with served(worker, **bounds) as serving:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(asks(serving))
            await until(lambda: len(found) >= clients - 4, "who is turned away")
            assert serving.bodies.held <= 4 * size
            worker.may.set()
        await until(lambda: serving.bodies.held == 0, "all is let go of")
    assert found.count([503]) + found.count([200] * 8) == clients
    assert found.count([503]) >= clients - 4


async def test_bodies_cut_short() -> None:
    """A client that leaves in the middle of a body takes nothing with it."""
    bounds: dict[str, Any] = {"body_bytes_max": 65_536, "bodies_bytes_max": 65_536}
    async with served(**bounds) as serving:
        for _ in range(3):
            async with client(serving) as (_, writer):
                writer.write(padded(60_000)[:-10])
                await until(lambda: serving.bodies.held > 50_000, "most of it")
            await until(lambda: serving.bodies.held == 0, "all is let go of")
        async with client(serving) as (reader, writer):
            writer.write(padded(60_000))
            assert (await answer(reader))[0] == 200


async def test_last_words() -> None:
    """A client that says all it has to say and then that it is done is answered all of it."""
    async with served() as serving, client(serving) as (reader, writer):
        writer.write(INFER * 40)
        writer.write_eof()
        assert [(await answer(reader))[0] for _ in range(40)] == [200] * 40
        assert await reader.read() == b""


def test_bodies_hold_one() -> None:
    """A bound that no single request fits is a mistake, and both keys are named."""
    with pytest.raises(
        msgspec.ValidationError, match=r"at least serving\.body_bytes_max, 4194304"
    ):
        msgspec.convert({"bodies_bytes_max": 5000}, ServingConfig)


async def test_unread_answers() -> None:
    """A client that asks and never reads is ended, and holds up nobody meanwhile."""
    clock = Clock()
    async with (
        served(clock=clock) as serving,
        client(serving, limit=1) as (_, rude),
        client(serving) as (reader, writer),
    ):
        for _ in range(40):
            rude.write(LIVE * 1000)
            await asyncio.sleep(0)
        writer.write(INFER)
        assert (await answer(reader))[0] == 200
        clock.now_s = 1000.0
        await until(lambda: serving.clients == 0, "both ended")


EXPOSED = {
    "0.0.0.0": True,  # noqa: S104 - this is what is refused
    "192.168.1.5": True,
    "::": True,
    "gateway.plant.example": True,
    "127.0.0.1": False,
    "127.0.0.9": False,
    "::1": False,
    "localhost": False,
}


@pytest.mark.parametrize("host", EXPOSED)
def test_exposed(host: str) -> None:
    """An address that others can reach is refused without mutual TLS, naming what is missing."""
    asked = {"host": host}
    if not EXPOSED[host]:
        assert msgspec.convert(asked, ServingConfig).host == host
        return
    with pytest.raises(msgspec.ValidationError, match=r"serving\.client_ca: expected PEM"):
        msgspec.convert(asked, ServingConfig)


def test_half_a_tls() -> None:
    """A key without the rest is a mistake, wherever it listens."""
    with pytest.raises(msgspec.ValidationError, match=r"serving\.certificate, serving\.client_ca"):
        msgspec.convert({"key": "key.pem"}, ServingConfig, dec_hook=lambda kind, it: kind(it))


@dataclass(frozen=True, slots=True)
class Files:
    """A CA, a server's pair and a client's."""

    ca: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]

    @property
    def settings(self) -> dict[str, Any]:
        """What the server is told."""
        return dict(zip(("certificate", "key", "client_ca"), (*self.server, self.ca), strict=True))

    def context(self, *, known: bool) -> ssl.SSLContext:
        """A client that trusts the CA, and is known to it or shows nothing."""
        context = ssl.create_default_context(cafile=self.ca)
        if known:
            context.load_cert_chain(*self.client)
        return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Made once: keys take a moment."""
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority = make_authority(folder)
    pair = authority.make_server(["127.0.0.1"], now=now)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.sign_gateway("scada-1", key.public_key(), now=now, life=timedelta(days=1))
    certificate = load_der_x509_certificate(issued.der).public_bytes(Encoding.PEM)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content in (
        ("server.pem", pair.certificate_pem),
        ("server.key", pair.key_pem),
        ("client.pem", certificate),
        ("client.key", key_pem),
    ):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return Files(
        folder / "ca.pem",
        (folder / "server.pem", folder / "server.key"),
        (folder / "client.pem", folder / "client.key"),
    )


async def test_mutual_tls(files: Files) -> None:
    """A client with a certificate of the CA is answered; one without is not heard at all."""
    async with served(**files.settings) as serving:
        async with client(serving, ssl=files.context(known=True)) as (reader, writer):
            writer.write(INFER)
            assert (await answer(reader))[0] == 200
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await _asked(serving, files.context(known=False))
        async with client(serving) as (reader, writer):
            writer.write(INFER)
            with contextlib.suppress(ConnectionError):
                assert not (await reader.read()).startswith(b"HTTP")


async def _asked(serving: Serving, context: ssl.SSLContext) -> None:
    async with client(serving, ssl=context) as (reader, writer):
        writer.write(INFER)
        await answer(reader)


SPOILT = {
    "no certificate": ("certificate", None, r"`\$\.serving\.certificate`"),
    "a key that is none": ("key", "nonsense", r"`\$\.serving\.key`: expected a PEM"),
    "a CA that is none": ("client_ca", "nonsense", r"`\$\.serving\.client_ca`"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_files(name: str, files: Files, tmp_path: Path) -> None:
    """Each row is a file that cannot be used, and the key that is named for it."""
    key, content, words = SPOILT[name]
    file = tmp_path / "spoilt.pem"
    if content is not None:
        file.write_text(content)
    config = ServingConfig(**{**files.settings, key: file})
    with pytest.raises(ConfigurationError, match=words):
        Serving(config, Route)


def test_open_key(files: Files, tmp_path: Path) -> None:
    """A key that others may read is refused."""
    key = tmp_path / "open.key"
    key.write_bytes(files.server[1].read_bytes())
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="expected mode 0600"):
        Serving(ServingConfig(**{**files.settings, "key": key}), Route)


async def test_taken_port() -> None:
    """A port that somebody else has is named."""
    async with served() as serving:
        second = Serving(ServingConfig(port=serving.port), Route)
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{serving.port} cannot"):
            await second.run()
