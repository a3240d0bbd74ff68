"""`/v1/pin`: the caller's own PIN, and an admin's way to reset somebody's."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.contracts.api import Action
from edge_core.contracts.signing import PinRequest, PinResetRequest
from edge_site_proxy.api.operator.door import Desk
from edge_site_proxy.api.operator.wire import answer, body_of


class PinCalls:
    """Handlers about PINs; who calls is the kernel's word, so nobody sets another's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pins = desk.site.pins

    def routes(self) -> list[Route]:
        """Paths and who answers them."""
        return [
            Route("/v1/pin", self.set, methods=["POST"]),
            Route("/v1/pin/reset", self.reset, methods=["POST"]),
        ]

    async def set(self, request: Request) -> Response:
        """A new PIN for the caller."""
        sender = await self._desk.sender(request, Action.PIN)
        order = await body_of(request, PinRequest)
        return answer(request, await self._pins.set(sender.who, order.new, order.old))

    async def reset(self, request: Request) -> Response:
        """No PIN for somebody who forgot theirs."""
        sender = await self._desk.sender(request, Action.PIN_RESET)
        order = await body_of(request, PinResetRequest)
        return answer(request, await self._pins.reset(sender.who, order.user, order.reason))
