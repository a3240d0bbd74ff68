"""A machine without room for another process costs what was asked for, and nothing that runs."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from edge_core.admission.confine import Confinement
from edge_runtime.inference.engine import open_engine
from edge_runtime.inference.forkserver import FORK_S, Server
from edge_runtime.inference.job import NOT_FORKED, Ended, Full, Job, Message
from edge_runtime.inference.process import loss_of
from edge_runtime.inference.spec import EngineConfig, LossKind
from edge_runtime.inference.starter import STEADY_S, Pauses, Starter
from tests.simulators.good_models import CLASSES, mlp
from tests.simulators.waiting import until
from tests.unit.inference.engines import spec, until_ready, windows

pytestmark = pytest.mark.anyio

CROWDED = EngineConfig(preload=("edge_fixtures.crowded", "numpy", "onnxruntime"))


async def test_no_room_for_a_candidate(tmp_path: Path) -> None:
    """Committed and spare outlive a refused fork; the candidate comes once there is room."""
    async with open_engine(CROWDED) as engine:
        committed = await engine.load(spec(mlp(), tmp_path))
        pid = await until_ready(committed)
        (server,) = children(os.getpid())
        before = children(server)
        with capture_logs() as said:
            os.kill(server, signal.SIGUSR1)
            async with asyncio.TaskGroup() as group:
                loading = group.create_task(engine.load(spec(mlp(), tmp_path, spare=False)))
                await until(lambda: len(said) > 0, "a word of it")
                assert (await committed.infer(windows(1)[0])).shape == (1, CLASSES)
                assert children(server) == before
                os.kill(server, signal.SIGUSR2)
            candidate = loading.result()
        (refused,) = [line for line in said if line["event"] == "forkserver.full"]
        assert refused["reason"] == os.strerror(11)
        assert (await candidate.infer(windows(1)[0])).shape == (1, CLASSES)
        report = committed.report()
        assert (report.pid, report.restarts, report.spare_ready) == (pid, 0, True)
        assert set(before) < set(children(server))


def children(pid: int) -> list[int]:
    """The processes that *pid* started and that live."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_preload_that_is_not_there(tmp_path: Path) -> None:
    """A library that cannot be loaded beforehand is named once, and models run without it."""
    config = EngineConfig(preload=("no_such_library", "numpy", "onnxruntime"))
    with capture_logs() as said:
        async with open_engine(config) as engine:
            worker = await engine.load(spec(mlp(), tmp_path, spare=False))
            assert (await worker.infer(windows(1)[0])).shape == (1, CLASSES)
    (missing,) = [line for line in said if line["event"] == "forkserver.preload_failed"]
    assert missing["reason"] == "No module named 'no_such_library'"


JOB = Job(
    ticket=7,
    runtime="onnxruntime",
    files=[],
    inputs=mlp().signature.inputs,
    outputs=mlp().signature.outputs,
    slots=1,
    file_bytes_max=1,
    cpu_s=1,
    confinement=Confinement(address_space_bytes=1),
)


def test_fork_that_is_refused_for_long() -> None:
    """It is tried again and again, said once, and answered as an end when it takes too long."""
    daemon, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given, kept = socket.socketpair()
    tried_s: list[float] = []

    def fork() -> int:
        tried_s.append(FORK_S * len(tried_s) * 0.4)
        if tried_s[-1] > FORK_S:
            daemon.shutdown(socket.SHUT_WR)
        raise BlockingIOError(11, "no room")

    with daemon, control, kept:
        socket.send_fds(daemon, [msgspec.json.encode(JOB)], [given.fileno()])
        given.close()
        assert Server(control, fork, lambda: tried_s[-1] if tried_s else 0.0).serve() == 0
        control.close()
        heard = [
            msgspec.json.decode(raw, type=Message) for raw in iter(lambda: daemon.recv(999), b"")
        ]
        assert heard == [Full(reason="no room"), Ended(ticket=7, status=NOT_FORKED)]
        assert len(tried_s) == 4
        assert kept.recv(1) == b""  # nobody holds what came with the job


def test_what_is_said_of_it() -> None:
    """An end that no process had says so; nothing is blamed on a model."""
    loss = loss_of(NOT_FORKED, 0)
    assert loss.kind is LossKind.EXIT
    assert loss.detail == f"the machine had no room for its process for {FORK_S:g} s"


# How long each of several fork servers lived, and the pauses after them.
LIVED: dict[str, tuple[list[float], list[float]]] = {
    "one that lived: the next comes at once": ([STEADY_S], [0.0]),
    "one that died at its start: likewise": ([0.1], [0.0]),
    "two at their start": ([0.1, 0.1], [0.0, 0.1]),
    "each pause is twice the last": ([0.1] * 5, [0.0, 0.1, 0.2, 0.4, 0.8]),
    "and has an end": ([0.1] * 12, [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4] + [10.0] * 4),
    "one that lived lets them be forgotten": (
        [0.1, 0.1, STEADY_S, 0.1, 0.1],
        [0.0, 0.1, 0.0, 0.0, 0.1],
    ),
}


@pytest.mark.parametrize("name", LIVED)
def test_pauses(name: str) -> None:
    """Each row is how long each of several fork servers lived, and the pauses after them."""
    lived, expected = LIVED[name]
    pauses = Pauses()
    assert [pauses.after(lived_s) for lived_s in lived] == pytest.approx(expected)


async def kept(waits: Callable[[float], None]) -> None:
    """Keep fork servers until *waits* has heard enough of the pauses between them."""

    async def wait(seconds: float) -> None:
        waits(seconds)
        await asyncio.sleep(0)

    await Starter(EngineConfig(preload=()), wait).keep()


class EnoughError(Exception):
    """The test has seen what it wanted."""


async def test_servers_that_die_at_once() -> None:
    """A fork server that ends again and again is not started in a loop without a pause."""
    paused_s: list[float] = []

    def waits(seconds: float) -> None:
        paused_s.append(seconds)
        if len(paused_s) == 4:
            raise EnoughError

    async def kill() -> None:
        while True:
            for pid in children(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.001)

    with capture_logs() as said:
        async with asyncio.TaskGroup() as group:
            killing = group.create_task(kill())
            with pytest.raises(EnoughError):
                await kept(waits)
            killing.cancel()
    assert paused_s == [0.0, 0.1, 0.2, 0.4]
    assert all(line["reason"].startswith("ended with status ") for line in said)
    assert [line["again_in_s"] for line in said] == paused_s


async def test_no_server_can_be_started() -> None:
    """Without a descriptor for it a fork server is tried again, and nothing ends over it."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    paused: list[float] = []

    def waits(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            raise EnoughError

    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with capture_logs() as said, pytest.raises(EnoughError):
            await kept(waits)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert {line["reason"] for line in said} == {
        "could not be started: [Errno 24] Too many open files"
    }
