"""How fast the journal makes records durable, and how many bytes that costs the disk.

The peer is the least that durability can cost: `writev` and `fdatasync` of batches of the same
size into a file reserved in advance, without heads, checksums, names, futures or an event loop.
Both take turns in one run, so what else the machine does hits both.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from bench.report import report, table
from edge_core.journal import GIB, MIB, DiskFiles, Entry, Host, Journal, JournalConfig
from edge_core.journal.files import DiskFile

CONFIG = JournalConfig(bytes_max=4 * GIB)
IMAGE_BYTES = 768 * MIB
SCRATCH = Path("/var/tmp")  # noqa: S108 - must be on a disk, which /tmp need not be
HEADLINE = "16 KiB x64"


@dataclass(frozen=True, slots=True)
class Load:
    """Bodies of one size, appended by so many hands at once."""

    name: str
    body_bytes: int
    hands: int
    records: int
    sync_s: float = 0.0


LOADS = [
    Load("1 KiB x64", 1024, 64, 40_000),
    Load("16 KiB x1", 16 * 1024, 1, 3_000),
    Load("16 KiB x16", 16 * 1024, 16, 12_000),
    Load(HEADLINE, 16 * 1024, 64, 16_000),
    Load("16 KiB x64, sync + 5 ms", 16 * 1024, 64, 6_400, sync_s=0.005),
]


class SlowFile(DiskFile):
    """A disk of the kind that plants have: this one answers from its host's memory."""

    sync_s = 0.005

    def sync(self) -> None:
        """Sync, and take as long as an industrial SSD or eMMC."""
        super().sync()
        time.sleep(self.sync_s)


class SlowFiles(DiskFiles):
    """The same for all files of a journal."""

    def create(self, path: Path) -> DiskFile:
        """See `Files.create`."""
        super().create(path).close()
        return SlowFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))


@dataclass(frozen=True, slots=True)
class Run:
    """One turn of one contestant."""

    records: int
    seconds: float
    batch: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


async def journal_run(folder: Path, load: Load, records: int) -> Run:
    """Append from many hands, each as soon as its last record is durable."""
    body = os.urandom(load.body_bytes)
    host = Host(files=SlowFiles() if load.sync_s else DiskFiles())
    async with await Journal.open(folder, CONFIG, host) as journal:
        numbers = itertools.count(1)

        async def append() -> None:
            while (sequence := next(numbers)) <= records:
                await journal.append(
                    Entry(
                        kind=1,
                        source="gw-0001",
                        epoch=1,
                        sequence=sequence,
                        body=body,
                        ingest_unix_ns=sequence,
                    )
                )

        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(load.hands):
                group.create_task(append())
        seconds = time.perf_counter() - start
        return Run(records, seconds, records / journal.stats().commits)


def raw_run(folder: Path, load: Load, records: int, batch: int) -> Run:
    """Write batches of bodies and sync each, into files of the journal's segment size."""
    body = os.urandom(load.body_bytes)
    size, offset, number, file = CONFIG.segment_bytes, CONFIG.segment_bytes, 0, -1
    start = time.perf_counter()
    for at in range(0, records, batch):
        parts = [body] * min(batch, records - at)
        if offset + len(parts) * len(body) > size:
            file, offset, number = _fresh(folder, file, number, size), 0, number + 1
        offset += os.pwritev(file, parts, offset)
        os.fdatasync(file)
        if load.sync_s:
            time.sleep(load.sync_s)
    seconds = time.perf_counter() - start
    os.close(file)
    return Run(records, seconds, batch)


