"""A gateway's engine behind its endpoint, asked by Triton's own client over a real socket."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulators.good_models import mlp, reference_scores
from tests.simulators.serving import served
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

ANSWER_S = 60.0


async def told(port: int, rows: Path) -> dict[str, Any]:
    """What Triton's client found."""
    words = ["-m", "tests.real.tritonclient_asks", str(port), str(rows)]
    client = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(ANSWER_S):
        out, err = await client.communicate()
    assert client.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


async def test_tritonclient(tmp_path: Path) -> None:
    """Health, metadata, binary and JSON inference and refusals are as Triton's client has them."""
    good = mlp()
    rows = np.random.default_rng(2).normal(size=(5, 8)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    async with served(good, tmp_path, "pump") as (serving, _):
        found = await told(serving.port, tmp_path / "rows.npy")
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["other_ready"] is False
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert (found["model"]["name"], found["model"]["versions"]) == ("pump", ["3"])
    assert found["model"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [1, 8]}]
    wanted = np.array(reference_scores(good, rows))
    for form in ("True", "False"):
        assert np.allclose(found["scores"][form], wanted, atol=1e-5)
    assert found["ids"] == [str(number) for number in range(5)] * 2
    assert [status for status, _ in found["refused"]] == ["404", "400"]
    assert "expected FP32 [1, 8], found FP32 [8, 1]" in found["refused"][1][1]
    assert found["outputs"] == ["scores"]


async def test_windows_beside_clients(tmp_path: Path) -> None:
    """While forty clients ask as fast as they can, every window of the line is scored, soon."""
    good = mlp()
    row = np.zeros((1, 8), np.float32)
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [1, 8], "datatype": "FP32", "data": [0] * 8}]}
    ).encode()
    asked = b"POST /v2/models/pump/infer HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answered = 0

    async with served(good, tmp_path, "pump") as (serving, worker):

        async def flood() -> None:
            nonlocal answered
            reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
            try:
                while True:
                    writer.write(asked)
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(
                        int(head.rpartition(b"content-length: ")[2].split()[0])
                    )
                    answered += 1
            finally:
                writer.close()

        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(flood()) for _ in range(40)]
            await until(lambda: answered > 100, "a hundred answers")
            most = 0
            for _ in range(60):
                before = worker.report().in_flight
                most = max(most, before)
                await worker.infer(row)
            for client in clients:
                client.cancel()
    assert answered > 100
    # What a window can find before it, by the door's own bound; no slot is ever short.
    assert most <= 8
