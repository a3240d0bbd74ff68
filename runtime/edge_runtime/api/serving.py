"""The HTTP server for local clients, inside the daemon's own task group."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog
import uvicorn

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.api.protocol import InferenceApp
from edge_runtime.config import ServingConfig
from edge_runtime.scoring import Scorer

log = structlog.get_logger(__name__)

KEEP_ALIVE_S: Final = 30
GOODBYE_S: Final = 1


class _Server(uvicorn.Server):
    """A server that leaves signals to the daemon it lives in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: SIGTERM is the daemon's."""
        yield


class Serving:
    """Serves one gateway's model."""

    def __init__(self, config: ServingConfig, scorer: Scorer) -> None:
        self._config = config
        self._app = InferenceApp(config, scorer)

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ConfigurationError: the address cannot be had.
        """
        config = self._config
        try:
            listening = socket.create_server((config.host, config.port))
        except OSError as error:
            raise ConfigurationError(
                f"serving: {config.host}:{config.port} cannot be opened: {error.strerror}"
            ) from None
        with listening:
            port = listening.getsockname()[1]
            log.info("serving.opened", host=config.host, port=port)
            server = _Server(_settings(self._app))
            try:
                await server.serve(sockets=[listening])
            except asyncio.CancelledError:
                server.should_exit = True
                with suppress(OSError):
                    await server.shutdown(sockets=[listening])
                raise


def _settings(app: InferenceApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GOODBYE_S,
    )