def _fresh(folder: Path, file: int, number: int, size: int) -> int:
    with suppress(OSError):
        os.close(file)
    file = os.open(folder / f"raw-{number}", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    os.posix_fallocate(file, 0, size)
    os.fsync(file)
    return file


def turns(scratch: Path, load: Load, rounds: int, share: float) -> tuple[list[Run], list[Run]]:
    """Ours and the peer's, in turn; the first round warms up and does not count."""
    records = max(int(load.records * share), load.hands * 4)
    ours, peers = [], []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            folder = Path(name)
            ours.append(asyncio.run(journal_run(folder / "journal", load, records)))
            peers.append(raw_run(folder, load, records, max(round(ours[-1].batch), 1)))
    return ours[1:], peers[1:]


@contextmanager
def own_device(scratch: Path) -> Iterator[tuple[Path, Path] | None]:
    """A file system on a loop device that nobody else writes to, and its statistics."""
    image, mounted = scratch / "image", scratch / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
        mount = ["mount", "-o", "loop", str(image), str(mounted)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        number = mounted.stat().st_dev
        yield mounted, Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def written_bytes(load: Load, records: int, scratch: Path) -> tuple[float, str]:
    """Bytes written to the device for each byte of body, and who says so."""
    with own_device(scratch) as device:
        folder, stat = device or (scratch, Path("/proc/self/io"))
        before = _device_bytes(stat)
        asyncio.run(journal_run(folder / "wear", load, records))
        os.sync()
        after = _device_bytes(stat)
        shutil.rmtree(folder / "wear")
    return (after - before) / (records * load.body_bytes), str(stat)


def _device_bytes(stat: Path) -> int:
    """Sectors written (field 7 of a block device's statistics), or what this process dirtied."""
    text = stat.read_text(encoding="ascii")
    if stat.name == "stat":
        return int(text.split()[6]) * 512
    found = next(line for line in text.splitlines() if line.startswith("write_bytes"))
    return int(found.split()[1])


async def drain_run(folder: Path, load: Load, records: int) -> tuple[float, float]:
    """Seconds to open a folder of unsealed records, and records a second read back."""
    await journal_run(folder, load, records)
    for path in folder.glob("*.seg"):  # noqa: ASYNC240 - nothing else runs in this loop
        os.truncate(path, path.stat().st_size - 64)  # without its footer: as after a crash
    start = time.perf_counter()
    async with await Journal.open(folder, CONFIG) as journal:
        opened_s = time.perf_counter() - start
        start, after = time.perf_counter(), 0
        while batch := (await journal.read_batch(after, MIB)).records:
            after = batch[-1].seq
            await journal.acknowledge(after)
        return opened_s, records / (time.perf_counter() - start)


def main() -> None:
    """Run all of it and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.journal", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the records, once")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="folder to write in")
    options = parser.parse_args()
    rounds, share = (3, 0.1) if options.quick else (5, 1.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        measure(Path(name), rounds, share)


def measure(scratch: Path, rounds: int, share: float) -> None:
    """Take all figures and print them."""
    rows, rates, peers, ratios = [], {}, {}, {}
    for load in LOADS:
        ours, raw = turns(scratch, load, rounds, share)
        ratio = statistics.median(a.rate / b.rate for a, b in zip(ours, raw, strict=True))
        rates[load.name] = round(statistics.median(run.rate for run in ours))
        peers[load.name] = round(statistics.median(run.rate for run in raw))
        ratios[load.name] = round(ratio, 3)
        batch = statistics.median(run.batch for run in ours)
        rows.append(
            (load.name, f"{batch:.1f}", rates[load.name], peers[load.name], f"{ratio:.2f}")
        )
    table("Durable records a second", ["load", "batch", "journal", "raw", "ratio"], rows)
    headline = next(load for load in LOADS if load.name == HEADLINE)
    records = int(headline.records * max(share, 0.3))
    wear, source = written_bytes(headline, records, scratch)
    opened_s, drained = asyncio.run(drain_run(scratch / "drain", headline, records))
    scanned_mib_s = records * headline.body_bytes / MIB / opened_s
    told = [("bytes on the device for a byte of body", f"{wear:.3f}"), ("  according to", source)]
    told += [
        ("recovery scan, MiB/s", f"{scanned_mib_s:.0f}"),
        ("drained records/s", f"{drained:.0f}"),
    ]
    table(HEADLINE, ["what", "figure"], told)
    report(
        "journal",
        {
            "durable_records_per_s": rates,
            "device_bytes_per_payload_byte": round(wear, 3),
            "device_bytes_source": source,
            "recovery_scan_mib_per_s": round(scanned_mib_s),
            "drained_records_per_s": round(drained),
        },
        {"name": "writev and fdatasync alone", "durable_records_per_s": peers},
        {
            "records_vs_raw": ratios[HEADLINE],
            **{f"records_vs_raw {k}": v for k, v in ratios.items()},
        },
    )


if __name__ == "__main__":
    main()
