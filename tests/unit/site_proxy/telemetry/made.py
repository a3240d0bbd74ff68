"""What telemetry tests need: batches, a journal in memory, upstreams that misbehave by script."""

import asyncio
import datetime as dt
import gzip
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiohttp import web

from edge_core.contracts.api import Priority
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.journal import Files, Host, Journal, JournalConfig
from edge_core.journal.layout import crc32c
from edge_site_proxy.api.gateway.ports import Received
from edge_site_proxy.telemetry.batch import Outbound
from edge_site_proxy.telemetry.dead_letters import DeadLetters
from edge_site_proxy.telemetry.receiver import JournalReceiver
from edge_site_proxy.telemetry.retry import DELIVERED, Outcome
from edge_site_proxy.telemetry.shipper import Draining, Shipper
from edge_site_proxy.telemetry.sink import Sink
from edge_site_proxy.telemetry.wan import Wan

AT = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)
FOLDER = Path("/wal")
SMALL = JournalConfig(segment_bytes=16 * 1024, bytes_max=1024 * 1024)


def now() -> dt.datetime:
    """A clock that stands still."""
    return AT


def good_clock() -> ClockQuality:
    """A clock that is synchronised."""
    return ClockQuality(synchronised=True, error_max_us=10)


def received(sequence: int, body: bytes | None = None, serial: str = "gw-101") -> Received:
    """Batch *sequence* of a gateway, gzipped."""
    whole = gzip.compress(f"batch {sequence}".encode(), mtime=0) if body is None else body
    batch = BatchId(serial=serial, epoch=1, sequence=sequence)
    return Received(Signal.METRICS, serial, batch, crc32c(whole), "gzip", whole)


@asynccontextmanager
async def journal_on(files: Files, config: JournalConfig = SMALL) -> AsyncIterator[Journal]:
    """A journal on *files*."""
    async with await Journal.open(FOLDER, config, Host(files=files)) as journal:
        yield journal


async def fill(journal: Journal, sequences: Iterable[int]) -> None:
    """Let a receiver take batches."""
    receiver = JournalReceiver(journal, now=now, clock=good_clock)
    for sequence in sequences:
        await receiver.take(received(sequence))


@dataclass
class Bell:
    """Notes which alarms stand."""

    raised: dict[str, Priority] = field(default_factory=dict)
    rung: list[str] = field(default_factory=list)

    async def raise_alarm(
        self, key: str, priority: Priority, what: str, consequence: str, runbook: str
    ) -> None:
        """Note it."""
        assert what
        assert consequence
        assert runbook
        self.raised[key] = priority
        self.rung.append(key)

    async def clear_alarm(self, key: str) -> None:
        """Forget it."""
        self.raised.pop(key, None)


@dataclass
class ScriptedSink:
    """An upstream that answers by script, and takes everything once the script is over."""

    script: list[Callable[[Outbound], Outcome]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    name: str = "script"

    async def send(self, batch: Outbound) -> Outcome:
        """Answer."""
        self.asked.append(batch.batch.sequence)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        outcome = self.script.pop(0)(batch) if self.script else DELIVERED
        if outcome == DELIVERED:
            self.taken.append(batch.batch.sequence)
        return outcome


@dataclass
class Plant:
    """A shipper and everything around it; time only passes in `slept`."""

    journal: Journal
    sink: Sink
    folder: Path
    draining: Draining = field(default_factory=Draining)
    bell: Bell = field(default_factory=Bell)
    slept: list[float] = field(default_factory=list)
    at: dt.datetime = AT

    def __post_init__(self) -> None:
        """Put the shipper together."""
        self.wan = Wan(self.sink.name, self.bell, now=lambda: self.at)
        self.letters = DeadLetters(self.folder / "quarantine")
        self.shipper = Shipper(
            self.journal,
            self.sink,
            self.letters,
            self.wan,
            draining=self.draining,
            random=Random(7),
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += dt.timedelta(seconds=seconds)
        await asyncio.sleep(0)

    async def drain(self, steps: int = 400) -> None:
        """Step until everything is acknowledged."""
        for _ in range(steps):
            if self.drained:
                return
            await self.shipper.step()
        raise AssertionError(f"not drained: {self.journal.acknowledged}")

    @property
    def drained(self) -> bool:
        """Whether nothing waits."""
        done = self.journal.acknowledged
        return bool(done) and done[0][1] >= self.journal.stats().last_seq


@dataclass
class FaultServer:
    """A real HTTP server on loopback that misbehaves by script: a status, "reset", or "hang"."""

    script: list[int | str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Run it; gives its URL."""
        app = web.Application()
        app.router.add_post("/v1/{signal}", self._take)
        runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, auto_decompress=False
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        fault = self.script.pop(0) if self.script else 200
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        body = await request.content.read()
        batch = request.headers["x-batch-id"]
        fields = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.path, fields))
        if fault in {200, "hang"}:
            # What hangs has arrived all the same: the shipper cannot know.
            self.bodies.setdefault(batch, body)
        if fault == "hang":
            await asyncio.sleep(60)
        status = fault if isinstance(fault, int) else 200
        return web.Response(status=status, headers=self.headers if status != 200 else {})
