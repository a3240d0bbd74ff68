"""The telemetry trip: instruments, outbox, the site's journal, upstream; each batch once."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from edge_core.contracts.gateway import HealthWindow, References, StatusReport
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.telemetry import Signal
from edge_runtime import events
from edge_runtime.batches import send_once
from edge_runtime.config import ProxyConfig
from edge_runtime.device import Device
from edge_runtime.identity import IdentityFolder
from edge_runtime.link import SiteLink
from edge_runtime.model import ROLE_COMMITTED, ROLE_TRIAL
from edge_runtime.outbox import Outbox, open_outbox
from edge_runtime.route import Route
from edge_runtime.series import resource, series
from edge_runtime.sitelog import SiteLog
from edge_runtime.telemetry import Levels, Meters
from edge_runtime.traces import Clocks, Traces
from edge_runtime.witness import Witness
from tests.unit.runtime.heard import Heard
from tests.unit.runtime.test_health import FIRST, LEAK, NORMAL, SECOND, opinion, window
from tests.unit.runtime.test_telemetry import timed
from tests.unit.site_proxy.commands.sites import SiteFolder

pytestmark = pytest.mark.anyio

SERIAL: Final = "gw-101"
AT: Final = datetime(2026, 11, 22, tzinfo=UTC)
WAIT_S: Final = 30.0  # far above what anything here takes; a test that waits so long has failed


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def opened(folder: Path, epoch: int) -> AbstractAsyncContextManager[Outbox]:
    """The outbox of start number *epoch*."""
    return open_outbox((folder / "outbox", folder / "review"), SERIAL, epoch, 8 * 2**20, lambda: 1)


async def telling(folder: Path, outbox: Outbox) -> None:
    """Measure, log and trace a little, and keep one batch of each."""
    named = resource(SERIAL, "north")
    box = Device(folder).read()
    meters = Meters(SERIAL, named, lambda: Levels(box=box))
    meters.take(window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL)))
    told = SiteLog()
    told.take({"event": "worker.lost", "level": "warning", "reason": "it ended"})
    traces = Traces(SERIAL, 1, named, 0.0, Clocks(lambda: 10.0, lambda: 10**18))
    trial = Route(SECOND, ROLE_TRIAL, FIRST)
    traces.take(timed(trial, opinion(SECOND, ROLE_TRIAL, LEAK), opinion(FIRST, "shadow", NORMAL)))
    sources = {
        Signal.METRICS: meters.encoded,
        Signal.LOGS: lambda: events.encoded(
            told, named, lambda: series(SERIAL, FIRST.release, ROLE_COMMITTED)
        ),
        Signal.TRACES: traces.encoded,
    }
    await send_once(sources, outbox)


@asynccontextmanager
async def linked(
    site: SiteFolder, folder: Path, ports: tuple[int, int]
) -> AsyncIterator[SiteLink]:
    """The link of a gateway, which enrols with its token the first time."""
    config = ProxyConfig(
        url=f"https://127.0.0.1:{ports[0]}",
        enrol_url=f"https://127.0.0.1:{ports[1]}",
        ca=next(site.folder.rglob("ca.pem")),
        token=folder / "token",
    )
    witness = Witness(folder / "witness.json", Heard(), time.monotonic)
    link = SiteLink(config, IdentityFolder(folder / "identity", SERIAL), now, witness, Heard())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(link.run())
        try:
            yield link
        finally:
            job.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Let everything go on until *holds*."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - other tasks bring it about
            await asyncio.sleep(0.02)


def upstream(site: SiteFolder) -> dict[str, bytes]:
    """What arrived there, by batch and signal."""
    folder = site.folder / "telemetry-out"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".gz"}


def report() -> StatusReport:
    """A heartbeat with everything that a health window can carry."""
    health = HealthWindow(
        epoch=1,
        number=1,
        digest=FIRST.digest,
        role=ROLE_COMMITTED,
        started=AT,
        ended=AT,
        scored=10,
        shadow_dropped=2,
        anomalies=3,
        overrides=1,
        kpi_sum=12.5,
        kpi_rows=5,
        cut_short=True,
    )
    return StatusReport(
        serial=SERIAL,
        boot_epoch=1,
        sequence=1,
        software="1",
        clock=ClockQuality(synchronised=True, error_max_us=10),
        references=References(),
        effective=FIRST.digest,
        running=FIRST.digest,
        health=[health],
    )


async def test_three_signals_arrive_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Metrics, logs and traces of two lives of a gateway are upstream, each batch once.

    The first life ends before it ever saw the site; the second sends what both had to say.
    """
    site = SiteFolder(tmp_path / "site", capsys).make()
    gateway = tmp_path / "gateway"
    gateway.mkdir()
    token = json.loads(site.on("token", "--serial", SERIAL, "--json").out)["token"]
    (gateway / "token").write_text(token)
    async with opened(gateway, 1) as outbox:
        await telling(gateway, outbox)
    async with (
        site.running() as ports,
        linked(site, gateway, (ports.gateways, ports.enrolment)) as link,
        opened(gateway, 2) as outbox,
        asyncio.TaskGroup() as group,
    ):
        job = group.create_task(outbox.run(link))
        await telling(gateway, outbox)
        await until(lambda: len(upstream(site)) == 6)
        assert outbox.waiting == 0
        assert (await link.status(report())).health_stored == 1
        job.cancel()
    found = {name: gzip.decompress(body) for name, body in upstream(site).items()}
    assert sorted(found) == [
        f"{SERIAL}_{epoch}_{number}.{signal.value}.pb.gz"
        for epoch in (1, 2)
        for number, signal in enumerate(Signal, 1)
    ]
    for name, body in found.items():
        what, told = opened_up(name, body)
        assert what, name
        # Whoever sent it is in the batch itself, and so is the model that it speaks of.
        for said in (SERIAL, FIRST.digest, "gateway.serial", "model.version"):
            assert said.encode() in told, (name, said)
    wal = site.on("wal", "verify", "--json")
    assert (wal.code, json.loads(wal.out)["records"]) == (0, 6)


def opened_up(name: str, body: bytes) -> tuple[int, bytes]:
    """How many figures, events or spans a batch has, and the batch again as its schema has it."""
    if ".metrics." in name:
        metrics = ExportMetricsServiceRequest.FromString(body)
        count = sum(len(scope.metrics) for scope in metrics.resource_metrics[0].scope_metrics)
        return count, metrics.SerializeToString()
    if ".logs." in name:
        logs = ExportLogsServiceRequest.FromString(body)
        return len(logs.resource_logs[0].scope_logs[0].log_records), logs.SerializeToString()
    traces = ExportTraceServiceRequest.FromString(body)
    return len(traces.resource_spans[0].scope_spans[0].spans), traces.SerializeToString()
