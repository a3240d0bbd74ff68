"""What a confined process may still open: libraries, and what the kernel says of the machine.

Landlock (Linux 5.13; linux/landlock.h), which holds for good and for everything that the process
starts. Files that were open before stay open. Not beneath any of these folders are a gateway's
keys, passwords, configuration and data.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_VERSION_ONLY: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Every right to the file system that a version of the interface knows; later ones know as many.
_RIGHTS: Final = ((1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1)
_NET_SINCE, _SCOPES_SINCE = 4, 6
_TCP: Final = 0b11  # to bind, to connect
_SCOPES: Final = 0b11  # abstract sockets, signals: only within

_SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/sys/devices/system", "/sys/fs/cgroup", "/dev/null", "/dev/zero", "/dev/urandom"),
    # Not all of /proc: whoever has privileges reads other processes' files and surroundings there.
    *("/proc/self", "/proc/sys", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg"),
    *("/proc/version", "/proc/filesystems"),
)


def libraries() -> tuple[str, ...]:
    """Where this interpreter and its libraries are, and what they look at of the machine."""
    own = {sys.prefix, sys.base_prefix, *(each for each in sys.path if Path(each).is_absolute())}
    return (*_SYSTEM, *sorted(own - {"/"}))


def read_only_beneath(libc: ctypes.CDLL, places: Iterable[str]) -> bool:
    """From now on open nothing but what is beneath *places*, to read; whether the kernel does so.

    The calling thread must be the only one, and have given up new privileges.
    """
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_ONLY)
    if version < 1:
        return False
    attributes = struct.pack("=Q", _RIGHTS[min(version, len(_RIGHTS)) - 1])
    attributes += struct.pack("=Q", _TCP) if version >= _NET_SINCE else b""
    attributes += struct.pack("=Q", _SCOPES) if version >= _SCOPES_SINCE else b""
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        for place in places:
            with suppress(FileNotFoundError):
                _allow(libc, rules, place)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, place: str) -> None:
    fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        folder = S_ISDIR(os.fstat(fd).st_mode)
        rights = _READ_FILE | _READ_DIR if folder else _READ_FILE
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)
