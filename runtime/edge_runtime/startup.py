"""What a start finds: whether we are alone, and why the last run ended."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_core.contracts.errors import ConfigurationError, ConflictError
from edge_runtime.update.references import Cause

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
WATCHDOG: Final = Path("/sys/class/watchdog/watchdog0/bootstatus")


class GatewayRunningError(ConflictError):
    """Another process works with this data folder."""


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold *folder*, made if need be, for this process alone.

    Raises:
        GatewayRunningError: another process holds it.
        ConfigurationError: it cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"data {folder}: expected a folder we can write: {error.strerror}"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise GatewayRunningError(
            f"data {folder}: another edge-gateway works with this folder"
        ) from None
    finally:
        os.close(handle)


def kernel_boot() -> str:
    """The id of this boot of the kernel, "" where there is none."""
    return _read(BOOT_ID)


def cause_of(last_boot: str, this_boot: str, watchdog: str) -> Cause:
    """Why we are starting.

    Args:
        last_boot: the kernel's boot id of the last run, "" before the first.
        this_boot: the present one.
        watchdog: what the hardware watchdog says of the last reset, "0" for nothing.
    """
    if not last_boot or last_boot == this_boot:
        return Cause.PROCESS
    return Cause.WATCHDOG if watchdog not in {"", "0"} else Cause.POWER


def watchdog_status() -> str:
    """What the hardware watchdog says of the last reset, "" where there is none."""
    return _read(WATCHDOG)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
