"""Drains the journal upstream: at least once, repeats recognisable, nothing dropped.

A round is a handful of batches at once. What was taken, and what was set aside, is acknowledged;
the rest is read again after a pause, and the first round after a failure is one probe.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Protocol

import structlog

from edge_core.journal import MIB, Batch, JournalStats, JournalUnreadableError, Record
from edge_site_proxy.telemetry.batch import Outbound, outbound_of
from edge_site_proxy.telemetry.dead_letters import DeadLetters, LettersFullError
from edge_site_proxy.telemetry.order import Lane, Order, Places
from edge_site_proxy.telemetry.retry import TRIES_MAX, Outcome, Pace, Verdict, backoff
from edge_site_proxy.telemetry.sink import Sink
from edge_site_proxy.telemetry.wan import Wan

_log = structlog.get_logger(__name__)


class Queue(Protocol):
    """What is asked of the journal."""

    async def read_batch(self, after: int, bytes_max: int) -> Batch:
        """The next unacknowledged records above *after*."""
        ...

    async def wait_for(self, after: int) -> None:
        """Return when there is a record above *after*."""
        ...

    async def acknowledge(self, last: int, first: int | None = None) -> None:
        """Never deliver again what lies from *first* to *last*."""
        ...

    def stats(self) -> JournalStats:
        """Of which the newest record's number is looked at."""
        ...


