"""What a journal acknowledged is there after SIGKILL, and after the power went.

The power cut is real for the file system: ext4 on a loop device is shut down without flushing its
log (`EXT4_IOC_SHUTDOWN`), unmounted, mounted again, and replays its journal. That needs root and
loop devices. SIGKILL needs neither, and cannot see a missing sync: the page cache survives it.
"""

import asyncio
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from edge_core.journal import DuplicateEntry, Journal, RecoveryReport
from tests.real.journal_writer import CONFIG, entry

pytestmark = pytest.mark.real

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING_THE_LOG = 2
IMAGE_BYTES = 160 << 20
POWER_CUTS = 4
KILLS = 4


def needs(*tools: str) -> None:
    """Skip, or fail in CI, when a tool or a right is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"a power cut needs {', '.join(missing)}")
    if missing:
        pytest.skip(f"a power cut needs {', '.join(missing)}")


class Disk:
    """An ext4 file system whose power can be cut, and that can wear out."""

    def __init__(self, image: Path, mounted: Path, size_bytes: int = IMAGE_BYTES) -> None:
        """Make it, empty."""
        self._image = image
        self.mounted = mounted
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(size_bytes)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-F", str(image)], check=True)

    def mount(self) -> None:
        """Give it power; where the kernel has no loop devices for us, there is nothing to test."""
        options = "loop,errors=remount-ro"
        mount = ["mount", "-o", options, str(self._image), str(self.mounted)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this machine mounts no loop device: {done.stderr.strip()}")

    def unmount(self) -> None:
        """Let the image go."""
        if self.mounted.is_mount():
            subprocess.run(["umount", self.mounted], check=True)

    def cut_power(self) -> None:
        """From here on nothing reaches the disk."""
        folder = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_LOG))
        finally:
            os.close(folder)

    def wear_out(self) -> None:
        """The kernel finds an error on it, and lets nobody write to it any more (ext4(5))."""
        find = ["findmnt", "--noheadings", "--output=SOURCE", str(self.mounted)]
        device = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("worn")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A mounted disk."""
    needs("mkfs.ext4", "mount", "umount")
    made = Disk(tmp_path / "image", tmp_path / "mounted")
    made.mount()
    yield made
    made.unmount()


class Writer:
    """A process that appends, and what it said was safe."""

    def __init__(self, folder: Path, epoch: int, kind: str) -> None:
        """Start it."""
        command = [
            sys.executable,
            "-m",
            "tests.real.journal_writer",
            str(folder),
            str(epoch),
            kind,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)

    def work(self, seconds: float) -> bytes:
        """Let it append for a while after its first success."""
        assert self._process.stdout is not None
        said = self._process.stdout.read(8)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said += os.read(self._process.stdout.fileno(), 1 << 16)
        return said

    def kill(self) -> bytes:
        """End it, and hear what it still had said."""
        self._process.kill()
        said, _ = self._process.communicate()
        return said


def sequences(said: bytes) -> set[int]:
    """What was declared safe."""
    return {number for (number,) in struct.iter_unpack("<Q", said[: len(said) // 8 * 8])}


async def recovered(folder: Path) -> tuple[dict[int, set[int]], RecoveryReport]:
    """Everything a reader finds, by epoch; each body as it was, each seq above the one before."""
    found: dict[int, set[int]] = {}
    async with await Journal.open(folder, CONFIG) as journal:
        after = 0
        while batch := (await journal.read_batch(after)).records:
            for record in batch:
                made = record.entry
                assert record.seq > after
                assert made == entry(made.epoch, made.sequence)
                found.setdefault(made.epoch, set()).add(made.sequence)
                after = record.seq
        for epoch, numbers in found.items():
            assert isinstance(await journal.append(entry(epoch, max(numbers))), DuplicateEntry)
    return found, journal.recovery


def cut_power(disk: Disk, epoch: int, kind: str, seconds: float) -> set[int]:
    """Write, lose power, get it back: what was declared safe in this epoch."""
    writer = Writer(disk.mounted / "journal", epoch, kind)
    said = writer.work(seconds)
    disk.cut_power()
    said += writer.kill()
    disk.unmount()
    disk.mount()
    return sequences(said)


def test_power_cut(disk: Disk) -> None:
    """Cut after cut on the same disk, nothing that was acknowledged is missing or damaged."""
    safe: dict[int, set[int]] = {}
    for epoch in range(1, POWER_CUTS + 1):
        safe[epoch] = cut_power(disk, epoch, "honest", Random(epoch).uniform(0.1, 0.6))
        found, report = asyncio.run(recovered(disk.mounted / "journal"))
        assert report.quarantined == 0
        for earlier, numbers in safe.items():
            assert numbers, "nothing was written, so nothing was proved"
            assert numbers <= found[earlier]


def test_power_cut_needs_sync(disk: Disk) -> None:
    """The mutant that never syncs loses what it acknowledged: the cut is a cut."""
    lost = 0
    for epoch in range(1, POWER_CUTS + 1):
        safe = cut_power(disk, epoch, "forgetful", Random(epoch).uniform(0.1, 0.4))
        found, _ = asyncio.run(recovered(disk.mounted / "journal"))
        lost += len(safe - found.get(epoch, set()))
        if lost:
            break
    assert lost > 0


def test_kill(tmp_path: Path) -> None:
    """SIGKILL at any moment, again and again on one folder, costs nothing acknowledged."""
    safe: dict[int, set[int]] = {}
    for epoch in range(1, KILLS + 1):
        writer = Writer(tmp_path / "journal", epoch, "honest")
        said = writer.work(Random(epoch).uniform(0.05, 0.3))
        safe[epoch] = sequences(said + writer.kill())
    found, report = asyncio.run(recovered(tmp_path / "journal"))
    assert report.damaged == 0
    for epoch, numbers in safe.items():
        assert numbers <= found[epoch]
