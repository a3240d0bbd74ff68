"""A simulated site proxy: the operator API on a Unix socket, served from data in memory.

In a test: `async with serve(Site(), socket): ...`. As a process, for terminals and benchmarks:
`python -m tests.simulators.site --socket PATH [--gateways N] [--windows N]`.
"""

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edge_core.contracts import errors
from edge_core.contracts.alarms import Maintenance, MaintenanceRequest
from edge_core.contracts.api import (
    AckRequest,
    Action,
    AlarmState,
    AlarmView,
    Change,
    GatewayView,
    LabelRequest,
    LeaseRequest,
    LineView,
    Overview,
    Problem,
    ReasonRequest,
    Role,
    SafeModeRequest,
    ShelveRequest,
    Snapshot,
    TelemetryView,
    WhoAmI,
)
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.gateway import Checkpoint
from edge_core.contracts.review import ItemState, LabelRecord, QueueSummary, ReviewItem
from edge_core.contracts.rollout import Approval, Hold, RolloutState, RolloutView
from edge_core.contracts.shown import shown_digest
from edge_core.contracts.signing import (
    ApproveRequest,
    PinRequest,
    PinResetRequest,
    PinView,
    RevokeRequest,
    WaiveRequest,
)
from tests.simulators import site_data

STATUS = {2: 400, 3: 422, 4: 404, 6: 409, 75: 503, 77: 403}
ALARM_ACTIONS = {
    "ack": Action.ACK,
    "shelve": Action.SHELVE,
    "unshelve": Action.SHELVE,
    "reset": Action.RETIRE,
    "retire": Action.RETIRE,
    "restore": Action.RETIRE,
}
AFTER = {
    "unshelve": AlarmState.UNACK,
    "reset": AlarmState.CLEARED,
    "retire": AlarmState.OUT_OF_SERVICE,
    "restore": AlarmState.UNACK,
}
LABELS_MAX = 20  # an item is labelled and undone again that often at most

Body = TypeVar("Body", bound=msgspec.Struct)


class ShownBeforeError(errors.ConflictError):
    """The person saw something else; `current` is what is there."""

    def __init__(self, current: RolloutView) -> None:
        super().__init__(f"{current.id} changed since you looked at it")
        self.current = current


