"""`site-proxy run`: the daemon, on uvloop, with signals and systemd's notifications."""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from typing import Final

import structlog
import uvloop

from edge_core.command import emit
from edge_core.contracts.errors import EdgeError
from edge_site_proxy import config, daemon
from edge_site_proxy.config import SiteConfig
from edge_site_proxy.daemon import Ports, Signals

# The loop takes the interpreter's lock anew for each callback. While a thread judges thousands of
# gateways, Python's usual 5 ms at each of them would be what heartbeats wait for.
SWITCH_S: Final = 0.0005
# The longest collection of garbage at 5,000 gateways: 56 ms instead of 240.
COLLECT_AT: Final = (50_000, 50, 1_000)

_log = structlog.get_logger(__name__)


def body(chosen: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reads the TLS files again.

    Raises:
        EdgeError: what keeps it from running, or made it die.
    """
    settings = config.load(chosen.config)
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*COLLECT_AT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, json=chosen.json, notify=chosen.notify_socket))
    return 0


async def _run(settings: SiteConfig, *, json: bool, notify: str | None) -> None:
    signals = Signals(stop=asyncio.Event(), reload=asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.stop.set)
    loop.add_signal_handler(signal.SIGHUP, signals.reload.set)

    def ready(ports: Ports) -> None:
        if json:
            emit({"ready": True, "gateways": ports.gateways, "enrolment": ports.enrolment})
        _log.info("daemon.started", site=settings.site, gateways=ports.gateways)
        _notify(notify, "READY=1")

    try:
        await daemon.run(settings, signals, ready)
    except EdgeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where the daemon decides to die
        _log.exception("daemon.died", site=settings.site)
        raise EdgeError(f"the daemon died of {type(error).__name__}; the log has it all") from None
    finally:
        _notify(notify, "STOPPING=1")


def _notify(address: str | None, state: str) -> None:
    """Tell systemd (sd_notify(3)); an abstract socket is written with an @."""
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.sendto(f"{state}\nMAINPID={os.getpid()}".encode(), name)
        except OSError as error:
            _log.warning("notify.failed", reason=str(error))
