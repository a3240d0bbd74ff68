"""What a journal takes from the machine it runs on."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_core.journal.files import DiskFiles, Files


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _identity() -> int:
    return secrets.randbits(64)


@dataclass(frozen=True, slots=True)
class Host:
    """The surroundings of a journal; a test brings its own.

    Attributes:
        files: the file system.
        unix_ns: wall time, only noted in segment headers.
        boot_ns: time since boot, likewise.
        monotonic: seconds, for the cursor's interval.
        identity: 64 random bits, so that no sender can make up a record.
    """

    files: Files = field(default_factory=DiskFiles)
    unix_ns: Callable[[], int] = time.time_ns
    boot_ns: Callable[[], int] = _boot_ns
    monotonic: Callable[[], float] = time.monotonic
    identity: Callable[[], int] = _identity
