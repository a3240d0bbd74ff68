"""The server for local clients, inside the daemon's own task group."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.api.app import InferenceApp
from edge_runtime.api.bodies import Bodies
from edge_runtime.api.connection import Connection
from edge_runtime.api.settings import ServingConfig
from edge_runtime.api.tls import load_pair, server_context
from edge_runtime.route import Route

log = structlog.get_logger(__name__)

SWEEP_S: Final = 1.0  # how late a connection that idles may be ended
CERTIFICATE_LOOK_S: Final = 60.0  # a renewed certificate is used without a restart
BACKLOG: Final = 128
HANDSHAKE_S: Final = 5.0


class Serving:
    """Serves one gateway's model.

    Attributes:
        bodies: of all clients, as far as they are read and not answered.
        port: where it listens, once it does; the kernel's choice if the configuration says 0.
    """

    def __init__(
        self,
        config: ServingConfig,
        route: Callable[[], Route],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = InferenceApp(config, route, monotonic)
        self.bodies = Bodies(config.bodies_bytes_max)
        self.port = 0
        self._config = config
        self._monotonic = monotonic
        self._tls = server_context(config)
        self._connections: set[Connection] = set()
        self._group: asyncio.TaskGroup | None = None

    @property
    def clients(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ConfigurationError: the address cannot be had.
        """
        with self._listening() as listening:
            self.port = listening.getsockname()[1]
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as self._group:
                server = await loop.create_server(
                    lambda: Connection(self, self._monotonic),
                    sock=listening,
                    ssl=self._tls,
                    ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_S,
                    backlog=BACKLOG,
                )
                secured = self._tls is not None
                log.info(
                    "serving.opened", host=self._config.host, port=self.port, mutual_tls=secured
                )
                try:
                    await self._sweep()
                finally:
                    server.close()
                    for connection in list(self._connections):
                        connection.abort()

    def opened(self, connection: Connection) -> bool:
        """See `connection.House`."""
        if self._group is None or len(self._connections) >= self._config.connections_max:
            return False
        self._connections.add(connection)
        self._group.create_task(connection.serve())
        return True

    def closed(self, connection: Connection) -> None:
        """See `connection.House`."""
        self._connections.discard(connection)

    def _listening(self) -> socket.socket:
        config = self._config
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        try:
            return socket.create_server((config.host, config.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"`$.serving`: {config.host}:{config.port} cannot be opened: {error.strerror}"
            ) from None

    async def _sweep(self) -> None:
        """End connections whose time is up, and take up a renewed certificate."""
        looked_s, seen = self._monotonic(), self._stamp()
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = self._monotonic()
            for connection in [each for each in self._connections if each.deadline_s < now_s]:
                connection.abort()
            if self._tls is not None and now_s - looked_s > CERTIFICATE_LOOK_S:
                looked_s, stamp = now_s, self._stamp()
                if stamp != seen:
                    seen = stamp
                    self._renew(self._tls)

    def _renew(self, tls: ssl.SSLContext) -> None:
        certificate, key = self._config.certificate, self._config.key
        assert certificate is not None, "TLS is on"  # noqa: S101 - ours
        assert key is not None, "TLS is on"  # noqa: S101 - ours
        try:
            load_pair(tls, certificate, key)
            log.info("serving.renewed", certificate=str(certificate))
        except ConfigurationError as error:
            log.warning("serving.renewal_failed", reason=str(error))

    def _stamp(self) -> tuple[int, ...]:
        """When the files of our certificate were last written."""
        return tuple(
            _written_ns(path)
            for path in (self._config.certificate, self._config.key)
            if path is not None
        )


def _written_ns(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
