"""A TCP link on loopback that goes deaf, is cut, dawdles, or loses MQTT messages on their way."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PIECE_BYTES = 64 * 1024
PUBLISH = 3  # MQTT 3.1.1, 2.2.1: the packet type is the upper half of the first byte


@dataclass(slots=True)
class Link:
    """Between clients and one server.

    Attributes:
        to_port: where the server listens.
        port: where clients find the link.
        deaf: connections are taken and whatever is said on them, in either direction, is lost.
        losing: so many of the clients' next MQTT messages vanish.
        closed: connections are broken as soon as they are made.
        delay_s: each piece of what is said takes so long more.
    """

    to_port: int
    port: int = 0
    deaf: bool = False
    losing: int = 0
    closed: bool = False
    delay_s: float = 0.0
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Link"]:
        """Work until the context ends."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._idle.set()
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await self._idle.wait()

    def cut(self) -> None:
        """Break every connection."""
        for end in self._ends:
            end.transport.abort()

    def reset(self) -> None:
        """Break every connection so that both sides are told at once, with what is under way."""
        for end in self._ends:
            # To linger for no time at all is what sends a reset (RFC 9293, 3.10.7.4).
            raw = end.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._idle.clear()
        ends = {writer}
        self._ends.add(writer)
        try:
            if self.closed:
                return
            with suppress(OSError):
                back, forth = await asyncio.open_connection("127.0.0.1", self.to_port)
                ends.add(forth)
                self._ends.add(forth)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._up(reader, forth))
                    group.create_task(self._down(back, writer))
        finally:
            for end in ends:
                end.transport.abort()
            self._ends -= ends
            if not self._ends:
                self._idle.set()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await self._write(writer, piece)
        writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await self._write(writer, piece)
        writer.transport.abort()

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if not self.deaf:
            writer.write(piece)
            await writer.drain()


class MqttLink(Link):
    """A link that knows where a client's messages begin and end, and so can lose whole ones."""

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                packet = await _packet(reader)
                if packet[0] >> 4 == PUBLISH and self.losing:
                    self.losing -= 1
                else:
                    await self._write(writer, packet)
        writer.transport.abort()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One MQTT packet; its length is written in groups of seven bits (3.1.1, 2.2.3)."""
    head = await reader.readexactly(2)
    length, shift = head[-1] & 0x7F, 7
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        shift += 7
    return head + await reader.readexactly(length)
