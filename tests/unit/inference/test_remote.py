"""A model at another server: whatever that one does costs at most the window it is asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiohttp import web

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import ModelFile
from edge_core.contracts.remote import RemoteModel
from edge_runtime.inference.engine import ModelWorker, open_engine
from edge_runtime.inference.errors import ModelFailedError, WorkerBusyError
from edge_runtime.inference.smoke import admit_remote
from edge_runtime.inference.spec import EngineConfig, LoadSpec, WorkerState
from edge_runtime.inference.v2 import HEADER_LENGTH
from tests.simulators.good_models import CLASSES, mlp, smoke
from tests.unit.inference.backends import kept, serving
from tests.unit.inference.engines import DIGEST, until, windows

pytestmark = pytest.mark.anyio

SCORES = {"name": "scores", "datatype": "FP32", "shape": [1, CLASSES]}
TAKES = {"name": "x", "datatype": "FP32", "shape": [-1, 8]}
GOOD = {"outputs": [{**SCORES, "data": [0.5, 0.25, 0.25]}]}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def good(_: web.Request) -> web.Response:
    """The right answer, in JSON, as a server may choose."""
    return web.json_response(GOOD)


@dataclass
class Server:
    """Answers windows as a test says; *metadata* is what it says about its model."""

    infer: Handler = good
    metadata: dict[str, Any] = field(
        default_factory=lambda: {"name": "pump", "inputs": [TAKES], "outputs": [SCORES]}
    )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        if request.method == "POST":
            await request.read()
            return await self.infer(request)
        return web.json_response(self.metadata)


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[str]:
    """Its URL, as long as the context lasts."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def named(folder: Path) -> tuple[ModelFile, ...]:
    """The `remote.json`."""
    return (kept(folder, "remote.json", msgspec.json.encode(RemoteModel(model="pump"))),)


@asynccontextmanager
async def asked(
    server: Server, folder: Path, deadline_s: float = 5.0, slots: int = 4
) -> AsyncIterator[ModelWorker]:
    """A worker that asks *server*."""
    async with running(server) as url, open_engine(EngineConfig(remote=url)) as engine:
        yield await engine.load(
            LoadSpec(
                digest=DIGEST,
                runtime="remote",
                files=named(folder),
                signature=mlp().signature,
                deadline_s=deadline_s,
                slots=slots,
            )
        )


def says(body: bytes, status: int = 200, length: str | None = None) -> Handler:
    """A server that answers every window with that."""
    headers = {} if length is None else {HEADER_LENGTH: length}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


def scores(**changes: Any) -> bytes:
    """An answer with *changes* to its output."""
    return msgspec.json.encode({"outputs": [{**SCORES, "data": [0.5, 0.25, 0.25], **changes}]})


