"""Draining: nothing lost, repeats recognisable, an outage survived, live data not held up."""

import datetime as dt
import gzip
from pathlib import Path
from random import Random

import pytest

from edge_core.contracts.api import Priority
from edge_core.journal import Journal
from edge_site_proxy.telemetry.batch import Outbound
from edge_site_proxy.telemetry.order import Order
from edge_site_proxy.telemetry.receiver import JournalReceiver
from edge_site_proxy.telemetry.retry import DELIVERED, TRIES_MAX, Outcome, Verdict
from edge_site_proxy.telemetry.shipper import Draining
from edge_site_proxy.telemetry.status import TelemetryStatus, waiting_records
from tests.simulators.files import SimulatedFiles
from tests.unit.site_proxy.telemetry.made import (
    Bell,
    Plant,
    ScriptedSink,
    fill,
    good_clock,
    journal_on,
    now,
    received,
)

pytestmark = pytest.mark.anyio


def down(_: Outbound) -> Outcome:
    """Nobody there."""
    return Outcome(Verdict.RETRY, "connection refused")


def up(_: Outbound) -> Outcome:
    """Taken."""
    return DELIVERED


async def test_drains(tmp_path: Path) -> None:
    """Everything goes up once, in order, several at a time, and its room is given back."""
    files = SimulatedFiles()
    async with journal_on(files) as journal:
        await fill(journal, range(1, 301))
        plant = Plant(journal, sink := ScriptedSink(), tmp_path)
        await plant.drain()
        assert sink.taken == list(range(1, 301))
        assert sink.most > 4
        assert journal.stats().segments == 1
        assert plant.wan.ok


async def test_outage(tmp_path: Path) -> None:
    """An outage loses nothing; waits grow with jitter; the first one after it goes alone."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 11))
        sink = ScriptedSink([down] * 9)
        plant = Plant(journal, sink, tmp_path)
        for _ in range(12):
            await plant.shipper.step()
        assert not plant.wan.ok
        assert sink.asked[4:9] == [1] * 5
        assert max(plant.slept) > 1
        await plant.drain()
        assert sorted(sink.taken) == list(range(1, 11))
        assert plant.wan.ok


async def test_long_outage_alarm(tmp_path: Path) -> None:
    """A WAN that stays away is an alarm, not a page; it goes when the WAN is back."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, [1])
        plant = Plant(journal, ScriptedSink([down] * 60), tmp_path)
        for _ in range(110):
            await plant.shipper.step()
            if "telemetry-outage" in plant.bell.raised:
                break
        assert plant.bell.raised == {"telemetry-outage": Priority.P3}
        await plant.drain()
        assert plant.bell.raised == {}


async def test_an_alarm_from_before_the_start(tmp_path: Path) -> None:
    """One that stood when the proxy was restarted goes with the first batch that is taken."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, [1])
        plant = Plant(journal, ScriptedSink(), tmp_path)
        plant.bell.raised = {"telemetry-outage": Priority.P3}
        await plant.drain()
        assert plant.bell.raised == {}


async def test_live_first(tmp_path: Path) -> None:
    """After an outage what comes in now does not wait behind the backlog, and both arrive."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 401))
        sink = ScriptedSink([down] * 4)
        plant = Plant(journal, sink, tmp_path, draining=Draining(read_bytes=2048))
        while len(sink.taken) < 20:
            await plant.shipper.step()
        await fill(journal, range(401, 411))
        await plant.drain()
        assert sorted(sink.taken) == list(range(1, 411))
        assert sink.taken.index(401) < 60


async def test_fifo(tmp_path: Path) -> None:
    """An upstream that needs order gets it, also after an outage."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 101))
        sink = ScriptedSink([down] * 4)
        plant = Plant(journal, sink, tmp_path, draining=Draining(order=Order.FIFO))
        while len(sink.taken) < 20:
            await plant.shipper.step()
        await fill(journal, range(101, 111))
        await plant.drain()
        assert sink.taken == list(range(1, 111))


async def test_wrong_setting(tmp_path: Path) -> None:
    """A refused certificate pauses everything with an alarm, and drops nothing."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 6))
        forbidden = Outcome(Verdict.PAUSE, "upstream answered 403")
        sink = ScriptedSink([lambda _: forbidden] * 6)
        plant = Plant(journal, sink, tmp_path)
        await plant.shipper.step()
        await plant.shipper.step()
        assert plant.bell.raised == {"telemetry-paused": Priority.P2}
        assert plant.slept == [60.0]
        await plant.drain()
        assert sorted(sink.taken) == [1, 2, 3, 4, 5]
        assert plant.bell.raised == {}