def real_clock() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass
class Site:
    """The whole site, mutable; a test may change anything and then `touch` it.

    `silent` makes every answer wait, `may` is what the caller is allowed.
    """

    gateway_count: int = 37
    window_count: int = 61
    seed: int = 7
    now: Callable[[], datetime] = real_clock
    may: list[Action] = field(default_factory=lambda: list(Action))
    silent: bool = False
    pin: str | None = None
    rollouts: dict[str, RolloutView] = field(default_factory=dict)
    gateways: dict[str, GatewayView] = field(default_factory=dict)
    alarms: dict[int, AlarmView] = field(default_factory=dict)
    works: dict[str, Maintenance] = field(default_factory=dict)
    items: dict[int, ReviewItem] = field(default_factory=dict)
    audit: list[AuditEvent] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    feeds: set[asyncio.Event] = field(default_factory=set)
    answered: int = 0

    def __post_init__(self) -> None:
        """Fill the site with its seeded data."""
        for gateway in site_data.gateways(self.gateway_count, self.seed):
            self.gateways[gateway.place.serial] = gateway
        for rollout in site_data.rollouts(list(self.gateways)):
            self.put(rollout)
        self.alarms = {a.id: a for a in site_data.alarms()}
        self.items = {i.item: i for i in site_data.items(self.window_count, self.seed)}
        self.record("rollout.planned", "ro-03-awaiting-approval", {"by": "a.ruiz"})

    def put(self, rollout: RolloutView) -> RolloutView:
        """Keep *rollout* under an etag of what it says now."""
        bare = msgspec.structs.replace(rollout, etag="")
        kept = msgspec.structs.replace(bare, etag=site_data.etagged(bare))
        self.rollouts[kept.id] = kept
        return kept

    def record(self, kind: str, subject: str, facts: dict[str, Any]) -> None:
        """Add one audit event and say on the feed that its subject changed."""
        self.audit.append(
            AuditEvent(
                sequence=len(self.audit),
                at=self.now(),
                clock_synchronised=True,
                who="operator",
                kind=kind,
                subject=subject,
                facts=facts,
                previous="",
            )
        )
        self.touch(kind.partition(".")[0], subject)

    def touch(self, resource: str, name: str) -> None:
        """Say on the feed that something changed."""
        self.changes.append(
            Change(cursor=len(self.changes) + 1, resource=resource, id=name, at=self.now())
        )
        for feed in self.feeds:
            feed.set()

    def overview(self) -> Overview:
        """The first screen."""
        return Overview(
            site="Plant 07",
            at=self.now(),
            cursor=len(self.changes),
            lines=[self._line(line) for line in site_data.LINES],
            rollouts=list(self.rollouts.values()),
            queue=self.summary(),
            alarms=list(self.alarms.values()),
            telemetry=TelemetryView(
                state="draining",
                waiting_records=12,
                bytes=4096,
                oldest_age_s=1.0,
                upstream_ok=True,
                upstream_since=site_data.AT,
            ),
            clock=site_data.CLOCK,
            audit_size=len(self.audit),
        )

    def summary(self) -> QueueSummary:
        """How much work the queue holds."""
        states = [item.state for item in self.items.values()]
        return QueueSummary(**{state.value: states.count(state) for state in ItemState})

    def _line(self, line: str) -> LineView:
        here = [g for g in self.gateways.values() if g.place.position.line == line]
        return LineView(
            line=line,
            gateways=len(here),
            online=sum(not g.stale for g in here),
            trial=sum(g.update is not None for g in here),
            safe_mode=sum(g.safe_mode for g in here),
            models=sorted({g.names[g.effective] for g in here if g.effective}),
            scored=sum(g.health[-1].scored for g in here),
            alarms=sum(g.health[-1].alarms for g in here),
            queue=sum(i.line == line and i.state is ItemState.OPEN for i in self.items.values()),
            oldest_age_s=max((g.age_s or 0.0 for g in here), default=None),
        )


