"""A site's disk is full: changes stop, everything else goes on, and it clears by itself.

The disk is an ext4 file system on a loop device, which needs root.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.test_journal_power_cut import Disk, needs
from tests.unit.site_proxy.plant.plant import plant
from tests.unit.site_proxy.plant.unwritable import (
    changes_stop,
    changes_stop_and_go_on,
    until_refused,
)

pytestmark = [pytest.mark.anyio, pytest.mark.real]

DISK_BYTES = 16 << 20
PIECES = (1 << 20, 1 << 12, 1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small one."""
    needs("mkfs.ext4", "mount", "umount")
    made = Disk(tmp_path / "image", tmp_path / "mounted", DISK_BYTES)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()


def fill(path: Path) -> None:
    """Take all the room that is left."""
    for piece in PIECES:
        try:
            with path.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(piece))
        except OSError:
            continue


async def test_full(disk: Disk) -> None:
    """The whole story on a disk that somebody else filled."""
    folder, filler = disk.mounted / "site", disk.mounted / "filler"
    folder.mkdir()
    async with plant(folder) as here:

        async def refuse() -> None:
            await asyncio.to_thread(fill, filler)
            await until_refused(here.site.store)

        async def allow() -> None:
            await asyncio.to_thread(filler.unlink)

        await changes_stop_and_go_on(here, refuse, allow)


async def test_worn(disk: Disk) -> None:
    """On a disk that the kernel has taken away nothing changes, and that is told all the same."""
    folder = disk.mounted / "site"
    folder.mkdir()
    async with plant(folder) as here:

        async def refuse() -> None:
            await asyncio.to_thread(disk.wear_out)
            await until_refused(here.site.store)

        await changes_stop(here, refuse)
