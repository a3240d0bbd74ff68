"""An MQTT connection whose incoming messages come in batches, straight from the socket.

aiomqtt connects, subscribes, publishes and keeps alive. It reads a byte, then the rest of a
packet, and hands each message on through a queue and two waits; that is most of the cost of a
message. So reading is ours: everything that has arrived, at once and in one call, acknowledged
once it was taken. The hooks that this needs are private to the library, which is why its version
is pinned and `tests/unit/runtime/sources/test_mqtt_wire.py` holds it to them.
"""

import asyncio
import ssl
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self

import aiomqtt
from paho.mqtt.exception import MQTTException

from edge_runtime.sources.mqtt_packets import FramingError, PacketStream, Received

PIECE_BYTES: Final = 64 * 1024
PIECES_MAX: Final = 16  # then others get their turn
_PUBACK: Final = 0x40
# What the library raises for packets that no broker sends.
_MALFORMED: Final = (LookupError, TypeError, ValueError, struct.error, MQTTException)

Message = tuple[bytes, bytes]
Deliver = Callable[[Sequence[Message]], None]
"""Takes topics and payloads, in order; never blocks, never raises."""


class Wire(aiomqtt.Client):
    """A client that delivers batches; `messages` stays empty.

    Attributes:
        stirred: set when the connection has ended; others may set it to end a `rest`.
        passed_over: takes topic and bytes of each message that was too long.
    """

    def __init__(
        self,
        *where: Any,  # what aiomqtt takes
        deliver: Deliver,
        passed_over: Callable[[bytes, int], None],
        **how: Any,  # likewise
    ) -> None:
        super().__init__(*where, **how)
        self.stirred = asyncio.Event()
        self._deliver = deliver
        self._passed_over = passed_over
        self._stream = PacketStream(properties=how.get("protocol") is aiomqtt.ProtocolVersion.V5)
        self._others = bytearray()
        self._ended = False
        # What the library reads is what we leave to it.
        library: Any = self._client  # a method of its own is replaced
        library._sock_recv = self._leave  # noqa: SLF001 - the one way to read for it

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            MqttError: the broker is away or turns us away.
        """
        await super().__aenter__()
        self._disconnected.add_done_callback(self._over)
        return self

    async def rest(self, seconds: float | None) -> None:
        """Sleep until *stirred*, at most so long.

        Raises:
            MqttError: the connection has ended.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stirred.wait()
        self.stirred.clear()
        if self._disconnected.done():
            reason = self._disconnected.exception()
            raise aiomqtt.MqttError(f"the connection ended: {reason}") from reason

    def _over(self, ended: "asyncio.Future[None]") -> None:
        if not ended.cancelled():
            ended.exception()  # seen, also where nobody rests
        self.stirred.set()

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # Any: paho's own
        """Called in another thread, before the first byte is sent."""
        super()._on_socket_open(client, userdata, sock)
        # Of two readers of one socket the loop keeps the later.
        self._loop.call_soon_threadsafe(self._loop.add_reader, sock.fileno(), self._readable)

    def _readable(self) -> None:
        sock = self._client.socket()
        if sock is None:
            return
        found = Received()
        try:
            self._read(sock, found)
        except FramingError:
            self._ended = True
        if found.messages:
            self._deliver(found.messages)
        for topic, count in found.oversized:
            self._passed_over(topic, count)
        if found.acknowledgements:
            self._acknowledge(bytes(found.acknowledgements))
        self._others += found.others
        self._leave_rest()

    def _read(self, sock: Any, found: Received) -> None:  # Any: a socket, with TLS or without
        pending = getattr(sock, "pending", int)
        for _ in range(PIECES_MAX):
            try:
                piece = sock.recv(PIECE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                piece = b""
            if not piece:
                self._ended = True
                return
            self._stream.take(piece, found)
            # What TLS has read beyond this piece wakes nobody.
            if not pending():
                return
        self._loop.call_soon(self._readable)

    def _leave_rest(self) -> None:
        """Let the library handle every packet that is no message, and the end."""
        try:
            while self._others or self._ended:
                if self._client.loop_read():
                    break
        except _MALFORMED:
            self._others.clear()
            self._ended = True
            self._client.loop_read()

    def _leave(self, count: int) -> bytes:
        """In place of the library's own reading."""
        if self._others:
            piece = bytes(self._others[:count])
            del self._others[:count]
            return piece
        if self._ended:
            return b""
        raise BlockingIOError

    def _acknowledge(self, packets: bytes) -> None:
        client = self._client
        # If something waits already, whoever sends it sends this after it.
        idle = not client.want_write()
        client._out_packet.append(  # noqa: SLF001 - many acknowledgements as one packet
            {
                "command": _PUBACK,
                "mid": 0,
                "qos": 1,
                "pos": 0,
                "to_process": len(packets),
                "packet": packets,
                "info": None,
            }
        )
        if idle:
            client.loop_write()

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:  # Any: paho's own
        """A message of QoS 2, which nobody subscribes to here."""
        self._deliver([(message._topic, message.payload)])  # noqa: SLF001 - its bytes
