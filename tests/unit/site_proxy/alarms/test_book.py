"""The alarm list: one alarm a cause, kept with its event; floods, delays, rules of the site."""

from pathlib import Path

import pytest

from edge_core.contracts.alarms import MaintenanceRequest
from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_core.contracts.errors import ConflictError, NotFoundError
from edge_site_proxy.alarms.catalogue import FLOOD_KEY, OFFLINE_KEY
from edge_site_proxy.audit.log import events_about
from tests.unit.site_proxy.alarms.made import call
from tests.unit.site_proxy.plant.plant import Plant, plant

pytestmark = pytest.mark.anyio
S = AlarmState


async def kinds(here: Plant, number: int) -> list[str]:
    """What happened to one alarm."""
    events = await here.site.store.read(lambda db: events_about(db, "alarm", str(number)))
    return [event.kind.removeprefix("alarm.") for event in events]


async def by_source(here: Plant) -> dict[str, AlarmView]:
    """What stands, by what it is about."""
    return {alarm.source: alarm for alarm in await here.site.alarms.standing()}


async def wait(here: Plant, seconds: float) -> None:
    """Let time pass and look."""
    here.clock.turn(seconds)
    await here.site.alarms.look()


async def test_a_new_cause_is_a_new_alarm(tmp_path: Path) -> None:
    """After it was seen and went, the same cause gets a new number."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("x"))
        await here.site.alarms.raise_alarm(call("x"))
        await here.site.alarm_desk.ack(1, "ana", "seen")
        await here.site.clear_alarm("x")
        assert await here.site.alarms.standing() == []
        await here.site.alarms.raise_alarm(call("x"))
        assert [each.id for each in await here.site.alarms.standing()] == [2]
        with pytest.raises(NotFoundError, match="alarm 7"):
            await here.site.alarm_desk.ack(7, "ana", "")
        with pytest.raises(ConflictError, match="was cleared"):
            await here.site.alarm_desk.ack(1, "ana", "")
        assert await kinds(here, 1) == ["raised", "acked", "returned"]


async def test_shelf(tmp_path: Path) -> None:
    """Shelved for ten minutes it comes back by itself, a restart between; each move is written."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("x"))
        await here.site.alarm_desk.shelve(1, "ana", 10, "the contractor works on it")
        await here.site.clear_alarm("x")
        await here.site.alarms.raise_alarm(call("x"))
        clock = here.clock
    async with plant(tmp_path, clock=clock) as here:
        await wait(here, 599)
        (shelved,) = await here.site.alarms.standing()
        assert (shelved.state, shelved.raises, shelved.shelves) == (S.SHELVED, 2, 1)
        await wait(here, 1)
        assert (await by_source(here))["x"].state is S.UNACK
        shelf = ["raised", "shelved", "returned", "raised_again", "unshelved"]
        assert await kinds(here, 1) == shelf
        await here.site.alarm_desk.shelve(1, "ana", 10, "again")
        await here.site.alarm_desk.unshelve(1, "ana", "done")
        assert (await by_source(here))["x"].why == "done"


async def test_delays(tmp_path: Path) -> None:
    """A clock that is off for a moment is no alarm; one that flaps is one, told once."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("site/clock"))
        assert await here.site.alarms.standing() == []
        await wait(here, 10)
        await here.site.clear_alarm("site/clock")
        await wait(here, 60)
        assert await here.site.alarms.standing() == []
        await here.site.alarms.raise_alarm(call("site/clock"))
        await wait(here, 30)
        for _ in range(5):
            await here.site.clear_alarm("site/clock")
            await wait(here, 59)
            await here.site.alarms.raise_alarm(call("site/clock"))
        (flaps,) = await here.site.alarms.standing()
        assert (flaps.id, flaps.state, flaps.raises) == (2, S.UNACK, 6)
        await here.site.clear_alarm("site/clock")
        await wait(here, 60)
        assert (await by_source(here))["site/clock"].state is S.RETURNED_UNACK
        assert (await kinds(here, 1)) == ["noticed", "returned"]


async def test_latch(tmp_path: Path) -> None:
    """That a gateway ran what nobody approved stays on the list until a person resets it."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("gateway/g1/digest"))
        await here.site.clear_alarm("gateway/g1/digest")
        await here.site.alarm_desk.ack(1, "ana", "looked")
        assert (await by_source(here))["gateway/g1/digest"].state is S.LATCHED_ACKED
        await here.site.alarm_desk.reset(1, "ana", "image was swapped by hand, undone")
        assert await here.site.alarms.standing() == []


async def test_service(tmp_path: Path) -> None:
    """Out of service until a person says otherwise, whatever its cause does."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("gateway/g1/faults"))
        await here.site.alarm_desk.retire(1, "ana", "sensor on order")
        await wait(here, 100_000)
        assert (await by_source(here))["gateway/g1/faults"].state is S.OUT_OF_SERVICE
        await here.site.alarm_desk.restore(1, "ana", "new sensor")
        assert (await by_source(here))["gateway/g1/faults"].state is S.UNACK


async def test_maintenance(tmp_path: Path) -> None:
    """While a line is worked on its gateways' alarms are quiet; what stays wrong is said after."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("gateway/g1/faults"))
        order = MaintenanceRequest(line="L1", minutes=60, reason="new switch")
        with pytest.raises(NotFoundError, match="line L9"):
            await here.site.alarm_desk.begin_maintenance(
                "ana", MaintenanceRequest(line="L9", minutes=60, reason="new switch")
            )
        await here.site.alarm_desk.begin_maintenance("ana", order)
        await here.site.alarms.raise_alarm(call("line/L1/silent"))
        await here.site.alarms.raise_alarm(call("gateway/g1/fail_safe", Priority.P1))
        await here.site.alarms.raise_alarm(call("gateway/g4/faults"))
        quiet = {key: each.state for key, each in (await by_source(here)).items()}
        assert quiet.pop("gateway/g4/faults") is S.UNACK
        assert set(quiet.values()) == {S.SUPPRESSED}
        assert await here.site.pages.open("any") == []
        await here.site.clear_alarm("line/L1/silent")
        await wait(here, 3599)
        assert len(await here.site.alarm_desk.maintenance()) == 1
        await wait(here, 1)
        assert await here.site.alarm_desk.maintenance() == []
        after = {key: each.state for key, each in (await by_source(here)).items()}
        assert set(after) == {"gateway/g1/faults", "gateway/g1/fail_safe", "gateway/g4/faults"}
        assert set(after.values()) == {S.UNACK}
        assert len(await here.site.pages.open("any")) == 1


