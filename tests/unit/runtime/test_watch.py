"""Watching a running gateway: what is shown, how a slow or absent reader fares, how it ends."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_core.contracts.errors import TryAgainError
from edge_core.features.samples import CellQuality
from edge_runtime.__main__ import main
from edge_runtime.commands.output import pictures
from edge_runtime.control import Asked, ControlServer, WatchAsked
from edge_runtime.frames.newest import Frame, Newest, PicturesSeen
from edge_runtime.live import WAITING_MAX, WATCHERS_MAX, LiveFeed, Missed, Shows, ValueSeen
from edge_runtime.windows import Latest
from tests.unit.runtime.gateways import Rig

pytestmark = pytest.mark.anyio


def feed(latest: list[Latest]) -> LiveFeed:
    """A feed of two tags."""
    return LiveFeed(
        ("flow", "pressure"),
        {"flow": "l/min", "pressure": "bar"},
        lambda: latest,
        lambda: 2 * 10**9,
    )


async def test_a_whole_gateway(rig: Rig) -> None:
    """Values, windows and verdicts of a running gateway come in the order they happen."""
    rig.site.assign(rig.workshop.release("1"))
    kinds: dict[str, object] = {}
    async with rig.running() as running:
        await running.until(lambda: any(verdict.decided for verdict in running.ear.heard))
        path = running.gateway.config.socket
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(msgspec.json.encode(WatchAsked(every_s=0.1)) + b"\n")
        assert json.loads(await reader.readline())["error"] is None
        async with asyncio.timeout(20):
            while set(kinds) != {"value", "window", "verdict"}:
                seen = json.loads(await reader.readline())
                kinds[seen["kind"]] = seen
                if seen["kind"] == "verdict":
                    assert kinds["window"]["window"] == seen["verdict"]["window"]  # type: ignore[index]  # JSON
        writer.close()
    assert kinds["value"]["quality"] == "good"  # type: ignore[index]  # JSON


async def test_values_of_some_roles() -> None:
    """Who names roles sees those; what is no number is none."""
    latest = [
        Latest("flow", float("nan"), CellQuality.BAD, 10**9),
        Latest("pressure", 2.0, CellQuality.GOOD, 10**9),
    ]
    seen = aiter(feed(latest).watch(Shows(roles=frozenset({"flow"}), every_s=60)))
    first = await anext(seen)
    assert isinstance(first, ValueSeen)
    assert (first.role, first.value, first.quality, first.age_s) == ("flow", None, "bad", 1.0)


async def test_pictures() -> None:
    """Cameras are shown beside the values, with what was refused and why."""
    newest = Newest(lambda: 7.5)
    newest.comes_from("camera", "eye", None)
    newest.refuse("camera", "deadline", "picture: ended its decoder")
    newest.put(Frame("camera", np.zeros((1, 1, 3), np.uint8), 1, "a", taken_us=2500))
    newest.refuse("camera", "damaged", "picture: damaged")
    live = LiveFeed((), {}, list, lambda: None, newest.shown)
    seen = await anext(aiter(live.watch(Shows(roles=frozenset({"camera"})))))
    assert isinstance(seen, PicturesSeen)
    assert pictures(msgspec.to_builtins(seen)) == (
        "camera from eye: 1 taken, 0 skipped, 2 refused (damaged 1, deadline 1), "
        "decoded in 2.5 ms, last 0.0 s ago; picture: damaged"
    )


async def test_slow_reader() -> None:
    """Who does not read loses the oldest, and is told how many."""
    many = [Latest("flow", 1.0, CellQuality.GOOD, 0)] * (WAITING_MAX + 7)
    seen = aiter(feed(many).watch(Shows()))
    assert await anext(seen) == Missed(events=7)


async def test_too_many() -> None:
    """There is a bound on how many watch, and who leaves makes room."""
    live = feed([Latest("flow", 1.0, CellQuality.GOOD, 0)])
    watching = [live.watch(Shows()) for _ in range(WATCHERS_MAX)]
    for each in watching:
        await anext(aiter(each))
    with pytest.raises(TryAgainError):
        await anext(aiter(live.watch(Shows())))
    await watching[0].aclose()  # type: ignore[attr-defined]  # it is a generator
    await anext(aiter(live.watch(Shows())))


async def nothing(_: Asked) -> dict[str, Any]:  # Any: JSON values
    """Who asks for anything else is told nothing."""
    return {}


@asynccontextmanager
async def served(path: Path, latest: list[Latest] | None = None) -> AsyncIterator[None]:
    """A control socket where two tags are seen ten times a second."""
    seen = latest or [
        Latest("flow", 31.5, CellQuality.GOOD, 10**9),
        Latest("pressure", 2.0, CellQuality.UNCERTAIN, 10**9),
    ]
    live = feed(seen)
    server = ControlServer(path, nothing, lambda _: live.watch(Shows(every_s=0.1)))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - the server makes it
            await asyncio.sleep(0.01)
        yield
        task.cancel()


async def test_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people there is a line an event, with what is odd about it."""
    path = tmp_path / "control"
    async with served(path):
        code = await asyncio.to_thread(main, ["watch", "--socket", str(path), "--lines", "2"])
    flow, pressure = capsys.readouterr().out.splitlines()
    assert code == 0
    assert flow.split()[1:] == ["value", "flow", "31.5", "l/min", "1.0", "s", "old"]
    assert pressure.endswith("uncertain")


async def test_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs there is a JSON document a line."""
    path = tmp_path / "control"
    async with served(path):
        arguments = ["watch", "--socket", str(path), "--json", "--lines", "3"]
        assert await asyncio.to_thread(main, arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["role"] for line in lines] == ["flow", "pressure", "flow"]


async def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a daemon the answer is 5, in one line."""
    assert await asyncio.to_thread(main, ["watch", "--socket", str(tmp_path / "none")]) == 5
    assert capsys.readouterr().err.count("\n") == 1


async def test_daemon_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the daemon ends, whoever watches hears it and ends with 5; nobody holds the daemon."""
    path = tmp_path / "control"
    async with asyncio.TaskGroup() as group, served(path):
        watching = group.create_task(asyncio.to_thread(main, ["watch", "--socket", str(path)]))
        while "value" not in capsys.readouterr().out:  # noqa: ASYNC110 - another thread says it
            await asyncio.sleep(0.05)
    assert watching.result() == 5


async def started(path: Path) -> asyncio.subprocess.Process:
    """The command as a process of its own, with its first line read."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_runtime", "watch", "--socket", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"value" in await process.stdout.readline()
    return process


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, bytes]:
    """Its exit code, and what it complained about."""
    assert process.stderr is not None
    async with asyncio.timeout(20):
        complaint = await process.stderr.read()
        return await process.wait(), complaint


async def test_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends it cleanly."""
    async with served(tmp_path / "control"):
        process = await started(tmp_path / "control")
        process.send_signal(signal.SIGINT)
        assert await ended(process) == (0, b"")


async def test_closed_pipe(tmp_path: Path) -> None:
    """When the reader of a pipe has left, as `head` does, it ends without a word."""
    async with served(tmp_path / "control"):
        process = await started(tmp_path / "control")
        transport = process._transport  # type: ignore[attr-defined]  # noqa: SLF001 - no public way to close it
        transport.get_pipe_transport(1).close()
        assert await ended(process) == (0, b"")