BAD: dict[str, tuple[Handler, str]] = {
    "a refusal": (says(b'{"error":"no\x1b[2J such model"}', 400), "status 400: "),
    "no JSON": (says(b"hello"), "remote: answer: "),
    "another output": (says(scores(name="labels")), "expected output scores, found none"),
    "another shape": (
        says(scores(shape=[1, 4])),
        r"expected FP32 \[1, 3\], found 'FP32 \[1, 4\]'",
    ),
    "another type": (says(scores(datatype="INT64")), "expected FP32"),
    "too few numbers": (says(scores(data=[0.5])), "found other bytes"),
    "words": (says(scores(data=["a", "b", "c"])), "found other bytes"),
    "no number": (says(scores(data=[0.5, 1e39, 0.1])), "scores holds NaN or infinity"),
    "more than any answer takes": (says(b" " * 70_000), "expected at most 65632 bytes"),
    "a length beyond its end": (
        says(scores(), length="9" * 40),
        "",
    ),
    "a length in the middle": (
        says(scores(), length="7"),
        "remote: answer: ",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_answers(name: str, tmp_path: Path) -> None:
    """Each row is an answer that is none: one clear line, no scores, and the next is asked."""
    answer, words = BAD[name]
    server = Server(answer)
    async with asked(server, tmp_path) as worker:
        if words:
            with pytest.raises(ModelFailedError, match=words) as failed:
                await worker.infer(windows(1)[0])
            assert str(failed.value).isprintable()
        server.infer = good
        assert (await worker.infer(windows(1)[0])).tolist() == [[0.5, 0.25, 0.25]]


async def test_binary_answer(tmp_path: Path) -> None:
    """Raw tensors after the header are taken as they are."""
    raw = np.array([0.5, 0.25, 0.25], "<f4").tobytes()
    head = msgspec.json.encode(
        {"outputs": [{**SCORES, "parameters": {"binary_data_size": len(raw)}}]}
    )
    server = Server(says(head + raw, length=str(len(head))))
    async with asked(server, tmp_path) as worker:
        assert (await worker.infer(windows(1)[0])).tolist() == [[0.5, 0.25, 0.25]]


async def test_deadline(tmp_path: Path) -> None:
    """A server that does not answer costs a window its deadline and nothing more."""

    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with asked(Server(never), tmp_path, deadline_s=0.1, slots=1) as worker:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.TaskGroup() as group:
            late = group.create_task(failure(worker))
            await until(lambda: worker.report().in_flight == 1)
            with pytest.raises(WorkerBusyError, match="all 1 slots"):
                await worker.infer(windows(1)[0])
        assert "no answer within 0.1 s" in late.result()
        assert 0.09 <= loop.time() - began_s < 2.0
        assert worker.report().in_flight == 0


async def failure(worker: ModelWorker) -> str:
    """Why a window got no scores."""
    with pytest.raises(ModelFailedError) as failed:
        await worker.infer(windows(1)[0])
    return str(failed.value)


async def test_a_server_that_leaves_and_comes_back(tmp_path: Path) -> None:
    """While it is gone every window says so; once it is back the next one is answered."""
    server = Server()
    async with asked(server, tmp_path) as worker:

        async def slam(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        server.infer = slam
        assert "remote: http://127.0.0.1:" in await failure(worker)
        assert worker.report().state is WorkerState.RECOVERING
        server.infer = good
        assert (await worker.infer(windows(1)[0])).shape == (1, CLASSES)
        assert worker.report().state is WorkerState.READY


async def test_another_model_at_the_server(tmp_path: Path) -> None:
    """A server whose model takes something else is refused when it is loaded."""
    other = {"name": "pump", "inputs": [{**TAKES, "shape": [-1, 9]}], "outputs": [SCORES]}
    with pytest.raises(ModelRefusedError, match=r"input 'x': expected FP32 \[1, 8\], found"):
        async with asked(Server(metadata=other), tmp_path):
            pass


async def test_nobody_there(tmp_path: Path) -> None:
    """A server that is not there is a refusal with its address."""
    async with running(Server()) as url:
        pass
    async with open_engine(EngineConfig(remote=url)) as engine:
        spec = LoadSpec(
            digest=DIGEST, runtime="remote", files=named(tmp_path), signature=mlp().signature
        )
        with pytest.raises(ModelRefusedError, match=f"remote: {url}: "):
            await engine.load(spec)


async def test_admitted_by_its_smoke_vectors(tmp_path: Path) -> None:
    """A remote model proves itself like any other, and one that answers otherwise does not."""
    async with (
        open_engine() as own,
        serving(own, tmp_path) as url,
        open_engine(EngineConfig(remote=url)) as engine,
    ):
        spec = LoadSpec(
            digest=DIGEST, runtime="remote", files=named(tmp_path), signature=mlp().signature
        )
        worker = await engine.load(spec)
        found = await admit_remote(worker, smoke(mlp()))
        assert (found.cases, found.summary.format) == (3, "remote")
        assert found.error_max < 1e-4
        with pytest.raises(ModelRefusedError, match="smoke case 0: expected"):
            await admit_remote(worker, smoke(mlp(seed=9)))
