"""Alarms: one a cause, a page for P1 alone, and each page exactly once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_core.contracts.errors import ConflictError, NotFoundError
from edge_site_proxy.alarms import life
from edge_site_proxy.alarms.pager import Pager, Webhook
from edge_site_proxy.audit.log import events_about
from tests.unit.site_proxy.plant.plant import Plant, plant

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 23, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def alarm(state: AlarmState, until: datetime | None = None) -> AlarmView:
    """One alarm."""
    return AlarmView(
        id=1,
        priority=Priority.P2,
        state=state,
        source="x",
        what="w",
        consequence="c",
        runbook="r",
        raised=NOW,
        changed=NOW,
        until=until,
    )


LIFE = {
    "its cause goes while nobody has looked": ("UNACK", "returned", "RETURNED_UNACK"),
    "its cause goes after somebody looked": ("ACKED", "returned", "CLEARED"),
    "its cause goes on the shelf": ("SHELVED", "returned", "CLEARED"),
    "it comes back before anybody looked": ("RETURNED_UNACK", "again", "UNACK"),
    "it comes again while it stands": ("ACKED", "again", "ACKED"),
    "somebody looks": ("UNACK", "acked", "ACKED"),
    "somebody looks after it went": ("RETURNED_UNACK", "acked", "CLEARED"),
    "somebody puts it aside": ("UNACK", "shelved", "SHELVED"),
    "its time on the shelf is over": ("SHELVED", "unshelved", "UNACK"),
}


@pytest.mark.parametrize("row", LIFE.values(), ids=LIFE.keys())
def test_life(row: tuple[str, str, str]) -> None:
    """Each state and what moves it."""
    before, verb, after = row
    moves = {
        "returned": lambda each: life.returned(each, LATER),
        "again": lambda each: life.again(each, LATER),
        "acked": lambda each: life.acked(each, "ana", LATER),
        "shelved": lambda each: life.shelved(each, "ana", LATER, LATER),
        "unshelved": lambda each: life.unshelved(each, LATER),
    }
    until = LATER if before == "SHELVED" else None
    assert moves[verb](alarm(AlarmState[before], until)).state is AlarmState[after]


def test_over_is_over() -> None:
    """A cleared alarm can be neither acknowledged nor shelved."""
    with pytest.raises(ConflictError, match="was cleared"):
        life.acked(alarm(AlarmState.CLEARED), "ana", LATER)


class Hook:
    """Somebody's pager: remembers what came, and can be out of order."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.bodies: list[dict[str, object]] = []
        self.answers: list[int] = []

    async def take(self, request: web.Request) -> web.Response:
        """One page."""
        self.keys.append(request.headers["Idempotency-Key"])
        self.bodies.append(await request.json())
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


async def raised(here: Plant, priority: Priority) -> None:
    """Raise an alarm by key."""
    await here.site.raise_alarm("wan/up", priority, "the WAN is down", "nothing is shipped", "wan")


async def test_page_once(tmp_path: Path) -> None:
    """Tried until answered, with the same key each time, and never again after that."""
    hook = Hook()
    hook.answers = [503, 500]
    app = web.Application()
    app.router.add_post("/", hook.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with plant(tmp_path) as here, aiohttp.ClientSession() as session:
        pager = Pager(here.site.alarms, Webhook(session, url, "P1"))
        await raised(here, Priority.P1)
        await raised(here, Priority.P1)
        assert [await pager.send_due() for _ in range(4)] == [False, False, True, True]
        assert set(hook.keys) == {"P1-alarm-1"}
        assert len(hook.keys) == 3
        assert hook.bodies[0]["runbook"] == "docs/operate/runbooks/wan.md"
        (shown,) = await here.site.alarms.standing()
        assert shown.paged
    async with plant(tmp_path) as here, aiohttp.ClientSession() as session:
        assert await Pager(here.site.alarms, Webhook(session, url, "P1")).send_due()
        assert len(hook.keys) == 3
    await runner.cleanup()


async def test_only_p1_pages(tmp_path: Path) -> None:
    """P2 and below wait on the list."""
    async with plant(tmp_path) as here:
        await raised(here, Priority.P2)
        assert await here.site.alarms.pages_due() == []
        assert len(await here.site.alarms.standing()) == 1


async def test_a_new_cause_is_a_new_alarm(tmp_path: Path) -> None:
    """After it was seen and went, the same cause gets a new number and a new page."""
    async with plant(tmp_path) as here:
        await raised(here, Priority.P1)
        await here.site.alarms.ack(1, "ana", "")
        await here.site.clear_alarm("wan/up")
        assert await here.site.alarms.standing() == []
        await raised(here, Priority.P1)
        (second,) = await here.site.alarms.standing()
        assert second.id == 2
        assert len(await here.site.alarms.pages_due()) == 2
        with pytest.raises(NotFoundError, match="alarm 7"):
            await here.site.alarms.ack(7, "ana", "")


async def test_shelf(tmp_path: Path) -> None:
    """Shelved for ten minutes it comes back by itself; every move has its event."""
    async with plant(tmp_path) as here:
        await raised(here, Priority.P2)
        await here.site.alarms.shelve(1, "ana", 10, "the contractor works on it")
        here.clock.turn(599)
        await here.site.alarms.unshelve_due()
        assert (await here.site.alarms.standing())[0].state is AlarmState.SHELVED
        here.clock.turn(1)
        await here.site.alarms.unshelve_due()
        assert (await here.site.alarms.standing())[0].state is AlarmState.UNACK
        events = await here.site.store.read(lambda db: events_about(db, "alarm", "1"))
        kinds = [event.kind for event in events]
        assert kinds == ["alarm.raised", "alarm.shelved", "alarm.unshelved"]
