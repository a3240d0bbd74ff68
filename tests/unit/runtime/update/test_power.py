"""The real agent loses power at every single step of an update, and always comes back right."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_core.contracts.gateway import (
    Desired,
    TrialPolicy,
    UpdateState,
)
from edge_runtime.lineup import Lineup
from edge_runtime.update.agent import Agent
from edge_runtime.update.ascent import Means, Pace
from edge_runtime.update.keeper import RecordKeeper, begin
from edge_runtime.update.record import Record
from edge_runtime.update.references import Cause, Slots, rollback_target
from edge_runtime.update.store import RecordStore
from tests.simulators.disk import CuttableDisk, PowerCutError
from tests.unit.runtime.update.line import Line
from tests.unit.runtime.update.made import A, B, assignment, desired, digest, order, record

pytestmark = pytest.mark.anyio

FOLDER = Path("/data/record")
QUICK = TrialPolicy(inferences_min=2, duration_min_s=0.0, duration_max_s=5.0, tries=3)
STEPS_MAX = 200  # far above the steps of one update
AT_REST = frozenset(
    {
        UpdateState.IDLE,
        UpdateState.COMMITTED,
        UpdateState.ROLLED_BACK,
        UpdateState.FAILED_NO_CHANGE,
        UpdateState.ROLLBACK_FAILED,
        UpdateState.FAIL_SAFE,
        UpdateState.CANCELLED,
    }
)


async def live(disk: CuttableDisk, line: Line, wanted: Desired, cause: Cause) -> Record:
    """Start the gateway and let it run until it is at rest; its record then.

    Raises:
        PowerCutError: the power went.
    """
    keeper = RecordKeeper(RecordStore(FOLDER, disk), time.monotonic)
    pace = Pace(look_s=0.001, retry_s=0.001)
    lineup = Lineup(line, line)
    agent = Agent(keeper, Means(line, line, lineup, line, time.monotonic, pace))
    await begin(keeper, cause, "boot")
    failed: list[PowerCutError] = []

    async def run() -> None:
        try:
            await agent.run()
        except PowerCutError as error:
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        agent.submit(wanted)
        async with asyncio.timeout(10):
            while not failed and not at_rest(keeper.record, wanted):
                line.work()
                judge(keeper.record)
                await asyncio.sleep(0)
        task.cancel()
    if failed:
        raise failed[0]
    return keeper.record


def at_rest(now: Record, wanted: Desired) -> bool:
    """Whether everything that was wanted has been heard and has come to its end."""
    heard = now.desired == wanted
    return heard and now.state in AT_REST and now.slots.candidate is None


def judge(now: Record) -> None:
    """S1 and S3, at any instant."""
    slots = now.slots
    assert slots.effective is None or slots.effective in now.verified
    if slots.committed not in {None, slots.golden}:
        assert rollback_target(slots, now.verified) is not None


@dataclass(frozen=True, slots=True)
class Story:
    """Where a gateway starts, what is wanted, and where it must end."""

    before: Record
    wanted: Desired
    ends: Callable[[Slots], bool]
    breaks: str = ""
    errs: str = ""


TO_C = desired(assignment("c", trial=QUICK, shadow_pairs_min=0), generation=2)
STORIES = {
    "a good release is committed": Story(
        record(Slots(golden=A, committed=A)),
        TO_C,
        lambda slots: (slots.committed, slots.previous_good) == (digest("c"), A),
    ),
    "a release that fails on windows is taken back": Story(
        record(Slots(golden=A, committed=A)),
        TO_C,
        lambda slots: slots.committed == A and digest("c") in slots.bad,
        errs=digest("c"),
    ),
    "a release that does not load is taken back": Story(
        record(Slots(golden=A, committed=A)),
        TO_C,
        lambda slots: slots.committed == A and digest("c") in slots.bad,
        breaks=digest("c"),
    ),
    "an order takes the committed release back": Story(
        record(Slots(golden=A, previous_good=A, committed=B)),
        desired(generation=2, rollback=order("b")),
        lambda slots: slots.committed == A and B in slots.bad,
    ),
}


@pytest.mark.parametrize("cause", [Cause.PROCESS, Cause.POWER])
@pytest.mark.parametrize("name", STORIES)
async def test_every_step(name: str, cause: Cause) -> None:
    """Cut at step n for every n, then started again: the end is the same, and nothing odd ran."""
    story = STORIES[name]
    for cut_after in itertools.count():
        assert cut_after < STEPS_MAX
        disk = CuttableDisk()
        RecordStore(FOLDER, disk).save(story.before)
        disk = disk.reboot(cut_after)
        line = Line(breaks=story.breaks, errs=story.errs)
        try:
            await live(disk, line, story.wanted, cause)
            cut = False
        except PowerCutError:
            cut = True
            found = RecordStore(FOLDER, disk.reboot()).record
            judge(found)
            after = await live(disk.reboot(), line, story.wanted, cause)
            assert story.ends(after.slots), cut_after
        assert line.decided <= {A, B, digest("c")}
        if not cut:
            break
    assert cut_after > 3
