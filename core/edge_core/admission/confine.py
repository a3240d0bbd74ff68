"""A process gives up, for good, what running a model does not need.

Memory, CPU time, open files, core dumps, new privileges, and (where the architecture is known)
the system calls of `calls.py`: for sockets, other programs, other processes, writing to files.
Where the kernel has Landlock a model opens nothing but libraries (`reading.py`). What the kernel
does not offer is left out and the returned names say what holds.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from typing import Final

from msgspec import Struct

from edge_core.admission.calls import Calls, Rule, calls_for
from edge_core.admission.reading import libraries, read_only_beneath

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_MODE_FILTER: Final = 2

# Opcodes and return values of classic BPF as Linux uses it for seccomp: linux/filter.h,
# linux/bpf_common.h and linux/seccomp.h.
_LOAD, _JUMP, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_X32 = 0x40000000  # the same calls once more under other numbers
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; 8 bytes an argument

_Step = tuple[int, int, int, int]  # opcode, steps to jump if true, if false, operand


class Confinement(Struct, frozen=True, kw_only=True):
    """What a process may still use; None leaves a limit as it is.

    `dials` leaves it the means to reach others over a network, but not to be reached.
    `libraries_only` closes every file to it that `reading.py` does not name.
    """

    address_space_bytes: int
    cpu_s: int | None = None
    open_files: int = 64
    file_bytes: int = 0
    nice: int = 0
    dials: bool = False
    libraries_only: bool = False
    oom_score_adj: int = 500


def confine(bounds: Confinement) -> tuple[str, ...]:
    """Bind the calling process to *bounds*; the names of what the kernel granted."""
    if bounds.nice > 0:
        os.nice(bounds.nice)  # first of all: what follows already takes its time from others
    _limit_resources(bounds)
    granted = ["rlimit"]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0:
        granted.append("parent-death")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        granted.append("no-new-privs")
        if bounds.libraries_only and read_only_beneath(libc, libraries()):
            granted.append("landlock")
        if _filter_system_calls(libc, dials=bounds.dials):
            granted.append("seccomp")
    return tuple(granted)


def _limit_resources(bounds: Confinement) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_AS, bounds.address_space_bytes)
    _lower(resource.RLIMIT_NOFILE, bounds.open_files)
    _lower(resource.RLIMIT_FSIZE, bounds.file_bytes)
    if bounds.cpu_s is not None:
        _lower(resource.RLIMIT_CPU, bounds.cpu_s)
    # The kernel should take a model before it takes the daemon; raising needs no privilege.
    with open("/proc/self/oom_score_adj", "wb", buffering=0) as adjust:  # noqa: PTH123 - no text layer
        adjust.write(b"%d" % bounds.oom_score_adj)


def _lower(which: int, wanted: int) -> None:
    """Set soft and hard limit, never above the hard one we were started with."""
    hard = resource.getrlimit(which)[1]
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(which, (bound, bound))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _filter_system_calls(libc: ctypes.CDLL, *, dials: bool) -> bool:
    calls = calls_for(platform.machine(), os.getpid(), dials=dials)
    if calls is None:
        return False
    code = program(calls)
    given = _Program(len(code) // 8, code)
    answer: int = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0)
    return answer == 0


def program(calls: Calls) -> bytes:
    """The filter: a foreign architecture and denied numbers get EPERM, then each rule is asked.

    Eight bytes a step, as `struct sock_filter` of linux/filter.h.
    """
    steps = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, calls.architecture), (_RETURN, 0, 0, _EPERM)]
    steps += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _EPERM)]
    steps += [(_EQUAL, 0, 1, calls.unknown), (_RETURN, 0, 0, _ENOSYS)]
    # A jump counts from the step after it and goes at most 255 far: the refusal stands behind.
    numbers = tuple(calls.denied.values())
    steps += [(_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    steps += [(_JUMP, 0, 0, 1), (_RETURN, 0, 0, _EPERM)]
    for rule in calls.rules:
        judged = _judged(rule)
        steps += [(_EQUAL, 0, len(judged), rule.number), *judged]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _judged(rule: Rule) -> list[_Step]:
    """From here on it is decided by one argument."""
    test, count = _ANY_BIT if rule.bits else _EQUAL, len(rule.values)
    matched, other = (_ALLOW, _EPERM) if rule.kept else (_EPERM, _ALLOW)
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * rule.argument),
        *((test, count - at, 0, value) for at, value in enumerate(rule.values)),
        (_RETURN, 0, 0, other),
        (_RETURN, 0, 0, matched),
    ]


def die_with_parent() -> bool:
    """Ask the kernel to kill this process when the thread that started it ends."""
    answer: int = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return answer == 0
