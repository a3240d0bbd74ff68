"""One client's HTTP/1.1 connection: bytes in, requests in order out, answers back.

httptools parses; this holds what a parser does not: how long a head, a body and a silence may be,
that one connection has one request at work at a time and the next is not read meanwhile, and that
all bodies together stay within bounds.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import httptools

from edge_core.contracts.errors import EdgeError, RefusedError
from edge_runtime.api.app import (
    Answer,
    HeadTooLargeError,
    InferenceApp,
    MethodError,
    Request,
    TooLargeError,
    problem,
)
from edge_runtime.api.bodies import Bodies
from edge_runtime.api.door import TurnedAwayError

HEAD_BYTES_MAX: Final = 16 * 1024
HEAD_S: Final = 10.0  # from a request's first byte to the end of its headers
BODY_S: Final = 30.0  # from there to its last byte
IDLE_S: Final = 75.0
GOODBYE_S: Final = 5.0  # a client that does not read its answer is not waited for any longer
# So much is given to the parser at once where it cannot be known where a request ends: whatever
# stands behind the end is read ahead of its turn.
PIECE_BYTES: Final = 4096

_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class House(Protocol):
    """Where connections live."""

    app: InferenceApp
    bodies: Bodies

    def opened(self, connection: "Connection") -> bool:
        """Whether there is room for it; then `Connection.serve` runs until it ends."""
        ...

    def closed(self, connection: "Connection") -> None:
        """It has gone."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, or what is wrong with it; `keep` says whether another may follow."""

    request: Request | None
    refusal: Answer | None
    keep: bool


