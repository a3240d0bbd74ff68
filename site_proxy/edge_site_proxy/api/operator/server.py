"""Serves the operator API on its Unix socket, until cancelled."""

import grp
import os
import socket
import stat
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from edge_core.contracts.errors import ConfigurationError
from edge_site_proxy.api.gateway.server import Server, until_cancelled
from edge_site_proxy.api.operator.peer import OperatorProtocol
from edge_site_proxy.api.operator.settings import OperatorSettings

GRACE_S = 2  # streams never end by themselves
KEEP_ALIVE_S = 120

log = structlog.get_logger(__name__)


async def serve(app: ASGIApp, settings: OperatorSettings) -> None:
    """Listen until cancelled.

    Raises:
        ConfigurationError: the socket cannot be made where it is wanted.
    """
    listener = listen(settings)
    config = uvicorn.Config(
        app,
        http=OperatorProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    log.info("operator_api.opened", socket=str(settings.socket))
    try:
        await until_cancelled(Server(config), listener)
    finally:
        listener.close()
        settings.socket.unlink(missing_ok=True)


def listen(settings: OperatorSettings) -> socket.socket:
    """The listening socket, with mode 0660 from its first moment.

    Raises:
        ConfigurationError: its folder or its group is wrong, or something else lies there.
    """
    path = settings.socket
    _make_room(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
        if settings.socket_group is not None:
            os.chown(path, -1, grp.getgrnam(settings.socket_group).gr_gid)
    except (OSError, KeyError) as error:
        listener.close()
        raise ConfigurationError(
            f"operator.socket {path}: expected a path and group that a socket can have: {error}"
        ) from error
    finally:
        os.umask(before)
    listener.listen(128)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return listener


def _make_room(path: Path) -> None:
    """Take away what an earlier run left, and nothing else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"operator.socket {path}: expected a socket or nothing there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise ConfigurationError(f"operator.socket {path}: another daemon answers there")
