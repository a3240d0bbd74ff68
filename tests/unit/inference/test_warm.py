"""What the fork server does before it forks, so that no worker has to do it again."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from edge_core.admission.limited import ENVIRONMENT
from tests.simulators.good_models import mlp

# Pages that a forked process touches to load a model, before the server is warm and after it.
PAGES = """
import os, resource, sys
from pathlib import Path
from edge_core.admission.backends import onnx_runtime

def touched(content):
    if (child := os.fork()) == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        onnx_runtime.OnnxRuntime().load({"m.onnx": content}, [], [])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)
        os._exit(0)
    os.waitpid(child, 0)

import onnxruntime
content = Path(sys.argv[1]).read_bytes()
touched(content)
onnx_runtime.warm()
touched(content)
print(len(os.listdir("/proc/self/task")))
"""
COPIED = """
import numpy as np
from edge_core.admission.backends import onnx_runtime
from edge_core.contracts.artefact import Dtype, TensorSpec

backend = onnx_runtime.OnnxRuntime()
one = [TensorSpec(name=name, dtype=Dtype.FLOAT32, shape=[1]) for name in "xy"]
backend.load({"copy.onnx": onnx_runtime.COPY}, one[:1], one[1:])
print(backend.run([np.array([4.25], np.float32)])[0][0])
"""


def said(program: str, *arguments: str) -> list[str]:
    """What *program* prints in a process of its own, where nothing is loaded yet."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_workers_do_not_set_it_up_again(tmp_path: Path) -> None:
    """A process forked from a warm server touches less than two thirds, and there is no thread."""
    path = tmp_path / "model"
    path.write_bytes(mlp(64).content)
    cold, warm, threads = map(int, said(PAGES, str(path)))
    assert warm < cold * 2 / 3
    assert threads == 1


def test_the_model_it_warms_with() -> None:
    """It is a whole model that copies its number, not bytes that happen to load."""
    assert np.float32(said(COPIED)[0]) == np.float32(4.25)
