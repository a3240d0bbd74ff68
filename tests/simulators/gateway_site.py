"""A site proxy as one gateway sees it: mutual TLS, enrolment, desired state, permits, a registry.

It decides nothing by itself: a test says what is desired and whether a permit is granted.
"""

import base64
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from edge_core.contracts.artefact import INDEX_TYPE, Index, ReleaseRef
from edge_core.contracts.errors import NotFoundError
from edge_core.contracts.gateway import (
    Assignment,
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    RollbackOrder,
    StatusReply,
    StatusReport,
    TrialPolicy,
)
from edge_core.contracts.review import SuspectWindow
from edge_core.contracts.telemetry import BATCH_ID_HEADER, Signal
from edge_core.oci import Layout, encode_document
from edge_site_proxy.identity.authority import Authority, make_root
from edge_site_proxy.identity.request import read_request, signable_key

HOST = "127.0.0.1"
TOKEN = "one-time"
QUICK = TrialPolicy(inferences_min=3, duration_min_s=0.0, duration_max_s=30.0)

Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


@dataclass(slots=True)
class GatewaySite:
    """What one gateway's site knows and wants; made by `serving`."""

    serial: str
    layout: Layout
    authority: Authority
    desired: Desired
    grants: bool = True
    piece_bytes: int = 1_000_000
    pulls: list[PullRequest] = field(default_factory=list)
    sent: list[tuple[str, str | None]] = field(default_factory=list)
    away: bool = False
    refuse_telemetry: bool = False
    reports: list[StatusReport] = field(default_factory=list)
    permits: list[PermitRequest] = field(default_factory=list)
    windows: list[SuspectWindow] = field(default_factory=list)
    batches: list[tuple[Signal, str, bytes]] = field(default_factory=list)
    certificates: int = 0
    life: timedelta = timedelta(days=30)
    url: str = ""
    enrol_url: str = ""

    @property
    def last(self) -> StatusReport:
        """The newest heartbeat."""
        return self.reports[-1]

    def want(self, **changes: Any) -> None:  # any field of the desired state
        """Want something else from now on."""
        generation = self.desired.generation + 1
        self.desired = msgspec.structs.replace(
            self.desired, **{"generation": generation, **changes}
        )

    def assign(self, release: ReleaseRef, attempt: int = 1, **more: Any) -> None:  # any field
        """Want *release* to run."""
        usual = {"activate": True, "trial": QUICK}
        assignment = Assignment(
            release=release, attempt=attempt, rollout="r-1", **{**usual, **more}
        )
        self.want(assignment=assignment)

    def order_back(self, digest: str, reason: str = "an order") -> None:
        """Want *digest* left."""
        epoch = self.desired.epoch
        self.want(rollback=RollbackOrder(from_digest=digest, epoch=epoch, reason=reason))

    def routes(self) -> list[web.RouteDef]:
        """The gateway API."""
        return [
            web.post("/gateway/v1/status", self._guarded(self._status)),
            web.get("/gateway/v1/desired", self._guarded(self._desired)),
            web.post("/gateway/v1/permit", self._guarded(self._permit)),
            web.post("/gateway/v1/pull", self._guarded(self._pull)),
            web.post("/gateway/v1/review", self._guarded(self._review)),
            *(
                web.post(f"/v1/{signal.value}", self._guarded(self._telemetry(signal)))
                for signal in Signal
            ),
            web.post("/.well-known/est/simplereenroll", self._guarded(self._sign)),
            web.get("/v2/{name:.+}/manifests/{reference}", self._guarded(self._manifest)),
            web.get("/v2/{name:.+}/blobs/{digest}", self._guarded(self._blob)),
            web.get("/v2/{name:.+}/referrers/{digest}", self._guarded(self._referrers)),
        ]

    def enrolment_routes(self) -> list[web.RouteDef]:
        """The enrolment port."""
        return [web.post("/.well-known/est/simpleenroll", self._enrol)]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if self.away:
                return web.Response(status=503)
            transport = request.transport
            peer = None if transport is None else transport.get_extra_info("peercert")
            names = [value for each in (peer or {}).get("subject", ()) for _, value in each]
            if self.serial not in names:
                return web.Response(status=403)
            return await handler(request)

        return guarded

    async def _status(self, request: web.Request) -> web.Response:
        report = msgspec.json.decode(await request.read(), type=StatusReport)
        self.reports.append(report)
        reply = StatusReply(
            desired_etag=str(self.desired.generation),
            come_back_s=0.05,
            health_stored=len(report.health),
        )
        return _json(reply)

    async def _desired(self, _: web.Request) -> web.Response:
        return _json(self.desired)

    async def _permit(self, request: web.Request) -> web.Response:
        self.permits.append(msgspec.json.decode(await request.read(), type=PermitRequest))
        epoch = self.desired.epoch
        if self.grants:
            return _json(PermitReply(granted=True, epoch=epoch, valid_s=30.0))
        return _json(PermitReply(granted=False, epoch=epoch, reason="not yet"))

    async def _pull(self, request: web.Request) -> web.Response:
        self.pulls.append(msgspec.json.decode(await request.read(), type=PullRequest))
        if len(self.pulls) == 1:
            reason = "another gateway downloads"
            return _json(PullReply(granted=False, reason=reason, retry_after_s=0.01))
        return _json(PullReply(granted=True, bytes=self.piece_bytes, rate_bytes_s=1e9))

    async def _review(self, request: web.Request) -> web.Response:
        self.windows.append(msgspec.json.decode(await request.read(), type=SuspectWindow))
        return _json({"taken": 1})

    def _telemetry(self, signal: Signal) -> Handler:
        async def take(request: web.Request) -> web.Response:
            if self.refuse_telemetry:
                return web.Response(status=400)
            batch = request.headers[BATCH_ID_HEADER]
            self.batches.append((signal, batch, await request.read()))
            return web.Response(body=b"")

        return take

    async def _enrol(self, request: web.Request) -> web.Response:
        expected = base64.b64encode(f"{self.serial}:{TOKEN}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            return web.Response(status=401)
        return await self._sign(request)

    async def _sign(self, request: web.Request) -> web.Response:
        key = signable_key(read_request(await request.read()))
        issued = self.authority.sign_gateway(
            self.serial, key, now=datetime.now(UTC), life=self.life
        )
        self.certificates += 1
        return web.Response(body=base64.b64encode(self.authority.certificates_only([issued.der])))

    async def _manifest(self, request: web.Request) -> web.Response:
        try:
            found = await self.layout.manifest(request.match_info["reference"])
        except NotFoundError:
            return web.Response(status=404)
        return web.Response(body=found.raw, content_type=found.media_type)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        self.sent.append((digest, request.headers.get("range")))
        path = self.layout.blobs.path(digest)
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async def _referrers(self, request: web.Request) -> web.Response:
        listed = await self.layout.referrers(request.match_info["digest"])
        raw = encode_document(Index(manifests=listed))
        return web.Response(body=raw, content_type=INDEX_TYPE)


def _json(document: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


@asynccontextmanager
async def serving(serial: str, layout: Layout, folder: Path) -> AsyncIterator[GatewaySite]:
    """A site that serves *serial* on two loopback ports; its CA lies in *folder*."""
    authority = _authority(folder)
    desired = Desired(serial=serial, generation=1, epoch=1, repository="plant")
    site = GatewaySite(serial, layout, authority, desired)
    gateway_api = await _listening(site.routes(), folder, demand=ssl.CERT_REQUIRED)
    enrolment = await _listening(site.enrolment_routes(), folder, demand=ssl.CERT_NONE)
    site.url = _address(gateway_api)
    site.enrol_url = _address(enrolment)
    try:
        yield site
    finally:
        await gateway_api.cleanup()
        await enrolment.cleanup()


def _authority(folder: Path) -> Authority:
    """A fresh CA, whose certificate, server pair and token lie in *folder*."""
    authority = Authority(make_root("plant", now=datetime.now(UTC)))
    (folder / "ca.pem").write_bytes(authority.root_pem)
    pair = authority.make_server([HOST], now=datetime.now(UTC))
    (folder / "server.pem").write_bytes(pair.key_pem + pair.certificate_pem)
    (folder / "token").write_text(TOKEN)
    return authority


async def _listening(
    routes: list[web.RouteDef], folder: Path, demand: ssl.VerifyMode
) -> web.AppRunner:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = demand
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
    return runner


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"https://{host}:{port}"
