"""A site's disk is full, or the kernel takes it away: changes stop, everything else goes on.

It clears by itself, and the daemon starts on a full disk too. The disk is an ext4 file system on a
loop device, which needs root.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_site_proxy.daemon import RESERVE_BYTES
from tests.real.test_disk import fill
from tests.real.test_journal_power_cut import Disk, needs
from tests.simulators.programs import Program
from tests.simulators.waiting import until
from tests.unit.site_proxy.commands.sites import SiteFolder
from tests.unit.site_proxy.plant.plant import plant
from tests.unit.site_proxy.plant.unwritable import (
    changes_stop,
    changes_stop_and_go_on,
    until_refused,
)

pytestmark = [pytest.mark.anyio, pytest.mark.real]

DISK_BYTES = 128 << 20  # a start's reserve is 16 MiB, and taken where four times that is free
JOURNAL = "\n[telemetry.journal]\nsegment_bytes = 1048576\nbytes_max = 4194304\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small one."""
    needs("mkfs.ext4", "mount", "umount", "findmnt")
    made = Disk(tmp_path / "image", tmp_path / "mounted", DISK_BYTES)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()


async def test_full(disk: Disk) -> None:
    """The whole story on a disk that somebody else filled."""
    folder, fillers = disk.mounted / "site", list[Path]()
    folder.mkdir()
    async with plant(folder) as here:

        async def refuse() -> None:
            fillers.append(await asyncio.to_thread(fill, disk, 0))
            await until_refused(here.site.store)

        async def allow() -> None:
            await asyncio.to_thread(fillers.pop().unlink)

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


async def test_start_on_a_full_disk(
    disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A site that is killed while its disk is full starts by itself, and is whole afterwards."""
    site = SiteFolder(tmp_path / "site", capsys).make()
    state = disk.mounted / "state"
    text = site.config.read_text().replace('directory = "state"', f'directory = "{state}"')
    site.config.write_text(text + JOURNAL)
    command = (sys.executable, "-m", "edge_site_proxy", "run", "--json", "--config", site.config)
    with Program(command, tmp_path / "said") as daemon:
        await until(lambda: starts(daemon) == 1, "it starts")
        await until(lambda: held(state / "reserve"), "room for a start is held back")
        filler = fill(disk, 0)
        daemon.kill()
        daemon.start()
        await until(lambda: starts(daemon) == 2, "it starts by itself")
        assert not (state / "reserve").exists()
        assert daemon.stop() == 0
        filler.unlink()
        daemon.start()
        await until(lambda: starts(daemon) == 3, "it starts where there is room")
        await until(lambda: held(state / "reserve"), "room is held back again")
        assert daemon.stop() == 0
    verified = site.on("audit", "verify", "--json")
    assert (verified.code, json.loads(verified.out)["verified"]) == (0, True)


def held(reserve: Path) -> bool:
    """Whether all of it is there: a file that is only begun holds nothing back."""
    return reserve.exists() and reserve.stat().st_size >= RESERVE_BYTES


def starts(daemon: Program) -> int:
    """How often it was ready."""
    return sum(line.startswith('{"ready"') for line in daemon.lines())
