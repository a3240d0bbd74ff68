"""Gateways that come back after their rollout has ended, and what they then say of it."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.api import AlarmState, AlarmView, ExceptionKind
from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import References, UpdateState
from edge_core.contracts.rollout import Hold, Policy, RolloutState
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.fleet.watch import Watch
from edge_site_proxy.rollout.exceptions import exceptions, exceptions_of
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from tests.unit.site_proxy.plant.gateway import Behaviour, Gateway
from tests.unit.site_proxy.plant.plant import FREE, INVENTORY, POLICY, V1, V2, V3, Plant, plant

pytestmark = pytest.mark.anyio
OLGA = Sender("olga", None)
WEEK_S = 7 * 86_400.0
POLICY_HERE = msgspec.structs.replace(
    POLICY, cohorts=[msgspec.structs.replace(rule, least=1) for rule in POLICY.cohorts]
)


def with_(**changes: object) -> Policy:
    """POLICY_HERE otherwise."""
    return msgspec.structs.replace(POLICY_HERE, **changes)


async def bring(here: Plant, ref: ReleaseRef) -> None:
    """Roll *ref* out to whoever reports."""
    await here.beat()
    await here.arrive(ref)
    await here.beat()
    await here.approve(ref)
    await here.until(ref, RolloutState.COMPLETED)


def leave(here: Plant, serials: Iterable[str]) -> dict[str, Gateway]:
    """Switch *serials* off for so long that they are silent."""
    gone = {serial: here.gateways.pop(serial) for serial in serials}
    here.clock.turn(3600)
    return gone


def behind(here: Plant) -> dict[str, str]:
    """Who is not on the newest release, and why."""
    found = exceptions(here.site.world)
    return {each.serial: each.why for each in found if each.kind is ExceptionKind.CATCH_UP}


async def test_first_back_then_to_the_newest(tmp_path: Path) -> None:
    """Away on V2 while it was taken back and V3 came: it leaves V2 first, then goes to V3."""
    async with plant(tmp_path, policy=POLICY_HERE) as here:
        await bring(here, V1)
        await bring(here, V2)
        gone = leave(here, ["g4"])
        await here.site.desk.roll_back(here.rollout(V2).id, "it hums", OLGA)
        await here.until(V2, RolloutState.ROLLED_BACK)
        await bring(here, V3)
        here.clock.turn(WEEK_S)
        gateway = gone["g4"]
        here.gateways |= gone
        seen = []
        for _ in range(20):
            await here.beat()
            seen.append(gateway.committed)
        assert list(dict.fromkeys(seen)) == [V1.digest, V3.digest]
        assert gateway.permits == 3


async def test_an_expired_approval_leaves_it_where_it_is(tmp_path: Path) -> None:
    """Back after its approval has ended: it keeps its release, is listed with its age."""
    async with plant(tmp_path, policy=with_(catch_up_s=WEEK_S)) as here:
        await bring(here, V1)
        gone = leave(here, ["g4"])
        await bring(here, V2)
        assert "it is silent" in behind(here)["g4"]
        here.clock.turn(WEEK_S + 60)
        here.gateways |= gone
        for _ in range(20):
            await here.beat()
        assert gone["g4"].committed == V1.digest
        assert "covered late gateways until" in gone["g4"].deferred[-1]
        (found,) = exceptions_of(here.site.world, "g4")
        assert "no longer covers" in found.why
        assert found.age_s is not None
        assert 60 < found.age_s < 4000
        await bring(here, V3)
        assert gone["g4"].committed == V3.digest
        assert behind(here) == {}


async def test_so_many_at_once(tmp_path: Path) -> None:
    """Two come back together where one may catch up at a time: one after the other."""
    async with plant(tmp_path, inventory=FREE, policy=with_(catch_up_at_once=1)) as here:
        await bring(here, V1)
        gone = leave(here, ["g1", "g4"])
        await bring(here, V2)
        here.gateways |= gone
        at_once = 0
        for _ in range(40):
            await here.beat()
            at_once = max(at_once, sum(each.candidate is not None for each in gone.values()))
        assert {each.committed for each in gone.values()} == {V2.digest}
        assert at_once == 1


async def test_a_veto_that_comes_late(tmp_path: Path) -> None:
    """Everybody has V2, then a late gateway refuses it: held everywhere, one page, a person."""
    async with plant(tmp_path, inventory=FREE, policy=POLICY_HERE) as here:
        await bring(here, V1)
        gone = leave(here, ["g1", "g4"])
        await bring(here, V2)
        gone["g4"].models[V2.digest] = Behaviour(veto="smoke")
        here.gateways["g4"] = gone["g4"]
        for _ in range(6):
            await here.beat()
        held = here.rollout(V2)
        assert held.state is RolloutState.COMPLETED
        assert held.header.holds[Hold.GATE_FAIL].startswith("g4: smoke")
        here.gateways["g1"] = gone["g1"]
        for _ in range(20):
            await here.beat()
        assert gone["g1"].committed == V1.digest
        due = [page.alarm for page in await here.site.store.read(pages)]
        assert [page.source for page in due] == [f"rollout/{held.id}/gate"]
        assert set(behind(here)) == {"g1", "g4"}
        gone["g4"].models[V2.digest] = Behaviour()
        sender = Sender("olga", etag_of(here.rollout(V2)))
        await here.site.desk.resume(held.id, "its vectors were cut off by the disk", sender)
        for _ in range(30):
            await here.beat()
        assert {each.committed for each in gone.values()} == {V2.digest}
        assert len(await here.site.store.read(pages)) == 1


async def test_a_veto_of_what_nobody_runs(tmp_path: Path) -> None:
    """A late veto of a release that is not in service is kept and shown, and holds nothing."""
    async with plant(tmp_path, policy=POLICY_HERE) as here:
        await bring(here, V1)
        await bring(here, V2)
        gone = leave(here, ["g4"])
        await bring(here, V3)
        here.gateways |= gone
        await here.beat()
        update = gone["g4"].update
        assert update is not None
        gone["g4"].update = msgspec.structs.replace(
            update,
            digest=V2.digest,
            state=UpdateState.FAILED_NO_CHANGE,
            veto="crash",
            reason="it ended with signal 11",
        )
        gone["g4"].committed = V1.digest
        report = gone["g4"].report()
        await here.site.take_status("g4", report)
        await here.site.reconcile()
        assert here.rollout(V2).header.holds == {}
        assert here.site.world.sightings["g4"].vetoes[V2.digest].startswith("crash")
        assert await here.site.store.read(pages) == []


async def test_stuck_in_its_download(tmp_path: Path) -> None:
    """One whose download never ends is SUSPECT with its age; the others do not wait for it."""
    async with plant(tmp_path, inventory=FREE, policy=POLICY_HERE) as here:
        await bring(here, V1)
        await here.arrive(V2)
        stuck = here.rollout(V2).plan.cohorts[2].members[0]
        here.gateways[stuck].models[V2.digest] = Behaviour(stalls=True)
        await here.approve(V2)
        await here.until(V2, RolloutState.COMPLETED, beats=400)
        on = {serial: each.committed for serial, each in here.gateways.items()}
        assert on == {**dict.fromkeys(on, V2.digest), stuck: V1.digest}


async def stalled(here: Plant) -> str:
    """The canary of a rollout, whose download does not end."""
    await bring(here, V1)
    await here.arrive(V2)
    canary = here.rollout(V2).plan.cohorts[0].members[0]
    here.gateways[canary].models[V2.digest] = Behaviour(stalls=True)
    await here.approve(V2)
    for _ in range(3):
        await here.beat()
    return canary


async def test_a_suspect_is_shown(tmp_path: Path) -> None:
    """While its rollout goes on, a gateway that should have moved on is listed as such."""
    async with plant(tmp_path, policy=POLICY_HERE) as here:
        canary = await stalled(here)
        assert exceptions_of(here.site.world, canary) == []
        here.clock.turn(POLICY.stage_deadline_s + 100)
        await here.beat()
        (found,) = exceptions_of(here.site.world, canary)
        assert found.kind is ExceptionKind.SUSPECT
        assert found.age_s is not None
        assert found.age_s > 90


async def watched(here: Plant) -> dict[str, AlarmView]:
    """One look of the watch, and what stands a minute later, by what it is about."""
    await Watch(here.site.world, here.site.store, here.site.alarms, here.site.queue).look()
    here.clock.turn(60)
    await here.site.alarms.look()
    return {each.source: each for each in await here.site.alarms.standing()}


async def test_a_suspect_is_told_once_a_line(tmp_path: Path) -> None:
    """One alarm a line names the first that should have moved on; it goes when that has."""
    async with plant(tmp_path, policy=POLICY_HERE) as here:
        canary = await stalled(here)
        here.clock.turn(POLICY.stage_deadline_s + 100)
        await here.beat()
        key = f"line/{here.site.world.plant.line_of(canary)}/suspect"
        found = await watched(here)
        assert f"should have moved on, first {canary}: downloading" in found[key].what
        assert found[key].kind == "EdgeGatewaysSuspect"
        await here.beat()
        assert (await watched(here))[key].raises == 1
        here.gateways[canary].models[V2.digest] = Behaviour()
        for _ in range(3):
            await here.beat()
        assert (await watched(here))[key].state is AlarmState.RETURNED_UNACK


async def test_a_suspect_that_is_dead(tmp_path: Path) -> None:
    """Whoever is declared dead need not move on, and is no alarm."""
    async with plant(tmp_path, policy=POLICY_HERE) as here:
        await bring(here, V1)
        await here.arrive(V2)
        canary = here.rollout(V2).plan.cohorts[0].members[0]
        here.gateways[canary].models[V2.digest] = Behaviour(stalls=True)
        await here.approve(V2)
        await here.beat()
        leave(here, [canary])
        await here.beat()
        key = f"line/{here.site.world.plant.line_of(canary)}/suspect"
        assert (await watched(here))[key].active
        await here.site.recovery.declare_dead(canary, "water in the cabinet", OLGA)
        await here.beat()
        assert not (await watched(here))[key].active


async def in_trial(here: Plant) -> tuple[str, str]:
    """One of the pair tries V2, for longer than anybody waits; its serial, and its partner's."""
    await bring(here, V1)
    await here.arrive(V2)
    await here.approve(V2)
    pair = here.site.world.plant.groups["pair"]
    trying: list[str] = []
    for _ in range(200):
        await here.beat()
        trying = [each for each in pair if here.gateways[each].state is UpdateState.TRIAL]
        if trying:
            break
    (one,) = trying
    (partner,) = [each for each in pair if each != one]
    here.gateways[one].trial_beats = -100
    await here.beat()
    return one, partner


