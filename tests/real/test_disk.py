"""A gateway's disk is full, cannot flush, and is then taken by the kernel: verdicts go on.

The disk is an ext4 file system of 32 MiB on a loop device, which needs root. A flush that fails
comes from strace, at every one of the daemon's threads.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from edge_core.contracts import telemetry as named
from edge_core.contracts.gateway import Outcome
from edge_core.contracts.telemetry import Signal
from edge_core.oci import BlobStore
from edge_runtime.update.store import RecordStore
from tests.real.gateway_at_plant import Contact, GatewayAtPlant, at_plant, need
from tests.real.test_journal_power_cut import Disk, needs
from tests.simulators.gateway_site import GatewaySite, serving
from tests.simulators.releases import Workshop
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

SERIAL = "gw-1"
DISK_BYTES = 32 << 20
LEFT_BYTES = 200 << 10  # too little for any release
PIECES = (1 << 20, 1 << 12, 1)
WINDOWS = 10
BATCHES = 3


@dataclass(frozen=True, slots=True)
class Story:
    """A gateway that runs version 1, its disk and its site."""

    disk: Disk
    gateway: GatewayAtPlant
    site: GatewaySite
    workshop: Workshop

    def faults(self, *words: str) -> bool:
        """Whether a fault has all the words, and names where the disk is mounted."""
        wanted = (str(self.disk.mounted), *words)
        return any(all(word in fault for word in wanted) for fault in self.gateway.status().faults)

    async def go_on(self) -> None:
        """Verdicts go on."""
        await self.gateway.until_more(WINDOWS)

    async def out_of_reach(self) -> None:
        """The site goes away, and so some batches wait on the disk."""
        self.site.away = True
        waiting = self.gateway.status().outbox_waiting
        await until(
            lambda: self.gateway.status().outbox_waiting >= waiting + BATCHES, "batches wait"
        )

    @property
    def blobs(self) -> set[str]:
        """What lies in the store of releases."""
        return set(BlobStore(self.gateway.data / "store").digests())

    def judge_verdicts(self) -> None:
        """By the broker every window has its verdict, in order."""
        numbers = [verdict.window for verdict in self.gateway.verdicts() if verdict.window]
        assert {after - before for before, after in pairwise(numbers)} == {1}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small one."""
    need("strace")
    needs("mkfs.ext4", "mount", "umount", "findmnt")
    made = Disk(tmp_path / "image", tmp_path / "mounted", DISK_BYTES)
    made.mount()
    yield made
    made.unmount()


@asynccontextmanager
async def told(disk: Disk, folder: Path) -> AsyncIterator[Story]:
    """The story up to the day on which something is wrong with the disk."""
    workshop = Workshop.below(folder / "workshop")
    (folder / "trust-policy.toml").write_text(workshop.policy())
    async with (
        serving(SERIAL, workshop.layout, folder) as site,
        at_plant(folder, disk.mounted / "data", SERIAL) as gateway,
    ):
        (folder / "token").chmod(0o600)
        gateway.configure(Contact(site.url, site.enrol_url, folder / "ca.pem"))
        site.want(health_window_s=1.0, review_budget=0)
        site.assign(workshop.release("1"))
        gateway.daemon.start()
        await gateway.until_decided("1")
        await until(lambda: site.last.references.committed is not None, "it is committed")
        yield Story(disk, gateway, site, workshop)


def fill(disk: Disk, left_bytes: int) -> Path:
    """A file that takes the room of *disk* up to *left_bytes*; 0 is to the last byte."""
    path = disk.mounted / f"filler-{left_bytes}"
    with path.open("wb", buffering=0) as file:
        found = os.statvfs(disk.mounted)
        free = found.f_bavail * found.f_frsize
        with suppress(OSError):  # the gateway may have taken room meanwhile; the pieces are left
            os.posix_fallocate(file.fileno(), 0, max(1, free - left_bytes))
        file.seek(0, os.SEEK_END)
        for piece in PIECES if not left_bytes else ():
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue  # it is full for pieces of this size
    return path


