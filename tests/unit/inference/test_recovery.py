"""Whatever is done to its processes, a worker answers every window once, or says why not."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from edge_core.admission.limited import ENVIRONMENT
from edge_core.admission.model import MIB
from edge_core.contracts.artefact import Windowing
from edge_runtime.inference.deadline import FLOOR_S
from edge_runtime.inference.engine import Engine, ModelWorker, open_engine
from edge_runtime.inference.errors import (
    WindowQuarantinedError,
    WorkerLostError,
)
from edge_runtime.inference.spec import LossKind, WorkerState
from tests.simulators.good_models import (
    CLASSES,
    mill,
    mlp,
    reference_scores,
)
from tests.unit.inference.engines import spec, until, until_ready, windows

pytestmark = pytest.mark.anyio


async def test_killed_at_random_under_load(engine: Engine, tmp_path: Path) -> None:
    """Whenever the process is killed, every window is answered once, with its own scores."""
    good = mlp()
    worker = await engine.load(spec(good, tmp_path))
    rows = windows(400)
    wanted = reference_scores(good, rows)
    chance = random.Random(7)
    moments = {chance.randrange(len(rows)) for _ in range(12)}
    answers: list[tuple[int, NDArray[np.float32]]] = []
    todo = iter(range(len(rows)))

    async def score() -> None:
        for at in todo:
            if at in moments:
                pid = worker.report().pid
                if pid:
                    with suppress(ProcessLookupError):  # the last kill was not noticed yet
                        os.kill(pid, signal.SIGKILL)
            answers.append((at, await worker.infer(rows[at])))

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(score())
    assert sorted(at for at, _ in answers) == list(range(len(rows)))
    for at, scores in answers:
        np.testing.assert_allclose(scores.reshape(-1), wanted[at], atol=1e-5)
    report = worker.report()
    assert report.answered == len(rows)
    assert report.restarts >= len(moments) // 2
    assert report.quarantined == 0
    worker.close()


async def test_hang_is_noticed_by_the_deadline(engine: Engine, tmp_path: Path) -> None:
    """A process that stands still is replaced after the deadline, and the window is answered."""
    worker = await engine.load(spec(mlp(), tmp_path, deadline_s=0.2))
    pid = await until_ready(worker)
    os.kill(pid, signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    began = loop.time()
    scores = await worker.infer(windows(1)[0])
    took_s = loop.time() - began
    assert scores.shape == (1, CLASSES)
    assert 0.2 <= took_s < 0.7
    await until(lambda: worker.report().last_loss is not None)
    loss = worker.report().last_loss
    assert loss is not None
    assert (loss.kind, loss.pid) == (LossKind.DEADLINE, pid)
    worker.close()


async def test_hang_of_a_fast_model(engine: Engine, tmp_path: Path) -> None:
    """Where windows come fast a hang costs a few of them, however long the setting would allow."""
    good = mlp()
    windowing = Windowing(period_s=0.05, length_rows=8, stride_rows=2, gap_rows_max=2)
    fast = replace(good, signature=structs.replace(good.signature, windowing=windowing))
    worker = await engine.load(spec(fast, tmp_path, deadline_s=60.0))
    await worker.infer(windows(1)[0])
    os.kill(await until_ready(worker), signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await worker.infer(windows(1)[0])
    assert FLOOR_S <= loop.time() - began < 20.0
    worker.close()


async def test_window_that_ends_it_twice_is_set_aside(engine: Engine, tmp_path: Path) -> None:
    """A window is tried twice; then it is set aside with both reasons, and the worker goes on."""
    worker = await engine.load(spec(mill(60), tmp_path, deadline_s=0.05, spare=False))
    with pytest.raises(WindowQuarantinedError, match="2 times: deadline") as quarantined:
        await worker.infer(windows(1)[0])
    assert [loss.kind for loss in quarantined.value.losses] == [LossKind.DEADLINE] * 2
    report = worker.report()
    assert (report.quarantined, report.in_flight) == (1, 0)
    assert report.state is not WorkerState.LOST
    worker.close()


async def test_memory_limit_holds(engine: Engine, tmp_path: Path) -> None:
    """A model that needs more than its limit does not come up, and the reason says memory."""
    large = mill(4, width=4000)
    with pytest.raises(WorkerLostError, match="memory") as lost:
        await engine.load(spec(large, tmp_path, address_space_bytes=300 * MIB))
    assert lost.value.loss is not None
    assert lost.value.loss.kind is LossKind.MEMORY


async def test_closing_answers_everybody(engine: Engine, tmp_path: Path) -> None:
    """Whoever waits when a worker is closed hears it, and so does whoever comes later."""
    worker = await engine.load(spec(mlp(), tmp_path, spare=False))
    os.kill(worker.report().pid or 0, signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(outcome(worker, row)) for row in windows(3)]
        await until(lambda: worker.report().in_flight == 3)
        worker.close()
    assert [task.result() for task in waiting] == ["WorkerLostError"] * 3
    assert await outcome(worker, windows(1)[0]) == "WorkerLostError"
    assert worker.report().state is WorkerState.LOST


async def outcome(worker: ModelWorker, row: NDArray[np.float32]) -> str:
    """The name of what became of *row*."""
    try:
        await worker.infer(row)
    except WorkerLostError as error:
        return type(error).__name__
    return "answered"


async def test_dying_again_and_again_ends(engine: Engine, tmp_path: Path) -> None:
    """Processes that die in a row without one answer between them are not replaced for ever."""
    worker = await engine.load(spec(mlp(), tmp_path))
    killed: set[int] = set()
    while worker.report().state is not WorkerState.LOST:
        pid = worker.report().pid
        if pid and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.001)
    assert len(killed) <= 5
    with pytest.raises(WorkerLostError, match="ended in a row without an answer, the last: crash"):
        await worker.infer(windows(1)[0])


async def test_abandoned_windows_free_their_slots(engine: Engine, tmp_path: Path) -> None:
    """Whoever gives up waiting does not keep a slot from others."""
    worker = await engine.load(spec(mlp(), tmp_path, slots=1))
    os.kill(await until_ready(worker), signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await worker.infer(windows(1)[0])
    os.kill(worker.report().pid or 0, signal.SIGKILL)
    await until(lambda: worker.report().in_flight == 0)
    assert (await worker.infer(windows(1)[0])).shape == (1, CLASSES)
    worker.close()


async def test_renice_under_load(engine: Engine, tmp_path: Path) -> None:
    """A promoted trial goes on at normal priority, and nobody who waits notices."""
    good = mlp()
    worker = await engine.load(spec(good, tmp_path, nice=19))
    trial = worker.report().pid
    assert trial is not None
    assert os.getpriority(os.PRIO_PROCESS, trial) == 19
    rows = windows(200)
    wanted = reference_scores(good, rows)

    async def score() -> None:
        for row, scores in zip(rows, wanted, strict=True):
            np.testing.assert_allclose((await worker.infer(row))[0], scores, atol=1e-5)

    async with asyncio.TaskGroup() as group:
        group.create_task(score())
        group.create_task(worker.renice(0))
    promoted = worker.report().pid
    assert promoted is not None
    assert promoted != trial
    assert os.getpriority(os.PRIO_PROCESS, promoted) == os.getpriority(os.PRIO_PROCESS, 0)
    assert worker.report().restarts == 0
    await until_ready(worker)  # and now it is worth a spare
    worker.close()


def parent_of(pid: int) -> int:
    """The process that forked *pid*."""
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


async def test_fork_server_comes_back(tmp_path: Path) -> None:
    """When the fork server is killed its workers go with it, and all come back by themselves."""
    async with open_engine() as engine:
        worker = await engine.load(spec(mlp(), tmp_path))
        first = await until_ready(worker)
        os.kill(parent_of(first), signal.SIGKILL)
        await until(lambda: worker.report().pid not in {first, None})
        assert (await worker.infer(windows(1)[0])).shape == (1, CLASSES)


def test_fork_server_of_a_daemon_that_is_gone() -> None:
    """A fork server whose daemon ended with something unread ends too, without a word."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = ["-I", "-B", "-m", "edge_runtime.inference.forkserver", str(theirs.fileno())]
    with subprocess.Popen(
        [sys.executable, *words],
        pass_fds=(theirs.fileno(),),
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as server:
        theirs.close()
        ours.recv(1, socket.MSG_PEEK)  # it is up and says so, which nobody reads
        ours.close()
        _, said = server.communicate(timeout=60)
    assert (server.returncode, said) == (0, b"")
