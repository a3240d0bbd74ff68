"""Run one uvicorn server inside the daemon's TaskGroup, stopped by cancellation alone."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

from edge_site_proxy.api.gateway.limits import ConnectionLimits
from edge_site_proxy.api.gateway.memory import Ended, give_back
from edge_site_proxy.api.gateway.protocol import bound_to
from edge_site_proxy.api.gateway.tls import TlsFront
from edge_site_proxy.api.gateway.wire import App

# 5,000 gateways may come back at once after a power cut; the kernel's somaxconn must allow it too.
BACKLOG = 4096
_SHUTDOWN_S = 2  # requests under way may end; a gateway repeats what did not


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The daemon owns the signals."""
        yield


def listening(host: str, port: int) -> socket.socket:
    """A listening TCP socket, so that a port in use shows before anything else starts.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the socket module takes no keyword
    except OSError:
        listener.close()
        raise
    return listener


async def serve(
    app: App, listener: socket.socket, tls: TlsFront, limits: ConnectionLimits
) -> None:
    """Serve *app* on *listener* until cancelled; then close within `_SHUTDOWN_S` or so."""
    ended = Ended()
    settings: dict[str, Any] = {}  # uvicorn's keywords have many types
    settings |= {"access_log": False, "log_config": None, "log_level": "warning", "ws": "none"}
    settings |= {"proxy_headers": False, "server_header": False, "lifespan": "off"}
    config = uvicorn.Config(
        app,
        http=bound_to(limits, ended),
        ssl_context_factory=lambda _config, _default: tls.context,
        backlog=BACKLOG,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        **settings,
    )
    async with asyncio.TaskGroup() as group:
        giving = group.create_task(give_back(ended))
        try:
            await until_cancelled(Server(config), listener)
        finally:
            giving.cancel()


async def until_cancelled(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run *server*; a cancellation becomes its orderly shutdown."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            server.should_exit = True
            await running
            raise