async def test_a_partner_fails_in_the_others_trial(tmp_path: Path) -> None:
    """The trial goes on, one page names both ways out, and nobody is taken back by himself."""
    async with plant(tmp_path) as here:
        one, partner = await in_trial(here)
        key = f"gateway/{one}/alone"
        assert key not in await watched(here)
        others = [each for each in here.gateways if each != partner]
        for _ in range(20):
            await here.beat(others)
        found = (await watched(here))[key]
        assert found.what == f"{one} is on trial and its partner fails: {partner} (silent)"
        assert f'edgetui rollback --gateway {one} --reason "REASON"' in found.actions
        assert key in {page.alarm.source for page in await here.site.store.read(pages)}
        assert here.gateways[one].state is UpdateState.TRIAL
        await here.beat()
        assert (await watched(here))[key].state is AlarmState.RETURNED_UNACK


ILLS: dict[str, tuple[dict[str, object], str]] = {
    "it has no model it can run": (
        {"effective": None, "running": None},
        "not on a committed model",
    ),
    "it is in safe mode": ({"safe_mode": True}, "in safe mode"),
    "it has a fault": ({"faults": ["source silent"]}, "faulted"),
}


@pytest.mark.parametrize("row", ILLS.values(), ids=ILLS.keys())
async def test_a_partner_is_heard_and_fails(
    tmp_path: Path, row: tuple[dict[str, object], str]
) -> None:
    """One that answers and could not stand in is no partner either."""
    changes, why = row
    async with plant(tmp_path) as here:
        one, partner = await in_trial(here)
        report = msgspec.structs.replace(here.gateways[partner].report(), **changes)
        await here.site.take_status(partner, report)
        assert f"{partner} ({why})" in (await watched(here))[f"gateway/{one}/alone"].what


