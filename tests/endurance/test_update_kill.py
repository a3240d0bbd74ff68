"""SIGKILL at every fsync, rename, link and unlink of a whole update, and a gateway that recovers.

strace delivers the signal as the system call begins, so the step before it was the last one. After
each, without a human and without a site, a model runs whose every byte is verified and which the
worker itself names; with the site back, the update comes to its one right end.
"""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from edge_core.oci import BlobStore
from edge_runtime.config import InferenceConfig
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.update.loader import Loader
from edge_runtime.update.references import Cause
from tests.endurance.updates import Runner, Stage
from tests.simulators.releases import ROLES

STEPS_LEAST = {
    "good": 70,
    "bad": 70,
    "first": 60,
    "ordered": 30,
}  # fewer, and strace did not see them

pytestmark = [pytest.mark.anyio, pytest.mark.real]


def need(*tools: str) -> None:
    """Skip, or fail in CI, when a tool is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"killing an update at its steps needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"killing an update at its steps needs {', '.join(missing)}")


def loader_at(engine: Engine, data: Path) -> Loader:
    """The real loader of the gateway at *data*."""
    units = dict.fromkeys(ROLES, "bar")
    return Loader(engine, BlobStore(data / "store"), units, InferenceConfig(deadline_s=10.0))


@pytest.mark.parametrize("name", STEPS_LEAST)
async def test_killed_at_every_step(name: str, tmp_path: Path) -> None:
    """Whatever step the kill falls on, one of the two right versions runs, and then the one."""
    need("strace")
    stage = await Stage(tmp_path).prepare()
    story = stage.stories()[name]
    killed: Counter[str] = Counter()
    with Runner(tmp_path / "runs.log") as runner:
        async with open_engine() as engine:
            for step, data, ended in runner.cuts(stage, story, tmp_path):
                await stage.recover(data, story, loader_at(engine, data), Cause.PROCESS)
                killed[step] += not ended
    print(f"{name}: killed at {sum(killed.values())} steps: {dict(killed)}")  # noqa: T201 - what was proved
    assert set(killed) >= {"fsync", "fdatasync", "rename"}
    assert sum(killed.values()) >= STEPS_LEAST[name]
