"""What is acknowledged to a gateway survives a power cut; what does not is not acknowledged."""

import asyncio
import dataclasses
from pathlib import Path
from random import Random
from threading import Event

import pytest

from edge_core.contracts.telemetry import BatchId
from edge_core.journal import Journal, JournalConflictError, JournalSyncError
from edge_site_proxy.telemetry.batch import outbound_of
from edge_site_proxy.telemetry.errors import DamagedBodyError
from edge_site_proxy.telemetry.receiver import JournalReceiver
from tests.simulators.files import SimulatedFiles
from tests.unit.site_proxy.telemetry.made import (
    AT,
    good_clock,
    journal_on,
    now,
    received,
)

pytestmark = pytest.mark.anyio


def receiver_of(journal: Journal) -> JournalReceiver:
    """A receiver in front of *journal*."""
    return JournalReceiver(journal, now=now, clock=good_clock)


async def kept(journal: Journal) -> list[tuple[BatchId, bytes]]:
    """What would go upstream."""
    batch = await journal.read_batch(0)
    found = [outbound_of(record) for record in batch.records]
    return [(each.batch, each.body) for each in found if each is not None]


@dataclasses.dataclass
class Gate:
    """Holds every sync until it is opened."""

    reached: Event = dataclasses.field(default_factory=Event)
    opened: Event = dataclasses.field(default_factory=Event)

    def __call__(self, call: str, _: Path) -> None:
        """Called by the simulated disk before each call."""
        if call == "sync":
            self.reached.set()
            self.opened.wait(5)


@pytest.mark.parametrize("seed", range(5))
async def test_power_cut_after(seed: int) -> None:
    """Once taken, a batch is there after a power cut, byte for byte."""
    files = SimulatedFiles()
    wanted = [received(number) for number in range(1, 6)]
    async with journal_on(files) as journal:
        for each in wanted:
            await receiver_of(journal).take(each)
        files.cut_power(Random(seed))
    async with journal_on(files) as journal:
        assert await kept(journal) == [(each.batch, each.body) for each in wanted]


async def test_power_cut_before() -> None:
    """Between append and sync nothing is acknowledged; the repeat after the cut is taken."""
    files = SimulatedFiles()
    async with journal_on(files) as journal:
        await receiver_of(journal).take(received(1))
        gate = files.fail = Gate()
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(receiver_of(journal).take(received(2)))
            await asyncio.to_thread(gate.reached.wait, 5)
            assert not taking.done()
            files.cut_power(Random(3))
            gate.opened.set()
            taking.cancel()
    async with journal_on(files) as journal:
        await receiver_of(journal).take(received(2))
        assert [batch.sequence for batch, _ in await kept(journal)] == [1, 2]


async def test_repeat_waits() -> None:
    """A repeat of a batch that is still on its way to the disk waits for it, too."""
    files = SimulatedFiles()
    async with journal_on(files) as journal:
        await receiver_of(journal).take(received(1))
        gate = files.fail = Gate()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(receiver_of(journal).take(received(2)))
            await asyncio.to_thread(gate.reached.wait, 5)
            again = group.create_task(receiver_of(journal).take(received(2)))
            await asyncio.sleep(0.01)
            assert not first.done()
            assert not again.done()
            gate.opened.set()
        assert len(await kept(journal)) == 2


async def test_repeat_after_restart() -> None:
    """A repeat is recognised after a restart as well, and stored once."""
    files = SimulatedFiles()
    for _ in range(2):
        async with journal_on(files) as journal:
            await receiver_of(journal).take(received(1))
            assert len(await kept(journal)) == 1


async def test_conflict() -> None:
    """An id that was used for other bytes is refused loudly."""
    async with journal_on(SimulatedFiles()) as journal:
        await receiver_of(journal).take(received(1))
        with pytest.raises(JournalConflictError):
            await receiver_of(journal).take(received(1, received(2).body))


async def test_failed_sync() -> None:
    """When the disk does not confirm, the gateway is not told that it did."""
    files = SimulatedFiles()

    def fail(call: str, _: Path) -> None:
        if call == "sync":
            raise OSError(5, "Input/output error")

    async with journal_on(files) as journal:
        files.fail = fail
        with pytest.raises(JournalSyncError):
            await receiver_of(journal).take(received(1))


async def test_wrong_sum() -> None:
    """A body that is not what its checksum says is refused before it is kept."""
    async with journal_on(SimulatedFiles()) as journal:
        wrong = dataclasses.replace(received(1), crc32c=1)
        with pytest.raises(DamagedBodyError, match="00000001"):
            await receiver_of(journal).take(wrong)
        assert await kept(journal) == []


async def test_stock_sdk() -> None:
    """Without an id every batch is a new one; the proxy's own id for it stays the same."""
    async with journal_on(SimulatedFiles()) as journal:
        plain = dataclasses.replace(received(1), batch=None, crc32c=None)
        await receiver_of(journal).take(plain)
        await receiver_of(journal).take(plain)
        ids = [batch for batch, _ in await kept(journal)]
        assert len(set(ids)) == 2
        assert ids == [batch for batch, _ in await kept(journal)]
        assert {batch.serial for batch in ids} == {"gw-101.proxy"}


async def test_facts() -> None:
    """Ingest time and the clock's quality travel with the batch; the body is not touched."""
    async with journal_on(SimulatedFiles()) as journal:
        await receiver_of(journal).take(received(1))
        (record,) = (await journal.read_batch(0)).records
        outbound = outbound_of(record)
        assert outbound is not None
        assert outbound.ingest_unix_nano == int(AT.timestamp()) * 10**9
        assert outbound.synchronised
        assert outbound.crc32c == received(1).crc32c
