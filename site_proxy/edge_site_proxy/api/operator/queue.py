"""`/v1/queue`: windows that wait for a person."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.contracts.api import (
    Action,
    LabelRequest,
    LeaseRequest,
)
from edge_core.contracts.review import ItemState
from edge_site_proxy.api.operator.door import Desk
from edge_site_proxy.api.operator.wire import answer, body_of, limit_of, parameter


class QueueCalls:
    """Handlers about the review queue."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._queue = desk.site.queue

    def routes(self) -> list[Route]:
        """Paths and who answers them."""
        return [
            Route("/v1/queue", self.items),
            Route("/v1/queue/summary", self.summary),
            Route("/v1/queue/export", self.export),
            Route("/v1/queue/lease", self.lease, methods=["POST"]),
            Route("/v1/queue/{item:int}/label", self.label, methods=["POST"]),
            Route("/v1/queue/{item:int}/undo", self.undo, methods=["POST"]),
        ]

    async def items(self, request: Request) -> Response:
        """Items of the queue; `state`, `line`, `asset` and `limit` choose."""
        await self._desk.caller(request)
        state = parameter(request, "state", ItemState | None, None)  # type: ignore[arg-type]  # a union is no `type`, and msgspec takes it
        line, asset = (request.query_params.get(name) for name in ("line", "asset"))
        limit = limit_of(request, 100)
        return answer(request, await self._queue.items(state, limit, line=line, asset=asset))

    async def summary(self, request: Request) -> Response:
        """How much work there is."""
        await self._desk.caller(request)
        return answer(request, await self._queue.summary())

    async def export(self, request: Request) -> Response:
        """Labelled windows as JSON lines."""
        await self._desk.caller(request)
        lines = await self._queue.export()
        return Response(b"".join(line + b"\n" for line in lines), media_type="application/jsonl")

    async def lease(self, request: Request) -> Response:
        """The next items, for a while."""
        sender = await self._desk.sender(request, Action.LABEL)
        order = await body_of(request, LeaseRequest)
        return answer(request, await self._queue.lease(sender.who, order))

    async def label(self, request: Request) -> Response:
        """Say what a window was."""
        sender = await self._desk.sender(request, Action.LABEL)
        order = await body_of(request, LabelRequest)
        item = request.path_params["item"]
        return answer(request, await self._queue.label(item, sender.who, order))

    async def undo(self, request: Request) -> Response:
        """Take one's newest label back."""
        sender = await self._desk.sender(request, Action.LABEL)
        return answer(request, await self._queue.undo(request.path_params["item"], sender.who))
