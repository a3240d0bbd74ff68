"""`/v1/whoami`, `/v1/overview`, `/v1/gateways`: what is there, and the orders about a gateway."""

import asyncio
import secrets

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.contracts.api import (
    Action,
    GatewayView,
    Overview,
    ReasonRequest,
    RetireRequest,
    SafeModeRequest,
    Snapshot,
    WhoAmI,
)
from edge_site_proxy.api.operator.door import Desk
from edge_site_proxy.api.operator.errors import BadRequestError
from edge_site_proxy.api.operator.wire import answer, body_of, parameter
from edge_site_proxy.audit.log import size_of
from edge_site_proxy.fleet.errors import UnknownGatewayError
from edge_site_proxy.fleet.views import gateway_view, line_views
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.errors import RolloutChangedError
from edge_site_proxy.rollout.exceptions import exceptions
from edge_site_proxy.rollout.views import view
from edge_site_proxy.rollout.why import why_not
from edge_site_proxy.store.feed import cursor_last

HEALTH_SHOWN = 60
VIEWED_AT_ONCE = 100
ROLLOUTS_SHOWN = 20
ENDED_SHOWN = 5  # what went before says what the next one replaces


class OverviewCalls:
    """Handlers about the site and its gateways."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._site = desk.site

    def routes(self) -> list[Route]:
        """Paths and who answers them."""
        return [
            Route("/v1/whoami", self.whoami),
            Route("/v1/overview", self.overview),
            Route("/v1/gateways", self.gateways),
            Route("/v1/gateways/{serial}", self.gateway),
            Route("/v1/gateways/{serial}/rollback", self.rollback, methods=["POST"]),
            Route("/v1/gateways/{serial}/snapshot", self.snapshot, methods=["POST"]),
            Route("/v1/gateways/{serial}/resume", self.resume, methods=["POST"]),
            Route("/v1/gateways/{serial}/declare-dead", self.declare_dead, methods=["POST"]),
            Route("/v1/gateways/{serial}/decommission", self.retire, methods=["POST"]),
            Route("/v1/conflicts/resume", self.resume_all, methods=["POST"]),
            Route("/v1/exceptions", self.exceptions),
            Route("/v1/safe-mode", self.safe_mode, methods=["POST"]),
        ]

    async def whoami(self, request: Request) -> Response:
        """Who the kernel says is calling."""
        who = await self._desk.caller(request)
        return answer(
            request,
            WhoAmI(
                user=who.user,
                uid=who.uid,
                roles=list(who.roles),
                may=who.actions,
                site=self._site.world.plant.inventory.site,
                name=who.name,
                pin_set=self._site.pins.view(who.user).pin_set,
            ),
        )

    async def overview(self, request: Request) -> Response:
        """The first screen in one answer."""
        await self._desk.caller(request)
        site, world = self._site, self._site.world
        newest = sorted(world.rollouts.values(), key=lambda each: each.header.created)
        ended = [each for each in newest if not each.open]
        shown = [*ended[-ENDED_SHOWN:], *(each for each in newest if each.open)]
        return answer(
            request,
            Overview(
                site=world.plant.inventory.site,
                at=world.clocks.now(),
                cursor=await site.store.read(cursor_last),
                lines=line_views(world, await site.queue.open_by_line()),
                rollouts=[view(world, each) for each in shown[-ROLLOUTS_SHOWN:]],
                queue=await site.queue.summary(),
                alarms=await site.alarms.standing(),
                telemetry=self._desk.telemetry(),
                clock=world.clocks.quality(),
                audit_size=await site.store.read(size_of),
            ),
        )

    async def gateways(self, request: Request) -> Response:
        """Every gateway, or those of a line, an asset, or that are stale."""
        await self._desk.caller(request)
        world = self._site.world
        line = parameter(request, "line", str, "")
        text = parameter(request, "contains", str, "").lower()
        stale = request.query_params.get("stale")
        serials = [
            place.serial
            for place in world.plant.inventory.gateways
            if (not line or place.position.line == line)
            and text in f"{place.serial} {place.position.asset}".lower()
        ]
        views: list[GatewayView] = []
        for start in range(0, len(serials), VIEWED_AT_ONCE):
            some = serials[start : start + VIEWED_AT_ONCE]
            views += [await self._view(serial, health=0) for serial in some]
            await asyncio.sleep(0)  # thousands take a moment, and heartbeats come meanwhile
        if stale is not None:
            wanted = parameter(request, "stale", bool, default=True)
            views = [each for each in views if each.stale is wanted]
        return answer(request, views)

    async def gateway(self, request: Request) -> Response:
        """One gateway with its newest health windows."""
        await self._desk.caller(request)
        return answer(request, await self._view(request.path_params["serial"]))

    async def rollback(self, request: Request) -> Response:
        """Take one gateway off what it runs."""
        sender = await self._desk.sender(request, Action.ROLLBACK)
        order = await body_of(request, ReasonRequest)
        serial = request.path_params["serial"]
        await self._check_seen(serial, sender.saw)
        await self._site.desk.roll_back_gateway(serial, order.reason, sender)
        await self._site.reconcile()
        return answer(request, await self._view(serial))

    async def snapshot(self, request: Request) -> Response:
        """Have one gateway put its state aside."""
        sender = await self._desk.sender(request, Action.SNAPSHOT)
        order = await body_of(request, ReasonRequest)
        serial, now = request.path_params["serial"], self._site.world.clocks.now()
        name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        await self._site.desk.ask_snapshot(serial, name, order.reason, sender)
        await self._site.reconcile()
        return answer(request, Snapshot(id=name, serial=serial, requested=now))

    async def exceptions(self, request: Request) -> Response:
        """Every gateway that stands apart, and why."""
        await self._desk.caller(request)
        return answer(request, exceptions(self._site.world))

    async def resume(self, request: Request) -> Response:
        """Take one gateway out of CONFLICT."""
        sender = await self._desk.sender(request, Action.RESUME)
        order = await body_of(request, ReasonRequest)
        serial = request.path_params["serial"]
        await self._site.recovery.resume_gateways([serial], order.reason, sender)
        return answer(request, await self._view(serial))

    async def resume_all(self, request: Request) -> Response:
        """Take every gateway out of CONFLICT."""
        sender = await self._desk.sender(request, Action.RESUME)
        order = await body_of(request, ReasonRequest)
        world = self._site.world
        serials = [
            place.serial
            for place in world.plant.inventory.gateways
            if world.noted(place.serial).conflict is not None
        ]
        if serials:
            await self._site.recovery.resume_gateways(serials, order.reason, sender)
        return answer(request, [await self._view(serial, health=0) for serial in serials])

    async def declare_dead(self, request: Request) -> Response:
        """Free what a gateway that will not come back holds."""
        sender = await self._desk.sender(request, Action.DECLARE_DEAD)
        order = await body_of(request, ReasonRequest)
        serial = request.path_params["serial"]
        await self._site.recovery.declare_dead(serial, order.reason, sender)
        await self._site.reconcile()
        return answer(request, await self._view(serial))

    async def retire(self, request: Request) -> Response:
        """End one gateway's life here; gives who stands in its place, if anybody."""
        sender = await self._desk.sender(request, Action.DECOMMISSION)
        order = await body_of(request, RetireRequest)
        serial = request.path_params["serial"]
        await self._site.recovery.retire(serial, order.by, order.reason, sender)
        if self._desk.revoke is not None:
            await self._desk.revoke(serial, f"retired: {order.reason}", sender.who)
        await self._site.reconcile()
        return answer(request, [] if order.by is None else [await self._view(order.by)])

    async def safe_mode(self, request: Request) -> Response:
        """One gateway or one line, into or out of safe mode."""
        sender = await self._desk.sender(request, Action.SAFE_MODE)
        order = await body_of(request, SafeModeRequest)
        serials = self._meant(order)
        await self._site.desk.set_safe_mode(serials, order.reason, sender, on=order.on)
        await self._site.reconcile()
        return answer(request, [await self._view(serial, health=0) for serial in serials])

    def _meant(self, order: SafeModeRequest) -> list[str]:
        if (order.serial is None) == (order.line is None):
            raise BadRequestError("safe mode: expected either `serial` or `line`")
        if order.serial is not None:
            return [self._site.world.plant.place(order.serial).serial]
        serials = self._site.world.plant.lines.get(order.line or "")
        if serials is None:
            raise UnknownGatewayError(
                f"line {(order.line or '')[:64]!r}: expected a line of the inventory"
            )
        return serials

    async def _check_seen(self, serial: str, saw: str | None) -> None:
        if saw is None:
            return
        etag = (await self._view(serial, health=0)).etag
        if saw.strip('"') != etag:
            raise RolloutChangedError(
                f"gateway {serial} changed: expected {saw[:80]}, found {etag}; look again"
            )

    async def _view(self, serial: str, health: int = HEALTH_SHOWN) -> GatewayView:
        world = self._site.world
        world.plant.place(serial)
        windows = []
        if health:
            windows = await self._site.store.read(lambda db: tables.windows_of(db, serial, health))
        return gateway_view(
            world,
            serial,
            enrolled=self._desk.enrolled(serial),
            defer=why_not(world, serial),
            health=windows,
        )
