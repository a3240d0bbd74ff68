"""Ask an ASGI application directly, as the protocol would after a good handshake."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_site_proxy.api.gateway.app import GatewayApp
from edge_site_proxy.api.gateway.ports import Peer
from edge_site_proxy.api.gateway.wire import App, Message
from tests.unit.site_proxy.gateway_api.served import FakeReceiver, FakeShelf, FakeSite
from tests.unit.site_proxy.identity.made import LIFE, T0, Clock

PIECE = 16_384


@dataclass(frozen=True)
class Answered:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class OpenDoor:
    """An identity that lets everybody pass, and writes down who asked it to sign what."""

    signed: list[tuple[str, bytes]] = field(default_factory=list)

    def admit(self, peer: Peer, now: object) -> None:
        """Always."""

    async def renew(self, serial: str, request: bytes, *, now: object) -> bytes:
        """No certificate, but what stands for one."""
        del now
        self.signed.append((serial, request))
        return b"signed"


@dataclass
class Api:
    """A gateway API without TLS, and what stands behind it."""

    serial: str = "gw-101"
    identity: OpenDoor = field(default_factory=OpenDoor)
    site: FakeSite = field(default_factory=FakeSite)
    receiver: FakeReceiver = field(default_factory=FakeReceiver)
    shelf: FakeShelf = field(default_factory=FakeShelf)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        leaves_after: int | None = None,
    ) -> Answered | None:
        """One request; None when the client left before there was an answer."""
        app = GatewayApp(
            identity=self.identity,
            site=self.site,
            receiver=self.receiver,
            shelf=self.shelf,
            now=Clock(),
        )
        peer = Peer(serial=self.serial, number="0A", not_after=T0 + LIFE)
        return await call(app, method, path, body, headers, peer=peer, leaves_after=leaves_after)


async def call(
    app: App,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    peer: Peer | None = None,
    leaves_after: int | None = None,
) -> Answered | None:
    """One request to *app*, its body in pieces; see `Api.ask`."""
    path, _, query = path.partition("?")
    scope: Message = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "extensions": {"tls": {"peer": peer}},
    }
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)] or [b""]
    sent: list[Message] = []
    given = 0

    async def receive() -> Message:
        nonlocal given
        if leaves_after is not None and given >= leaves_after:
            return {"type": "http.disconnect"}
        given += 1
        more = given < len(pieces)
        return {"type": "http.request", "body": pieces[given - 1], "more_body": more}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return None
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    whole = b"".join(message["body"] for message in sent[1:])
    return Answered(sent[0]["status"], fields, whole)
