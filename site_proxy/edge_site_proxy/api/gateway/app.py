"""The gateway API as one raw ASGI application: who is it, may it still, which call is it.

Every request passes the same door: a certificate, not revoked, not past its end, and no header
that claims another serial.
"""

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from edge_core.contracts.errors import EdgeError, NotFoundError, NotPermittedError, TryAgainError
from edge_core.contracts.telemetry import Signal
from edge_site_proxy.api.gateway import est
from edge_site_proxy.api.gateway.calls import SERIAL_HEADER, GatewayCalls, same_serial
from edge_site_proxy.api.gateway.otlp import OtlpCalls
from edge_site_proxy.api.gateway.ports import Identity, Peer, Receiver, Shelf, Site
from edge_site_proxy.api.gateway.registry import RegistryCalls
from edge_site_proxy.api.gateway.room import Room
from edge_site_proxy.api.gateway.wire import (
    Answer,
    ClientLeftError,
    Message,
    Receive,
    Request,
    Send,
    problem,
    request_of,
    respond,
    status_of,
)

_log = structlog.get_logger(__name__)
_SIGNALS: Final = {f"/v1/{signal.value}": signal for signal in Signal}

Call = Callable[[Request, Peer], Awaitable[Answer]]


class NoCertificateError(NotPermittedError):
    """The connection shows no certificate that names exactly one serial."""


class GatewayApp:
    """ASGI application of the gateway port."""

    def __init__(
        self,
        *,
        identity: Identity,
        site: Site,
        receiver: Receiver,
        shelf: Shelf,
        now: Callable[[], dt.datetime],
        room: Room | None = None,
    ) -> None:
        self._identity = identity
        self._now = now
        self._registry = RegistryCalls(shelf, site.may_send)
        self._otlp = OtlpCalls(receiver)
        self._room = room or Room()
        calls = GatewayCalls(site)
        self._calls: dict[str, Call] = {
            "/gateway/v1/status": calls.status,
            "/gateway/v1/desired": calls.desired,
            "/gateway/v1/permit": calls.permit,
            "/gateway/v1/pull": calls.pull,
            "/gateway/v1/review": calls.review,
            f"{est.WELL_KNOWN}simplereenroll": self._renew,
        }
        self._bulk = frozenset({*_SIGNALS, "/gateway/v1/review"})

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = request_of(scope, receive)
        try:
            peer = self._admit(scope, request)
            if request.path == "/v2" or request.path.startswith("/v2/"):
                await self._registry.answer(request, peer.serial, send)
                return
            with self._room.place(request.declared, bulk=request.path in self._bulk):
                answer = await self._answer(request, peer)
        except ClientLeftError:
            return
        except EdgeError as error:
            _note(request, error)
            answer = problem(error)
        await respond(send, answer, head_only=request.method == "HEAD")

    def _admit(self, scope: Message, request: Request) -> Peer:
        peer = scope.get("extensions", {}).get("tls", {}).get("peer")
        if not isinstance(peer, Peer):
            raise NoCertificateError(
                "connection: expected a client certificate with one common name, found none"
            )
        self._identity.admit(peer, self._now())
        claimed = request.header(SERIAL_HEADER)
        if claimed is not None:
            same_serial(claimed, peer, where=SERIAL_HEADER)
        return peer

    async def _answer(self, request: Request, peer: Peer) -> Answer:
        signal = _SIGNALS.get(request.path)
        if signal is not None:
            return await self._otlp.take(signal, request, peer)
        call = self._calls.get(request.path)
        if call is None:
            raise NotFoundError(f"{request.path[:80]}: no such path in the gateway API")
        return await call(request, peer)

    async def _renew(self, request: Request, peer: Peer) -> Answer:
        return await est.renewal(self._identity, request, peer, self._now())


def _note(request: Request, error: EdgeError) -> None:
    # A full journal is one alarm of its own, not a line a request.
    if isinstance(error, TryAgainError):
        return
    _log.warning(
        "request.refused", path=request.path[:80], status=status_of(error), reason=str(error)
    )
