"""A confined process: what it gave up is really gone."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_core.admission.calls import calls_for
from edge_core.admission.limited import ENVIRONMENT

MACHINE = platform.machine()
PREAMBLE = """
import fcntl, os, resource, signal, socket, threading, time
from edge_core.admission.confine import Confinement, confine
bounds = Confinement(address_space_bytes=1 << 30, nice=5, dials=DIALS, libraries_only=not DIALS)
granted = confine(bounds)
"""


def confined(code: str, *, dials: bool = False, before: str = "") -> str:
    """What *code* prints after confinement, or the name of the error that ended it."""
    preamble = before + PREAMBLE.replace("DIALS", str(dials))
    wrapped = f"{preamble}\ntry:\n    print({code})\nexcept (OSError, MemoryError) as error:\n"
    done = subprocess.run(
        [sys.executable, "-c", wrapped + "    print(type(error).__name__)"],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    return done.stdout.strip()


GIVEN_UP = {
    "opening a socket": "socket.socket()",
    "writing to a file": "open('/tmp/edge-confined', 'w')",
    "starting a program": "os.execv('/bin/true', ['true'])",
    "signalling its parent": "os.kill(os.getppid(), 0)",
    "removing a file": "os.unlink('/tmp/edge-confined')",
    "renaming a file": "os.rename('/tmp/edge-confined', '/tmp/edge-other')",
    "a file's times": "os.utime('/tmp')",
    "a file's mode": "os.chmod('/tmp', 0o777)",
    "a pipe with a name": "os.mkfifo('/tmp/edge-confined')",
    "a process that outlives it": "os.fork()",
    "a program beside it": "os.posix_spawn('/bin/true', ['true'], {})",
    "a session of its own": "os.setsid()",
    "a handle of its parent": "os.pidfd_open(os.getppid())",
    "its parent's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
    "its parent's priority": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "its parent's processors": "os.sched_setaffinity(os.getppid(), {0})",
    "its parent's scheduler": "os.sched_setscheduler(os.getppid(), 3, os.sched_param(0))",
    "a signal by a descriptor": "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "which signal that is": "fcntl.fcntl(0, fcntl.F_SETSIG, 9)",
    "the same by another call": "fcntl.ioctl(0, 0x8901, os.getppid().to_bytes(4, 'little'))",
    "memory that no limit counts": "os.memfd_create('more')",
    "another root": "os.chroot('/tmp')",
}


@pytest.mark.parametrize("code", GIVEN_UP.values(), ids=GIVEN_UP.keys())
def test_given_up(code: str) -> None:
    """A confined process is not permitted to do what no model needs."""
    if "seccomp" not in confined("granted"):
        pytest.skip("this kernel or machine has no filter of system calls")
    assert confined(code) == "PermissionError"


DIALS = {
    "dialling": ("socket.create_connection(('127.0.0.1', 1))", "ConnectionRefusedError"),
    "a port that packets come to": ("socket.socket(type=socket.SOCK_DGRAM).bind(('', 0))", "None"),
    "being dialled": ("socket.socket().listen()", "PermissionError"),
    "writing to a file": (GIVEN_UP["writing to a file"], "PermissionError"),
    "starting a program": (GIVEN_UP["starting a program"], "PermissionError"),
    "a local socket": ("socket.socket(socket.AF_UNIX)", "PermissionError"),
}


@pytest.mark.parametrize(("code", "says"), DIALS.values(), ids=DIALS.keys())
def test_dials(code: str, says: str) -> None:
    """Who may dial reaches others, is reached by nobody, and has given up everything else."""
    if "seccomp" not in confined("granted"):
        pytest.skip("this kernel or machine has no filter of system calls")
    assert confined(code, dials=True) == says


CLOSED = {
    "the passwords of this machine": "open('/etc/passwd')",
    "what stands in a folder": "os.listdir('/etc')",
    "the root": "os.listdir('/')",
    "the environment of its parent": "open(f'/proc/{os.getppid()}/environ')",
    "its parent's files": "os.listdir(f'/proc/{os.getppid()}/fd')",
    "a way around": "open(f'/proc/{os.getppid()}/root/etc/passwd')",
}


@pytest.mark.parametrize("code", CLOSED.values(), ids=CLOSED.keys())
def test_closed(code: str) -> None:
    """It opens nothing that is no library: no key, no password, nothing of the daemon's."""
    if "landlock" not in confined("granted"):
        pytest.skip("this kernel cannot restrict what a process reads")
    assert confined(code) == "PermissionError"


def test_keys_are_closed(tmp_path: Path) -> None:
    """A file beside which the daemon runs is closed, and one that was open before is not."""
    if "landlock" not in confined("granted"):
        pytest.skip("this kernel cannot restrict what a process reads")
    key = tmp_path / "gateway.key"
    key.write_text("secret")
    assert confined(f"open({str(key)!r}).read()") == "PermissionError"
    opened = f"before = open({str(key)!r})\n"
    assert confined("before.read()", before=opened) == "secret"


KEPT = {
    "a library": ("__import__('sqlite3').__name__", "sqlite3"),
    "the machine's processors": ("len(os.listdir('/sys/devices/system/cpu')) > 0", "True"),
    "reading a file": ("len(open('/proc/self/status').read()) > 0", "True"),
    "being nice": ("os.getpriority(os.PRIO_PROCESS, 0)", str(os.getpriority(0, 0) + 5)),
    "no core dumps": ("resource.getrlimit(resource.RLIMIT_CORE)", "(0, 0)"),
    "a thread": ("[each.start() or each.join() for each in [threading.Thread()]]", "[None]"),
    "where it runs": ("os.sched_setaffinity(0, os.sched_getaffinity(0))", "None"),
    "its own limits": ("resource.setrlimit(resource.RLIMIT_CPU, (60, 60))", "None"),
    "no more memory than allowed": ("len(bytearray(2 << 30))", "MemoryError"),
}


@pytest.mark.parametrize(("code", "says"), KEPT.values(), ids=KEPT.keys())
def test_kept(code: str, says: str) -> None:
    """What it may do still works, within its bounds."""
    assert confined(code) == says


ABORT = """
import os, sys
from edge_core.admission.confine import Confinement, confine
confine(Confinement(address_space_bytes=1 << 30))
os.abort()
"""


def test_abort() -> None:
    """A library that gives up says so with the signal that everybody knows."""
    done = subprocess.run([sys.executable, "-c", ABORT], check=False, env=ENVIRONMENT)
    assert done.returncode == -signal.SIGABRT


EVERY = """
import ctypes, errno, os, platform, sys
from edge_core.admission.calls import calls_for
from edge_core.admission.confine import Confinement, confine
calls = calls_for(platform.machine(), os.getpid(), dials=False)
libc = ctypes.CDLL(None, use_errno=True)
assert "seccomp" in confine(Confinement(address_space_bytes=1 << 30))
for name, number in {**calls.denied, "clone3": calls.unknown}.items():
    ctypes.set_errno(0)
    found = libc.syscall(number, 0, 0, 0, 0, 0, 0)
    print(name, found, errno.errorcode.get(ctypes.get_errno(), "none"))
"""


@pytest.mark.skipif(calls_for(MACHINE, 1, dials=False) is None, reason="no filter here")
def test_every_one() -> None:
    """The kernel denies each call of the list, and knows nothing of the one without a look."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert found.pop("clone3") == "-1 ENOSYS"
    assert len(found) > 100
    assert {name: said for name, said in found.items() if said != "-1 EPERM"} == {}
