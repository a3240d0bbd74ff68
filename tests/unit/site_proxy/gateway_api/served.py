"""A gateway API on a loopback port, with a site behind it that a test can look into."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate, load_der_x509_certificate

from edge_core.contracts.artefact import Descriptor, Digest
from edge_core.contracts.errors import NotFoundError
from edge_core.contracts.gateway import (
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    StatusReply,
    StatusReport,
)
from edge_core.contracts.review import SuspectWindow
from edge_site_proxy.api.gateway.app import GatewayApp
from edge_site_proxy.api.gateway.est import enrolment_app
from edge_site_proxy.api.gateway.limits import ConnectionLimits
from edge_site_proxy.api.gateway.ports import BlobFile, ManifestBytes, Received
from edge_site_proxy.api.gateway.server import listening, serve
from edge_site_proxy.api.gateway.tls import HandshakeLog, TlsFront
from edge_site_proxy.identity.authority import Authority, Issued, KeyPair
from edge_site_proxy.identity.drops import TOKEN_LIFE, make_token, put
from edge_site_proxy.identity.register import Register
from tests.unit.site_proxy.identity.made import Gateway, certificate_in, register_in

HOST = "127.0.0.1"


def wall() -> dt.datetime:
    """The real clock: TLS itself compares certificates with it."""
    return dt.datetime.now(dt.UTC)


@dataclass
class FakeSite:
    """A site that knows two gateways and writes down what it is told."""

    known: tuple[str, ...] = ("gw-101", "gw-102")
    reports: list[StatusReport] = field(default_factory=list)
    windows: dict[str, SuspectWindow] = field(default_factory=dict)
    generation: int = 1
    send_max: int = 10**12

    async def take_status(self, serial: str, report: StatusReport) -> StatusReply:
        """Note it."""
        self._check(serial)
        self.reports.append(report)
        return StatusReply(desired_etag=f"g{self.generation}", come_back_s=30.0)

    async def desired(self, serial: str) -> tuple[str, Desired]:
        """The generation, and little else."""
        self._check(serial)
        wanted = Desired(
            serial=serial, generation=self.generation, epoch=1, repository="models/pump"
        )
        return f"g{self.generation}", wanted

    async def permit(self, serial: str, request: PermitRequest) -> PermitReply:
        """Always, for a minute."""
        self._check(serial)
        return PermitReply(granted=True, epoch=request.attempt, valid_s=60.0)

    async def pull(self, serial: str, request: PullRequest) -> PullReply:
        """All of it."""
        self._check(serial)
        return PullReply(granted=True, bytes=request.bytes_missing)

    def may_send(self, serial: str, size_bytes: int) -> bool:
        """As many bytes at once as a test allows."""
        self._check(serial)
        return size_bytes <= self.send_max

    async def take_window(self, serial: str, window: SuspectWindow) -> bool:
        """Once each."""
        self._check(serial)
        fresh = window.id not in self.windows
        self.windows[window.id] = window
        return fresh

    def _check(self, serial: str) -> None:
        if serial not in self.known:
            raise NotFoundError(f"gateway {serial}: not in the inventory")


@dataclass
class FakeReceiver:
    """Keeps batches in memory, or raises what a test wants."""

    taken: list[Received] = field(default_factory=list)
    error: Exception | None = None

    async def take(self, received: Received) -> None:
        """Keep it."""
        if self.error is not None:
            raise self.error
        self.taken.append(received)


@dataclass
class FakeShelf:
    """What a test put on it."""

    named: dict[str, dict[str, ManifestBytes]] = field(default_factory=dict)
    blobs: dict[Digest, BlobFile] = field(default_factory=dict)
    entries: dict[Digest, list[Descriptor]] = field(default_factory=dict)

    def tags(self, name: str) -> list[str] | None:
        """Tags, in the order put."""
        found = self.named.get(name)
        return None if found is None else [key for key in found if ":" not in key]

    def manifest(self, name: str, reference: str) -> ManifestBytes | None:
        """By tag or digest."""
        return self.named.get(name, {}).get(reference)

    def blob(self, name: str, digest: Digest) -> BlobFile | None:
        """By digest."""
        return self.blobs.get(digest) if name in self.named else None

    def referrers(self, name: str, digest: Digest) -> list[Descriptor]:
        """What names it."""
        return self.entries.get(digest, []) if name in self.named else []


@dataclass
class Served:
    """A running gateway API."""

    folder: Path
    authority: Authority
    register: Register
    tls: TlsFront
    handshakes: HandshakeLog
    port: int
    enrolment_port: int
    site: FakeSite
    receiver: FakeReceiver
    shelf: FakeShelf

    @property
    def url(self) -> str:
        """Of the port that demands a certificate."""
        return f"https://{HOST}:{self.port}"

    def issue(
        self, serial: str, *, by: Authority | None = None, ended: bool = False
    ) -> tuple[ssl.SSLContext, Issued]:
        """A client context with a certificate of *serial*."""
        gateway = Gateway(serial)
        issued_at = wall() - dt.timedelta(days=2 if ended else 0)
        issued = (by or self.authority).sign_gateway(
            serial, gateway.key.public_key(), now=issued_at, life=dt.timedelta(days=1)
        )
        return self.holding(gateway, load_der_x509_certificate(issued.der)), issued

    async def enrolled(self, serial: str) -> ssl.SSLContext:
        """A client context whose certificate went through enrolment."""
        gateway = Gateway(serial)
        token, drop = make_token(serial, now=wall(), life=TOKEN_LIFE)
        put(self.folder / "drops", drop)
        answer = await self.register.enrol(serial, token, gateway.request(), now=wall())
        return self.holding(gateway, certificate_in(answer))

    def holding(self, gateway: Gateway, certificate: Certificate) -> ssl.SSLContext:
        """A client context with *certificate*."""
        pem = gateway.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = self.folder / "client.pem"
        chain.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
        context = self.trusting()
        context.load_cert_chain(chain)
        return context

    def trusting(self) -> ssl.SSLContext:
        """A client context without a certificate."""
        return ssl.create_default_context(cadata=self.authority.root_pem.decode())

    def client(self, context: ssl.SSLContext) -> aiohttp.ClientSession:
        """A session on the port that demands a certificate."""
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=context))

    def enroller(self) -> aiohttp.ClientSession:
        """A session on the enrolment port."""
        url = f"https://{HOST}:{self.enrolment_port}"
        return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(ssl=self.trusting()))


@asynccontextmanager
async def served(folder: Path, limits: ConnectionLimits | None = None) -> AsyncIterator[Served]:
    """Run both ports until the block is left."""
    async with register_in(folder, wall) as (register, _):
        authority = Authority(
            KeyPair((folder / "ca.key").read_bytes(), (folder / "ca.pem").read_bytes())
        )
        write_server(folder, authority)
        handshakes = HandshakeLog(asyncio.get_running_loop().time)
        files = (folder / "server.pem", folder / "server.key")
        tls = TlsFront(*files, folder / "ca.pem", handshakes)
        enrolment_tls = TlsFront(*files, None, handshakes)
        main, enrolment = listening(HOST, 0), listening(HOST, 0)
        site, receiver, shelf = FakeSite(), FakeReceiver(), FakeShelf()
        app = GatewayApp(identity=register, site=site, receiver=receiver, shelf=shelf, now=wall)
        guards = limits or ConnectionLimits()
        async with asyncio.TaskGroup() as group:
            jobs = [
                group.create_task(serve(app, main, tls, guards)),
                group.create_task(
                    serve(enrolment_app(register, wall), enrolment, enrolment_tls, guards)
                ),
            ]
            yield Served(
                folder,
                authority,
                register,
                tls,
                handshakes,
                main.getsockname()[1],
                enrolment.getsockname()[1],
                site,
                receiver,
                shelf,
            )
            for job in jobs:
                job.cancel()


def write_server(folder: Path, authority: Authority) -> None:
    """A server certificate for the loopback address."""
    pair = authority.make_server([HOST], now=wall())
    (folder / "server.pem").write_bytes(pair.certificate_pem)
    (folder / "server.key").write_bytes(pair.key_pem)
