"""Gateways that stand apart: in conflict, swapped by hand, dead, or without a way back."""

import shutil
from pathlib import Path

import pytest

from edge_core.contracts.api import AlarmState, Priority
from edge_core.contracts.errors import RefusedError
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import RolloutState
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.fleet.changes import CONFLICT_KEY
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.outlook import vetoed
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.plant import V1, V2, V3, plant

pytestmark = pytest.mark.anyio
OLGA = Sender("olga", None)


async def test_an_old_copy_takes_nobody_down(tmp_path: Path) -> None:
    """A site restored from before a rollout: all are in CONFLICT, none is changed, one page.

    A person resumes them; what they run is taken over, and the site is in charge again.
    """
    clock = HandClock()
    now, old = tmp_path / "now", tmp_path / "old"
    now.mkdir()
    async with plant(now, clock=clock) as here:
        await here.bring(V1)
        gateways = here.gateways
    shutil.copytree(now, old)
    async with plant(now, clock=clock) as here:
        here.gateways = gateways
        await here.bring(V2)
        await here.beat()
    async with plant(old, clock=clock) as here:
        here.gateways = gateways
        for _ in range(5):
            await here.beat()
        world = here.site.world
        assert all(world.noted(serial).conflict is not None for serial in gateways)
        assert {each.committed for each in gateways.values()} == {V2.digest}
        due = [page.alarm for page in await here.site.store.read(pages)]
        assert [page.source for page in due] == [CONFLICT_KEY]
        await here.site.recovery.resume_gateways(sorted(gateways), "restored from tape", OLGA)
        for _ in range(5):
            await here.beat()
        assert all(world.noted(serial).conflict is None for serial in gateways)
        # V2 is not known here any more; nobody is taken down to V1, which this site calls current.
        assert {each.committed for each in gateways.values()} == {V2.digest}
        assert all(each.desired.assignment is None for each in gateways.values() if each.desired)
        await here.arrive(V2)
        await here.approve(V2)
        await here.until(V2, RolloutState.SOAKING)
        assert {each.permits for each in gateways.values()} == {2}


async def test_a_rollback_in_conflict(tmp_path: Path) -> None:
    """In CONFLICT an order to go back is carried out all the same, with an epoch that counts."""
    clock = HandClock()
    now, old = tmp_path / "now", tmp_path / "old"
    now.mkdir()
    async with plant(now, clock=clock) as here:
        await here.bring(V1)
        await here.bring(V2)
        gateways = here.gateways
    shutil.copytree(now, old)
    for on in (True, False, True):
        async with plant(now, clock=clock) as here:
            here.gateways = gateways
            await here.site.desk.set_safe_mode(["g1"], "a look inside", OLGA, on=on)
            await here.beat()
            await here.beat()
    async with plant(old, clock=clock) as here:
        here.gateways = gateways
        await here.beat()
        assert "epoch" in here.site.world.noted("g1").conflict.why  # type: ignore[union-attr]  # the line says so
        await here.site.desk.roll_back_gateway("g1", "the pump is loud", OLGA)
        for _ in range(3):
            await here.beat()
        assert gateways["g1"].committed == V1.digest


async def test_swapped_by_hand(tmp_path: Path) -> None:
    """A model swapped by hand: an alarm, and no gate counts that gateway until it has ended."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        serial = await here.until_trial(V2)
        await here.until(V2, RolloutState.SOAKING)
        gateway, world = here.gateways[serial], here.site.world
        gateway.swapped = V3.digest
        await here.beat()
        tally = world.tallies[serial, V2.digest, "committed"]
        for _ in range(60):
            await here.beat()
        assert here.rollout(V2).state is RolloutState.SOAKING
        assert world.tallies[serial, V2.digest, "committed"] == tally
        alarms = await here.site.alarms.standing()
        assert [each.source for each in alarms] == [f"gateway/{serial}/digest"]
        gateway.swapped = None
        await here.beat()
        await here.beat()
        assert world.tallies[serial, V2.digest, "committed"].windows > tally.windows


async def test_its_veto_is_no_word_about_the_release(tmp_path: Path) -> None:
    """While somebody has swapped its model by hand, a gateway's veto bars nobody's permit."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        held = await here.refused(V2)
        said = vetoed(here.site.world, held)
        assert ": smoke: " in said
        refusing = here.gateways[said.partition(":")[0]]
        refusing.swapped = V3.digest
        await here.beat()
        assert vetoed(here.site.world, here.rollout(V2)) == ""
        refusing.swapped = None
        await here.beat()
        assert vetoed(here.site.world, here.rollout(V2)) == said


