"""`/v1/alarms` and `/v1/maintenance`: what is wrong, and what people do about it."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.contracts.alarms import MaintenanceRequest
from edge_core.contracts.api import (
    AckRequest,
    Action,
    AlarmState,
    AlarmView,
    Priority,
    ReasonRequest,
    ShelveRequest,
)
from edge_site_proxy.api.operator.door import Desk
from edge_site_proxy.api.operator.wire import answer, body_of, limit_of, parameter

Order = Callable[[int, str, str], Awaitable[AlarmView]]


class AlarmCalls:
    """Handlers about the alarm list."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._alarms = desk.site.alarms
        self._orders = desk.site.alarm_desk

    def routes(self) -> list[Route]:
        """Paths and who answers them."""
        alarm, orders = "/v1/alarms/{alarm:int}", self._orders
        by_reason = {
            "unshelve": self._by(Action.SHELVE, orders.unshelve),
            "reset": self._by(Action.RETIRE, orders.reset),
            "retire": self._by(Action.RETIRE, orders.retire),
            "restore": self._by(Action.RETIRE, orders.restore),
        }
        return [
            Route("/v1/alarms", self.alarms),
            Route("/v1/alarms/summary", self.summary),
            Route(f"{alarm}/ack", self.ack, methods=["POST"]),
            Route(f"{alarm}/shelve", self.shelve, methods=["POST"]),
            *(Route(f"{alarm}/{verb}", by, methods=["POST"]) for verb, by in by_reason.items()),
            Route("/v1/maintenance", self.maintenance),
            Route("/v1/maintenance", self.begin, methods=["POST"]),
            Route("/v1/maintenance/{line}/end", self.end, methods=["POST"]),
        ]

    async def alarms(self, request: Request) -> Response:
        """Alarms that stand; with `all`, those that are over too; `state` and `group` choose."""
        await self._desk.caller(request)
        state = parameter(request, "state", AlarmState | None, None)  # type: ignore[arg-type]  # a union is no `type`, and msgspec takes it
        group = request.query_params.get("group")
        if parameter(request, "all", bool, default=False) or state is AlarmState.CLEARED:
            found = await self._alarms.every(limit_of(request, 500))
        else:
            found = await self._alarms.standing()
        chosen = [
            alarm
            for alarm in found
            if state in {None, alarm.state} and group in {None, alarm.group}
        ]
        return answer(request, chosen)

    async def summary(self, request: Request) -> Response:
        """The alarm list in numbers."""
        await self._desk.caller(request)
        return answer(request, await self._alarms.summary())

    async def ack(self, request: Request) -> Response:
        """I have seen it."""
        sender = await self._desk.sender(request, Action.ACK)
        order = await body_of(request, AckRequest)
        number = request.path_params["alarm"]
        return answer(request, await self._orders.ack(number, sender.who, order.reason))

    async def shelve(self, request: Request) -> Response:
        """Not now; what pages is put aside only by who may take it out of service."""
        sender = await self._desk.sender(request, Action.SHELVE)
        order = await body_of(request, ShelveRequest)
        number = request.path_params["alarm"]
        if (await self._orders.alarm(number)).priority is Priority.P1:
            await self._desk.sender(request, Action.RETIRE)
        alarm = await self._orders.shelve(number, sender.who, order.minutes, order.reason)
        return answer(request, alarm)

    async def maintenance(self, request: Request) -> Response:
        """Lines that are being worked on."""
        await self._desk.caller(request)
        return answer(request, await self._orders.maintenance())

    async def begin(self, request: Request) -> Response:
        """Work begins on a line."""
        sender = await self._desk.sender(request, Action.MAINTENANCE)
        order = await body_of(request, MaintenanceRequest)
        return answer(request, await self._orders.begin_maintenance(sender.who, order))

    async def end(self, request: Request) -> Response:
        """Work on a line is done."""
        sender = await self._desk.sender(request, Action.MAINTENANCE)
        order = await body_of(request, ReasonRequest)
        line = request.path_params["line"]
        return answer(request, await self._orders.end_maintenance(sender.who, line, order.reason))

    def _by(self, action: Action, order: Order) -> Callable[[Request], Awaitable[Response]]:
        """A handler that carries out *order* for whoever may do *action*."""

        async def handle(request: Request) -> Response:
            sender = await self._desk.sender(request, action)
            said = await body_of(request, ReasonRequest)
            number = request.path_params["alarm"]
            return answer(request, await order(number, sender.who, said.reason))

        return handle
