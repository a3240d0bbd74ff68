"""The heartbeat: tells the site how we are, hears what it wants, and comes back when asked.

It survives a site that is away for weeks; nothing it does can stop inference.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import (
    Desired,
    DriftNotice,
    HealthWindow,
    StatusReply,
    StatusReport,
    UpdateReport,
    WindowCounts,
)
from edge_core.contracts.plant import ClockQuality
from edge_runtime.errors import SiteRefusedError
from edge_runtime.instruments import is_input, told_of
from edge_runtime.setup import Setup
from edge_runtime.spool import HealthSpool
from edge_runtime.update.agent import Agent

log = structlog.get_logger(__name__)

COME_BACK_S_MIN: Final = 0.1  # the site may ask us to hurry, not to flood it
FAILURES_MAX: Final = 6  # doublings of the wait while the site is away
JITTER: Final = 0.2  # so that thousands of gateways do not come back in step
SOFTWARE: Final = "edge-mlops/0.1.0"


class Site(Protocol):
    """What a heartbeat needs of the site proxy."""

    async def status(self, report: StatusReport) -> StatusReply:
        """The heartbeat."""
        ...

    async def desired(self) -> Desired:
        """What the site wants of us."""
        ...


@dataclass(frozen=True, slots=True)
class Looks:
    """Where a heartbeat finds what it reports."""

    running: Callable[[], Digest | None]
    windows: Callable[[], WindowCounts]
    clock: Callable[[], ClockQuality]
    outbox_waiting: Callable[[], int]
    disk_free_bytes: Callable[[], int]
    drift: Callable[[], list[DriftNotice]]
    now: Callable[[], datetime]


class Heart:
    """Beats for one gateway.

    Attributes:
        answered: heartbeats that the site answered.
    """

    def __init__(
        self,
        serial: str,
        targets: list[str],
        agent: Agent,
        spool: HealthSpool,
        looks: Looks,
        heartbeat_s: float,
    ) -> None:
        self._serial = serial
        self._targets = targets
        self._agent = agent
        self._spool = spool
        self._looks = looks
        self._heartbeat_s = heartbeat_s
        self._sequence = 0
        self._etag: str | None = None
        self._desired: Desired | None = None
        self._drift: list[DriftNotice] = []
        self._failures = 0
        self._setup: Setup | None = None
        self._tell_inputs = True
        self.answered = 0

    def count_from(self, sequence: int) -> None:
        """Number the reports above *sequence*."""
        self._sequence = max(sequence, self._sequence)

    def every(self, heartbeat_s: float) -> None:
        """Beat at most that far apart from now on."""
        self._heartbeat_s = heartbeat_s

    def works_with(self, setup: Setup) -> None:
        """Report *setup* from now on, and its inputs with the next report."""
        self._setup, self._tell_inputs = setup, True

    async def run(self, site: Site) -> None:
        """Beat for ever."""
        while True:
            wait_s = await self.beat(site)
            spread = 1.0 + JITTER * (2.0 * random.random() - 1.0)  # noqa: S311 - no secret
            await asyncio.sleep(wait_s * spread)

    async def beat(self, site: Site) -> float:
        """One heartbeat; how many seconds until the next one is due."""
        report = self.report()
        try:
            reply = await site.status(report)
            await self._read(site, reply, report.update)
        except EdgeError as error:
            return self._missed(error)
        self._drift = []
        self._tell_inputs = reply.tell_inputs
        await self._spool_stored(report.health, reply)
        self._failures = 0
        self.answered += 1
        return max(COME_BACK_S_MIN, min(reply.come_back_s, self._heartbeat_s))

    def report(self) -> StatusReport:
        """How we are."""
        self._sequence += 1
        record, looks = self._agent.record, self._looks
        self._drift = [*self._drift, *looks.drift()][-8:]
        desired, faults = record.desired, self._agent.keeper.faults
        return StatusReport(
            serial=self._serial,
            boot_epoch=record.boot_epoch,
            sequence=self._sequence,
            software=SOFTWARE,
            clock=looks.clock(),
            references=record.slots.shown,
            effective=None if record.fail_safe else record.slots.effective,
            running=looks.running(),
            update=self._agent.keeper.report(),
            health=self._spool.due(),
            drift=self._drift,
            windows=looks.windows(),
            safe_mode=desired is not None and desired.safe_mode,
            targets=self._targets,
            generation_seen=record.generation_seen,
            at=looks.now(),
            outbox_waiting=looks.outbox_waiting(),
            disk_free_bytes=looks.disk_free_bytes(),
            faults=[words for kind, words in faults.items() if not is_input(kind)][:16],
            bad_inputs=[told_of(kind, words) for kind, words in faults.items() if is_input(kind)],
            epoch_seen=record.epoch_seen,
            config=None if self._setup is None else self._setup.digest,
            inputs=[] if self._setup is None or not self._tell_inputs else self._setup.inputs,
        )

    async def _read(self, site: Site, reply: StatusReply, told: UpdateReport | None) -> None:
        if self._desired is None or reply.desired_etag != self._etag:
            self._desired = await site.desired()
            self._etag = reply.desired_etag
        self._agent.submit(self._desired, told)

    async def _spool_stored(self, sent: list[HealthWindow], reply: StatusReply) -> None:
        # The site stores all or none of a heartbeat's windows, and counts what it holds.
        if not sent or not reply.health_stored:
            return
        try:
            await self._spool.stored(sent)
        except EdgeError as error:
            log.warning("spool.unacknowledged", reason=str(error))

    def _missed(self, error: EdgeError) -> float:
        self._failures = min(self._failures + 1, FAILURES_MAX)
        if self._failures in {1, FAILURES_MAX} or isinstance(error, SiteRefusedError):
            log.warning("heartbeat.missed", failures=self._failures, reason=str(error))
        base_s = min(self._heartbeat_s, 30.0)
        return min(base_s * 2.0 ** (self._failures - 1), max(self._heartbeat_s, 60.0))
