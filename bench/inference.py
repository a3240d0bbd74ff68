"""What it costs to score a window in a process of its own, and what a model can do to that.

Four ways score the same window: `session.run` in the loop (which a model could block or take
down), `asyncio.to_thread`, a process behind a pickled `multiprocessing.Pipe`, and our worker.
First back to back, then at the pace of a plant, 100 windows a second, where waking up costs more
than computing; in short turns, so that all see the same machine. Then workers crash and hang.
Last, a whole gateway: its memory (the sum of Pss over all its processes, where a page that several
share counts once) and how soon it gives a verdict.

    python -m bench.inference [--quick]
"""

import argparse
import asyncio
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from bench.report import report, table
from bench.resident import Resident, whole
from edge_core.admission.backends.onnx_runtime import OnnxRuntime
from edge_core.admission.limited import ENVIRONMENT
from edge_runtime.inference.engine import Engine, ModelWorker, open_engine
from edge_runtime.inference.spec import LoadSpec
from tests.simulators.good_models import GoodModel, cnn, mlp

DIGEST = "sha256:" + "be" * 32
PACED_HZ = 100.0
TURN = 25  # windows of one way before the next has its turn
WARM = 5  # the first calls after another way's turn find its data in the caches
HANG_DEADLINE_S = 0.05

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each part runs."""

    back_to_back: int
    paced: int
    crashes: int
    starts: int


FULL = Effort(back_to_back=4000, paced=600, crashes=60, starts=5)
QUICK = Effort(back_to_back=800, paced=100, crashes=15, starts=2)


@dataclass(slots=True)
class Recovery:
    """From a crash or a deadline to the next answer, in milliseconds."""

    crash_spare: list[float] = field(default_factory=list)
    crash: list[float] = field(default_factory=list)
    hang_overrun: list[float] = field(default_factory=list)
    wrong: int = 0


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    effort = QUICK if parser.parse_args().quick else FULL
    os.environ.update({key: ENVIRONMENT[key] for key in ("ORT_DISABLE_TELEMETRY",)})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(compare(effort))


async def compare(effort: Effort) -> None:
    """All figures, one part after the other."""
    timings: dict[str, NDArray[np.float64]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with open_engine() as engine:
            for model, good in (("mlp 32 B", mlp(64)), ("cnn 4 kB", cnn())):
                worker = await engine.load(spec(good, folder))
                async with calls(good, worker) as ways:
                    for way, taken in (await in_turn(ways, effort.back_to_back)).items():
                        timings[f"{model} back to back, {way}"] = taken
                    for way, taken in (await paced(ways, effort.paced)).items():
                        timings[f"{model} paced, {way}"] = taken
                worker.close()
            recovery = await recover(engine, folder, effort.crashes)
            private_mb = await further_worker(engine, folder)
        resident = await whole(folder, effort.starts)
    tell(timings, recovery, private_mb, resident)


def spec(
    good: GoodModel, folder: Path, *, spare: bool = True, deadline_s: float = 1.0
) -> LoadSpec:
    """How the models are loaded here."""
    return LoadSpec(
        digest=DIGEST,
        runtime="onnxruntime",
        files=good.save(folder),
        signature=good.signature,
        spare=spare,
        deadline_s=deadline_s,
    )


@asynccontextmanager
async def calls(good: GoodModel, worker: ModelWorker) -> AsyncIterator[dict[str, Call]]:
    """The four ways to score the same window; each gives the same scores."""
    direct, threaded = (loaded(good) for _ in range(2))  # a session each, as a worker has its own
    shape = good.signature.inputs[0].shape
    window = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    loop = asyncio.get_running_loop()
    ours, theirs = multiprocessing.Pipe()
    peer = multiprocessing.get_context("spawn").Process(target=pipe_peer, args=(theirs, good))
    peer.start()
    theirs.close()  # so that a peer that dies is heard
    heard = asyncio.Event()
    loop.add_reader(ours.fileno(), heard.set)

    async def bare() -> object:
        return direct.run((window,))

    async def thread() -> object:
        return await asyncio.to_thread(threaded.run, (window,))

    async def piped() -> object:
        heard.clear()
        ours.send(window)
        await heard.wait()
        return ours.recv()

    async def isolated() -> object:
        return await worker.infer(window)

    try:
        yield {"bare": bare, "to_thread": thread, "pipe": piped, "worker": isolated}
    finally:
        loop.remove_reader(ours.fileno())
        peer.kill()
        await asyncio.to_thread(peer.join)


def loaded(good: GoodModel) -> OnnxRuntime:
    """The model in this process."""
    backend = OnnxRuntime()
    backend.load({"model.onnx": good.content}, good.signature.inputs, good.signature.outputs)
    return backend


def pipe_peer(connection: "Connection[Any, Any]", good: GoodModel) -> None:  # arrays both ways
    """The peer's process: what a few lines of multiprocessing give."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    backend = loaded(good)
    while True:
        connection.send(backend.run((connection.recv(),)))