async def test_full(disk: Disk, tmp_path: Path) -> None:
    """Without room for a release none starts; without any, all goes on, and is told by its folder.

    Then there is room again: what was kept arrives, what was refused was counted.
    """
    async with told(disk, tmp_path) as story:
        gateway, site = story.gateway, story.site
        fillers = [fill(disk, LEFT_BYTES)]
        had = story.blobs
        site.assign(story.workshop.release("2"), attempt=2)
        await until(lambda: outcome(site) is Outcome.FAILED_NO_CHANGE, "an update is refused")
        assert site.last.update is not None
        assert site.last.update.veto == "space"
        assert story.blobs == had
        await story.out_of_reach()
        fillers.append(fill(disk, 0))
        await until(lambda: story.faults("outbox", "full"), "it says which disk is full")
        await story.go_on()
        site.away = False
        site.assign(story.workshop.release("3"), attempt=3)
        heard = len(site.reports)
        await until(lambda: len(site.reports) > heard + 5, "the site hears of it")
        assert any(str(disk.mounted) in fault for fault in site.last.faults)
        code, said = await gateway.command("doctor", "--local")
        assert code == 75
        assert f"{gateway.data}: expected a folder that can be written; found No space" in said
        _, said = await gateway.command("status")
        assert f"fault       journal {gateway.data}/outbox: the disk is full" in said
        await story.go_on()
        assert story.blobs == had
        for filler in fillers:
            filler.unlink()
        await until(lambda: not gateway.status().faults, "all is well again")
        await gateway.until_decided("3")
        await until(lambda: gateway.status().outbox_waiting == 0, "all that was kept arrives")
        await until(lambda: refused(site) == shed(site) > 0, "the rest was counted")
        story.judge_verdicts()
        judge_health(site)
        for instrument in (named.DISK_WRITTEN, named.OUTBOX_WRITTEN, named.WEAR_BUDGET_USED):
            assert instrument.name in figures(site)


async def test_start_on_a_full_disk(disk: Disk, tmp_path: Path) -> None:
    """A gateway that is killed while its disk is full starts by itself, with what it ran."""
    async with told(disk, tmp_path) as story:
        gateway = story.gateway
        await until((gateway.data / "reserve").exists, "room for a start is held back")
        fill(disk, 0)
        gateway.daemon.kill()
        before = len(gateway.verdicts())
        gateway.daemon.start()
        await until(lambda: len(gateway.verdicts()) > before + WINDOWS, "it starts by itself")
        await gateway.until_decided("1")
        assert not (gateway.data / "reserve").exists()


@contextmanager
def worn(pid: int) -> Iterator[None]:
    """No flush of the process succeeds, as long as the block lasts."""
    calls = "fsync,fdatasync"
    trace = ["strace", "--follow-forks", f"--attach={pid}", f"--output={os.devnull}"]
    with subprocess.Popen(
        [*trace, f"--trace={calls}", f"--inject={calls}:error=EIO"], stderr=subprocess.PIPE
    ) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert b"attached" in said, said
        try:
            yield
        finally:
            tracer.terminate()
            tracer.communicate()


async def test_worn(disk: Disk, tmp_path: Path) -> None:
    """No flush succeeds, then nothing can be written: verdicts go on, and each is told.

    On a sound disk the gateway starts where it was, and what it had kept arrives.
    """
    async with told(disk, tmp_path) as story:
        gateway, site = story.gateway, story.site
        await story.out_of_reach()
        kept = len(arrived(site)) + gateway.status().outbox_waiting
        with worn(gateway.daemon.pid):
            await until(lambda: story.faults("outbox", "failed"), "a flush that fails is told")
            await story.go_on()
        disk.wear_out()
        await until(lambda: story.faults("Read-only"), "a disk that takes nothing is told")
        await story.go_on()
        code, said = await gateway.command("doctor", "--local")
        assert (code, "found Read-only file system" in said) == (75, True)
        story.judge_verdicts()
        assert await gateway.stop() == 0
        assert "Traceback" not in "\n".join(gateway.daemon.lines())
        await asyncio.to_thread(disk.unmount)
        disk.mount()
        site.away = False
        gateway.daemon.start()
        before = len(gateway.verdicts())
        await until(lambda: len(gateway.verdicts()) > before + WINDOWS, "it starts by itself")
        await gateway.until_decided("1")
        await until(lambda: len(arrived(site)) >= kept, "what was kept arrives")
        assert sorted(arrived(site))[:kept] == list(range(1, kept + 1))


