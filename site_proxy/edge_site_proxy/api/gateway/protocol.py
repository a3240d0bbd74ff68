"""The HTTP protocol of the gateway API: uvicorn's, plus the peer's certificate and guards.

Overrides internals of uvicorn 0.54, which is why that version is pinned.
"""

import asyncio
import datetime as dt
import ssl
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge_site_proxy.api.gateway.limits import ConnectionLimits
from edge_site_proxy.api.gateway.memory import Ended
from edge_site_proxy.api.gateway.ports import Peer

Subject = tuple[tuple[tuple[str, str], ...], ...]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
_SECOND_LOOK_S = 0.05  # sockets are read between two timers


class HeadTooLargeError(ValueError):
    """Stops httptools; never leaves this module."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection: who is there, how long it may take, how much its headers may weigh."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    ended: ClassVar[Ended] = Ended()

    def __init__(self, *args: Any, **settings: Any) -> None:  # uvicorn's own, passed on unread
        super().__init__(*args, **settings)
        self._peer: Peer | None = None
        self._guard: asyncio.TimerHandle | None = None
        self._in_head = True
        self._whole = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio types it wider, uvicorn narrows it
        """Read the certificate once, and start the clock of the first request."""
        super().connection_made(transport)
        self._peer = peer_of(transport.get_extra_info("ssl_object"))
        self._arm(self.limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._disarm()
        super().connection_lost(exc)
        self.ended.count += 1
        # After a reset it would run on for minutes and hold this connection, all of 50 kB: beside
        # the new ones, when thousands come back at once.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parse, then count what a header without an end has piled up inside the parser."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > 2 * self.limits.head_bytes_max:
                self._refuse_head()

    def send_400_response(self, msg: str) -> None:
        """Say 400, unless the connection is closing for a better reason."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head, self._whole, self._head_bytes = True, False, 0
        self._arm(self.limits.head_s)
        self.scope["extensions"] = {"tls": {"peer": self._peer}}

    def on_url(self, url: bytes) -> None:
        """Part of the request line."""
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._weigh(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; the body's clock starts."""
        self._in_head, self._head_bytes = False, 0
        self._arm(self.limits.body_s)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        self._disarm()
        super().on_message_complete()
        self._whole = True
        self._let_go()

    def on_response_complete(self) -> None:
        """The whole answer is on its way."""
        super().on_response_complete()
        self._let_go()

    def _let_go(self) -> None:
        """Keep nothing of a request that is over: thousands of connections wait for their next."""
        if self._whole and self.cycle.response_complete:
            self._whole = False
            self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # as uvicorn itself begins

    def _weigh(self, octets: int) -> None:
        self._head_bytes += octets
        if self._head_bytes > self.limits.head_bytes_max:
            self._refuse_head()
            raise HeadTooLargeError

    def _refuse_head(self) -> None:
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._guard = self.loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None

    def _expire(self) -> None:
        # While thousands connect at once we may be the slow side: what came in time and was not
        # read yet is read before this second call, and disarms it.
        self._guard = self.loop.call_later(_SECOND_LOOK_S, self._close)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def bound_to(limits: ConnectionLimits, ended: Ended) -> type[GatewayProtocol]:
    """The protocol class with *limits*, counting in *ended*; uvicorn makes the instances."""
    return type("BoundGatewayProtocol", (GatewayProtocol,), {"limits": limits, "ended": ended})


def peer_of(connection: ssl.SSLObject | None) -> Peer | None:
    """Who the verified certificate names; None where none was asked for or it names no one."""
    certificate = connection.getpeercert() if connection is not None else None
    if not certificate:
        return None
    subject = cast("Subject", certificate.get("subject", ()))  # typeshed types it wider
    names = [value for part in subject for key, value in part if key == "commonName"]
    if len(names) != 1:
        return None
    return Peer(
        serial=str(names[0]),
        number=str(certificate["serialNumber"]),
        not_after=openssl_time(str(certificate["notAfter"])),
    )


def openssl_time(told: str) -> dt.datetime:
    """A time as OpenSSL prints it: `Jan  5 09:34:43 2018 GMT`.

    `ssl.cert_time_to_seconds` says the same through `strptime`, which was a tenth of all that
    thousands of gateways cost that come back at once.
    """
    month, day, time, year, _ = told.split()
    hour, minute, second = map(int, time.split(":"))
    number = _MONTHS.index(month) + 1
    return dt.datetime(int(year), number, int(day), hour, minute, second, tzinfo=dt.UTC)
