"""All gateways of the simulated site at once: their connections, and what each of them does.

A gateway obeys as the real one does: it comes back when it is asked to, give or take a fifth, it
fetches what the site wants only when that changed, and what is refused for now it sends again.
"""

import asyncio
import random
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bench.fleet_daemon import Daemon
from bench.fleet_gateway import Box
from bench.fleet_load import Answer, Link, client_context, request
from bench.fleet_site import SiteFolder
from edge_core import clock
from edge_core.contracts.gateway import Desired, HealthWindow, StatusReply
from edge_core.contracts.telemetry import BATCH_CRC_HEADER, BATCH_ID_HEADER
from edge_core.journal.layout import crc32c

QUIET_S: Final = 30.0
JITTER: Final = 0.2
RETRIES_MAX: Final = 120  # ten minutes at five seconds each: twice what any goal allows
RECONNECT_S: Final = 5.0
FETCH: Final = request("GET", "/gateway/v1/desired")
BATCH_BYTES: Final = 9_000  # of one OTLP request before gzip, about a third of it after


@dataclass(slots=True)
class Gateway:
    """One of the crowd."""

    box: Box
    link: Link | None = None
    etag: str = ""
    batches: int = 0


@dataclass(slots=True)
class Crowd:
    """Everybody.

    Attributes:
        retries: answers that said "not now".
        reconnects: connections that were broken off before the first answer, and made again.
        refused: answers that said anything else than yes.
    """

    made: SiteFolder
    daemon: Daemon
    gateways: dict[str, Gateway]
    seed: int = 7
    retries: int = 0
    reconnects: int = 0
    refused: list[str] = field(default_factory=list)
    _batch: bytes = b""
    _context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        """Make the one body that all telemetry has."""
        rng = random.Random(self.seed)
        words = b"".join(rng.randbytes(3) + b"\x12\x0bflow l/min\x00" for _ in range(BATCH_BYTES))
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        self._batch = packer.compress(words[:BATCH_BYTES]) + packer.flush()

    def everybody(self) -> list[Gateway]:
        """In the order of the inventory."""
        return list(self.gateways.values())

    def renew_links(self) -> None:
        """Hang up, and load everybody's key into a new link, as real ones do on their own time."""
        for gateway in self.gateways.values():
            if gateway.link is not None:
                gateway.link.close()
            gateway.link = self._link(gateway)

    async def connect(self) -> None:
        """Everybody at once over its new link, each until it knows what the site wants of it."""

        async def one(gateway: Gateway) -> None:
            while True:
                assert gateway.link is not None
                try:
                    answer = await gateway.link.open(self.daemon.port, FETCH)
                except OSError:
                    self.reconnects += 1
                    await asyncio.sleep(around(RECONNECT_S))
                    gateway.link = self._link(gateway)
                    continue
                assert answer.status == 200, answer
                return

        await self.all_at_once(one)

    def _link(self, gateway: Gateway) -> Link:
        if self._context is None:
            self._context = client_context(self.made.ca)
        self._context.load_cert_chain(self.made.chain(gateway.box.serial))
        return Link(self._context)

    async def all_at_once(
        self,
        act: Callable[[Gateway], Awaitable[None]],
        some: Iterable[Gateway] | None = None,
        at_once: int | None = None,
    ) -> None:
        """Let everybody, or *some*, act; at most so many at the same moment."""
        chosen = list(self.gateways.values() if some is None else some)
        room = asyncio.Semaphore(at_once or len(chosen) or 1)

        async def one(gateway: Gateway) -> None:
            async with room:
                await act(gateway)

        async with asyncio.TaskGroup() as group:
            for gateway in chosen:
                group.create_task(one(gateway))

    async def send(self, gateway: Gateway, raw: bytes) -> Answer:
        """One request until it is answered; "not now" is obeyed."""
        assert gateway.link is not None
        for _ in range(RETRIES_MAX):
            answer = await gateway.link.exchange(raw)
            if answer.status not in {429, 503}:
                if answer.status >= 400:
                    self.refused.append(f"{gateway.box.serial}: {answer.status} {answer.body!r}")
                return answer
            self.retries += 1
            await asyncio.sleep(around(answer.retry_after_s or 1.0))
        raise TimeoutError(f"{gateway.box.serial}: refused {RETRIES_MAX} times in a row")

    async def beat(self, gateway: Gateway, health: list[HealthWindow]) -> StatusReply:
        """One heartbeat."""
        report = msgspec.json.encode(gateway.box.report(health))
        answer = await self.send(gateway, request("POST", "/gateway/v1/status", report))
        return msgspec.json.decode(answer.body, type=StatusReply)

    async def follow(self, gateway: Gateway, reply: StatusReply) -> bool:
        """Fetch what is wanted if that changed; whether it was an order that was obeyed."""
        if reply.desired_etag == gateway.etag:
            return False
        desired = await self.fetch(gateway)
        gateway.etag = reply.desired_etag
        return gateway.box.told(desired)

    async def fetch(self, gateway: Gateway) -> Desired:
        """What the site wants."""
        answer = await self.send(gateway, FETCH)
        return msgspec.json.decode(answer.body, type=Desired)

    async def ship(self, gateway: Gateway) -> None:
        """One batch of telemetry."""
        gateway.batches += 1
        batch = f"{gateway.box.serial}/{gateway.box.boot_epoch}/{gateway.batches}"
        headers = (
            "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n"
            f"{BATCH_ID_HEADER}: {batch}\r\n{BATCH_CRC_HEADER}: {crc32c(self._batch):08x}\r\n"
        )
        await self.send(gateway, request("POST", "/v1/metrics", self._batch, headers))

    async def show(self, gateway: Gateway, number: int) -> None:
        """One window for people to look at."""
        body = msgspec.json.encode(gateway.box.suspect(number, clock.now()))
        await self.send(gateway, request("POST", "/gateway/v1/review", body))


def around(seconds: float) -> float:
    """*seconds* give or take a fifth, so that nobody stays in step."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)
