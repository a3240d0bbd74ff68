"""What goes over the wire to each receiver, and what its answers mean; against a server."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from edge_core.contracts.api import AlarmState, Priority
from edge_site_proxy.alarms.errors import PageDelayedError, PageRefusedError
from edge_site_proxy.alarms.pages.alertmanager import (
    Alertmanager,
    AlertsWire,
    Showing,
    alerts,
)
from edge_site_proxy.alarms.pages.pagerduty import PagerDuty
from edge_site_proxy.alarms.pages.patience import Patience
from edge_site_proxy.alarms.pages.say import Page, Verb
from edge_site_proxy.alarms.pages.webhook import Webhook
from edge_site_proxy.alarms.pages.wire import MEMBERS_MAX, Post
from tests.unit.site_proxy.alarms.made import NOW, alarm, call
from tests.unit.site_proxy.alarms.test_pages import Half
from tests.unit.site_proxy.plant.plant import plant

pytestmark = pytest.mark.anyio
S = AlarmState
MINUTE = timedelta(minutes=1)
SHOWING = Showing("P1", MINUTE, 15 * MINUTE)


@dataclass
class Server:
    """Somebody's pager: remembers what came, and answers as told."""

    url: str = ""
    heard: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """One request."""
        self.heard.append((request.path, dict(request.headers), await request.json()))
        return self.answers.pop(0) if self.answers else web.Response(status=202)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a free port."""
    made = Server()
    app = web.Application()
    app.router.add_post("/{rest:.*}", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    """The way out."""
    async with aiohttp.ClientSession() as session:
        yield Post(session, lambda: NOW)


def page(members: int = 1) -> Page:
    """A page of a P1 with *members* more."""
    first = alarm(
        priority=Priority.P1,
        source="gateway/g1/fail_safe",
        kind="EdgeGatewayFailSafe",
        line="L1",
        what="gateway g1 is in fail_safe",
        actions=["edgetui gateway g1"],
        runbook="https://runbooks.example/gateway-fail-safe.md",
    )
    more = tuple(alarm(number=2 + n, source=f"gateway/g{2 + n}/fail_safe") for n in range(members))
    return Page(first, more, NOW)


async def test_webhook(server: Server, post: Post) -> None:
    """One POST with what it means and what can be done; the same key at every try."""
    wire = Webhook(post, f"{server.url}/page", "P1", resolve=True)
    await wire.send(Verb.TRIGGER, page(60), 1)
    await wire.send(Verb.TRIGGER, page(), 2)
    await wire.send(Verb.RESOLVE, page(), 1)
    keys = [headers["Idempotency-Key"] for _, headers, _ in server.heard]
    assert keys == ["P1-alarm-1", "P1-alarm-1-2", "P1-alarm-1-resolve"]
    path, _, body = server.heard[0]
    assert (path, body["event"], body["priority"], body["stands"]) == (
        "/page",
        "trigger",
        "p1",
        True,
    )
    assert body["actions"] == ["edgetui gateway g1"]
    assert body["runbook"].endswith("gateway-fail-safe.md")
    assert (len(body["members"]), body["members_count"]) == (MEMBERS_MAX, 60)
    assert body["members"][0]["source"] == "gateway/g2/fail_safe"


async def test_pagerduty(server: Server, post: Post) -> None:
    """Trigger, acknowledge and resolve under one dedup_key; the routing key is read each time."""
    keys = iter(["old key", "new key", "new key"])
    wire = PagerDuty(post, server.url, "P1", lambda: next(keys))
    for verb in (Verb.TRIGGER, Verb.ACKNOWLEDGE, Verb.RESOLVE):
        await wire.send(verb, page(), 1)
    bodies = [body for _, _, body in server.heard]
    assert {path for path, _, _ in server.heard} == {"/v2/enqueue"}
    assert [body["event_action"] for body in bodies] == ["trigger", "acknowledge", "resolve"]
    assert {body["dedup_key"] for body in bodies} == {"P1-alarm-1"}
    assert [body["routing_key"] for body in bodies] == ["old key", "new key", "new key"]
    told = bodies[0]["payload"]
    assert told["severity"] == "critical"
    assert told["summary"] == "P1: gateway g1 is in fail_safe (and 1 more)"
    assert (told["component"], told["class"]) == ("L1", "EdgeGatewayFailSafe")
    assert bodies[0]["links"][0]["href"].startswith("https://")
    assert "payload" not in bodies[1]


ANSWERS: dict[str, tuple[int, dict[str, str], type[PageDelayedError], timedelta | None]] = {
    "too many: as long as it says": (429, {"Retry-After": "7"}, PageDelayedError, 7 * MINUTE / 60),
    "busy until a date": (
        503,
        {"Retry-After": "Mon, 23 Nov 2026 00:01:00 GMT"},
        PageDelayedError,
        MINUTE,
    ),
    "broken, and says no time": (500, {}, PageDelayedError, None),
    "a wrong event": (400, {}, PageRefusedError, None),
    "a wrong key": (401, {}, PageRefusedError, None),
    "it has moved": (302, {"Location": "http://elsewhere.example/"}, PageRefusedError, None),
}


@pytest.mark.parametrize("row", ANSWERS.values(), ids=ANSWERS.keys())
async def test_answers(
    server: Server,
    post: Post,
    row: tuple[int, dict[str, str], type[PageDelayedError], timedelta | None],
) -> None:
    """Later, or never as things are; and when."""
    status, headers, error, after = row
    server.answers = [web.Response(status=status, headers=headers)]
    with pytest.raises(PageDelayedError, match=f"found {status}") as raised:
        await Webhook(post, f"{server.url}/page", "P1").send(Verb.TRIGGER, page(), 1)
    assert type(raised.value) is error
    assert raised.value.after == after


async def test_nobody_there(post: Post) -> None:
    """A receiver that is away is later, not never."""
    with pytest.raises(PageDelayedError) as raised:
        await Webhook(post, "http://127.0.0.1:1/page", "P1").send(Verb.TRIGGER, page(), 1)
    assert type(raised.value) is PageDelayedError


def shown(*alarms: Any) -> dict[str, str]:
    """When each alarm's alert ends, by its source; when it began is Alertmanager's to say."""
    found = alerts(alarms, SHOWING, NOW)
    assert not any("startsAt" in each for each in found)
    return {each["labels"]["source"]: each["endsAt"] for each in found}


async def test_alerts() -> None:
    """What stands is held up for a while; what is over or aside says since when, for a while."""
    hold = (NOW + 15 * MINUTE).isoformat()
    found = shown(
        alarm(S.UNACK, 1, source="unseen", age=MINUTE),
        alarm(S.ACKED, 2, source="seen"),
        alarm(S.SHELVED, 3, source="aside", age=MINUTE),
        alarm(S.RETURNED_UNACK, 4, source="over", age=MINUTE),
        alarm(S.CLEARED, 5, source="long over", age=15 * MINUTE),
        alarm(S.CLEARED, 6, source="seen", age=MINUTE),
        alarm(S.PENDING, 7, source="not yet"),
    )
    over = (NOW - MINUTE).isoformat()
    assert found == {"unseen": hold, "seen": hold, "aside": over, "over": over}


async def test_labels() -> None:
    """Labels are what the alert is: they say nothing that changes while it stands."""
    first, second = (
        alarm(S.UNACK, number, priority=Priority.P1, source=f"s{number}", group="one", page=1)
        for number in (1, 2)
    )
    labels = [each["labels"] for each in alerts([first, second], SHOWING, NOW)]
    assert [each["pages"] for each in labels] == ["yes", "no"]
    assert labels[0] == {
        "alertname": "EdgeAlarm",
        "site": "P1",
        "priority": "p1",
        "source": "s1",
        "group": "one",
        "needs_wan": "no",
        "pages": "yes",
    }


async def test_alertmanager(tmp_path: Path, server: Server, post: Post) -> None:
    """Posted again and again; a page is noted as told once, and as over when it was shown so."""
    async with plant(tmp_path) as here:
        await here.site.alarms.raise_alarm(call("x", Priority.P1))
        patience = Patience(here.site.alarms, "am", Half())  # type: ignore[arg-type]  # only `uniform` is asked of it
        wire = AlertsWire(post, server.url, SHOWING)
        now: Callable[[], Any] = here.clock.clocks().now
        am = Alertmanager(here.site.pages, here.site.alarms, patience, "am", wire, now)
        server.answers = [web.Response(status=503)]
        assert await am.show() is not None
        assert not (await here.site.alarms.standing())[0].paged
        assert await am.show() is None
        assert await am.show() is None
        assert (await here.site.alarms.standing())[0].paged
        await here.site.alarm_desk.ack(1, "ana", "")
        await here.site.clear_alarm("x")
        await am.show()
        await here.site.pages.close_done([am.ear])
        assert await here.site.pages.open("am") == []
    assert {path for path, _, _ in server.heard} == {"/api/v2/alerts"}
    assert len(server.heard) == 4
    last = server.heard[-1][2][0]
    assert last["annotations"]["state"] == "cleared"
