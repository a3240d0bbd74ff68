"""A plant's machine reports to nobody: no runtime starts an uploader or opens a socket."""

import subprocess
import sys

import pytest

from edge_core.admission.limited import ENVIRONMENT

OPEN = """
import os, sys
from edge_core.admission.backends.catalogue import open_backend
open_backend(sys.argv[1])
kinds = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
         if os.path.lexists(f"/proc/self/fd/{fd}")]
print(len(os.listdir("/proc/self/task")), sum(kind.startswith("socket:") for kind in kinds))
"""


def opened(runtime: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Open *runtime* in a fresh process and count its threads and sockets."""
    return subprocess.run(
        [sys.executable, "-c", OPEN, runtime],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "litert"])
def test_no_threads_and_no_sockets(runtime: str) -> None:
    """Each runtime is one thread without a connection once it is imported."""
    done = opened(runtime, ENVIRONMENT)
    assert done.stdout.split() == ["1", "0"], done.stderr


def test_never_with_telemetry() -> None:
    """ONNX Runtime is not even imported where its uploader has not been turned off before."""
    loud = {key: value for key, value in ENVIRONMENT.items() if key != "ORT_DISABLE_TELEMETRY"}
    done = opened("onnxruntime", loud)
    assert done.returncode == 1
    assert "set before import" in done.stderr