async def in_turn(ways: Mapping[str, Call], count: int) -> dict[str, NDArray[np.float64]]:
    """Time *ways* back to back, in short turns, *count* windows each; microseconds."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    while min(len(each) for each in taken.values()) < count:
        for name, way in ways.items():
            for _ in range(WARM):
                await way()
            for _ in range(TURN):
                began = time.perf_counter_ns()
                await way()
                taken[name].append((time.perf_counter_ns() - began) / 1e3)
    return {name: np.array(each) for name, each in taken.items()}


async def paced(ways: Mapping[str, Call], count: int) -> dict[str, NDArray[np.float64]]:
    """Time *ways* at the pace of a plant, in short turns, *count* windows each; microseconds."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    while min(len(each) for each in taken.values()) < count:
        for name, way in ways.items():
            due = time.perf_counter()
            for _ in range(TURN):
                due += 1 / PACED_HZ
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                began = time.perf_counter_ns()
                await way()
                taken[name].append((time.perf_counter_ns() - began) / 1e3)
    return {name: np.array(each) for name, each in taken.items()}


async def recover(engine: Engine, folder: Path, crashes: int) -> Recovery:
    """Crash and stop the process; the next answer must come, and be the right one."""
    good, found = mlp(64), Recovery()
    rows = np.random.default_rng(1).normal(size=(crashes, 8)).astype(np.float32)
    for spare, gaps in ((True, found.crash_spare), (False, found.crash)):
        worker = await engine.load(spec(good, folder, spare=spare))
        for row in rows:
            wanted = await worker.infer(row)
            await settled(worker, spare=spare)
            gap_ms, scores = await after(worker, signal.SIGSEGV, row)
            gaps.append(gap_ms)
            found.wrong += not np.array_equal(scores, wanted)
        worker.close()
    worker = await engine.load(spec(good, folder, deadline_s=HANG_DEADLINE_S))
    for row in rows:
        await worker.infer(row)
        await settled(worker, spare=True)
        gap_ms, _ = await after(worker, signal.SIGSTOP, row)
        found.hang_overrun.append(gap_ms - HANG_DEADLINE_S * 1e3)
    worker.close()
    return found


async def settled(worker: ModelWorker, *, spare: bool) -> None:
    """Wait until all processes of *worker* stand by, and the machine is calm."""
    while spare and not worker.report().spare_ready:  # noqa: ASYNC110 - a process says when
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.02)


async def after(
    worker: ModelWorker, number: signal.Signals, row: NDArray[np.float32]
) -> tuple[float, NDArray[np.float32]]:
    """Send *number* to the process: milliseconds until the next answer, and that."""
    os.kill(worker.report().pid or 0, number)
    began = time.perf_counter_ns()
    scores = await worker.infer(row)
    return (time.perf_counter_ns() - began) / 1e6, scores


