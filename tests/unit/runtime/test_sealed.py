"""A start on a data folder that takes nothing: verdicts, and nothing a restart contradicts."""

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.gateway import StatusReport, UpdateState
from edge_core.contracts.telemetry import Signal
from edge_runtime.care import Care
from edge_runtime.control import RollbackAsked
from edge_runtime.daemon import serve
from edge_runtime.ledger import Ledger
from edge_runtime.logs import RecentLogs
from edge_runtime.sealed import Sealed, beyond, sealed
from edge_runtime.startup import refusal, sole_use
from edge_runtime.update.store import RecordStore
from tests.simulators.waiting import until
from tests.unit.runtime.gateways import Rig, Running
from tests.unit.runtime.test_gateway import LONG, ask_at, settled

pytestmark = pytest.mark.anyio

REFUSAL = os.strerror(errno.EROFS)


def found(folder: Path) -> dict[str, str]:
    """Every file of the data folder with the digest of its bytes; the control socket is none."""
    files = (each for each in folder.rglob("*") if each.is_file())
    return {
        str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files
    }


@asynccontextmanager
async def running_sealed(rig: Rig) -> AsyncIterator[Running]:
    """The gateway on a folder that it may not touch; that it does not is judged at the end."""
    data = rig.folder / "data"
    before = found(data)
    with sealed(data, REFUSAL, rig.folder) as start:
        async with rig.running(sealed=start) as running:
            yield running
    assert found(data) == before
    assert not list(rig.folder.glob("edge-gateway-*"))


async def committed(rig: Rig) -> tuple[ReleaseRef, ReleaseRef]:
    """Two releases, the second of which the gateway runs."""
    first, second = rig.workshop.release("1"), rig.workshop.release("2")
    async with rig.running() as running:
        for release in (first, second):
            rig.site.assign(release)
            await settled(running, rig, UpdateState.COMMITTED, release.digest)
    return first, second


def keys(reports: list[StatusReport]) -> list[tuple[int, int]]:
    """By which a site orders what it hears."""
    return [(each.boot_epoch, each.sequence) for each in reports]


async def test_what_was_committed_decides(rig: Rig) -> None:
    """It is verified and loaded, one alarm says what to do, and nothing is sent but heartbeats."""
    rig.site.want(health_window_s=0.2)
    _, second = await committed(rig)
    third = rig.workshop.release("3")
    rig.site.assign(third)
    sent, told = len(rig.site.batches), len(rig.site.reports)
    async with running_sealed(rig) as running:
        await running.until(lambda: sum(each.decided for each in running.ear.heard) > 10)
        assert {each.digest for each in running.ear.heard if each.decided} == {second.digest}
        outbox, spool = running.gateway.outbox, running.gateway.spool
        await running.until(lambda: outbox.shed[Signal.METRICS] > 1 and outbox.windows_shed > 0)
        await running.until(lambda: spool.dropped > 0 and rig.site.last.running is not None)
        faults = rig.site.last.faults
        assert any(f"{rig.folder}/data" in each and REFUSAL in each for each in faults)
        assert any("systemctl restart edge-gateway" in each for each in faults)
        assert rig.site.last.references.committed == second.digest
        assert running.gateway.agent.record.entries.keys().isdisjoint({third.digest})
    assert len(rig.site.batches) == sent
    assert not any(each.health for each in rig.site.reports[told:])
    assert not rig.site.permits or rig.site.permits[-1].digest == second.digest


async def test_nobody_is_taken_for_another(rig: Rig) -> None:
    """Two such starts and a sound one after them: no number comes twice, and each is heard."""
    await committed(rig)
    numbers: list[tuple[int, int]] = []
    for _ in range(2):
        async with running_sealed(rig) as running:
            await running.until(lambda: len(running.ear.heard) > 3)
            heard = len(rig.site.reports)
            await running.until(lambda: len(rig.site.reports) > heard + 1)  # noqa: B023 - this turn
            numbers += [(each.epoch, each.window) for each in running.ear.heard if each.window]
            assert running.gateway.status().windows.cut < 10_000
    async with rig.running() as running:
        heard = len(rig.site.reports)
        await running.until(lambda: len(running.ear.heard) > 3 and len(rig.site.reports) > heard)
        numbers += [(each.epoch, each.window) for each in running.ear.heard if each.window]
    assert numbers == sorted(set(numbers))
    assert keys(rig.site.reports) == sorted(set(keys(rig.site.reports)))


