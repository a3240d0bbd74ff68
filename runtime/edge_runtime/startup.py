"""What a start finds: whether we are alone, and why the last run ended."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edge_core.contracts.errors import ConfigurationError, ConflictError, TryAgainError
from edge_core.oci.disk import sweep, sync_folder
from edge_runtime.update.references import Cause

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
WATCHDOGS: Final = Path("/sys/class/watchdog")
PROBE: Final = ".probe"
PROBE_BYTES: Final = 64 * 1024  # about what a record may have
CARD_RESET: Final = 0x0020  # WDIOF_CARDRESET of linux/watchdog.h: this timer reset the machine


class GatewayRunningError(ConflictError):
    """Another process works with this data folder."""


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold *folder*, made if need be, for this process alone; it need not take anything.

    Raises:
        GatewayRunningError: another process holds it.
        ConfigurationError: it can neither be made nor opened.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        handle = _lock_of(folder)
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


def _lock_of(folder: Path) -> int:
    lock = folder / "lock"
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        # A disk that takes nothing has been written once, or is of no use to anybody.
        return os.open(lock, os.O_RDONLY | os.O_CLOEXEC)


def refusal(folder: Path) -> str:
    """Why a file cannot be written and flushed in *folder*, "" if it can. Blocks."""
    probe = folder / f"{PROBE}-{os.getpid()}"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, bytes(PROBE_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
            probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def kernel_boot() -> str:
    """The id of this boot of the kernel, "" where there is none."""
    return _read(BOOT_ID)


def cause_of(last_boot: str, this_boot: str, *, stopped: bool, bitten: bool) -> Cause:
    """Why we are starting.

    A reset that no watchdog admits to looks like a power cut: a machine without a watchdog, or
    one that hangs so that somebody pulls the plug, is refunded a bounded number of times.

    Args:
        last_boot: the kernel's boot id of the last run, "" before the first.
        this_boot: the present one.
        stopped: the last run was told to end, and left its mark.
        bitten: a hardware watchdog says that it reset the machine.
    """
    if stopped:
        return Cause.ORDERLY
    if not last_boot or last_boot == this_boot:
        return Cause.PROCESS
    return Cause.WATCHDOG if bitten else Cause.POWER


def watchdog_bit(folder: Path = WATCHDOGS) -> bool:
    """Whether a hardware watchdog reset this machine; false where there is none.

    A watchdog also reports over-heating, a fan or the supply: those are nobody's fault.
    """
    found = [_read(each) for each in sorted(folder.glob("watchdog*/bootstatus"))]
    return any(each.isdecimal() and int(each) & CARD_RESET for each in found)


def made(folder: Path) -> Path:
    """*folder*, made if need be, such that a power cut does not take it away again."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        sync_folder(each.parent)
    return folder


def tidied(folder: Path) -> None:
    """Remove what a killed run left half-written in *folder*; what cannot be removed can stay."""
    with suppress(TryAgainError):
        sweep(folder)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