async def further_worker(engine: Engine, folder: Path) -> float:
    """Memory that exists only because of one more worker, in MB."""
    first = await engine.load(spec(cnn(), folder, spare=False))
    second = await engine.load(spec(cnn(), folder, spare=False))
    row = np.zeros(second.spec.signature.inputs[0].shape, np.float32)
    for _ in range(100):
        await second.infer(row)
    name = f"/proc/{second.report().pid}/smaps_rollup"
    rollup = await asyncio.to_thread(Path(name).read_text, "ascii")
    first.close()
    second.close()
    private = (line for line in rollup.splitlines() if line.startswith("Private_"))
    return sum(int(line.split()[1]) * 1024 for line in private) / 1e6


def tell(
    timings: Mapping[str, NDArray[np.float64]],
    recovery: Recovery,
    private_mb: float,
    resident: Resident,
) -> None:
    """The tables, and the last line."""
    rows = [
        [name, *(f"{np.percentile(taken, share):.0f}" for share in (50, 90, 99))]
        for name, taken in timings.items()
    ]
    table("microseconds a window", ["way", "p50", "p90", "p99"], rows)
    gaps = {
        "crash to the next answer, with a spare": recovery.crash_spare,
        "crash to the next answer, without": recovery.crash,
        "hang to the next answer, beyond the deadline": recovery.hang_overrun,
    }
    spread = [
        [name, *(f"{np.percentile(taken, share):.2f}" for share in (50, 90, 100))]
        for name, taken in gaps.items()
    ]
    table("milliseconds", ["what", "p50", "p90", "most"], spread)
    parts = [[name, f"{size:.1f}"] for name, size in resident.parts_mb.items()]
    table("MB of a whole gateway (Pss)", ["process", "is"], parts)
    p50 = {name: float(np.median(taken)) for name, taken in timings.items()}
    bare = p50["cnn 4 kB back to back, bare"]
    figures = {
        "worker_added_us": round(p50["cnn 4 kB back to back, worker"] - bare, 1),
        "paced_vs_to_thread": round(
            p50["cnn 4 kB paced, worker"] / p50["cnn 4 kB paced, to_thread"], 3
        ),
        "crash_to_next_ms_spare": round(float(np.median(recovery.crash_spare)), 2),
        "crash_to_next_ms": round(float(np.median(recovery.crash)), 2),
        "hang_overrun_ms": round(float(np.median(recovery.hang_overrun)), 2),
        "worker_private_mb": round(private_mb, 1),
        "total_rss_mb": round(sum(resident.parts_mb.values()), 1),
        "start_to_verdict_s": round(float(np.median(resident.start_s)), 2),
        "answers_wrong": recovery.wrong,
        "load_1min": round(os.getloadavg()[0], 1),
    }
    table("figures", ["what", "is"], [[key, value] for key, value in figures.items()])
    peer = {
        "name": "onnxruntime bare, in asyncio.to_thread, and behind a pickled Pipe",
        "to_thread_added_us": round(p50["cnn 4 kB back to back, to_thread"] - bare, 1),
        "pipe_added_us": round(p50["cnn 4 kB back to back, pipe"] - bare, 1),
        "to_thread_paced_us": round(p50["cnn 4 kB paced, to_thread"], 1),
        "pipe_paced_us": round(p50["cnn 4 kB paced, pipe"], 1),
    }
    worker, thread = "cnn 4 kB back to back, worker", "cnn 4 kB back to back, to_thread"
    report(
        "inference",
        figures,
        peer,
        {
            "paced_vs_to_thread": figures["paced_vs_to_thread"],
            "back_to_back_vs_to_thread": round(p50[worker] / p50[thread], 3),
            "back_to_back_vs_pipe": round(p50[worker] / p50["cnn 4 kB back to back, pipe"], 3),
        },
    )


if __name__ == "__main__":
    main()