async def test_declared_dead_in_its_trial(tmp_path: Path) -> None:
    """A gateway that died in its trial is declared dead: its pair and its cell are free again."""
    async with plant(tmp_path) as here:
        serial = await here.until_trial(V2)
        with pytest.raises(RefusedError, match="expected a silent one"):
            await here.site.recovery.declare_dead(serial, "burnt", OLGA)
        others = [each for each in here.gateways if each != serial]
        here.clock.turn(3600)
        await here.beat(others)
        line = here.site.world.plant.place(serial).position.line
        await here.site.recovery.declare_dead(serial, "water in the cabinet", OLGA)
        assert serial not in here.site.world.grants
        rollout = here.rollout(V2)
        await here.site.desk.roll_back(rollout.id, "start again without it", OLGA)
        await here.until(V2, RolloutState.ROLLED_BACK)
        await here.bring_past(V3, others)
        there = [
            each for each in others if here.site.world.plant.place(each).position.line == line
        ]
        assert there
        assert {here.gateways[each].committed for each in there} == {V3.digest}
        await here.beat([serial])
        assert here.site.world.noted(serial).dead is None


async def test_one_that_cannot_go_back(tmp_path: Path) -> None:
    """One gateway has nothing to go back to: the rest go back, and a mended release is allowed."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.bring(V2)
        here.gateways["g4"].stuck = True
        await here.site.desk.roll_back(here.rollout(V2).id, "it hums", OLGA)
        await here.until(V2, RolloutState.ROLLBACK_INCOMPLETE)
        await here.beat()
        on = {serial: each.committed for serial, each in here.gateways.items()}
        assert on == {**dict.fromkeys(on, V1.digest), "g4": V2.digest}
        (page,) = await here.site.store.read(pages)
        (alarm,) = await here.site.alarms.standing()
        assert [each.source for each in page.all] == [alarm.source] == ["gateway/g4/fail_safe"]
        assert alarm.runbook.endswith("/rollback-failed.md")
        assert alarm.consequence.startswith("it keeps the release")
        await here.bring(V3)
        assert {each.committed for each in here.gateways.values()} == {V3.digest}
        ended = next(each for each in await here.site.alarms.every(9) if each.id == alarm.id)
        assert ended.state is AlarmState.RETURNED_UNACK


async def test_no_permit_without_a_way_back(tmp_path: Path) -> None:
    """A gateway whose present model is not loaded gets no permit; the others go on."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        await here.arrive(V2)
        canary, early, last, _ = here.rollout(V2).plan.cohorts
        here.gateways[last.members[0]].unloaded = True
        await here.approve(V2)
        for _ in range(100):
            await here.beat()
        moved = {serial for serial, each in here.gateways.items() if each.committed == V2.digest}
        assert moved == {*canary.members, *early.members}
        assert "ROLLBACK_TARGET" in here.gateways[last.members[0]].deferred[-1]
        here.gateways[last.members[0]].unloaded = False
        await here.until(V2, RolloutState.COMPLETED)


async def test_old_alarms_do_not_page_again(tmp_path: Path) -> None:
    """Results of a week ago that a gateway had still to tell raise no alarm about today."""
    async with plant(tmp_path) as here:
        await here.bring(V1)
        gateway = here.gateways["g1"]
        gateway.say(V2.digest, 1, UpdateState.FAIL_SAFE)
        await here.beat()
        assert gateway.effective == V1.digest
        standing = await here.site.alarms.standing()
        assert all(
            each.priority is not Priority.P1 or each.state is AlarmState.CLEARED
            for each in standing
        )