async def test_refused_batch(tmp_path: Path) -> None:
    """A batch that the upstream will never take is set aside with its reason, not dropped."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 6))

        def picky(batch: Outbound) -> Outcome:
            bad = batch.batch.sequence == 3
            return Outcome(Verdict.REFUSED, "upstream answered 400") if bad else DELIVERED

        sink = ScriptedSink([picky] * 10)
        plant = Plant(journal, sink, tmp_path)
        await plant.drain()
        assert sink.taken == [1, 2, 4, 5]
        (facts,) = (tmp_path / "quarantine").glob("*.json")
        assert b'"gw-101/1/3"' in facts.read_bytes()
        assert b"400" in facts.read_bytes()
        assert facts.with_suffix(".body").exists()
        assert plant.bell.raised == {"telemetry-dead-letters": Priority.P3}


async def test_error_of_theirs(tmp_path: Path) -> None:
    """An internal error is tried again for a while; only then is that batch set aside."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 4))
        tries: list[int] = []

        def broken(batch: Outbound) -> Outcome:
            tries.append(batch.batch.sequence)
            bad = batch.batch.sequence == 1
            return Outcome(Verdict.FAILED, "upstream answered 500") if bad else DELIVERED

        plant = Plant(journal, ScriptedSink([broken] * 40), tmp_path)
        await plant.drain()
        assert tries.count(1) == TRIES_MAX
        assert tries.count(2) == 1
        assert plant.letters.count == 1


async def test_retry_after(tmp_path: Path) -> None:
    """The upstream's own wish is honoured."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, [1])
        busy = Outcome(Verdict.RETRY, "upstream answered 503", dt.timedelta(seconds=42))
        plant = Plant(journal, ScriptedSink([lambda _: busy]), tmp_path)
        await plant.drain()
        assert plant.slept == [42.0]


async def test_restart(tmp_path: Path) -> None:
    """After a restart only what was not acknowledged goes up again."""
    files = SimulatedFiles()
    async with journal_on(files) as journal:
        await fill(journal, range(1, 21))
        plant = Plant(journal, first := ScriptedSink(), tmp_path)
        await plant.shipper.step()
        await plant.shipper.step()
    async with journal_on(files) as journal:
        await Plant(journal, second := ScriptedSink(), tmp_path).drain()
    assert first.taken + second.taken == list(range(1, 21))


async def test_view(tmp_path: Path) -> None:
    """The overview shows how much waits, for how long, and whether the WAN is there."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill(journal, range(1, 6))
        plant = Plant(journal, ScriptedSink([down] * 4), tmp_path)
        await plant.shipper.step()
        await plant.shipper.step()
        status = TelemetryStatus(journal, plant.shipper, plant.wan, now=lambda: plant.at)
        view = status.view()
        assert (view.waiting_records, view.upstream_ok, view.state) == (5, False, "healthy")
        assert view.oldest_age_s is not None
        await plant.drain()
        assert status.view().waiting_records == 0
        assert status.view().oldest_age_s is None


async def test_buffer_alarm(tmp_path: Path) -> None:
    """A buffer under pressure is an alarm, once, and it goes again."""
    async with journal_on(SimulatedFiles()) as journal:
        await fill_up(journal)
        plant = Plant(journal, ScriptedSink(), tmp_path)
        status = TelemetryStatus(journal, plant.shipper, plant.wan, now=lambda: plant.at)
        bell = Bell()
        await status.look(bell)
        await status.look(bell)
        assert bell.rung == ["telemetry-buffer"]
        await plant.drain(2000)
        await status.look(bell)
        assert bell.raised == {}


async def fill_up(journal: Journal) -> None:
    """Come to four fifths of the room."""
    receiver = JournalReceiver(journal, now=now, clock=good_clock)
    for sequence in range(1, 1000):
        if journal.stats().state.value != "healthy":
            return
        noise = gzip.compress(Random(sequence).randbytes(8000), mtime=0)
        await receiver.take(received(sequence, noise))


RANGES = {
    "nothing done": (5, (), 5),
    "all done": (5, ((0, 5),), 0),
    "done with a gap": (9, ((0, 3), (5, 6)), 4),
    "nothing there": (0, ((0, 0),), 0),
}


@pytest.mark.parametrize(("last", "done", "waits"), RANGES.values(), ids=RANGES.keys())
async def test_waiting(last: int, done: tuple[tuple[int, int], ...], waits: int) -> None:
    """What waits is what is not acknowledged."""
    assert waiting_records(last, done) == waits
