"""`/v1/rollouts`: how each stands, and the orders that move it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.contracts.api import Action, ReasonRequest
from edge_core.contracts.rollout import RolloutState
from edge_core.contracts.signing import ApproveRequest, RevokeRequest, WaiveRequest
from edge_site_proxy.api.operator.door import Desk
from edge_site_proxy.api.operator.wire import answer, body_of, parameter
from edge_site_proxy.fleet.nightly import gate_checks
from edge_site_proxy.rollout.records import Rollout
from edge_site_proxy.rollout.views import view


class RolloutCalls:
    """Handlers about rollouts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._site = desk.site

    def routes(self) -> list[Route]:
        """Paths and who answers them."""
        one = "/v1/rollouts/{rollout}"
        orders = (
            ("approve", self.approve),
            ("acknowledge", self.acknowledge),
            ("revoke", self.revoke),
            ("hold", self.hold),
            ("resume", self.resume),
            ("cancel", self.cancel),
            ("rollback", self.rollback),
            ("switch", self.switch),
        )
        return [
            Route("/v1/rollouts", self.rollouts),
            Route("/v1/gate-checks", self.gate_checks),
            Route(one, self.rollout),
            *(Route(f"{one}/{verb}", call, methods=["POST"]) for verb, call in orders),
        ]

    async def rollouts(self, request: Request) -> Response:
        """Every rollout, newest first; `state` and `open` choose."""
        await self._desk.caller(request)
        state = parameter(request, "state", RolloutState | None, None)  # type: ignore[arg-type]  # a union is no `type`, and msgspec takes it
        found = sorted(
            self._site.world.rollouts.values(), key=lambda each: each.header.created, reverse=True
        )
        if state is not None:
            found = [each for each in found if each.state is state]
        if parameter(request, "open", bool, default=False):
            found = [each for each in found if each.open]
        return answer(request, [view(self._site.world, each) for each in found])

    async def rollout(self, request: Request) -> Response:
        """One rollout."""
        await self._desk.caller(request)
        return self._shown(request, self._site.desk.rollout(request.path_params["rollout"]))

    async def gate_checks(self, request: Request) -> Response:
        """How often the gate blamed gateways on which nothing changed."""
        await self._desk.caller(request)
        limits = self._site.world.settings.policy.gate
        return answer(request, await gate_checks(self._site.store, limits))

    async def approve(self, request: Request) -> Response:
        """One more signature."""
        sender = await self._desk.sender(request, Action.APPROVE)
        order = await body_of(request, ApproveRequest)
        name = request.path_params["rollout"]
        return self._shown(request, await self._site.desk.approve(name, order, sender))

    async def acknowledge(self, request: Request) -> Response:
        """The shift knows what will change."""
        sender = await self._desk.sender(request, Action.ACKNOWLEDGE)
        order = await body_of(request, ReasonRequest)
        name = request.path_params["rollout"]
        return self._shown(request, await self._site.desk.acknowledge(name, order.reason, sender))

    async def revoke(self, request: Request) -> Response:
        """Take every signature back."""
        sender = await self._desk.sender(request, Action.REVOKE)
        order = await body_of(request, RevokeRequest)
        if order.roll_back:
            await self._desk.sender(request, Action.ROLLBACK)
        rollout = await self._site.desk.revoke(
            request.path_params["rollout"], order.reason, sender, roll_back=order.roll_back
        )
        await self._site.reconcile()
        return self._shown(request, self._site.world.rollouts[rollout.id])

    async def hold(self, request: Request) -> Response:
        """No more permits."""
        sender = await self._desk.sender(request, Action.HOLD)
        order = await body_of(request, ReasonRequest)
        name = request.path_params["rollout"]
        return self._shown(request, await self._site.desk.hold(name, order.reason, sender))

    async def resume(self, request: Request) -> Response:
        """Take holds away; where a gate holds, waive it."""
        sender = await self._desk.sender(request, Action.RESUME)
        order = await body_of(request, WaiveRequest)
        name = request.path_params["rollout"]
        rollout = await self._site.desk.resume(
            name, order.reason, sender, shown=order.shown, pin=order.pin
        )
        return self._shown(request, rollout)

    async def cancel(self, request: Request) -> Response:
        """End what has changed nothing yet."""
        sender = await self._desk.sender(request, Action.CANCEL)
        order = await body_of(request, ReasonRequest)
        name = request.path_params["rollout"]
        return self._shown(request, await self._site.desk.cancel(name, order.reason, sender))

    async def rollback(self, request: Request) -> Response:
        """Take everybody off this release."""
        sender = await self._desk.sender(request, Action.ROLLBACK)
        order = await body_of(request, ReasonRequest)
        name = request.path_params["rollout"]
        rollout = await self._site.desk.roll_back(name, order.reason, sender)
        await self._site.reconcile()
        return self._shown(request, self._site.world.rollouts[rollout.id])

    async def switch(self, request: Request) -> Response:
        """Green takes over from blue."""
        sender = await self._desk.sender(request, Action.SWITCH)
        order = await body_of(request, ReasonRequest)
        name = request.path_params["rollout"]
        return self._shown(request, await self._site.desk.switch(name, order.reason, sender))

    def _shown(self, request: Request, rollout: Rollout) -> Response:
        return answer(request, view(self._site.world, rollout))
