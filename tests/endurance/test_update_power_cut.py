"""The power goes at the steps of a whole update, for the file system as well.

ext4 on a loop device: the update is killed at a step, the file system is shut down at once without
flushing its log (`EXT4_IOC_SHUTDOWN`), unmounted, mounted again, and replays its journal. What was
not flushed by then is gone. That needs root and loop devices; where they are missing it says so.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_core.contracts.errors import EdgeError
from edge_runtime.inference.engine import open_engine
from edge_runtime.update.references import Cause
from tests.endurance.test_update_kill import loader_at, need
from tests.endurance.updates import Runner, Stage
from tests.real.test_journal_power_cut import Disk, needs

pytestmark = [pytest.mark.anyio, pytest.mark.real]

CUT_AT = ("fsync", "fdatasync", "rename", "unlink")
CUTS_LEAST = 60  # fewer, and strace did not see the steps


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A mounted disk that loses power at a command."""
    need("strace")
    needs("mkfs.ext4", "mount", "umount")
    made = Disk(tmp_path / "image", tmp_path / "mounted")
    made.mount()
    yield made
    made.unmount()


def cut(disk: Disk) -> None:
    """The power goes, and comes back."""
    disk.cut_power()
    disk.unmount()
    disk.mount()


async def test_power_cut_at_every_step(disk: Disk, tmp_path: Path) -> None:
    """Wherever the power goes, what is on the disk is whole and runs by itself."""
    stage = await Stage(tmp_path).prepare()
    story = stage.stories()["good"]
    cuts = 0
    with Runner(tmp_path / "runs.log") as runner:
        async with open_engine() as engine:
            for _, data, ended in runner.cuts(stage, story, disk.mounted, CUT_AT):
                cut(disk)
                await stage.recover(data, story, loader_at(engine, data), Cause.POWER)
                cuts += not ended
    print(f"power cut at {cuts} steps")  # noqa: T201 - what was proved
    assert cuts >= CUTS_LEAST


async def test_finished_is_finished(disk: Disk, tmp_path: Path) -> None:
    """What has ended before the cut is there after it; where nothing is flushed, it is not."""
    stage = await Stage(tmp_path).prepare()
    story = stage.stories()["good"]
    kept: dict[bool, bool] = {}
    with Runner(tmp_path / "runs.log") as runner:
        for forgetful in (False, True):
            data = stage.copied(disk.mounted / str(forgetful), story)
            assert runner.run(stage.request(data, story.wanted, forgetful=forgetful))
            cut(disk)
            try:
                now = stage.judge_disk(data, story)
                kept[forgetful] = now.slots.committed == story.ends
            except (AssertionError, EdgeError, KeyError):
                kept[forgetful] = False
    assert kept == {False: True, True: False}
