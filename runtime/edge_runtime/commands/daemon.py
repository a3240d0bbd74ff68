"""`edge-gateway run` and `check-config`: the daemon, and whether its configuration is in order."""

import argparse
import asyncio
import faulthandler
import os
import time
from pathlib import Path

from edge_core.command import tell
from edge_core.contracts.errors import ConfigurationError
from edge_core.trust.policy import Trust
from edge_runtime.commands.names import PROGRAM
from edge_runtime.config import load
from edge_runtime.errors import ExtraMissingError
from edge_runtime.frames.newest import Newest
from edge_runtime.inference.starter import Starter
from edge_runtime.service import Notifier
from edge_runtime.sources.factory import SourceMeans, make


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    config = load(arguments.config)
    try:
        from edge_runtime.care import Care  # noqa: PLC0415 - other commands need none of it
        from edge_runtime.daemon import serve  # noqa: PLC0415 - likewise
        from edge_runtime.logs import configure  # noqa: PLC0415 - likewise
        from edge_runtime.sealed import MEMORY  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ExtraMissingError(
            f"library {error.name}: expected it to be installed; install edge-mlops[gateway]"
        ) from None
    # A watchdog ends us with SIGABRT: where every thread stood is then in the log.
    faulthandler.enable()
    logs = configure(config.log_level)
    notifier = Notifier.of(os.environ, os.getpid())
    # The model processes inherit the environment, and speak for nobody.
    os.environ.pop("NOTIFY_SOCKET", None)
    # systemd's folder in memory for us, if it made one; the first of several is ours.
    below = Path(os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or MEMORY)
    asyncio.run(serve(config, logs, Care(notifier, lambda: load(arguments.config)), below))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Read it and all it names; nothing is dialled."""
    config = load(arguments.config)
    Trust.load(config.trust_policy)
    # Making the sources checks every tag's address; nothing is dialled.
    frames, starter = Newest(time.monotonic), Starter(config.inference.engine)
    make(config, SourceMeans(lambda _: None, time.monotonic, time.time_ns, frames, starter))
    if not config.proxy.ca.is_file():
        raise ConfigurationError(f"`$.proxy.ca`: expected a PEM file at {config.proxy.ca}")
    tell(PROGRAM, f"{arguments.config}: {config.serial}, {len(config.tags)} tags, in order")
    return 0
