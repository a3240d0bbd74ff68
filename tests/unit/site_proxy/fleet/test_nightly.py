"""Every night the gate is asked about what did not change; what it says is kept and shown."""

from pathlib import Path

import msgspec
import pytest
from sqlite_utils import Database

from edge_core.contracts.api import AlarmState, Priority
from edge_core.contracts.gates import GateCheck, Verdict
from edge_core.contracts.plant import Inventory, Zone
from edge_site_proxy.alarms.pages.queue import pages
from edge_site_proxy.fleet.nightly import RUNS, Nightly, gate_checks
from tests.unit.site_proxy.plant.gateway import Behaviour
from tests.unit.site_proxy.plant.plant import V1, V2, Plant, place, plant

pytestmark = pytest.mark.anyio

EIGHT = Inventory(
    site="P1",
    zones=[Zone(name="plain")],
    gateways=[place(f"g{number}", f"L{number}", "C1") for number in range(8)],
)
HOUR = 3600.0


def nightly(here: Plant) -> Nightly:
    """The task, to be asked by hand."""
    return Nightly(here.site.world, here.site.store, here.site.alarms)


async def days(here: Plant, count: int) -> None:
    """So many days on which everybody works, an hour now and then."""
    for _ in range(count):
        for _ in range(6):
            here.clock.turn(4 * HOUR)
            for _ in range(4):
                await here.beat()


async def test_a_night(tmp_path: Path) -> None:
    """Once a day, over the day before, so many cohorts; nobody is blamed, nothing is raised."""
    async with plant(tmp_path, inventory=EIGHT) as here:
        await here.bring(V1)
        await days(here, 3)
        await nightly(here).look()
        await nightly(here).look()
        found = await gate_checks(here.site.store, here.site.world.settings.policy.gate)
        assert (found.runs, found.failed) == (RUNS, 0)
        assert {each.day for each in found.newest} == {
            (here.clock.wall.date() - here.clock.wall.date().resolution).isoformat()
        }
        assert {len(each.members) for each in found.newest} == {3}
        assert len({tuple(each.members) for each in found.newest}) > 1
        assert all(each.windows > 0 for each in found.newest)
        assert await here.site.alarms.standing() == []


async def test_a_gateway_that_went_bad_is_blamed(tmp_path: Path) -> None:
    """The checks that chose it fail, by the same measurements as in a rollout."""
    async with plant(tmp_path, inventory=EIGHT) as here:
        await here.bring(V1)
        await days(here, 2)
        here.gateways["g5"].models[V1.digest] = Behaviour(fails=0.5)
        await days(here, 2)
        await nightly(here).look()
        found = await gate_checks(here.site.store, here.site.world.settings.policy.gate)
        blamed = [each for each in found.newest if each.verdict is Verdict.FAIL]
        assert blamed == [each for each in found.newest if "g5" in each.members]
        assert blamed


async def test_what_is_being_changed_is_not_asked_about(tmp_path: Path) -> None:
    """While a model is rolled out, and before anything was, there is no A to compare with A."""
    async with plant(tmp_path, inventory=EIGHT) as here:
        limits = here.site.world.settings.policy.gate
        await nightly(here).look()
        await here.bring(V1)
        await days(here, 3)
        await here.arrive(V2)
        await here.approve(V2)
        await here.beat()
        await nightly(here).look()
        assert (await gate_checks(here.site.store, limits)).runs == 0


def keep(db: Database, checks: list[GateCheck]) -> None:
    """As if they had been made on other nights."""
    for each in checks:
        db.execute(
            "INSERT OR REPLACE INTO gate_checks (day, model, number, doc) VALUES (?, ?, ?, ?)",
            [each.day, each.model, each.number, msgspec.json.encode(each)],
        )


async def test_more_false_alarms_than_promised(tmp_path: Path) -> None:
    """An alarm of its own, P3; it goes when enough nights were as promised."""
    async with plant(tmp_path, inventory=EIGHT) as here:
        checks = [
            GateCheck(
                day="2026-11-20",
                number=number,
                model="pump-condition",
                digest=V1.digest,
                members=["g1", "g2", "g3"],
                verdict=Verdict.FAIL if number < 2 else Verdict.INCONCLUSIVE,
                by=["errors"],
            )
            for number in range(100)
        ]
        await here.site.store.observe(lambda db: keep(db, checks))
        await nightly(here).look()
        (alarm,) = await here.site.alarms.standing()
        assert (alarm.priority, alarm.state) == (Priority.P3, AlarmState.UNACK)
        assert "blamed 2 of 100 cohorts" in alarm.what
        assert alarm.runbook.endswith("gate-check.md")
        assert await here.site.store.read(pages) == []
        more = [
            msgspec.structs.replace(each, day="2026-11-21", verdict=Verdict.PASS)
            for each in checks
        ]
        await here.site.store.observe(lambda db: keep(db, more))
        await nightly(here).look()
        (alarm,) = await here.site.alarms.standing()
        assert alarm.state is AlarmState.RETURNED_UNACK


async def test_old_checks_are_forgotten(tmp_path: Path) -> None:
    """With each night that is kept, what is older than a season goes."""
    async with plant(tmp_path, inventory=EIGHT) as here:
        old = GateCheck(
            day="2026-01-01",
            number=0,
            model="pump-condition",
            digest=V1.digest,
            members=["g1"],
            verdict=Verdict.FAIL,
            by=["errors"],
        )
        await here.site.store.observe(lambda db: keep(db, [old]))
        await here.bring(V1)
        await days(here, 3)
        await nightly(here).look()
        found = await gate_checks(here.site.store, here.site.world.settings.policy.gate)
        assert (found.runs, found.failed) == (RUNS, 0)
