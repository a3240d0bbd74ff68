"""What the tests of the engine share: how models are loaded, and waiting for processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.inference.engine import ModelWorker
from edge_runtime.inference.spec import LoadSpec
from tests.simulators.good_models import (
    WIDTH,
    GoodModel,
)

DIGEST = "sha256:" + "ab" * 32


def spec(good: GoodModel, folder: Path, **more: Any) -> LoadSpec:  # any field of it
    """How *good* is loaded here, with *more* changed."""
    return LoadSpec(
        digest=DIGEST,
        runtime="onnxruntime",
        files=good.save(folder),
        signature=good.signature,
        **more,
    )


def windows(count: int, seed: int = 3) -> NDArray[np.float32]:
    """Feature rows, all different."""
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds that only other processes bring about."""
    while not holds():  # noqa: ASYNC110 - nothing in this process says when
        await asyncio.sleep(0.001)


async def until_ready(worker: ModelWorker) -> int:
    """Wait until the spare stands by too; the process that answers."""
    await until(lambda: worker.report().spare_ready or not worker.spec.spare)
    pid = worker.report().pid
    assert pid is not None
    return pid
