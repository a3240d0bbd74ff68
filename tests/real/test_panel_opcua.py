"""What holds, on the nodes of a server of another make: a number that is old never looks good."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from asyncua import ua
from asyncua.client.client import Client

from edge_runtime.sinks.opcua import OpcUaSink
from edge_runtime.sinks.settings import OpcUaSinkConfig
from edge_runtime.sinks.standing import Shown, Standing
from edge_runtime.sources.opcua_config import OpcUaConfig
from tests.real.other_make import other_make_program
from tests.simulators.programs import Program
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

NODES = {
    name: f"nsu=urn:a:panel;s={node}"
    for name, node in (
        ("value", "setpoint"),
        ("decided", "decided"),
        ("label", "label"),
    )
}
AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
DECIDED = Shown("normal", Standing.DECIDED, AT, 0, value=42.5)
SAFE = Shown("normal", Standing.SAFE, AT, 0)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One server for all tests, since it takes seconds to start."""
    with other_make_program(tmp_path_factory.mktemp("panel"), "panel.js") as program:
        yield program


class Quiet:
    """Nobody expects a fault here."""

    def fault(self, name: str, reason: str) -> None:
        """Something is wrong."""
        raise AssertionError(f"{name}: {reason}")

    def mend(self, name: str) -> None:
        """It is over."""


async def status_of(client: Client, node: str) -> tuple[Any, int]:  # Any: of its kind
    """What a node shows, and its status."""
    uri, name = "urn:a:panel", ua.String(node)
    index = await client.get_namespace_index(uri)
    found = await client.get_node(ua.NodeId(name, ua.Int16(index))).read_data_value(
        raise_on_bad_status=False
    )
    value = None if found.Value is None else found.Value.Value
    return value, 0 if found.StatusCode is None else found.StatusCode.value


async def test_safe_output(panel: Program) -> None:
    """A number, then the safe output, then a number again, as another make's server keeps them."""
    await panel.ready()
    url = f"opc.tcp://127.0.0.1:{panel.port}/panel"
    asked = {"source": "plc", "allow": list(NODES.values()), "nodes": NODES, "check_s": 0.05}
    server = OpcUaConfig(name="plc", url=url, retry_s=0.1, answer_s=10.0)
    sink = OpcUaSink(msgspec.convert(asked, OpcUaSinkConfig), server, Quiet(), lambda: AT)
    async with Client(url) as client, asyncio.TaskGroup() as group:
        task = group.create_task(sink.run())
        for shown, good in ((DECIDED, True), (SAFE, False), (DECIDED, True)):
            before = sink.written
            sink.show(shown)
            await until(lambda before=before: sink.written > before, "written")  # type: ignore[misc]  # a default
            value, status = await status_of(client, "setpoint")
            assert (status == 0) is good
            assert (value == 42.5) is good
            assert (await status_of(client, "decided"))[0] is good
        task.cancel()