async def test_a_person_is_obeyed(rig: Rig) -> None:
    """A rollback holds as long as this run, and whoever orders it hears that."""
    first, second = await committed(rig)
    async with running_sealed(rig) as running:
        await running.until(lambda: running.gateway.agent.running == second.digest)
        answer = await ask_at(rig, RollbackAsked(reason="smells odd"))
        assert (answer.error, answer.exit_code) == ("NotDurableError", 75)
        assert REFUSAL in answer.message
        await running.until(lambda: running.gateway.agent.running == first.digest)
    async with running_sealed(rig) as running:
        await running.until(lambda: running.gateway.agent.running == second.digest)


async def test_no_trial(rig: Rig) -> None:
    """Who was on trial does not decide, and is neither blamed nor charged for such a start."""
    first, second = rig.workshop.release("1"), rig.workshop.release("2")
    async with rig.running() as running:
        rig.site.assign(first)
        await settled(running, rig, UpdateState.COMMITTED, first.digest)
        rig.site.assign(second, trial=LONG)
        await running.until(lambda: running.gateway.agent.running == second.digest)
    permits = len(rig.site.permits)
    async with running_sealed(rig) as running:
        await running.until(lambda: sum(each.decided for each in running.ear.heard) > 5)
        assert {each.digest for each in running.ear.heard if each.decided} == {first.digest}
        assert running.gateway.agent.record.slots.candidate == second.digest
    assert len(rig.site.permits) == permits
    async with rig.running() as running:
        await running.until(lambda: running.gateway.agent.running == second.digest)


async def test_rotten_bytes_give_way(rig: Rig) -> None:
    """What cannot be verified is not loaded; the version before it is."""
    first, second = await committed(rig)
    record = RecordStore(rig.folder / "data" / "record").record
    mine = set(record.entries[second.digest].blobs) - set(record.entries[first.digest].blobs)
    for digest in mine:
        path = rig.folder / "data" / "store" / "blobs" / "sha256" / digest.removeprefix("sha256:")
        path.write_bytes(b"rot")
    with sealed(rig.folder / "data", REFUSAL, rig.folder) as start:
        async with rig.running(sealed=start) as running:
            await running.until(lambda: running.gateway.agent.running == first.digest)


@pytest.mark.parametrize("name", ["outbox", "record/.record-a.json.new"])
async def test_a_start_that_fails_half_way(rig: Rig, name: str) -> None:
    """Where the folder takes a file but not what a start needs, it starts sealed all the same."""
    _, second = await committed(rig)
    place = rig.folder / "data" / name
    if place.is_dir():
        shutil.rmtree(place)
        place.write_bytes(b"in the way")
    else:
        place.mkdir()
        (place.parent / ".record-b.json.new").mkdir()
    heard = len(rig.site.reports)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(serve(rig.config(), RecentLogs(), Care(), rig.folder))
        await until(
            lambda: len(rig.site.reports) > heard and rig.site.last.running == second.digest,
            "it runs",
        )
        assert any("found at the start" in each for each in rig.site.last.faults)
        running.cancel()


async def test_nothing_to_start_from(rig: Rig, tmp_path: Path) -> None:
    """A folder that takes nothing and holds no record is of no use: one line says so."""
    start = Sealed(rig.folder / "data", REFUSAL, tmp_path)
    with pytest.raises(ConfigurationError, match=f"expected a folder we can write: {REFUSAL}"):
        async with rig.running(sealed=start):
            pass


def test_scratch(tmp_path: Path) -> None:
    """What a start reads is copied, what is not there is not; all of it goes with the block."""
    data, below = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    below.mkdir()
    (data / "witness.json").write_bytes(b"{}")
    with sealed(data, REFUSAL, below) as start:
        assert start.scratch.parent == below
        assert start.scratch.stat().st_mode & 0o777 == 0o700
        assert [each.name for each in start.scratch.iterdir()] == ["witness.json"]
        assert (start.data, start.refusal) == (data, REFUSAL)
    assert list(below.iterdir()) == []
    with sealed(data, REFUSAL, tmp_path / "gone") as start:
        assert start.scratch.is_dir()


def test_numbers() -> None:
    """A second apart is far apart, and above what any gateway has given out in its life."""
    assert beyond(lambda: 2 * 10**18) == 2 * 10**12


def test_a_ledger_that_skips(tmp_path: Path) -> None:
    """What is skipped was never cut; numbers only grow."""
    with Ledger(tmp_path / "windows") as ledger:
        assert ledger.give(1) == 1
        ledger.skip_to(100)
        assert (ledger.give(2), ledger.counts.cut) == (101, 2)
        assert list(ledger.unfinished) == [101]


def test_refusals(tmp_path: Path) -> None:
    """A folder that takes a file is sound, and nothing is left in it; one that is gone is not."""
    assert refusal(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert refusal(tmp_path / "gone") == "No such file or directory"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="expected a folder we can write"):
        sole_use(tmp_path / "file").__enter__()