class Connection(asyncio.Protocol):
    """One client.

    Attributes:
        deadline_s: when it is ended if nothing happens, on the clock of *monotonic*.
    """

    def __init__(self, house: House, monotonic: Callable[[], float]) -> None:
        self._house = house
        self._monotonic = monotonic
        self._parser = httptools.HttpRequestParser(self)
        self._asked: deque[_Asked] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = False
        self._unread = memoryview(b"")
        self._paused = False
        self._over = False  # nothing more is read: something was refused
        self._eof = False  # the client has said its last
        self._busy = False
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._in_head = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._declared: int | None = None  # of the body at work; chunks declare nothing
        self._held = 0  # of what all bodies together may take
        self.deadline_s = monotonic() + HEAD_S

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport), "a stream"  # noqa: S101 - ours
        self._transport = transport
        if not self._house.opened(self):
            busy = Answer(
                503, b'{"error":"too many connections"}', headers=((b"retry-after", b"1"),)
            )
            self._send(busy, keep=False)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """The client has gone, or we have."""
        self._gone = True
        self._writable.set()
        self._notify()
        self._house.closed(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._over:
            return
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        self._read()
        if self._unread and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _read(self) -> None:
        """Parse until a request is whole; what comes behind it waits for its answer."""
        while self._unread and not (self._over or self._asked or self._busy):
            size = PIECE_BYTES
            if self._declared is not None:
                size = self._declared - self._body_bytes
            piece, self._unread = self._unread[:size], self._unread[size:]
            self._parse(piece)

    def _parse(self, piece: memoryview) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            if self._parser.get_method() == b"CONNECT":
                self._refuse(MethodError("GET or POST"))
                return
            behind = bytes(piece[upgrade.args[0] :]) + bytes(self._unread)
            self._unread = memoryview(self._declined() + behind)
            self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError as error:
            words = ascii(str(error))[1:-1][:200]
            self._refuse(RefusedError(f"expected HTTP/1.1: {words}"))
        if self._in_head:
            self._head_bytes += len(piece)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(
                    HeadTooLargeError(f"headers: expected at most {HEAD_BYTES_MAX} bytes")
                )

    def eof_received(self) -> bool:
        """The client sends no more; what it asked is still answered."""
        self._eof = True
        self._notify()
        return bool(self._asked) or self._busy

    def pause_writing(self) -> None:
        """The client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable.set()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._url, self._headers, self._body = b"", {}, []
        self._head_bytes = self._body_bytes = 0
        self._declared = None
        self.deadline_s = self._monotonic() + HEAD_S

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The body comes next."""
        self._in_head = False
        self.deadline_s = self._monotonic() + BODY_S
        self._body_bytes_max = self._house.app.body_bytes_max
        declared = self._headers.get(b"content-length", b"0")
        if len(declared) > 12 or int(declared) > self._body_bytes_max:
            self._refuse_length()
            return
        if not self._house.bodies.fits(int(declared)):
            self._refuse_room()
            return
        if b"transfer-encoding" not in self._headers:
            self._declared = int(declared)
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._asked:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._over:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            self._refuse_length()
        elif not self._house.bodies.take(len(body)):
            self._refuse_room()
        else:
            self._held += len(body)
            self._body.append(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._declared = None
        if self._over or self._parser.should_upgrade():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        path = self._url.partition(b"?")[0].decode("latin-1")
        request = Request(self._parser.get_method(), path, self._headers, body)
        self._queue(_Asked(request, None, self._parser.should_keep_alive()))

    # What we do.

    async def serve(self) -> None:
        """Answer one request after the other until the connection ends."""
        try:
            while await self._next():
                asked = self._asked.popleft()
                self._busy = True
                answer = asked.refusal or await self._answered(asked)
                self._busy = False
                if self._gone:
                    return
                self._send(answer, keep=asked.keep)
                if not asked.keep:
                    return
                if not self._writable.is_set():
                    self.deadline_s = self._monotonic() + GOODBYE_S
                    await self._writable.wait()
                self.deadline_s = self._monotonic() + IDLE_S
        finally:
            self._let_go(self._held)
            self.deadline_s = self._monotonic() + GOODBYE_S
            if self._over and not self._eof and self._transport.can_write_eof():
                # To close on bytes that nobody read would destroy the answer on its way.
                self._transport.write_eof()
            else:
                self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()

    async def _next(self) -> bool:
        """Wait for a request; whether there is one."""
        while not self._asked:
            self._read()
            if self._asked:
                break
            if self._gone or self._over or self._eof:
                return False
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            self._wake = None
        return not self._gone

    async def _answered(self, asked: _Asked) -> Answer:
        assert asked.request is not None, "it is that or a refusal"  # noqa: S101 - ours
        self.deadline_s = float("inf")  # the worker has deadlines of its own
        try:
            return await self._house.app.answer(asked.request)
        finally:
            self._let_go(len(asked.request.body))

    def _let_go(self, size: int) -> None:
        self._house.bodies.give(size)
        self._held -= size

    def _send(self, answer: Answer, *, keep: bool) -> None:
        lines = [_STATUS[answer.status], b"content-type: ", answer.content_type]
        for name, value in answer.headers:
            lines += (b"\r\n", name, b": ", value)
        lines.append(b"\r\ncontent-length: %d\r\n" % len(answer.body))
        lines += (b"\r\n" if keep else b"connection: close\r\n\r\n", answer.body)
        self._transport.write(b"".join(lines))

    def _declined(self) -> bytes:
        """The head of a request that offered another protocol, as if it had not.

        The parser stops behind such a head; a server may ignore the offer (RFC 9110, 7.8).
        """
        lines = [self._parser.get_method() + b" " + self._url + b" HTTP/1.1"]
        lines += [
            name + b": " + value
            for name, value in self._headers.items()
            if name not in {b"upgrade", b"connection"}
        ]
        return b"\r\n".join([*lines, b"\r\n"])

    def _refuse_length(self) -> None:
        most = self._body_bytes_max
        self._refuse(TooLargeError(f"request: expected at most {most} bytes, found more"))

    def _refuse_room(self) -> None:
        most = self._house.bodies.most
        self._refuse(TurnedAwayError(f"expected at most {most} bytes of all requests", 1.0))

    def _refuse(self, error: EdgeError) -> None:
        """Answer, and read no more of this connection."""
        if self._over:
            return
        self._over = True
        self._unread, self._body = memoryview(b""), []
        self._queue(_Asked(None, problem(error), keep=False))

    def _queue(self, asked: _Asked) -> None:
        self._asked.append(asked)
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
