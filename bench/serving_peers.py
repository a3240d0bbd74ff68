"""The servers that `bench.serving` compares us with, each in an environment of its own.

They are made when they are first needed, below the user's cache folder, from the package index
that pip is configured for; nothing of them is ever in our own environment. A peer that cannot be
had is named with the reason. Triton is the one inside nvidia-pytriton, which runs on the Python of
the distribution only (elsewhere its model fails to load: `_recursion_count`).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

INSTALL_S = 900.0  # half a gigabyte, from far away
WORDS_MAX = 300
SYSTEM_PYTHON = Path("/usr/bin/python3.11")

CLIENT = ("tritonclient", ("tritonclient[http]",))
MLSERVER = ("mlserver", ("mlserver==1.7.1", "onnxruntime", "numpy"))
TRITON = ("triton", ("nvidia-pytriton==0.7.0", "onnxruntime", "numpy"))


class PeerMissingError(Exception):
    """A peer that cannot be had here, and why."""


def cache() -> Path:
    """Where peers live."""
    place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(place) / "edge-mlops" / "peers"


def environment(name: str, packages: Sequence[str]) -> Path:
    """The Python of an environment with *packages*, made if need be.

    Raises:
        PeerMissingError: it cannot be made.
    """
    folder = cache() / name
    mark = folder / f".ready-{sha256(' '.join(packages).encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if mark.is_file() and python.exists():
        return python
    if not SYSTEM_PYTHON.exists():
        raise PeerMissingError(f"{name}: expected {SYSTEM_PYTHON}, found none")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    make: list[str | Path] = [uv, "venv", "--quiet", "--seed", "--allow-existing"]
    make += ["--python", SYSTEM_PYTHON, folder]
    print(f"installing {name} in {folder}", file=sys.stderr)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, *packages]
    for command in (make, install):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S, text=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise PeerMissingError(f"{name}: {str(said).strip()[-WORDS_MAX:]}") from None
    mark.touch()
    return python


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started, and in what folder."""

    words: list[str | Path]
    folder: Path


def mlserver(folder: Path, port: int) -> Command:
    """MLServer with the model in `folder`, in one process.

    Raises:
        PeerMissingError: it cannot be had.
    """
    python = environment(*MLSERVER)
    place, model = folder / "mlserver", str(folder / "model.onnx")
    place.mkdir()
    (place / "cnn_runtime.py").write_text(
        dedent(f"""\
        import onnxruntime
        from mlserver import MLModel
        from mlserver.codecs import NumpyCodec
        from mlserver.types import InferenceResponse

        class Cnn(MLModel):
            async def load(self):
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = options.inter_op_num_threads = 1
                self.session = onnxruntime.InferenceSession({model!r}, options)
                return True

            async def predict(self, payload):
                x = NumpyCodec.decode_input(payload.inputs[0])
                [scores] = self.session.run(["scores"], {{"x": x}})
                outputs = [NumpyCodec.encode_output("scores", scores)]
                return InferenceResponse(model_name=self.name, outputs=outputs)
        """)
    )
    (place / "model-settings.json").write_text(
        '{"name": "cnn", "implementation": "cnn_runtime.Cnn"}'
    )
    (place / "settings.json").write_text(
        f'{{"host": "127.0.0.1", "http_port": {port}, "grpc_port": {port + 1}, '
        f'"metrics_port": {port + 2}, "parallel_workers": 0, "debug": false, '
        '"metrics_endpoint": null}'
    )
    return Command([python.with_name("mlserver"), "start", "."], place)


def triton(folder: Path, port: int) -> Command:
    """Triton with the model in `folder`, its Python backend in a process beside it.

    Raises:
        PeerMissingError: it cannot be had.
    """
    python = environment(*TRITON)
    place = folder / "triton"
    place.mkdir()
    (place / "serve.py").write_text(
        dedent(f"""\
        import numpy, onnxruntime
        from pytriton.model_config import ModelConfig, Tensor
        from pytriton.triton import Triton, TritonConfig

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession({str(folder / "model.onnx")!r}, options)

        def infer(requests):
            return [
                {{"scores": session.run(["scores"], {{"x": each.data["x"]}})[0]}}
                for each in requests
            ]

        config = TritonConfig(
            http_port={port}, grpc_port={port + 1}, metrics_port={port + 2},
            http_address="127.0.0.1", exit_on_error=True, log_verbose=0,
        )
        with Triton(config=config, workspace={str(place / "work")!r}) as server:
            server.bind(
                model_name="cnn",
                infer_func=infer,
                inputs=[Tensor(name="x", dtype=numpy.float32, shape=(1, 8, 128))],
                outputs=[Tensor(name="scores", dtype=numpy.float32, shape=(1, 3))],
                config=ModelConfig(batching=False),
            )
            server.serve()
        """)
    )
    return Command([python, "serve.py"], place)


def bodies(folder: Path) -> dict[str, tuple[bytes, int | None]]:
    """What tritonclient sends for the window in `folder`: body and header length, by form.

    Raises:
        PeerMissingError: tritonclient cannot be had.
    """
    script = dedent("""\
        import sys, json, pathlib, numpy
        from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
        folder = pathlib.Path(sys.argv[1])
        window = numpy.load(folder / "window.npy")
        for form in ("binary", "json"):
            given = InferInput("x", list(window.shape), "FP32")
            given.set_data_from_numpy(window, binary_data=form == "binary")
            wanted = InferRequestedOutput("scores", binary_data=form == "binary")
            body, length = InferenceServerClient.generate_request_body([given], outputs=[wanted])
            (folder / form).write_bytes(body)
            (folder / (form + ".length")).write_text(json.dumps(length))
        """)
    python = environment(*CLIENT)
    subprocess.run([python, "-c", script, folder], check=True, timeout=60)
    found = {}
    for form in ("binary", "json"):
        length = (folder / f"{form}.length").read_text()
        found[form] = ((folder / form).read_bytes(), None if length == "null" else int(length))
    return found


def through_client(folder: Path, port: int, form: str, count: int) -> list[float]:
    """Milliseconds of *count* inferences through tritonclient itself, one after the other.

    Raises:
        PeerMissingError: tritonclient cannot be had, or it does not get along with the server.
    """
    script = dedent("""\
        import sys, json, pathlib, time, numpy
        from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
        folder, port, form, count = sys.argv[1:]
        window = numpy.load(pathlib.Path(folder) / "window.npy")
        client = InferenceServerClient("127.0.0.1:" + port)
        given = InferInput("x", list(window.shape), "FP32")
        given.set_data_from_numpy(window, binary_data=form == "binary")
        wanted = InferRequestedOutput("scores", binary_data=form == "binary")
        taken = []
        for _ in range(int(count)):
            began = time.perf_counter()
            answer = client.infer("cnn", [given], outputs=[wanted])
            taken.append((time.perf_counter() - began) * 1e3)
        scores = answer.as_numpy("scores")
        print(json.dumps({"taken": taken, "scores": scores.ravel().tolist()}))
        """)
    python = environment(*CLIENT)
    command: list[str | Path] = [python, "-c", script, folder, str(port), form, str(count)]
    try:
        done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or str(error)
        raise PeerMissingError(str(said).strip().splitlines()[-1][:WORDS_MAX]) from None
    taken: list[float] = json.loads(done.stdout)["taken"]
    return taken
