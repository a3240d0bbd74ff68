"""OPC UA against a real server on loopback: values, status, outages, silence, wrong nodes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_fixtures.certificates import issue
from edge_fixtures.opcua_server import OpcUaSettings, PlantServer, plant_server
from edge_fixtures.plant import NAMESPACE, SERVER_URI, node_name
from edge_fixtures.rows import Row
from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.sample import SampleBatch, TagSample
from tests.simulators.ports import free_port
from tests.simulators.recorder import rows

pytestmark = pytest.mark.anyio

SERIAL, TAGS = "gw-1", ("flow", "pressure")
WAIT_S = 15.0
BEGUN = datetime(2026, 11, 22, tzinfo=UTC)
BEGUN_NS = 1_795_305_600_000_000_000


class Got:
    """Every sample that came."""

    def __init__(self) -> None:
        self.samples: list[TagSample] = []

    def take(self, batch: SampleBatch) -> None:
        """Keep a batch."""
        self.samples += rows(batch, TAGS)

    async def until(self, role: str, quality: CellQuality, value: float | None = None) -> None:
        """Wait for a sample."""

        def found() -> bool:
            return any(
                each.role == role
                and each.quality is quality
                and (value is None or each.value == value)
                for each in self.samples
            )

        async with asyncio.timeout(WAIT_S):
            while not found():  # noqa: ASYNC110 - the server brings it about
                await asyncio.sleep(0.01)


def tags(*addresses: str) -> list[TagConfig]:
    """Tags of the source `plc`, one an address."""
    return [
        TagConfig(role=name, unit="bar", source="plc", address=address)
        for name, address in zip(TAGS, addresses, strict=False)
    ]


USUAL = tags(*(f"nsu={NAMESPACE};s={node_name(SERIAL, tag)}" for tag in TAGS))


@asynccontextmanager
async def reading(config: OpcUaConfig, wanted: list[TagConfig]) -> AsyncIterator[Got]:
    """A source that reads as long as the context lasts."""
    got = Got()
    source = OpcUaSource(config, wanted, got.take, monotonic=time.monotonic, unix_ns=time.time_ns)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run())
        try:
            yield got
        finally:
            task.cancel()


def row(number: int, flow: float, status: int = 0) -> Row:
    """A row of the plant."""
    at = BEGUN + timedelta(seconds=number)
    return Row(SERIAL, number, at, (flow, 2.0), (status, 0))


def config(port: int, **more: object) -> OpcUaConfig:
    """The source; *more* are other fields."""
    usual: dict[str, object] = {
        "name": "plc",
        "url": f"opc.tcp://127.0.0.1:{port}/demo-plant",
        "publishing_s": 0.05,
        "silence_s": 0.6,
        "retry_s": 0.1,
    }
    return OpcUaConfig(**{**usual, **more})  # type: ignore[arg-type]  # fields of any type


async def test_values_and_outage() -> None:
    """Values come with source time and status; a server that goes and comes leaves a gap."""
    port = free_port()
    async with reading(config(port), USUAL) as got:
        async with served(port) as server:
            await server.publish([row(1, 10.0)])
            await got.until("flow", CellQuality.GOOD, 10.0)
            sample = next(each for each in got.samples if each.value == 10.0)
            assert sample.source_ns == BEGUN_NS + 1_000_000_000
            await server.publish([row(2, 11.0, status=0x80000000)])
            await got.until("flow", CellQuality.BAD)
        await got.until("pressure", CellQuality.GAP)
        before = len(got.samples)
        async with served(port) as server:
            await server.publish([row(9, 12.0)])
            await got.until("flow", CellQuality.GOOD, 12.0)
        gaps = [each for each in got.samples[:before] if each.quality is CellQuality.GAP]
        assert {each.role for each in gaps} == set(TAGS)


async def test_encrypted(tmp_path: Path) -> None:
    """With Basic256Sha256 the channel is signed and encrypted, both sides known by certificate."""
    port, now = free_port(), datetime.now(UTC)
    server_pair = issue(tmp_path, "server", SERVER_URI, now)
    ours = issue(tmp_path, "ours", "urn:edge-mlops:gateway", now)
    settings = OpcUaSettings(
        port=port, certificate=server_pair[0], key=server_pair[1], trusted=(ours[0],)
    )
    secure = config(
        port,
        security="basic256sha256",
        certificate=ours[0],
        key=ours[1],
        server_certificate=server_pair[0],
    )
    async with plant_server(settings, {SERIAL: TAGS}) as server, reading(secure, USUAL) as got:
        await server.publish([row(1, 10.0)])
        await got.until("flow", CellQuality.GOOD, 10.0)


async def test_wrong_namespace() -> None:
    """A namespace that the server lacks is named, with those that it has."""
    port = free_port()
    wanted = tags("nsu=urn:nobody;s=flow")
    async with served(port):
        source = OpcUaSource(
            config(port), wanted, Got().take, monotonic=time.monotonic, unix_ns=time.time_ns
        )
        with pytest.raises(ConfigurationError, match=NAMESPACE):
            await source.run()


@asynccontextmanager
async def served(port: int) -> AsyncIterator[PlantServer]:
    """The plant's server, unsecured."""
    async with plant_server(OpcUaSettings(port=port), {SERIAL: TAGS}) as server:
        yield server