async def test_a_partner_that_nobody_counts_on(tmp_path: Path) -> None:
    """One that never had a model, or was declared dead, leaves nobody alone."""
    async with plant(tmp_path) as here:
        one, partner = await in_trial(here)
        report = here.gateways[partner].report()
        bare = msgspec.structs.replace(report, effective=None, references=References())
        await here.site.take_status(partner, bare)
        assert f"gateway/{one}/alone" not in await watched(here)
    (tmp_path / "other").mkdir()
    async with plant(tmp_path / "other") as here:
        one, partner = await in_trial(here)
        for _ in range(20):
            await here.beat([each for each in here.gateways if each != partner])
        await here.site.recovery.declare_dead(partner, "water in the cabinet", OLGA)
        assert f"gateway/{one}/alone" not in await watched(here)


async def test_left_alone_and_gone(tmp_path: Path) -> None:
    """A gateway that has left the plant takes its alarm along."""
    async with plant(tmp_path) as here:
        one, partner = await in_trial(here)
        for _ in range(20):
            await here.beat([each for each in here.gateways if each != partner])
        assert (await watched(here))[f"gateway/{one}/alone"].active
        clock = here.clock
    gateways = [each for each in INVENTORY.gateways if each.serial != one]
    left = msgspec.structs.replace(INVENTORY, gateways=gateways)
    async with plant(tmp_path, clock=clock, inventory=left) as here:
        assert not (await watched(here))[f"gateway/{one}/alone"].active


async def test_both_are_silent(tmp_path: Path) -> None:
    """Nobody pages for a choice that no order would reach."""
    async with plant(tmp_path) as here:
        one, partner = await in_trial(here)
        others = [each for each in here.gateways if each not in {one, partner}]
        for _ in range(20):
            await here.beat(others)
        assert f"gateway/{one}/alone" not in await watched(here)
