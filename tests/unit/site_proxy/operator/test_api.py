"""The operator API as a console meets it: over its socket, by the kernel's word for who calls."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from edge_core.contracts.alarms import AlarmSummary, Maintenance
from edge_core.contracts.api import (
    AlarmView,
    GatewayView,
    Overview,
    Priority,
    Problem,
    Role,
    TelemetryView,
    WhoAmI,
)
from edge_core.contracts.audit import WhatRan
from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.rollout import Policy, RolloutState, RolloutView
from edge_site_proxy.api.operator.app import operator_app
from edge_site_proxy.api.operator.openapi import OPERATIONS, document
from edge_site_proxy.api.operator.server import listen, serve
from edge_site_proxy.api.operator.settings import OperatorSettings
from edge_site_proxy.rollout.records import AlarmCall
from tests.unit.site_proxy.plant.plant import POLICY, V1, V2, Plant, plant

pytestmark = pytest.mark.anyio

ALL = frozenset(role.value for role in Role)


@dataclass
class People:
    """Who the only user of this test is, and their groups; changed while it runs."""

    name: str = "ana"
    groups: frozenset[str] = field(default=ALL)

    def lookup(self, uid: int) -> tuple[str, frozenset[str]]:
        """As the machine would say."""
        assert uid == os.getuid()
        return self.name, self.groups


@dataclass
class Console:
    """One console on the socket."""

    session: aiohttp.ClientSession
    plant: Plant
    people: People

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """GET *path*."""
        async with self.session.get(f"http://site{path}", headers=headers) as answer:
            return answer.status, await answer.read()

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[int, bytes]:
        """POST a JSON *body*."""
        url = f"http://site{path}"
        async with self.session.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def rollout(self, name: str) -> RolloutView:
        """One rollout."""
        _, raw = await self.get(f"/v1/rollouts/{name}")
        return msgspec.json.decode(raw, type=RolloutView)


def quiet() -> TelemetryView:
    """A telemetry buffer with nothing in it."""
    return TelemetryView(
        state="ok",
        waiting_records=0,
        bytes=0,
        oldest_age_s=None,
        upstream_ok=True,
        upstream_since=None,
    )


@asynccontextmanager
async def console(tmp_path: Path, policy: Policy = POLICY) -> AsyncIterator[Console]:
    """A served plant."""
    people = People()
    settings = OperatorSettings(socket=tmp_path / "o.sock")
    async with plant(tmp_path, policy=policy) as here:
        app = operator_app(
            here.site, settings, telemetry=quiet, enrolled=lambda _: True, lookup=people.lookup
        )
        async with asyncio.TaskGroup() as group:
            server = group.create_task(serve(app, settings))
            await asyncio.sleep(0)  # the server's first step makes the socket
            connector = aiohttp.UnixConnector(str(settings.socket))
            async with aiohttp.ClientSession(connector=connector) as session:
                yield Console(session, here, people)
            server.cancel()


def problem(raw: bytes) -> Problem:
    """A refusal."""
    return msgspec.json.decode(raw, type=Problem)


async def test_who(tmp_path: Path) -> None:
    """The kernel says who calls; the groups say what they may, anew at each call."""
    async with console(tmp_path) as here:
        _, raw = await here.get("/v1/whoami")
        who = msgspec.json.decode(raw, type=WhoAmI)
        assert (who.user, who.uid) == ("ana", os.getuid())
        assert set(who.roles) == set(Role)
        here.people.groups = frozenset({"edge-viewer"})
        status, raw = await here.post(
            "/v1/safe-mode", {"on": True, "reason": "test", "line": "L1"}
        )
        assert status == 403
        assert "expected ana to be in one of edge-admin" in problem(raw).message
        here.people.groups = frozenset({"staff"})
        status, raw = await here.get("/v1/overview")
        assert (status, problem(raw).exit_code) == (403, 77)


async def test_overview(tmp_path: Path) -> None:
    """The first screen in one answer, that a console can decode strictly."""
    async with console(tmp_path) as here:
        await here.plant.bring(V1)
        status, raw = await here.get("/v1/overview")
        view = msgspec.json.decode(raw, type=Overview)
        assert status == 200
        assert [line.line for line in view.lines] == ["L1", "L2"]
        assert view.lines[0].online == 2
        assert view.lines[0].models == ["pump-condition 1.0.0"]
        assert view.cursor > 0


APPROVE = {"ticket": "CHG-1042", "reason": "as agreed", "line": "L1"}


async def test_approve(tmp_path: Path) -> None:
    """Approved with ticket, typed line and the etag that was seen; the second comes too late."""
    async with console(tmp_path) as here:
        await here.plant.arrive(V1)
        await here.plant.beat()
        view = await here.rollout("pump-condition-1.0.0-r1")
        assert view.state is RolloutState.AWAITING_APPROVAL
        path = f"/v1/rollouts/{view.id}/approve"
        body = {**APPROVE, "plan_digest": view.plan_digest}
        headers = {"If-Match": f'"{view.etag}"'}
        status, raw = await here.post(path, body, **headers)
        assert status == 200, raw
        status, raw = await here.post(path, body, **headers)
        assert status == 409
        current = problem(raw).current
        assert current is not None
        assert current.approvals[0].who == "ana"


REFUSED = {
    "no ticket": ({"ticket": ""}, 400, "ticket"),
    "a ticket of another form": ({"ticket": "1042"}, 422, "expected one that matches"),
    "a PIN that is none": ({"pin": "12345"}, 400, "pin"),
    "a line that is not in the plan": ({"line": "L9"}, 422, "expected one of L1, L2"),
    "a plan they did not see": (
        {"plan_digest": "sha256:" + "0" * 64},
        409,
        "expected the plan",
    ),
    "no reason": ({"reason": ""}, 400, "reason"),
    "a field we do not know": ({"force": True}, 400, "force"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
async def test_approve_refused(tmp_path: Path, row: tuple[dict[str, Any], int, str]) -> None:
    """One clear line, the right status, and the rollout stays where it was."""
    change, expected, words = row
    async with console(tmp_path) as here:
        await here.plant.arrive(V1)
        view = await here.rollout("pump-condition-1.0.0-r1")
        body = {**APPROVE, "plan_digest": view.plan_digest, **change}
        path = f"/v1/rollouts/{view.id}/approve"
        status, raw = await here.post(path, body, **{"If-Match": view.etag})
        assert (status, words in problem(raw).message) == (expected, True), raw
        status, raw = await here.post(path, {**APPROVE, "plan_digest": view.plan_digest})
        assert "expected If-Match" in problem(raw).message
        after = await here.rollout(view.id)
        assert after.state is RolloutState.AWAITING_APPROVAL


async def test_author_may_not_approve(tmp_path: Path) -> None:
    """Whoever made the release is refused, whatever groups they are in."""
    async with console(tmp_path) as here:
        here.people.name = "ci"
        await here.plant.arrive(V1)
        view = await here.rollout("pump-condition-1.0.0-r1")
        body = {**APPROVE, "plan_digest": view.plan_digest}
        path = f"/v1/rollouts/{view.id}/approve"
        status, raw = await here.post(path, body, **{"If-Match": view.etag})
        assert (status, problem(raw).error) == (403, "OwnRolloutError")


async def test_two_at_once(tmp_path: Path) -> None:
    """Of two consoles that hold and cancel at once one wins, and the other is shown by whom."""
    async with console(tmp_path) as here:
        await here.plant.arrive(V1)
        view = await here.rollout("pump-condition-1.0.0-r1")
        match = {"If-Match": view.etag}
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(
                    here.post(f"/v1/rollouts/{view.id}/{verb}", {"reason": "mine first"}, **match)
                )
                for verb in ("hold", "cancel")
            ]
        results = sorted(call.result() for call in calls)
        assert [status for status, _ in results] == [200, 409]
        current = problem(results[1][1]).current
        assert current is not None
        assert "ana: mine first" in current.why


async def test_gateways(tmp_path: Path) -> None:
    """Lists filter here, a gateway shows its windows, safe mode goes to a whole line."""
    async with console(tmp_path) as here:
        await here.plant.bring(V1)
        _, raw = await here.get("/v1/gateways?line=L2&stale=false")
        views = msgspec.json.decode(raw, type=list[GatewayView])
        assert [each.place.serial for each in views] == ["g3", "g4", "g5"]
        _, raw = await here.get("/v1/gateways/g1")
        one = msgspec.json.decode(raw, type=GatewayView)
        assert one.names == {V1.digest: "pump-condition 1.0.0"}
        assert one.health
        assert one.age_s is not None
        order = {"on": True, "reason": "cleaning", "line": "L1"}
        status, raw = await here.post("/v1/safe-mode", order)
        assert status == 200
        assert [each.safe_mode_wanted for each in msgspec.json.decode(raw, type=list[GatewayView])]
        await here.plant.beat()
        await here.plant.beat()
        assert here.plant.gateways["g1"].safe_mode
        assert not here.plant.gateways["g4"].safe_mode
        status, raw = await here.post("/v1/safe-mode", {"on": True, "reason": "which"})
        assert (status, problem(raw).exit_code) == (400, 2)
        status, _ = await here.get("/v1/gateways/nobody")
        assert status == 404


async def test_gateway_rollback(tmp_path: Path) -> None:
    """One gateway is taken off what it runs, and not put on it again."""
    async with console(tmp_path) as here:
        await here.plant.bring(V1)
        await here.plant.bring(V2)
        status, raw = await here.post("/v1/gateways/g4/rollback", {"reason": "false alarms"})
        assert status == 200, raw
        view = msgspec.json.decode(raw, type=GatewayView)
        assert view.rollback_wanted == V2.digest
        for _ in range(6):
            await here.plant.beat()
        assert here.plant.gateways["g4"].effective == V1.digest
        assert here.plant.gateways["g1"].effective == V2.digest


async def test_snapshot_reaches_the_gateway(tmp_path: Path) -> None:
    """A snapshot is named here and made there."""
    async with console(tmp_path) as here:
        await here.plant.beat()
        status, raw = await here.post("/v1/gateways/g1/snapshot", {"reason": "strange verdicts"})
        name = json.loads(raw)["id"]
        _, desired = await here.plant.site.desired("g1")
        assert (status, desired.snapshot) == (200, name)


async def test_audit(tmp_path: Path) -> None:
    """What ran is answered with its approval; the log comes as it was hashed."""
    async with console(tmp_path) as here:
        await here.plant.bring(V1)
        at = here.plant.clock.wall.isoformat().replace("+00:00", "Z")
        _, raw = await here.get(f"/v1/audit/what-ran?asset=pump-g1&at={at}")
        found = msgspec.json.decode(raw, type=WhatRan)
        assert found.release == V1
        assert found.approvals[0]["who"] == "ana"
        _, raw = await here.get("/v1/audit?after=-1&limit=2")
        assert [event["sequence"] for event in json.loads(raw)] == [0, 1]
        status, raw = await here.get("/v1/audit/what-ran?asset=pump-g1&at=2026-03-02T14:05:00")
        assert (status, "expected a zone" in problem(raw).message) == (400, True)


async def test_alarms(tmp_path: Path) -> None:
    """Seen, put aside, taken out of service; what pages is put aside by an approver alone."""
    why = {"reason": "contractor is on it"}
    async with console(tmp_path) as here:
        alarms = here.plant.site.alarms
        await alarms.raise_alarm(AlarmCall("x", Priority.P1, "w", "c", "clock"))
        await alarms.raise_alarm(AlarmCall("gateway/g1/faults", Priority.P3, "w", "c", "clock"))
        here.people.groups = frozenset({"edge-operator"})
        shelve = why | {"minutes": 30}
        assert (await here.post("/v1/alarms/1/shelve", shelve))[0] == 403
        assert (await here.post("/v1/alarms/2/retire", why))[0] == 403
        assert (await here.post("/v1/alarms/2/shelve", shelve))[0] == 200
        assert (await here.post("/v1/alarms/2/shelve", why | {"minutes": 481}))[0] == 400
        status, raw = await here.post("/v1/alarms/2/ack", why)
        assert (status, "bring it back" in problem(raw).message) == (409, True)
        _, raw = await here.get("/v1/alarms?state=shelved")
        assert [each.id for each in msgspec.json.decode(raw, type=list[AlarmView])] == [2]
        _, raw = await here.get("/v1/alarms?group=L1%20faults")
        assert [each.id for each in msgspec.json.decode(raw, type=list[AlarmView])] == [2]
        assert (await here.get("/v1/alarms?state=odd"))[0] == 400
        assert (await here.post("/v1/alarms/2/unshelve", why))[0] == 200
        work = why | {"line": "L1", "minutes": 30}
        assert (await here.post("/v1/maintenance", work))[0] == 200
        assert (await here.post("/v1/maintenance", work | {"line": "L7"}))[0] == 404
        _, raw = await here.get("/v1/maintenance")
        assert [each.line for each in msgspec.json.decode(raw, type=list[Maintenance])] == ["L1"]
        _, raw = await here.get("/v1/alarms/summary")
        assert msgspec.json.decode(raw, type=AlarmSummary).suppressed == 1
        assert (await here.post("/v1/maintenance/L1/end", why))[0] == 200
        here.people.groups = frozenset({"edge-approver"})
        assert (await here.post("/v1/alarms/1/shelve", shelve))[0] == 200
        for verb in ("retire", "restore", "ack"):
            status, raw = await here.post(f"/v1/alarms/1/{verb}", why)
            assert status == 200
        assert msgspec.json.decode(raw, type=AlarmView).acked_by == "ana"
        assert (await here.post("/v1/alarms/1/reset", why))[0] == 409


async def test_not_modified(tmp_path: Path) -> None:
    """Who has the newest bytes is not sent them again."""
    async with console(tmp_path) as here:
        async with here.session.get("http://site/v1/queue/summary") as answer:
            etag = answer.headers["ETag"]
        status, raw = await here.get("/v1/queue/summary", **{"If-None-Match": etag})
        assert (status, raw) == (304, b"")


async def test_events(tmp_path: Path) -> None:
    """Changes come as they happen; who comes back goes on where they were."""
    async with console(tmp_path) as here:
        _, raw = await here.get("/v1/overview")
        cursor = json.loads(raw)["cursor"]
        url = f"http://site/v1/events?after={cursor}"
        async with here.session.get(url) as stream:
            await here.plant.arrive(V1)
            seen: list[dict[str, Any]] = []
            while len(seen) < 2:
                line = await stream.content.readline()
                if line.startswith(b"data: "):
                    seen.append(json.loads(line[6:]))
        kinds = [each["resource"] for each in seen]
        assert kinds == ["release", "rollout"]
        headers = {"Last-Event-ID": str(seen[0]["cursor"])}
        async with here.session.get("http://site/v1/events", headers=headers) as stream:
            while not (line := await stream.content.readline()).startswith(b"data: "):
                pass
            assert json.loads(line[6:]) == seen[1]
        async with here.session.get("http://site/v1/events?after=999999") as stream:
            while not (line := await stream.content.readline()).startswith(b"event: "):
                pass
            assert line == b"event: resync\n"


HOSTILE = {
    "no JSON": (b"{", 400),
    "too much": (b"[" * 100_000, 400),
    "not text": (b"\xff\xfe", 400),
    "another type": (b'{"count": "many"}', 400),
}


@pytest.mark.parametrize("row", HOSTILE.values(), ids=HOSTILE.keys())
async def test_bad_bodies(tmp_path: Path, row: tuple[bytes, int]) -> None:
    """Bad input gets one line and a 4xx, never a traceback."""
    raw, expected = row
    async with console(tmp_path) as here:
        url = "http://site/v1/queue/lease"
        async with here.session.post(url, data=raw) as answer:
            assert answer.status == expected
            assert "body: expected" in problem(await answer.read()).message


async def test_no_such_path(tmp_path: Path) -> None:
    """A path that there is none of says where the paths are described."""
    async with console(tmp_path) as here:
        status, raw = await here.get("/v1/nothing")
        assert (status, problem(raw).exit_code) == (404, 4)
        status, _ = await here.get("/v1/queue/lease")
        assert status == 405


async def test_openapi_describes_every_path(tmp_path: Path) -> None:
    """What is served is what is described, from the types themselves."""
    async with console(tmp_path) as here:
        settings = OperatorSettings(socket=tmp_path / "o.sock")
        app = operator_app(here.plant.site, settings, telemetry=quiet, enrolled=bool)
        served = {
            (route.path.replace(":int", ""), method.lower())  # type: ignore[attr-defined]  # every route here is a Route
            for route in app.routes
            for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]  # likewise
        }
        assert served == {(each.path, each.method) for each in OPERATIONS}
        _, raw = await here.get("/v1/openapi.json")
        assert json.loads(raw) == json.loads(json.dumps(document()))
        assert "RolloutView" in document()["components"]["schemas"]


def test_socket_mode(tmp_path: Path) -> None:
    """The socket is never open to everybody, an old one is replaced, a file is left alone."""
    settings = OperatorSettings(socket=tmp_path / "o.sock")
    for _ in range(2):
        listener = listen(settings)
        assert settings.socket.stat().st_mode & 0o777 == 0o660
        listener.close()
    with socket.socket(socket.AF_UNIX) as other:
        settings.socket.unlink()
        other.bind(str(settings.socket))
        other.listen()
        with pytest.raises(ConfigurationError, match="another daemon answers"):
            listen(settings)
    settings.socket.unlink()
    settings.socket.write_text("mine")
    with pytest.raises(ConfigurationError, match="expected a socket or nothing"):
        listen(settings)
