"""The load side: thousands of TLS connections in one event loop, and how long answers take.

A small HTTP client of its own, since a general one would cost more than the server that it
measures. Latency counts from the moment a request was due, so a server that falls behind cannot
hide it, and neither can we: how late we ourselves woke up is kept beside it.
"""

import asyncio
import math
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

HOST: Final = "127.0.0.1"
CONNECT_S: Final = 120.0  # longer than any goal, so that a slow server is measured
_END_OF_HEAD: Final = b"\r\n\r\n"
_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; `retry_after_s` is 0 where it says nothing of that."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


@dataclass(slots=True)
class Latencies:
    """Seconds from due to answered, and from due to when we began."""

    taken_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)

    def note(self, due_s: float, began_s: float, done_s: float) -> None:
        """One answer."""
        self.taken_s.append(done_s - due_s)
        self.late_s.append(began_s - due_s)

    def ms(self, share: float) -> float:
        """The percentile of what was taken, in milliseconds."""
        return round(1e3 * percentile(self.taken_s, share), 2)

    def late_ms(self, share: float) -> float:
        """The percentile of our own lateness, in milliseconds."""
        return round(1e3 * percentile(self.late_s, share), 2)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of *values* that at least *share* of them do not exceed (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("percentile: expected at least one value, found none")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def spread(count: int, period_s: float, position: int) -> float:
    """When the one at *position* of *count* is due first, so that all fill *period_s* evenly.

    Neighbours in *position* are far apart in time: a line does not report in one burst.
    """
    golden = (math.sqrt(5) - 1) / 2
    return period_s * ((position * golden) % 1.0) if count else 0.0


def request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """The bytes of a request; *headers* are whole lines with their ends."""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: site\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


def read_answer(received: bytearray) -> Answer | None:
    """Take one whole response out of *received*, or nothing while it is not whole."""
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    start, length = end + len(_END_OF_HEAD), int(_header(head, b"content-length") or 0)
    if len(received) < start + length:
        return None
    body = bytes(received[start : start + length])
    del received[: start + length]
    status = int(head[9:12])
    return Answer(status, body, float(_header(head, b"retry-after") or 0))


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


class Link(asyncio.Protocol):
    """One connection: TLS through memory, one request at a time.

    Args:
        context: with the gateway's certificate loaded; it is copied here, so one context can
            serve thousands of gateways in turn.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._shaken = False
        self._waiting: asyncio.Future[Answer] | None = None
        self._first = b""
        self._turn = asyncio.Lock()

    async def open(self, port: int, first: bytes) -> Answer:
        """Connect, shake hands, and send the *first* request with the handshake's last message.

        A gateway on a machine of its own would not wait for 4,999 others in between.

        Raises:
            OSError: it cannot be had, or was closed.
        """
        self._first = first
        self._waiting = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(CONNECT_S), self._turn:
            await asyncio.get_running_loop().create_connection(lambda: self, HOST, port)
            return await self._waiting

    async def exchange(self, raw: bytes) -> Answer:
        """Send one request and wait for its answer.

        Raises:
            OSError: the connection is gone.
        """
        async with self._turn:
            if self._transport is None or self._transport.is_closing():
                raise ConnectionError("the connection is closed")
            self._waiting = asyncio.get_running_loop().create_future()
            self._tls.write(raw)
            self._flush()
            return await self._waiting

    def close(self) -> None:
        """End it as a power cut would: without a word."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast("asyncio.Transport", transport)  # of a TCP connection it is one
        self._shake()

    def data_received(self, data: bytes) -> None:
        """Decrypt, and see whether an answer is whole."""
        self._incoming.write(data)
        if not self._shaken:
            self._shake()
        if self._shaken:
            self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits is told."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("closed by the other side"))

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError:
            self.close()
            return
        self._shaken = True
        self._tls.write(self._first)
        self._flush()

    def _read(self) -> None:
        try:
            while chunk := self._tls.read(_READ_BYTES):
                self._received += chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.close()
            return
        answer = read_answer(self._received)
        if answer is not None and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())


def client_context(ca: Path) -> ssl.SSLContext:
    """TLS 1.3 towards the site; the gateway's certificate is loaded for each link."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(ca)
    return context