def _raw(document: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


async def _body(request: web.Request, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.ValidationError as error:
        raise errors.UsageError(f"{request.path}: {error}") from None


class Api:
    """The routes; each looks into the site and answers."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def routes(self) -> list[web.RouteDef]:
        """Every path of the contract that a console uses."""
        return [
            web.get("/v1/whoami", self.whoami),
            web.get("/v1/overview", self.overview),
            web.get("/v1/gateways", self.gateways),
            web.get("/v1/gateways/{serial}", self.gateways),
            web.get("/v1/gate-checks", self.gate_checks),
            web.get("/v1/rollouts", self.rollouts),
            web.get("/v1/rollouts/{id}", self.rollouts),
            web.post("/v1/rollouts/{id}/{verb}", self.rollout_order),
            web.post("/v1/pin", self.pin_order),
            web.post("/v1/pin/reset", self.pin_order),
            web.post("/v1/gateways/{serial}/{verb}", self.gateway_order),
            web.post("/v1/safe-mode", self.safe_mode),
            web.get("/v1/queue", self.queue),
            web.get("/v1/queue/export", self.export),
            web.post("/v1/queue/lease", self.lease),
            web.post("/v1/queue/{item}/{verb}", self.label),
            web.get("/v1/alarms", self.alarms),
            web.get("/v1/alarms/summary", self.alarm_summary),
            web.get("/v1/maintenance", self.maintenance),
            web.post("/v1/maintenance", self.maintenance_begins),
            web.post("/v1/maintenance/{line}/end", self.maintenance_ends),
            web.post("/v1/alarms/{id}/{verb}", self.alarm_order),
            web.get("/v1/audit", self.audit),
            web.get("/v1/audit/checkpoint", self.checkpoint),
            web.get("/v1/events", self.events),
        ]

    def check(self, action: Action) -> None:
        """Refuse what the caller may not do."""
        if action not in self.site.may:
            raise errors.NotPermittedError(f"{action.value} needs another role")

    async def whoami(self, _: web.Request) -> web.Response:
        """Who is calling."""
        roles = [Role.ADMIN] if Action.APPROVE in self.site.may else [Role.VIEWER]
        who = WhoAmI(
            user="m.keller",
            uid=1000,
            roles=roles,
            may=self.site.may,
            site="plant-07",
            pin_set=self.site.pin is not None,
        )
        return _raw(who)

    async def overview(self, _: web.Request) -> web.Response:
        """The first screen."""
        return _raw(self.site.overview())

    async def gateways(self, request: web.Request) -> web.Response:
        """All of them without their health, or one with it."""
        serial = request.match_info.get("serial")
        if serial is not None:
            return _raw(_one_or_all(serial, self.site.gateways))
        bare = [msgspec.structs.replace(g, health=[]) for g in self.site.gateways.values()]
        return _raw(bare)

    async def rollouts(self, request: web.Request) -> web.Response:
        """All of them, or one."""
        return _raw(_one_or_all(request.match_info.get("id"), self.site.rollouts))

    async def gate_checks(self, _: web.Request) -> web.Response:
        """What the nights said of the gate."""
        return _raw(site_data.gate_checks())

    async def rollout_order(self, request: web.Request) -> web.Response:
        """Approve, acknowledge, revoke, hold, resume, cancel, roll back."""
        verb = request.match_info["verb"]
        self.check(Action(verb))
        seen = _one_or_all(request.match_info["id"], self.site.rollouts)
        assert isinstance(seen, RolloutView)
        if request.headers.get("If-Match", "").strip('"') != seen.etag:
            raise ShownBeforeError(seen)
        if verb == "approve":
            changed = await self._approved(request, seen)
        elif verb in {"resume", "revoke"}:
            changed = await self._signed(request, seen, verb)
        else:
            reason = (await _body(request, ReasonRequest)).reason
            changed = _ordered(seen, verb)
            self.site.record(f"rollout.{verb}", seen.id, {"reason": reason})
        return _raw(self.site.put(msgspec.structs.replace(changed, changed=self.site.now())))

    async def _approved(self, request: web.Request, seen: RolloutView) -> RolloutView:
        asked = await _body(request, ApproveRequest)
        if seen.state is not RolloutState.AWAITING_APPROVAL:
            raise errors.ConflictError(f"{seen.id} is {seen.state.value}, nothing to approve")
        if asked.line not in seen.lines:
            raise errors.RefusedError(f"expected one of {seen.lines}, found {asked.line!r}")
        if asked.plan_digest != seen.plan_digest:
            raise errors.ConflictError(f"{seen.id}: that is another plan")
        if re.fullmatch(seen.ticket_pattern, asked.ticket) is None:
            raise errors.RefusedError(f"ticket {asked.ticket!r}: expected {seen.ticket_pattern}")
        self._check_pin(seen, asked.shown, asked.pin)
        approval = Approval(
            who="m.keller",
            at=self.site.now(),
            ticket=asked.ticket,
            reason=asked.reason,
            plan_digest=asked.plan_digest,
            name="Maria Keller",
            meaning=asked.meaning,
            change=asked.change,
            until=asked.until,
            shown=asked.shown,
            pin=asked.pin is not None,
        )
        facts = {"ticket": asked.ticket, "plan": asked.plan_digest, "reason": asked.reason}
        self.site.record("rollout.approved", seen.id, facts)
        return msgspec.structs.replace(
            seen, state=RolloutState.APPROVED, approvals=[*seen.approvals, approval]
        )

    def _check_pin(self, seen: RolloutView, shown: str | None, pin: str | None) -> None:
        if shown is not None and shown != shown_digest(seen):
            raise ShownBeforeError(seen)
        if seen.pin_needed and pin != self.site.pin:
            raise errors.NotPermittedError("PIN of m.keller: it is another one")

    async def _signed(self, request: web.Request, seen: RolloutView, verb: str) -> RolloutView:
        """Resume and revoke, which carry more than a reason."""
        if verb == "resume":
            asked = await _body(request, WaiveRequest)
            if set(seen.holds) - {Hold.OPERATOR}:
                self._check_pin(seen, asked.shown, asked.pin)
            self.site.record("rollout.resume", seen.id, {"reason": asked.reason})
            return _ordered(seen, verb)
        taken = await _body(request, RevokeRequest)
        facts = {"reason": taken.reason, "roll_back": taken.roll_back}
        self.site.record("rollout.revoke", seen.id, facts)
        return msgspec.structs.replace(
            seen, approvals=[], holds=[*seen.holds, Hold.APPROVAL], why=taken.reason
        )

    async def pin_order(self, request: web.Request) -> web.Response:
        """Set the caller's PIN, or take somebody's away."""
        if request.path.endswith("/reset"):
            self.check(Action.PIN_RESET)
            reset = await _body(request, PinResetRequest)
            self.site.pin = None
            self.site.record("pin.reset", reset.user, {"reason": reset.reason})
            return _raw(PinView(user=reset.user, pin_set=False))
        self.check(Action.PIN)
        asked = await _body(request, PinRequest)
        if self.site.pin is not None and asked.old != self.site.pin:
            raise errors.NotPermittedError("PIN of m.keller: it is another one")
        self.site.pin = asked.new
        self.site.record("pin.set", "m.keller", {})
        return _raw(PinView(user="m.keller", pin_set=True))

    async def gateway_order(self, request: web.Request) -> web.Response:
        """Roll one gateway back, or take a snapshot of it."""
        verb, serial = request.match_info["verb"], request.match_info["serial"]
        self.check(Action(verb))
        seen = _one_or_all(serial, self.site.gateways)
        assert isinstance(seen, GatewayView)
        reason = (await _body(request, ReasonRequest)).reason
        self.site.record(f"gateway.{verb}_ordered", serial, {"reason": reason})
        if verb == "snapshot":
            return _raw(Snapshot(id="snap-1", serial=serial, requested=self.site.now()))
        changed = msgspec.structs.replace(seen, rollback_wanted=seen.effective)
        self.site.gateways[serial] = changed
        return _raw(changed)

    async def safe_mode(self, request: web.Request) -> web.Response:
        """One gateway, or a line."""
        self.check(Action.SAFE_MODE)
        asked = await _body(request, SafeModeRequest)
        chosen = [
            g
            for g in self.site.gateways.values()
            if asked.serial == g.place.serial or asked.line == g.place.position.line
        ]
        if not chosen:
            raise errors.NotFoundError(f"no gateway {asked.serial or asked.line}")
        for gateway in chosen:
            changed = msgspec.structs.replace(gateway, safe_mode=asked.on)
            self.site.gateways[gateway.place.serial] = changed
            self.site.record("gateway.safe_mode", gateway.place.serial, {"on": asked.on})
        return _raw([self.site.gateways[g.place.serial] for g in chosen])

    async def queue(self, request: web.Request) -> web.Response:
        """The review queue."""
        state, line = request.query.get("state"), request.query.get("line")
        found = [
            item
            for item in self.site.items.values()
            if state in {None, item.state.value} and line in {None, item.line}
        ]
        return _raw(found)

    async def export(self, _: web.Request) -> web.Response:
        """Every labelled window, a line each."""
        done = [i for i in self.site.items.values() if i.state is ItemState.LABELLED]
        return web.Response(body=b"".join(msgspec.json.encode(item) + b"\n" for item in done))

    async def lease(self, request: web.Request) -> web.Response:
        """The next open windows."""
        self.check(Action.LABEL)
        asked = await _body(request, LeaseRequest)
        mine = [
            i
            for i in self.site.items.values()
            if asked.asset in {None, i.asset}
            and (
                i.state is ItemState.OPEN
                or (i.state is ItemState.LEASED and i.leased_by == "m.keller")
            )
        ]
        leased = [
            msgspec.structs.replace(i, state=ItemState.LEASED, leased_by="m.keller")
            for i in mine[: asked.count]
        ]
        self.site.items.update({i.item: i for i in leased})
        return _raw(leased)

    async def label(self, request: web.Request) -> web.Response:
        """Say what a window was, or take it back."""
        self.check(Action.LABEL)
        number, verb = int(request.match_info["item"]), request.match_info["verb"]
        item = _one_or_all(number, self.site.items)
        assert isinstance(item, ReviewItem)
        asked = await _body(request, LabelRequest)
        if verb == "label":
            said = LabelRecord(
                label=asked.label,
                who="m.keller",
                at=self.site.now(),
                seconds=asked.seconds,
                proposal_shown=asked.proposal_shown,
            )
            changed = msgspec.structs.replace(
                item, state=ItemState.LABELLED, labels=[*item.labels, said][-LABELS_MAX:]
            )
        else:
            if item.state is not ItemState.LABELLED:
                raise errors.ConflictError(f"item {number} has no label to undo")
            last = msgspec.structs.replace(item.labels[-1], undone=True)
            changed = msgspec.structs.replace(
                item, state=ItemState.LEASED, labels=[*item.labels[:-1], last]
            )
        self.site.items[number] = changed
        self.site.record("queue.labelled", str(number), {"label": asked.label, "verb": verb})
        return _raw(changed)

    async def alarms(self, request: web.Request) -> web.Response:
        """Those that stand, or with `all` every one."""
        every = request.query.get("all") == "true"
        state, group = request.query.get("state"), request.query.get("group")
        alarms = self.site.alarms.values()
        return _raw(
            [
                alarm
                for alarm in alarms
                if (every or alarm.state is not AlarmState.CLEARED)
                and state in {None, alarm.state.value}
                and group in {None, alarm.group}
            ]
        )

    async def alarm_summary(self, request: web.Request) -> web.Response:
        """The list in numbers."""
        del request
        return _raw(site_data.alarm_summary(self.site.alarms.values()))

    async def maintenance(self, request: web.Request) -> web.Response:
        """Lines that are being worked on."""
        del request
        return _raw(list(self.site.works.values()))

    async def maintenance_begins(self, request: web.Request) -> web.Response:
        """Work on a line begins."""
        self.check(Action.MAINTENANCE)
        order = await _body(request, MaintenanceRequest)
        now = self.site.now()
        until = now + timedelta(minutes=order.minutes)
        work = Maintenance(
            line=order.line, since=now, until=until, who="m.keller", reason=order.reason
        )
        self.site.works[order.line] = work
        return _raw(work)

    async def maintenance_ends(self, request: web.Request) -> web.Response:
        """Work on a line is done."""
        self.check(Action.MAINTENANCE)
        await _body(request, ReasonRequest)
        work = self.site.works.pop(request.match_info["line"], None)
        if work is None:
            raise errors.NotFoundError("nobody works on that line")
        return _raw(work)

    async def alarm_order(self, request: web.Request) -> web.Response:
        """See it, or put it aside."""
        number, verb = int(request.match_info["id"]), request.match_info["verb"]
        self.check(ALARM_ACTIONS[verb])
        alarm = _one_or_all(number, self.site.alarms)
        assert isinstance(alarm, AlarmView)
        if verb == "ack":
            await _body(request, AckRequest)
            changed = msgspec.structs.replace(alarm, state=AlarmState.ACKED, who="m.keller")
        elif verb in AFTER:
            await _body(request, ReasonRequest)
            changed = msgspec.structs.replace(alarm, state=AFTER[verb], until=None)
        else:
            minutes = (await _body(request, ShelveRequest)).minutes
            until = self.site.now() + timedelta(minutes=minutes)
            changed = msgspec.structs.replace(
                alarm, state=AlarmState.SHELVED, until=until, who="m.keller"
            )
        self.site.alarms[number] = changed
        self.site.record(f"alarm.{verb}", str(number), {})
        return _raw(changed)

    async def audit(self, request: web.Request) -> web.Response:
        """The tail of the log."""
        after = int(request.query.get("after", -1))
        limit = int(request.query.get("limit", 500))
        return _raw([e for e in self.site.audit if e.sequence > after][:limit])

    async def checkpoint(self, _: web.Request) -> web.Response:
        """The size of the log."""
        return _raw(Checkpoint(size=len(self.site.audit), note=""))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The live feed."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        cursor, woken = int(request.query.get("after", 0)), asyncio.Event()
        self.site.feeds.add(woken)
        try:
            while True:
                for change in self.site.changes[cursor:]:
                    raw = msgspec.json.encode(change)
                    await answer.write(b"id: %d\ndata: %s\n\n" % (change.cursor, raw))
                    cursor = change.cursor
                woken.clear()
                if cursor == len(self.site.changes):
                    await woken.wait()
        except ConnectionResetError:
            pass  # the console has gone
        finally:
            self.site.feeds.discard(woken)
        return answer


def _one_or_all(key: Any, among: dict[Any, Any]) -> object:  # keys are of either kind
    if key is None:
        return list(among.values())
    if key not in among:
        raise errors.NotFoundError(f"there is no {key}")
    return among[key]


def _ordered(seen: RolloutView, verb: str) -> RolloutView:
    replace = msgspec.structs.replace
    if verb == "acknowledge":
        return replace(seen, acknowledgement_needed=False)
    if verb == "hold":
        return replace(seen, holds=[*seen.holds, Hold.OPERATOR])
    if verb == "resume":
        return replace(seen, holds=[h for h in seen.holds if h is not Hold.OPERATOR])
    state = RolloutState.CANCELLED if verb == "cancel" else RolloutState.ROLLING_BACK
    return replace(seen, state=state)


def _guard(site: Site) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if site.silent:
            await asyncio.Event().wait()
        site.answered += 1
        try:
            return await handler(request)
        except errors.EdgeError as error:
            problem = Problem(
                error=type(error).__name__,
                message=str(error),
                exit_code=error.exit_code,
                current=getattr(error, "current", None),
            )
            answer = _raw(problem)
            answer.set_status(STATUS.get(error.exit_code, 500))
            return answer

    return guard


@asynccontextmanager
async def serve(site: Site, socket: Path) -> AsyncIterator[Site]:
    """Serve *site* on *socket* until the block ends; then every connection is cut."""
    app = web.Application(middlewares=[_guard(site)])
    app.add_routes(Api(site).routes())
    runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        yield site
    finally:
        await runner.cleanup()
        await asyncio.to_thread(socket.unlink, missing_ok=True)


async def _stir(site: Site, each_s: float, cells: int) -> None:
    """Change *cells* gateways every *each_s* seconds, for benchmarks; never if it is 0."""
    serials, turn = list(site.gateways), 0
    while each_s > 0:
        await asyncio.sleep(each_s)
        for serial in serials[:cells]:
            gateway = site.gateways[serial]
            window = msgspec.structs.replace(
                gateway.health[-1], latency_p99_us=20_000 + (turn * 700 + hash(serial)) % 9000
            )
            changed = msgspec.structs.replace(gateway, health=[*gateway.health[:-1], window])
            site.gateways[serial] = changed
            site.touch("gateway", serial)
        turn += 1


async def _main(chosen: argparse.Namespace) -> None:
    site = Site(gateway_count=chosen.gateways, window_count=chosen.windows)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(site, chosen.socket), asyncio.TaskGroup() as group:
        stirring = group.create_task(_stir(site, chosen.stir_s, chosen.cells))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()
        stirring.cancel()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--gateways", type=int, default=37)
    parser.add_argument("--windows", type=int, default=61)
    parser.add_argument("--stir-s", type=float, default=0.0)
    parser.add_argument("--cells", type=int, default=20)
    asyncio.run(_main(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