async def test_start_on_a_dead_disk(disk: Disk, tmp_path: Path) -> None:
    """A gateway that starts on a disk that the kernel has taken goes on with what it ran.

    It keeps nothing and sends nothing that it could not keep; a rollback holds as long as the run.
    On a sound disk it starts where it was, and nothing that it says was ever said of another.
    """
    async with told(disk, tmp_path) as story:
        gateway, site = story.gateway, story.site
        site.assign(story.workshop.release("2"), attempt=2)
        await gateway.until_decided("2")
        await until(lambda: site.last.references.previous_good is not None, "it is committed")
        kept = found(gateway.data)
        disk.wear_out()
        gateway.daemon.kill()
        sent = len(site.batches)
        for _ in range(2):
            await started(gateway, "2")
            assert story.faults("Read-only file system", "systemctl restart edge-gateway")
            _, said = await gateway.command("status")
            assert f"fault       data {gateway.data}" in said
            await story.go_on()
            code, said = await gateway.command("rollback", "--reason", "it hums")
            assert (code, "a restart may forget it" in said) == (75, True)
            await gateway.until_decided("1")
            code, said = await gateway.command("doctor", "--local")
            assert (code, "nothing done here survives a restart" in said) == (75, True)
            assert await gateway.stop() == 0
        assert len(site.batches) == sent
        assert found(gateway.data).keys() == kept.keys()
        await asyncio.to_thread(disk.unmount)
        disk.mount()
        heard = len(site.reports)
        await started(gateway, "2")
        await until(lambda: len(site.reports) > heard + 2, "the site hears of it")
        await until(lambda: not site.last.faults, "all is well again")
        ids = [(each.epoch, each.window) for each in gateway.verdicts() if each.window]
        assert ids == sorted(set(ids))
        keys = [(each.boot_epoch, each.sequence) for each in site.reports]
        assert keys == sorted(set(keys))
        assert "Traceback" not in "\n".join(gateway.daemon.lines())


async def test_a_bad_sector(disk: Disk, tmp_path: Path) -> None:
    """A committed model that the disk does not give back gives way to the one before it."""
    async with told(disk, tmp_path) as story:
        gateway, site = story.gateway, story.site
        second = story.workshop.release("2")
        site.assign(second, attempt=2)
        await gateway.until_decided("2")
        await until(lambda: site.last.references.previous_good is not None, "it is committed")
        assert await gateway.stop() == 0
        entry = RecordStore(gateway.data / "record").record.entries[second.digest]
        sector = BlobStore(gateway.data / "store").path(entry.manifest)
        gateway.daemon.command = [*unreadable(sector), *gateway.daemon.command]
        gateway.daemon.start()
        await gateway.until_decided("1")
        assert any(second.digest in fault for fault in gateway.status().faults)
        assert await gateway.stop() == 0
        assert "Traceback" not in "\n".join(gateway.daemon.lines())


def unreadable(path: Path) -> list[str]:
    """What runs a program for which no byte of the file at *path* can be read."""
    calls = "read,pread64"
    inject = [f"--trace={calls}", f"--inject={calls}:error=EIO", f"--trace-path={path}"]
    return ["strace", "--follow-forks", "--daemonize", f"--output={os.devnull}", *inject]


def found(folder: Path) -> dict[str, int]:
    """The files there, each with its length."""
    return {str(each): each.stat().st_size for each in folder.rglob("*") if each.is_file()}


async def started(gateway: GatewayAtPlant, version: str) -> None:
    """Start it, and wait for verdicts of *version*."""
    before = len(gateway.verdicts())
    gateway.daemon.start()
    await until(lambda: len(gateway.verdicts()) > before + WINDOWS, "it starts by itself")
    await gateway.until_decided(version)


def outcome(site: GatewaySite) -> Outcome | None:
    """Of the newest attempt."""
    update = site.last.update if site.reports else None
    return None if update is None else update.outcome


def arrived(site: GatewaySite) -> set[int]:
    """The numbers of the batches of the gateway's first life that the site has.

    Where the disk took no cursor some come again; they have their numbers by which a site knows.
    """
    ids = [batch for _, batch, _ in site.batches if batch.startswith(f"{SERIAL}/1/")]
    return {int(batch.rpartition("/")[2]) for batch in ids}


def refused(site: GatewaySite) -> int:
    """How many of the numbers up to the last are missing: those that the disk refused."""
    found = arrived(site)
    return max(found) - len(found)


def figures(site: GatewaySite) -> dict[str, int]:
    """The sums of the newest metrics, by name."""
    body = [body for signal, _, body in site.batches if signal is Signal.METRICS][-1]
    told = ExportMetricsServiceRequest.FromString(body)
    [resource] = told.resource_metrics
    return {
        metric.name: sum(point.as_int for point in metric.sum.data_points)
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def shed(site: GatewaySite) -> int:
    """What the gateway says it refused."""
    return figures(site).get(named.OUTBOX_SHED.name, 0)


def judge_health(site: GatewaySite) -> None:
    """Every health window has arrived."""
    numbers = {each.number for report in site.reports for each in report.health}
    assert numbers == set(range(1, max(numbers) + 1))
