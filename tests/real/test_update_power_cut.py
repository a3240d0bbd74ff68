"""The power goes in the middle of an update: some of its steps, spread by chance over all of it.

ext4 on a loop device is shut down without flushing its log, which needs root; strace finds the
step. `tests/endurance/test_update_power_cut.py` cuts at every step there is, and
`tests/endurance/test_update_kill.py` kills at each. What a journal acknowledged is held to the
same cuts in `test_journal_power_cut.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from edge_runtime.inference.engine import open_engine
from edge_runtime.update.references import Cause
from tests.endurance.test_update_kill import loader_at, need
from tests.endurance.updates import Runner, Stage
from tests.real.test_journal_power_cut import Disk, needs

pytestmark = [pytest.mark.anyio, pytest.mark.real]

SEED = 7
STEPS = {"fsync": 40, "fdatasync": 10, "rename": 16, "unlink": 16}  # an update has more of each
CUTS = {"fsync": 3, "fdatasync": 1, "rename": 2, "unlink": 1}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A mounted disk that loses power at a command."""
    need("strace")
    needs("mkfs.ext4", "mount", "umount")
    made = Disk(tmp_path / "image", tmp_path / "mounted")
    made.mount()
    yield made
    made.unmount()


def drawn() -> Iterator[tuple[str, int]]:
    """Kinds of steps and their numbers: one from each of as many equal parts as there are cuts."""
    dice = Random(SEED)
    for step, cuts in CUTS.items():
        part = STEPS[step] // cuts
        for number in range(cuts):
            yield step, number * part + dice.randint(1, part)


async def test_power_cut_in_an_update(disk: Disk, tmp_path: Path) -> None:
    """After each cut it starts by itself, on one of the two versions, every byte of it verified.

    First without a site; then with one, and the update comes to its end with nothing half-done.
    """
    stage = await Stage(tmp_path).prepare()
    story = stage.stories()["good"]
    with Runner(tmp_path / "runs.log") as runner:
        async with open_engine() as engine:
            for step, number in drawn():
                data = stage.copied(disk.mounted / f"{step}-{number}", story)
                request = stage.request(data, story.wanted)
                assert not runner.run(request, step, number), f"no {step} number {number}"
                disk.cut_power()
                disk.unmount()
                disk.mount()
                await stage.recover(data, story, loader_at(engine, data), Cause.POWER)
