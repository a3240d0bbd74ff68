"""The filter of system calls, as both kinds of processor would run it; and its numbers."""

import re
import struct
from pathlib import Path

import pytest

from edge_core.admission.calls import Calls, calls_for
from edge_core.admission.confine import program

ALLOW, EPERM, ENOSYS = "allowed", "EPERM", "ENOSYS"
VERDICTS = {0x7FFF0000: ALLOW, 0x00050001: EPERM, 0x00050026: ENOSYS}
X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
PID = 4711


def calls(machine: str, *, dials: bool = False) -> Calls:
    """What process 4711 may not call there."""
    found = calls_for(machine, PID, dials=dials)
    assert found is not None
    return found


def verdict(code: bytes, architecture: int, number: int, arguments: tuple[int, ...]) -> str:
    """What the kernel's classic BPF makes of one call."""
    said = struct.pack("=iIQ", number, architecture, 0)
    said += b"".join(struct.pack("=Q", each) for each in (*arguments, 0, 0, 0, 0, 0, 0)[:6])
    steps = list(struct.iter_unpack("=HBBI", code))
    held = at = 0
    while True:
        opcode, true, false, operand = steps[at]
        at += 1
        match opcode:
            case 0x20:
                (held,) = struct.unpack_from("=I", said, operand)
            case 0x05:
                at += operand
            case 0x15:
                at += true if held == operand else false
            case 0x35:
                at += true if held >= operand else false
            case 0x45:
                at += true if held & operand else false
            case 0x06:
                return VERDICTS[operand]


# A call by its numbers on x86-64 and aarch64, its arguments, and what becomes of it.
CALLS: dict[str, tuple[tuple[int, int], tuple[int, ...], str]] = {
    "read": ((0, 63), (), ALLOW),
    "mmap": ((9, 222), (), ALLOW),
    "openat to read": ((257, 56), (0, 0, 0o2000000), ALLOW),
    "openat to write": ((257, 56), (0, 0, 1), EPERM),
    "openat to append": ((257, 56), (0, 0, 0o2002), EPERM),
    "openat a new file": ((257, 56), (0, 0, 0o100), EPERM),
    "openat2": ((437, 437), (), EPERM),
    "kill": ((62, 129), (PID, 0), EPERM),
    "tkill": ((200, 130), (PID, 6), EPERM),
    "tgkill itself": ((234, 131), (PID, PID, 6), ALLOW),
    "tgkill another": ((234, 131), (PID + 1, PID + 1, 9), EPERM),
    "tgkill a group": ((234, 131), (2**32 - 1, 5, 9), EPERM),
    "rt_sigqueueinfo": ((129, 138), (1, 9), EPERM),
    "pidfd_send_signal": ((424, 424), (3, 9), EPERM),
    "clone a thread": ((56, 220), (0x3D0F00,), ALLOW),
    "clone a process": ((56, 220), (0x1200011,), EPERM),
    "clone as vfork does": ((56, 220), (0x4111,), EPERM),
    "clone3": ((435, 435), (), ENOSYS),
    "execve": ((59, 221), (), EPERM),
    "prlimit64 of its own": ((302, 261), (0, 0), ALLOW),
    "prlimit64 of another": ((302, 261), (1, 0), EPERM),
    "sched_setaffinity of its own": ((203, 122), (0,), ALLOW),
    "sched_setaffinity of another": ((203, 122), (1,), EPERM),
    "fcntl F_GETFL": ((72, 25), (0, 3), ALLOW),
    "fcntl F_SETOWN": ((72, 25), (0, 8), EPERM),
    "fcntl F_SETSIG": ((72, 25), (0, 10), EPERM),
    "fcntl F_SETOWN_EX": ((72, 25), (0, 15), EPERM),
    "ioctl TCGETS": ((16, 29), (0, 0x5401), ALLOW),
    "ioctl FIOSETOWN": ((16, 29), (0, 0x8901), EPERM),
    "ioctl SIOCSPGRP": ((16, 29), (0, 0x8902), EPERM),
    "prctl PR_SET_NAME": ((157, 167), (15,), ALLOW),
    "prctl PR_SET_PDEATHSIG": ((157, 167), (1,), EPERM),
    "socket": ((41, 198), (2,), EPERM),
    "connect": ((42, 203), (), EPERM),
    "bpf": ((321, 280), (), EPERM),
    "io_uring_setup": ((425, 425), (), EPERM),
    "x32's read": ((0x40000000, 0x40000000), (), EPERM),
}
DIALLED: dict[str, tuple[tuple[int, int], tuple[int, ...], str]] = {
    "socket of IPv4": ((41, 198), (2,), ALLOW),
    "socket of IPv6": ((41, 198), (10,), ALLOW),
    "socket of netlink": ((41, 198), (16,), ALLOW),
    "socket of this machine": ((41, 198), (1,), EPERM),
    "socket of raw packets": ((41, 198), (17,), EPERM),
    "connect": ((42, 203), (), ALLOW),
    "bind": ((49, 200), (), ALLOW),
    "listen": ((50, 201), (), EPERM),
    "kill": ((62, 129), (1, 9), EPERM),
}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", CALLS)
def test_call(name: str, machine: str) -> None:
    """Each row is a call as its number is on both, and what becomes of it."""
    numbers, arguments, expected = CALLS[name]
    here = machine == "aarch64"
    code = program(calls(machine))
    assert verdict(code, (X86_64, AARCH64)[here], numbers[here], arguments) == expected


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", DIALLED)
def test_dials(name: str, machine: str) -> None:
    """The same for whoever may dial."""
    numbers, arguments, expected = DIALLED[name]
    here = machine == "aarch64"
    code = program(calls(machine, dials=True))
    assert verdict(code, (X86_64, AARCH64)[here], numbers[here], arguments) == expected


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_whole_list(machine: str) -> None:
    """Each call that is denied is denied by the program, the first and the last of them too."""
    found = calls(machine)
    code = program(found)
    architecture = {"x86_64": X86_64, "aarch64": AARCH64}[machine]
    left = {verdict(code, architecture, number, ()) for number in found.denied.values()}
    assert (left, len(found.denied) > 90) == ({EPERM}, True)


def test_foreign_architecture() -> None:
    """A 64-bit process that calls as a 32-bit one is denied whatever it calls."""
    assert verdict(program(calls("x86_64")), I386, 3, ()) == EPERM


def test_unknown_machine() -> None:
    """Where the numbers are not known there is no filter, and nobody says there is."""
    assert calls_for("riscv64", PID, dials=False) is None


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers(machine: str) -> None:
    """Each number is the one of the kernel's own headers, as far as they know the call."""
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"the kernel's headers are not on this machine: {header}")
    said = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)$", header.read_text(), re.MULTILINE)
    known = {name: int(number) for name, number in said}
    found = calls(machine)
    numbers = {**found.denied, "clone3": found.unknown}
    numbers |= {rule.name: rule.number for rule in found.rules}
    assert {name: at for name, at in numbers.items() if known.get(name, at) != at} == {}
    unknown = {name for name, at in numbers.items() if name not in known and at < 450}
    assert unknown == set()
