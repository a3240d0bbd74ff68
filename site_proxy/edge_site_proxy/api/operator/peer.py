"""Who is at the other end of a Unix socket: what the kernel noted when they connected."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """A process on this machine."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer | None:
    """SO_PEERCRED of *connection*; None if it is no Unix socket."""
    if connection.family is not socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))


class OperatorProtocol(HttpToolsProtocol):
    """Puts the peer into the scope of every request of its connection."""

    def __init__(self, *args: Any, **settings: Any) -> None:  # uvicorn's own, passed on unread
        super().__init__(*args, **settings)
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio types it wider, uvicorn narrows it
        """Ask the kernel once: the answer was frozen at connect()."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        self._peer = None if connection is None else peer_of(connection)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self.scope["extensions"] = {"unix": {"peer": self._peer}}