@dataclass(frozen=True, slots=True)
class Draining:
    """How to drain.

    Attributes:
        order: what goes first after an outage.
        deadline: for one batch; past it nobody knows whether it arrived, so it is sent again.
        backoff_max: the longest wait between two tries; the upstream's own wish may be longer.
        read_bytes: what is held in memory, whatever the length of the backlog.
    """

    order: Order = Order.FRESH_FIRST
    deadline: timedelta = timedelta(seconds=30)
    backoff_max: timedelta = timedelta(seconds=60)
    read_bytes: int = 1 * MIB


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch to send, and the number from which on its acknowledgement holds."""

    batch: Outbound
    first: int


class Shipper:
    """One task that ships until it is cancelled.

    Args:
        queue: the journal.
        sink: where to.
        letters: where goes what the upstream will never take.
        wan: told how it goes.
        draining: order and deadline.
        random: for the jitter.
        sleep: waits so many seconds; a simulation has its own.
    """

    def __init__(
        self,
        queue: Queue,
        sink: Sink,
        letters: DeadLetters,
        wan: Wan,
        *,
        draining: Draining,
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._sink = sink
        self._letters = letters
        self._wan = wan
        self._draining = draining
        self._random = random
        self._sleep = sleep
        self._buffer: deque[_Waiting] = deque()
        self._places = Places()
        self._pace = Pace()
        self._tries: Counter[int] = Counter()
        self.delivered = 0
        self.partial = 0
        self.oldest_ingest_unix_nano: int | None = None

    async def run(self) -> None:
        """Ship until cancelled."""
        while True:
            await self.step()

    async def step(self) -> None:
        """One round: read if need be, send, acknowledge, and wait if something went wrong."""
        if not self._buffer:
            await self._refill()
            return
        count = min(self._pace.window, len(self._buffer))
        chosen = [self._buffer.popleft() for _ in range(count)]
        outcomes = await self._send(chosen)
        trouble = await self._settle(chosen, outcomes)
        if trouble is None:
            await self._went_well(outcomes)
        else:
            await self._went_wrong(trouble)

    async def _refill(self) -> None:
        lane = self._places.next_lane()
        after = self._places.after(lane)
        try:
            batch = await self._queue.read_batch(after, self._draining.read_bytes)
        except JournalUnreadableError as error:
            await self._went_wrong(Outcome(Verdict.RETRY, str(error)))
            return
        if lane is Lane.LIVE and batch.reached == after:
            await self._idle(after)
            return
        records = [each for each in batch.records if self._belongs(each, lane)]
        if not batch.records:
            # Nothing readable lies in between: let the journal take such segments away.
            await self._queue.acknowledge(batch.reached, after + 1)
        self._buffer.extend(_waiting(records, after))
        self._places = self._places.moved(lane, batch.reached, found=bool(records))
        self._note_oldest(lane, records)

    def _belongs(self, record: Record, lane: Lane) -> bool:
        split = self._places.split
        return lane is Lane.LIVE or split is None or record.seq <= split

    async def _idle(self, after: int) -> None:
        if self._places.split is None:
            self.oldest_ingest_unix_nano = None
            await self._queue.wait_for(after)
        self._places = self._places.moved(Lane.LIVE, after, found=False)

    def _note_oldest(self, lane: Lane, records: Sequence[Record]) -> None:
        if records and (lane is Lane.BACKLOG or self._places.split is None):
            self.oldest_ingest_unix_nano = records[0].entry.ingest_unix_ns

    async def _send(self, chosen: Sequence[_Waiting]) -> list[Outcome]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send_one(each.batch)) for each in chosen]
        return [task.result() for task in tasks]

    async def _send_one(self, batch: Outbound) -> Outcome:
        try:
            async with asyncio.timeout(self._draining.deadline.total_seconds()):
                return await self._sink.send(batch)
        except TimeoutError:
            # It may have arrived: the same id again lets the other side tell.
            return Outcome(Verdict.RETRY, f"no answer in {self._draining.deadline}")

    async def _settle(
        self, chosen: Sequence[_Waiting], outcomes: Sequence[Outcome]
    ) -> Outcome | None:
        """Acknowledge what is done with; the first trouble, if there was any."""
        trouble: Outcome | None = None
        for waiting, outcome in zip(chosen, outcomes, strict=True):
            stuck = await self._settle_one(waiting, outcome)
            trouble = trouble or stuck
        return trouble

    async def _settle_one(self, waiting: _Waiting, outcome: Outcome) -> Outcome | None:
        batch = waiting.batch
        if outcome.verdict in {Verdict.RETRY, Verdict.PAUSE}:
            return outcome
        if outcome.verdict is Verdict.FAILED:
            self._tries[batch.seq] += 1
            if self._tries[batch.seq] < TRIES_MAX:
                return outcome
        if outcome.verdict is Verdict.DELIVERED:
            self.delivered += 1
            self.partial += outcome.partial
        else:
            stuck = await self._set_aside(batch, outcome.reason)
            if stuck is not None:
                return stuck
        self._tries.pop(batch.seq, None)
        await self._queue.acknowledge(batch.seq, waiting.first)
        return None

    async def _set_aside(self, batch: Outbound, reason: str) -> Outcome | None:
        try:
            await asyncio.to_thread(self._letters.put, batch, reason)
        except (LettersFullError, OSError) as error:
            return Outcome(Verdict.PAUSE, f"dead letter {batch.batch}: {error}")
        await self._wan.refused(str(batch.batch), reason)
        return None

    async def _went_well(self, outcomes: Sequence[Outcome]) -> None:
        if all(outcome.verdict is not Verdict.DELIVERED for outcome in outcomes):
            return
        if self._pace.failures:
            last = self._queue.stats().last_seq
            self._buffer.clear()
            self._places = self._places.back_up(last, self._draining.order)
        self._pace = self._pace.after_success()
        await self._wan.up()

    async def _went_wrong(self, trouble: Outcome) -> None:
        self._buffer.clear()
        self._places = self._places.again()
        self._pace = self._pace.after_failure()
        setting = trouble.verdict is Verdict.PAUSE
        await self._wan.down(trouble.reason, setting=setting)
        longest = self._draining.backoff_max
        wait = longest if setting else backoff(self._pace.failures, self._random, longest)
        await self._sleep((trouble.after or wait).total_seconds())


def _waiting(records: Sequence[Record], after: int) -> list[_Waiting]:
    """Batches with the ranges that their acknowledgement covers: numbers in between are gaps."""
    waiting: list[_Waiting] = []
    first = after + 1
    for record in records:
        batch = outbound_of(record)
        if batch is None:
            _log.warning("record.unknown", seq=record.seq, kind=record.entry.kind)
            first = record.seq + 1
            continue
        waiting.append(_Waiting(batch, first))
        first = record.seq + 1
    return waiting
