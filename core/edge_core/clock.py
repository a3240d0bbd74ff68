"""The kernel's wall clock, and how good the kernel says it is (adjtimex).

Reading needs no privilege (`modes` 0). A local reference clock counts as good here, as it does
for the kernel; chrony's `local` mode is the operator's word.
"""

import ctypes
from ctypes import c_int, c_long
from datetime import UTC, datetime
from typing import ClassVar

from edge_core.contracts.plant import ClockQuality

_TIME_ERROR = 5
_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000
_ERROR_MAX_US = 16_000_000  # what the kernel says when it knows nothing


class _Timex(ctypes.Structure):
    """`struct timex` of Linux on 64-bit machines, 208 bytes (`man 2 adjtimex`)."""

    _fields_: ClassVar = [
        ("modes", c_int),
        ("offset", c_long),
        ("freq", c_long),
        ("maxerror", c_long),
        ("esterror", c_long),
        ("status", c_int),
        ("rest", ctypes.c_char * 160),
    ]


_libc = ctypes.CDLL(None, use_errno=True)


def now() -> datetime:
    """Wall time, UTC."""
    return datetime.now(UTC)


def quality() -> ClockQuality:
    """What the kernel says of its wall clock."""
    timex = _Timex()
    state = _libc.adjtimex(ctypes.byref(timex))
    if state < 0:
        # A container may forbid the call: then nothing is known, which is not good.
        return ClockQuality(synchronised=False, error_max_us=_ERROR_MAX_US)
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return ClockQuality(synchronised=synchronised, error_max_us=max(0, timex.maxerror))


def offset_us() -> int | None:
    """What the kernel still has to correct its wall clock by; None where it does not say."""
    timex = _Timex()
    if _libc.adjtimex(ctypes.byref(timex)) < 0:
        return None
    return int(timex.offset) // 1000 if timex.status & _STA_NANO else int(timex.offset)
