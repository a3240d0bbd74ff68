"""A whole gateway in this process, fed by a test instead of a plant."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge_core.features.samples import CellQuality
from edge_runtime.assembly import Gateway, assemble
from edge_runtime.care import Care
from edge_runtime.config import (
    Config,
    DiskConfig,
    ProxyConfig,
    ReviewConfig,
    TagConfig,
)
from edge_runtime.daemon import run
from edge_runtime.line_config import LineConfig
from edge_runtime.logs import RecentLogs
from edge_runtime.sealed import Sealed
from edge_runtime.sources.mqtt_config import MqttConfig
from edge_runtime.sources.sample import TagSample, batch_of
from edge_runtime.verdict import Verdict
from tests.simulators.gateway_site import GatewaySite
from tests.simulators.releases import ROLES, TARGET, WINDOWING, Workshop

SERIAL = "gw-1"
WAIT_S = 20.0  # far above what anything here takes; a test that waits so long has failed


@dataclass(slots=True)
class Ear:
    """Hears every verdict."""

    heard: list[Verdict] = field(default_factory=list)

    def put(self, verdict: Verdict) -> None:
        """Keep it."""
        self.heard.append(verdict)


@dataclass(slots=True)
class Running:
    """A gateway that runs, and what it said."""

    gateway: Gateway
    ear: Ear

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let everything go on until *holds*."""
        async with asyncio.timeout(WAIT_S):
            while not holds():  # noqa: ASYNC110 - other tasks and processes bring it about
                await asyncio.sleep(0.01)


@dataclass(slots=True)
class Rig:
    """A gateway's folder, its site and its workshop."""

    folder: Path
    site: GatewaySite
    workshop: Workshop
    bad_input: bool = False

    def config(self) -> Config:
        """The configuration of the gateway."""
        return Config(
            serial=SERIAL,
            site="plant",
            data=self.folder / "data",
            trust_policy=self.folder / "trust-policy.toml",
            targets=[str(TARGET)],
            proxy=ProxyConfig(
                url=self.site.url,
                enrol_url=self.site.enrol_url,
                ca=self.folder / "ca.pem",
                token=self.folder / "token",
                heartbeat_s=0.1,
                telemetry_s=0.2,
            ),
            sources=[MqttConfig(name="none", host="127.0.0.1", port=9, retry_s=3600.0)],
            tags=[
                TagConfig(role=role, unit="bar", source="none", address=f"plant#{role}")
                for role in ROLES
            ],
            review=ReviewConfig(shift_s=10.0, uniform_share=1.0),
            disk=DiskConfig(reserve_bytes=0),
            line=LineConfig(kpi=ROLES[0]),
            lateness_s=0.0,
        )

    @asynccontextmanager
    async def running(
        self, care: Care | None = None, sealed: Sealed | None = None
    ) -> AsyncIterator[Running]:
        """The gateway, as long as the context lasts; *care* watches over it."""
        stop = asyncio.Event()
        ear = Ear()
        made = assemble(self.config(), [ear], sealed=sealed)
        async with made as gateway, asyncio.TaskGroup() as group:
            group.create_task(run(gateway, RecentLogs(), stop, care))
            plant = group.create_task(self._feed(gateway))
            try:
                yield Running(gateway, ear)
            finally:
                plant.cancel()
                stop.set()

    async def _feed(self, gateway: Gateway) -> None:
        """Be the plant: one row a period, in a wave."""
        columns = {role: column for column, role in enumerate(ROLES)}
        while True:
            quality = CellQuality.BAD if self.bad_input else CellQuality.GOOD
            now_ns = time.time_ns()
            value = 3.0 + math.sin(now_ns / 1e9)
            samples = [TagSample(role, value, quality, now_ns) for role in ROLES]
            gateway.stream.take(batch_of(samples, columns))
            await asyncio.sleep(WINDOWING.period_s)
