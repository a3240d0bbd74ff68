"""An OPC UA server of another make: node-opcua, its packages from wherever npm has them.

They are installed once for all runs, outside of our own environment, in a cache folder.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.simulators.ports import free_port
from tests.simulators.programs import Program

NODE = Path(__file__).parent / "node"
NPM = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
NPM_S = 480.0  # what is not in its cache comes from far away; this is no measure of ours


def packages() -> Path:
    """A folder with node-opcua in it.

    Raises:
        RuntimeError: it cannot be had here, and why.
    """
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise RuntimeError(", ".join(missing))
    wanted = (NODE / "package.json").read_bytes()
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-mlops"
    folder = root / f"node-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_bytes(wanted)
    try:
        subprocess.run(NPM, cwd=folder, check=True, capture_output=True, timeout=NPM_S)
    except subprocess.SubprocessError as error:
        raise RuntimeError(f"node-opcua ({error})") from error
    (folder / "complete").touch()
    return folder


def script(name: str, arguments: list[str]) -> list[str | Path]:
    """The command that runs a script of ours with those packages.

    Raises:
        RuntimeError: see `packages`.
    """
    return ["env", f"NODE_PATH={packages() / 'node_modules'}", "node", NODE / name, *arguments]


@contextmanager
def other_make_program(folder: Path, name: str = "server.js") -> Iterator[Program]:
    """The server *name*, its certificates in *folder*; without npm a skip, or a failure in CI."""
    port = free_port()
    try:
        command = script(name, [str(port), str(folder / "pki")])
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"a server of another make needs {error}")
        pytest.skip(f"a server of another make needs {error}")
    with Program(command, folder / "said", port) as program:
        yield program
