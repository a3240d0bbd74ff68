"""A process gives up, for good, what running a model does not need.

Memory, CPU time, open files, core dumps, new privileges, and (where the architecture is known)
the system calls for sockets, other programs, other processes and writing to files. What the
kernel does not offer is left out and the returned names say what holds.
"""

import ctypes
import os
import platform
import re
import resource
import signal
import struct
from typing import Final

from msgspec import Struct

PR_SET_PDEATHSIG: Final = 1
PR_SET_SECCOMP: Final = 22
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_MODE_FILTER: Final = 2

# Opcodes and return values of classic BPF as Linux uses it for seccomp: linux/filter.h,
# linux/bpf_common.h and linux/seccomp.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_X32 = 0x40000000  # the same calls once more under other numbers
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
_NUMBER, _ARCH, _FLAGS = 0, 4, 32  # offsets in struct seccomp_data; _FLAGS is openat's third
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# What a model needs none of: writing to the file system, sockets, other programs and processes,
# and the two doors around a filter (io_uring, bpf). Numbers are the kernel's syscall tables'.
_EVERYWHERE = """
pidfd_send_signal 424 io_uring_setup 425 io_uring_enter 426 io_uring_register 427
openat2 437 pidfd_getfd 438 process_madvise 440
"""
# What whoever reads a camera's stream needs as well: to dial, and a port that packets come to.
_DIALLING: Final = frozenset({"socket", "connect", "bind"})
_X86_64 = """
open 2 creat 85 rename 82 mkdir 83 rmdir 84 link 86 unlink 87 symlink 88 chmod 90 fchmod 91
chown 92 mkdirat 258 fchownat 260 unlinkat 263 renameat 264 linkat 265 symlinkat 266
fchmodat 268 renameat2 316 truncate 76
socket 41 connect 42 accept 43 bind 49 listen 50 socketpair 53 accept4 288
execve 59 execveat 322 kill 62 ptrace 101 mount 165 process_vm_readv 310 process_vm_writev 311
bpf 321
"""
_AARCH64 = """
mkdirat 34 unlinkat 35 symlinkat 36 linkat 37 renameat 38 truncate 45 fchmod 52 fchmodat 53
fchownat 54 fchown 55 renameat2 276
socket 198 socketpair 199 bind 200 listen 201 accept 202 connect 203 accept4 242
execve 221 execveat 281 kill 129 ptrace 117 mount 40 process_vm_readv 270
process_vm_writev 271 bpf 280
"""


def _numbers(table: str) -> dict[str, int]:
    named = re.findall(r"(\w+) (\d+)", table + _EVERYWHERE)
    return {name: int(number) for name, number in named}


# Machine -> audit architecture (linux/audit.h), number of openat, what is denied by name.
_DENIED: Final = {
    "x86_64": (0xC000003E, 257, _numbers(_X86_64)),
    "aarch64": (0xC00000B7, 56, _numbers(_AARCH64)),
}


class Confinement(Struct, frozen=True, kw_only=True):
    """What a process may still use; None leaves a limit as it is.

    `dials` leaves it the means to reach others over a network, but not to be reached.
    """

    address_space_bytes: int
    cpu_s: int | None = None
    open_files: int = 64
    file_bytes: int = 0
    nice: int = 0
    dials: bool = False
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
        if _filter_system_calls(libc, _DIALLING if bounds.dials else frozenset()):
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


def _filter_system_calls(libc: ctypes.CDLL, kept: frozenset[str]) -> bool:
    table = _DENIED.get(platform.machine())
    if table is None:
        return False
    arch, openat, denied = table
    numbers = tuple(number for name, number in denied.items() if name not in kept)
    code = _bytecode(arch, openat, numbers)
    program = _Program(len(code) // 8, code)
    answer: int = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    return answer == 0


def _bytecode(arch: int, openat: int, numbers: tuple[int, ...]) -> bytes:
    """The filter: foreign architecture and denied numbers get EPERM, openat only for reading."""
    steps = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _EPERM)]
    steps += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, len(numbers) + 3, 0, _X32)]
    # A jump counts from the step after it; the refusal stands three steps after the numbers.
    steps += [(_EQUAL, len(numbers) - at + 2, 0, number) for at, number in enumerate(numbers)]
    steps += [
        (_EQUAL, 0, 3, openat),
        (_LOAD, 0, 0, _FLAGS),
        (_ANY_BIT, 0, 1, _WRITING),
        (_RETURN, 0, 0, _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def die_with_parent() -> bool:
    """Ask the kernel to kill this process when the thread that started it ends."""
    answer: int = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return answer == 0
