"""What it costs to score a window in a process of its own, against calling the runtime directly.

Three ways are timed call by call in turn, so that all see the same machine: `session.run` in the
loop (which a model could block or take down), `asyncio.to_thread`, and our worker. First back to
back, then at the pace of a plant, where waking up costs more than computing. Then workers are
killed: how soon the next answer comes, and how many windows are lost or doubled.

    python -m bench.inference [--quick]
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from bench.report import report, table
from edge_core.admission.backends import OnnxRuntime
from edge_core.admission.limited import ENVIRONMENT
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.spec import LoadSpec
from edge_runtime.inference.worker import Worker
from tests.simulators.good_models import GoodModel, cnn, mlp

DIGEST = "sha256:" + "be" * 32
PACED_HZ = 150.0

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each part runs."""

    back_to_back: int
    paced: int
    kills: int


FULL = Effort(back_to_back=4000, paced=1500, kills=200)
QUICK = Effort(back_to_back=600, paced=200, kills=20)


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    effort = QUICK if parser.parse_args().quick else FULL
    os.environ.update({key: ENVIRONMENT[key] for key in ("ORT_DISABLE_TELEMETRY",)})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(compare(effort))


async def compare(effort: Effort) -> None:
    """All figures, one model after the other."""
    timings: dict[str, NDArray[np.float64]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine() as engine:
            for name, good in (("mlp", mlp(64)), ("cnn", cnn())):
                worker = await engine.load(spec(good, Path(folder)))
                ways = calls(good, worker)
                for pace, hz, count in (
                    ("back to back", None, effort.back_to_back),
                    ("paced", PACED_HZ, effort.paced),
                ):
                    taken = await in_turn(list(ways.values()), count, hz)
                    for at, way in enumerate(ways):
                        timings[f"{name} {pace} {way}"] = taken[:, at]
                worker.close()
            recovery = await kill_again_and_again(engine, Path(folder), effort.kills)
    tell(timings, recovery)


def spec(good: GoodModel, folder: Path) -> LoadSpec:
    """How the models are loaded here."""
    return LoadSpec(
        digest=DIGEST,
        runtime="onnxruntime",
        files=good.save(folder),
        signature=good.signature,
    )


def calls(good: GoodModel, worker: Worker) -> dict[str, Call]:
    """The three ways to score the same window; each gives the same scores."""
    direct, threaded = OnnxRuntime(), OnnxRuntime()  # a session each, as the worker has its own
    for backend in (direct, threaded):
        backend.load({"model.onnx": good.content}, ["x"], ["scores"])
    shape = good.signature.inputs[0].shape
    window = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    async def bare() -> object:
        return direct.run((window,))

    async def thread() -> object:
        return await asyncio.to_thread(threaded.run, (window,))

    async def isolated() -> object:
        return await worker.infer(window)

    return {"bare": bare, "to_thread": thread, "worker": isolated}


async def in_turn(ways: Sequence[Call], count: int, hz: float | None) -> NDArray[np.float64]:
    """Time *ways* one after the other, *count* rounds; microseconds, shape (count, way)."""
    for way in ways:
        for _ in range(50):
            await way()
    taken = np.empty((count, len(ways)))
    due = time.perf_counter()
    for at in range(count):
        for step in range(len(ways)):
            which = (at + step) % len(ways)  # nobody always runs in another's warm cache
            if hz is not None:
                due += 1 / hz
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter_ns()
            await ways[which]()
            taken[at, which] = (time.perf_counter_ns() - began) / 1e3
    return taken


async def kill_again_and_again(engine: Engine, folder: Path, kills: int) -> dict[str, Any]:
    """Kill the process under load; answers are numbered by what they must be."""
    good = mlp(64)
    worker = await engine.load(spec(good, folder))
    rows = np.random.default_rng(1).normal(size=(kills * 20, 8)).astype(np.float32)
    wanted = [(await worker.infer(row)).copy() for row in rows]
    gaps: list[float] = []
    wrong = 0
    before = worker.report().answered
    for at, row in enumerate(rows):
        if at % 20 == 0:
            while not worker.report().spare_ready:  # noqa: ASYNC110 - a process says when
                await asyncio.sleep(0.002)
            os.kill(worker.report().pid or 0, signal.SIGKILL)
            began = time.perf_counter_ns()
            scores = await worker.infer(row)
            gaps.append((time.perf_counter_ns() - began) / 1e6)
        else:
            scores = await worker.infer(row)
        wrong += not np.array_equal(scores, wanted[at])
    answered = worker.report().answered - before
    private_mib = private_bytes(worker.report().pid or 0) / 2**20
    worker.close()
    return {
        "gaps_ms": gaps,
        "lost": len(rows) - answered,
        "wrong": wrong,
        "private_mib": private_mib,
    }


def private_bytes(pid: int) -> int:
    """Memory that exists only because of process *pid*."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def tell(timings: dict[str, NDArray[np.float64]], recovery: dict[str, Any]) -> None:
    """The tables, and the last line."""
    rows = [
        [name, *(f"{np.percentile(taken, share):.0f}" for share in (50, 90, 99))]
        for name, taken in timings.items()
    ]
    table("microseconds a window", ["way", "p50", "p90", "p99"], rows)
    p50 = {name: float(np.percentile(taken, 50)) for name, taken in timings.items()}
    added = p50["mlp back to back worker"] - p50["mlp back to back bare"]
    added_thread = p50["mlp back to back to_thread"] - p50["mlp back to back bare"]
    gaps = recovery["gaps_ms"]
    figures = {
        "worker_added_us": round(added, 1),
        "worker_added_cnn_us": round(
            p50["cnn back to back worker"] - p50["cnn back to back bare"], 1
        ),
        "paced_us": round(p50["mlp paced worker"], 1),
        "kills": len(gaps),
        "kill_to_answer_p50_ms": round(float(np.percentile(gaps, 50)), 2),
        "kill_to_answer_max_ms": round(max(gaps), 2),
        "windows_lost": recovery["lost"],
        "windows_wrong": recovery["wrong"],
        "private_mib_per_worker": round(recovery["private_mib"], 1),
    }
    table("figures", ["what", "is"], [[key, value] for key, value in figures.items()])
    report(
        "inference",
        figures,
        {
            "name": "asyncio.to_thread over onnxruntime's session.run",
            "added_us": round(added_thread, 1),
            "paced_us": round(p50["mlp paced to_thread"], 1),
        },
        {
            "added_vs_to_thread": round(added / added_thread, 3),
            "paced_vs_to_thread": round(p50["mlp paced worker"] / p50["mlp paced to_thread"], 3),
            "paced_cnn_vs_to_thread": round(
                p50["cnn paced worker"] / p50["cnn paced to_thread"], 3
            ),
        },
    )


if __name__ == "__main__":
    main()
