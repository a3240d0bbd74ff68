"""A confined process: what it gave up is really gone."""

import os
import subprocess
import sys

import pytest

from edge_core.admission.limited import ENVIRONMENT

PREAMBLE = """
import os, resource, socket
from edge_core.admission.confine import Confinement, confine
granted = confine(Confinement(address_space_bytes=1 << 30, nice=5, dials=DIALS))
"""


def confined(code: str, *, dials: bool = False) -> str:
    """What *code* prints after confinement, or the name of the error that ended it."""
    preamble = PREAMBLE.replace("DIALS", str(dials))
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
}


@pytest.mark.parametrize(("code", "says"), DIALS.values(), ids=DIALS.keys())
def test_dials(code: str, says: str) -> None:
    """Who may dial reaches others, is reached by nobody, and has given up everything else."""
    if "seccomp" not in confined("granted"):
        pytest.skip("this kernel or machine has no filter of system calls")
    assert confined(code, dials=True) == says


KEPT = {
    "reading a file": ("len(open('/proc/self/status').read()) > 0", "True"),
    "being nice": ("os.getpriority(os.PRIO_PROCESS, 0)", str(os.getpriority(0, 0) + 5)),
    "no core dumps": ("resource.getrlimit(resource.RLIMIT_CORE)", "(0, 0)"),
    "no more memory than allowed": ("len(bytearray(2 << 30))", "MemoryError"),
}


@pytest.mark.parametrize(("code", "says"), KEPT.values(), ids=KEPT.keys())
def test_kept(code: str, says: str) -> None:
    """What it may do still works, within its bounds."""
    assert confined(code) == says
