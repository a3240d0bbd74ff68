"""Heartbeats of many gateways at once: news in one transaction, each by its own gateway."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_core.contracts.gateway import StatusReply
from edge_core.contracts.plant import Inventory, Zone
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.rollout import tables
from tests.unit.site_proxy.plant.connections import pragma
from tests.unit.site_proxy.plant.plant import Plant, place, plant

pytestmark = pytest.mark.anyio
MANY = 60
CROWD = Inventory(
    site="P1",
    zones=[Zone(name="plain")],
    gateways=[place(f"g{number:03}", f"L{number}", "C1") for number in range(MANY)],
)
CROWD_SERIALS = [each.serial for each in CROWD.gateways]
DIGEST = "sha256:" + "7" * 64


async def together(here: Plant, serials: list[str]) -> list[StatusReply]:
    """One heartbeat of each, all at the same moment."""
    async with asyncio.TaskGroup() as group:
        reports = [replace(here.gateways[serial].report(), health=[]) for serial in serials]
        tasks = [
            group.create_task(here.site.take_status(report.serial, report)) for report in reports
        ]
    return [task.result() for task in tasks]


def serve(here: Plant) -> list[str]:
    """Everybody serves a model from now on, which is news."""
    for gateway in here.gateways.values():
        gateway.committed = DIGEST
    return CROWD_SERIALS


async def test_one_transaction(tmp_path: Path) -> None:
    """News of many is committed in a handful of transactions, and every gateway has its event."""
    async with plant(tmp_path, inventory=CROWD) as here:
        commits = await counted(here, lambda: together(here, serve(here)))
        assert commits < MANY / 4
        for serial in CROWD_SERIALS:
            events = await here.site.store.read(
                lambda db, serial=serial: audit_log.events_about(db, "gateway", serial)  # type: ignore[misc]  # a default binds the loop's value
            )
            changed = [each for each in events if each.kind == "gateway.reference_changed"]
            assert [each.who for each in changed] == [f"gateway:{serial}"]


async def counted(here: Plant, act: Callable[[], Awaitable[object]]) -> int:
    """How many transactions *act* takes."""
    commits = 0

    def traced(statement: str) -> None:
        nonlocal commits
        commits += statement.startswith("COMMIT")

    await here.site.store.read(lambda db: db.conn.set_trace_callback(traced))
    await act()
    await here.site.store.read(lambda db: db.conn.set_trace_callback(None))
    return commits


async def test_said_twice_at_once(tmp_path: Path) -> None:
    """The same news of one gateway, twice at the same moment, is one event."""
    async with plant(tmp_path, inventory=CROWD) as here:
        serve(here)
        await together(here, ["g000", "g000", "g001"])
        events = await here.site.store.read(
            lambda db: audit_log.events_about(db, "gateway", "g000")
        )
        kinds = [each.kind for each in events]
        assert kinds.count("gateway.reference_changed") == 1


async def test_quiet_reports_are_kept_by_the_next_pass(tmp_path: Path) -> None:
    """A report without news is believed at once, and on disk after a pass."""
    async with plant(tmp_path, inventory=CROWD) as here:
        await together(here, serve(here))
        await here.site.reconcile()
        commits = await counted(here, lambda: together(here, CROWD_SERIALS))
        assert commits == 0
        assert here.site.world.sightings["g005"].report.sequence == 2
        await here.site.reconcile()
        kept = await here.site.store.read(tables.load_sightings)
        assert {sighting.report.sequence for _, sighting in kept.values()} == {2}


async def test_disk_that_refuses(tmp_path: Path) -> None:
    """News that cannot be kept is not believed, and said again it is."""
    async with plant(tmp_path, inventory=CROWD) as here:
        await pragma(here.site.store, "query_only = ON")
        replies = await together(here, serve(here))
        assert {reply.health_stored for reply in replies} == {0}
        assert not here.site.world.sightings
        await pragma(here.site.store, "query_only = OFF")
        await together(here, CROWD_SERIALS)
        assert len(here.site.world.sightings) == MANY
