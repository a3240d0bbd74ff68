"""Gateways that come back after their rollout has ended, and what they then say of it."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.api import ExceptionKind
from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import Hold, Policy, RolloutState
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.rollout.exceptions import exceptions, exceptions_of
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from tests.unit.site_proxy.plant.gateway import Behaviour, Gateway
from tests.unit.site_proxy.plant.plant import FREE, POLICY, V1, V2, V3, Plant, plant

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


async def test_a_suspect_is_shown(tmp_path: Path) -> None:
    """While its rollout goes on, a gateway that should have moved on is listed as such."""
    async with plant(tmp_path, policy=POLICY_HERE) as here:
        await bring(here, V1)
        await here.arrive(V2)
        canary = here.rollout(V2).plan.cohorts[0].members[0]
        here.gateways[canary].models[V2.digest] = Behaviour(stalls=True)
        await here.approve(V2)
        for _ in range(3):
            await here.beat()
        assert exceptions_of(here.site.world, canary) == []
        here.clock.turn(POLICY.stage_deadline_s + 100)
        await here.beat()
        (found,) = exceptions_of(here.site.world, canary)
        assert found.kind is ExceptionKind.SUSPECT
        assert found.age_s is not None
        assert found.age_s > 90
