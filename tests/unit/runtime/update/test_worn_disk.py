"""What the agent does while its disk takes nothing: the safer thing, and nothing that is new."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from edge_core.contracts.gateway import (
    Desired,
    Outcome,
    PermitReply,
    PermitRequest,
    TrialPolicy,
    UpdateState,
)
from edge_runtime.errors import NotDurableError, NothingToRollBackError, StoreError
from edge_runtime.model import ROLE_TRIAL
from edge_runtime.update.events import OrderedBack
from edge_runtime.update.keeper import RecordKeeper
from edge_runtime.update.record import Record
from edge_runtime.update.references import Cause, Slots
from edge_runtime.update.store import RecordStore
from tests.simulators.disk import WornDisk
from tests.unit.runtime.update.line import Line
from tests.unit.runtime.update.made import ON_A, ON_B, A, B, C, assignment, desired, order, record
from tests.unit.runtime.update.test_agent import FOLDER, QUICK, Running, disk_with, running

pytestmark = pytest.mark.anyio

LONG = TrialPolicy(inferences_min=1_000_000, duration_min_s=0.0, tries=3)
S = UpdateState
TURNS = 50  # of the loop, in which an agent that would do something has done it


def worn_with(before: Record) -> WornDisk:
    """A sound disk, for now, that holds *before*."""
    disk = WornDisk()
    RecordStore(FOLDER, disk).save(before)
    return disk


def kept(disk: WornDisk) -> Record:
    """What a restart would find."""
    return RecordStore(FOLDER, disk).record


async def turns(gateway: Running) -> None:
    """Let the agent do whatever it would do."""
    passed = itertools.count()
    await gateway.until(lambda: next(passed) > TURNS)


def wanting_c(**more: Any) -> Desired:  # any field
    """The site wants c."""
    return desired(assignment("c", **{"trial": LONG, **more}), generation=2)


@asynccontextmanager
async def trying(line: Line) -> AsyncIterator[tuple[Running, WornDisk]]:
    """A gateway on which c decides on trial, and b was committed."""
    disk = worn_with(record(ON_B))
    async with running(disk, line) as gateway:
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: gateway.lineup.route.role == ROLE_TRIAL)
        assert gateway.lineup.running == C
        yield gateway, disk


async def test_a_trial_ends_with_the_disk() -> None:
    """A record that cannot be written could not undo the trial: what is committed decides again.

    On a disk that takes bytes again the trial goes on.
    """
    async with trying(Line()) as (gateway, disk):
        disk.worn = True
        gateway.agent.submit(wanting_c(activate=False))
        await gateway.until(lambda: gateway.lineup.running == B)
        assert gateway.now.slots.candidate == C
        assert "store" in gateway.agent.keeper.faults
        disk.worn = False
        await gateway.until(lambda: gateway.lineup.running == C)
        assert gateway.now.state is S.TRIAL
        assert not gateway.agent.keeper.faults


async def test_a_lost_worker_is_loaded_again() -> None:
    """What waits for the disk does not keep what is committed from being looked after."""
    line = Line()
    disk = worn_with(record(ON_B))
    async with running(disk, line) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.worn = True
        gateway.agent.submit(wanting_c())
        await turns(gateway)
        model = gateway.lineup.route.effective
        assert model is not None
        loads = line.loads
        model.worker.close()
        await gateway.until(lambda: line.loads == loads + 1 and gateway.lineup.running == B)


async def test_nothing_new_is_believed() -> None:
    """No step up is believed or reported before the disk has it."""
    disk = worn_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        gateway.agent.submit(wanting_c(activate=False))
        await gateway.until(lambda: gateway.now.state is S.STAGED)
        before = kept(disk)
        disk.worn = True
        gateway.agent.submit(desired(assignment("c", attempt=2, trial=LONG), generation=3))
        await gateway.until(lambda: gateway.agent.keeper.owed)
        await turns(gateway)
        assert gateway.now == kept(disk) == before
        assert gateway.lineup.running == B
        told = gateway.agent.keeper.report()
        assert told is not None
        assert (told.attempt, told.state, told.outcome) == (1, S.STAGED, Outcome.OPEN)
        disk.worn = False
        await gateway.until(lambda: gateway.lineup.running == C)
        assert kept(disk).generation_seen == 3


async def test_a_person_is_obeyed() -> None:
    """An order is carried out at once, and the person hears that a restart may forget it."""
    disk = worn_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.worn = True
        with pytest.raises(NotDurableError, match="Read-only file system") as said:
            await gateway.agent.order_back("smells odd")
        assert f"goes to {A}" in str(said.value)
        assert said.value.exit_code == 75
        await gateway.until(lambda: gateway.lineup.running == A)
        assert kept(disk).slots == ON_B
        with pytest.raises(NothingToRollBackError):
            await gateway.agent.order_back("once more")
    async with running(disk_sound(disk), Line(), Cause.ORDERLY) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)


def disk_sound(disk: WornDisk) -> WornDisk:
    """The same disk, mended."""
    disk.worn = False
    return disk


async def test_an_order_is_kept_later() -> None:
    """Once the disk takes bytes again a restart does not forget what was ordered meanwhile."""
    disk = worn_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.worn = True
        with pytest.raises(NotDurableError):
            await gateway.agent.order_back("smells odd")
        disk.worn = False
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        assert kept(disk).slots == Slots(golden=A, committed=A, bad={B: 1})
        assert not gateway.agent.keeper.faults


async def test_an_order_is_kept_before_it_is_answered() -> None:
    """Who hears that it was ordered may pull the plug."""
    disk = worn_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        assert await gateway.agent.order_back("smells odd") == A
        assert kept(disk).slots.committed == A


async def test_the_site_is_obeyed() -> None:
    """Safe mode, and an order to leave a version, do not wait for a disk."""
    disk = worn_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.worn = True
        gateway.agent.submit(desired(generation=2, safe_mode=True))
        await gateway.until(lambda: gateway.lineup.route.safe_mode)
        gateway.agent.submit(desired(generation=3, rollback=order("b")))
        await gateway.until(lambda: gateway.lineup.running == A)
        assert not gateway.lineup.route.safe_mode
        assert gateway.now.generation_seen == 1
        assert kept(disk).slots == ON_B
        disk.worn = False
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        await gateway.until(lambda: kept(disk).generation_seen == 3)
        assert kept(disk).slots.committed == A


async def test_no_release_comes_of_it() -> None:
    """What is desired beside the safer thing waits for the disk; an old state stays refused."""
    disk = worn_with(record(ON_A))
    async with running(disk, Line()) as gateway:
        await gateway.until(lambda: gateway.lineup.running == A)
        disk.worn = True
        gateway.agent.submit(
            msgspec.structs.replace(wanting_c(), safe_mode=True, health_window_s=1.0)
        )
        await gateway.until(lambda: gateway.lineup.route.safe_mode)
        await turns(gateway)
        assert gateway.now.attempt is None
        gateway.agent.submit(desired(generation=0))
        await gateway.until(lambda: "stale" in gateway.agent.keeper.faults)
        assert gateway.lineup.route.safe_mode


async def test_rotten_bytes_give_way() -> None:
    """A committed version that the disk does not give back gives way on a disk that is dead."""
    slots = Slots(golden=A, previous_good=C, committed=B)
    disk = worn_with(record(slots))
    line = Line()
    async with running(disk, line) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.worn = True
        line.breaks, line.rotten = B, frozenset({B})
        model = gateway.lineup.route.effective
        assert model is not None
        model.worker.close()
        await gateway.until(lambda: gateway.lineup.running == C)
        line.breaks, line.rotten = C, frozenset({C})
        model = gateway.lineup.route.effective
        assert model is not None
        model.worker.close()
        await gateway.until(lambda: gateway.lineup.running == A)
        assert kept(disk).slots == slots


async def test_the_next_target() -> None:
    """On a way back on a dead disk, too, what does not load gives way to the golden version."""
    slots = Slots(golden=A, previous_good=C, committed=B)
    disk = worn_with(record(slots))
    async with running(disk, Line(breaks=C)) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.worn = True
        with pytest.raises(NotDurableError):
            await gateway.agent.order_back("smells odd")
        await gateway.until(lambda: gateway.lineup.running == A)
        assert kept(disk).slots == slots


async def test_at_once() -> None:
    """The line is not kept waiting for the next try to write."""
    disk = worn_with(record(ON_B))
    slow = replace(QUICK, retry_s=3600.0, keep_s=0.0)
    async with running(disk, Line(), pace=slow) as gateway:
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: gateway.lineup.route.role == ROLE_TRIAL)
        disk.worn = True
        await gateway.until(lambda: gateway.lineup.running == B)


@dataclass(slots=True, kw_only=True)
class Denying(Line):
    """A line whose site permits nothing, and counts who asks."""

    asked: int = 0

    async def permit(self, request: PermitRequest) -> PermitReply:
        """No."""
        self.asked += 1
        return PermitReply(granted=False, epoch=request.attempt)


async def test_nobody_asks_to_go_up() -> None:
    """A permit is not asked for on a disk that could not remember the activation."""
    line = Denying()
    disk = worn_with(record(ON_B))
    async with running(disk, line) as gateway:
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: line.asked > 1)
        disk.worn = True
        gateway.agent.submit(desired(assignment("c", trial=LONG), generation=3, safe_mode=True))
        await gateway.until(lambda: gateway.lineup.route.safe_mode)
        asked = line.asked
        await turns(gateway)
        assert line.asked == asked
        disk.worn = False
        await gateway.until(lambda: line.asked > asked)


async def test_an_old_state_is_not_obeyed() -> None:
    """Not even where a result that the site has heard waits for the disk before it."""
    disk = worn_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        assert await gateway.agent.order_back("smells odd") == A
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        told = gateway.agent.keeper.report()
        disk.worn = True
        gateway.agent.submit(desired(generation=0, safe_mode=True), told)
        await gateway.until(lambda: "stale" in gateway.agent.keeper.faults)
        assert not gateway.lineup.route.safe_mode


async def test_the_keeper_catches_up() -> None:
    """What was believed without the disk, or refused by it, is written once it takes bytes."""
    disk = worn_with(record(ON_B))
    keeper = RecordKeeper(RecordStore(FOLDER, disk), lambda: 0.0)
    disk.worn = True
    keeper.act(OrderedBack(order("b"), local=True))
    assert (keeper.record.slots.committed, keeper.owed) == (A, True)
    with pytest.raises(StoreError):
        await keeper.catch_up()
    disk.worn = False
    await keeper.catch_up()
    assert (kept(disk).slots.committed, keeper.owed, keeper.faults) == (A, False, {})
    sequence = kept(disk).sequence
    await keeper.catch_up()
    assert kept(disk).sequence == sequence


async def test_a_disk_that_hangs() -> None:
    """It keeps nobody waiting for ever, and what was ordered is carried out once it goes on."""
    disk = disk_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        disk.open.clear()
        try:
            with pytest.raises(NotDurableError, match="the disk has not taken it yet"):
                await gateway.agent.order_back("smells odd")
        finally:
            disk.open.set()
        await gateway.until(lambda: gateway.lineup.running == A)