async def test_maintenance_ends_early(tmp_path: Path) -> None:
    """A person says that the work is done, once."""
    async with plant(tmp_path) as here:
        order = MaintenanceRequest(line="L1", minutes=60, reason="new switch")
        await here.site.alarm_desk.begin_maintenance("ana", order)
        await here.site.alarms.raise_alarm(call("line/L1/silent"))
        await here.site.alarm_desk.end_maintenance("bob", "L1", "done early")
        assert (await by_source(here))["line/L1/silent"].state is S.UNACK
        with pytest.raises(NotFoundError, match="line L1"):
            await here.site.alarm_desk.end_maintenance("bob", "L1", "done early")


async def test_offline(tmp_path: Path) -> None:
    """Known to be offline, the site keeps quiet what follows from that, until it has settled."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call(OFFLINE_KEY, Priority.P3))
        await here.site.alarms.raise_alarm(call("mirror-expired", Priority.P3))
        await here.site.alarms.raise_alarm(call("telemetry-buffer", Priority.P3))
        await here.site.alarms.raise_alarm(call("gateway/g1/faults", Priority.P3))
        states = {key: each.state for key, each in (await by_source(here)).items()}
        assert states["mirror-expired"] is S.SUPPRESSED
        assert states["telemetry-buffer"] is S.SUPPRESSED
        assert states["gateway/g1/faults"] is S.UNACK
        await here.site.clear_alarm(OFFLINE_KEY)
        await wait(here, 60)
        await here.site.clear_alarm("telemetry-buffer")
        await wait(here, 60)
        await wait(here, 0)
        states = {key: each.state for key, each in (await by_source(here)).items()}
        assert states["mirror-expired"] is S.UNACK
        assert "telemetry-buffer" not in states


async def test_a_full_buffer_is_said_offline_too(tmp_path: Path) -> None:
    """What is graver than the outage is not kept quiet by it."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call(OFFLINE_KEY, Priority.P3))
        await here.site.alarms.raise_alarm(call("telemetry-buffer", Priority.P3))
        await here.site.alarms.raise_alarm(call("telemetry-buffer", Priority.P2))
        await here.site.alarms.look()
        shown = (await by_source(here))["telemetry-buffer"]
        assert (shown.state, shown.priority) == (S.UNACK, Priority.P2)


async def test_flood(tmp_path: Path) -> None:
    """Eleven in ten minutes are one more, that names the first; all can be opened; it ends."""
    async with plant(tmp_path) as here:
        for number in range(10):
            await here.site.alarms.raise_alarm(call(f"x{number}", what=f"what {number}"))
            here.clock.turn(30)
        assert FLOOD_KEY not in await by_source(here)
        await here.site.alarms.raise_alarm(call("x10"))
        await here.site.alarms.raise_alarm(call("x11"))
        shown = await by_source(here)
        flood = shown[FLOOD_KEY]
        assert "first x0 at 08:00: what 0" in flood.what
        assert len(shown) == 13
        assert {each.flood for each in shown.values() if each is not flood} == {flood.id}
        assert (await here.site.alarms.summary()).flood
        await wait(here, 420)
        assert (await by_source(here))[FLOOD_KEY].state is S.UNACK
        await wait(here, 180)
        assert (await by_source(here))[FLOOD_KEY].state is S.RETURNED_UNACK


async def test_it_says_how_many_by_now(tmp_path: Path) -> None:
    """Twelve gateways behind one switch go one by one: one alarm, whose words keep up."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("line/L1/silent", what="1 of 12"))
        here.clock.turn(5)
        await here.site.alarms.raise_alarm(call("line/L1/silent", what="3 of 12"))
        assert (await by_source(here))["line/L1/silent"].what == "1 of 12"
        here.clock.turn(10)
        await here.site.alarms.raise_alarm(call("line/L1/silent", what="12 of 12"))
        assert (await by_source(here))["line/L1/silent"].what == "12 of 12"
        assert await kinds(here, 1) == ["raised", "updated"]


async def test_what_is_known_of_an_alarm(tmp_path: Path) -> None:
    """Its kind, its line, what it shares, and commands with names in them that a shell takes."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("gateway/g4/faults"))
        await here.site.alarms.raise_alarm(call("release/pump 2.0; rm/refused"))
        shown = await by_source(here)
        faults = shown["gateway/g4/faults"]
        assert (faults.kind, faults.line, faults.group) == (
            "EdgeGatewayFaults",
            "L2",
            "L2 faults",
        )
        assert faults.actions[0] == "edgetui gateway g4"
        assert shown["release/pump 2.0; rm/refused"].by_hand
