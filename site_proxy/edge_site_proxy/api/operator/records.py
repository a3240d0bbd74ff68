"""`/v1/audit` and `/v1/events`: what happened, and what is happening."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from edge_core.contracts.api import Change
from edge_site_proxy.api.operator.door import Desk
from edge_site_proxy.api.operator.errors import BadRequestError
from edge_site_proxy.api.operator.openapi import document
from edge_site_proxy.api.operator.wire import answer, instant_of, limit_of, parameter
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.history import what_ran
from edge_site_proxy.store.feed import changes_after, cursor_first, cursor_last

BATCH = 500
ALIVE_S = 5.0  # a feed that says nothing for longer is dead, and the screen says so


class RecordCalls:
    """Handlers about the audit log and the change feed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._site = desk.site
        self._store = desk.site.store

    def routes(self) -> list[Route]:
        """Paths and who answers them."""
        return [
            Route("/v1/audit", self.audit),
            Route("/v1/audit/checkpoint", self.checkpoint),
            Route("/v1/audit/what-ran", self.what_ran),
            Route("/v1/events", self.events),
            Route("/v1/openapi.json", self.openapi),
        ]

    async def audit(self, request: Request) -> Response:
        """Events after a sequence number, in order, as they were hashed."""
        await self._desk.caller(request)
        after, limit = parameter(request, "after", int, -1), limit_of(request, 500)
        leaves = await self._store.read(lambda db: audit_log.leaves_after(db, after, limit))
        return answer(request, [msgspec.Raw(leaf) for leaf in leaves])

    async def checkpoint(self, request: Request) -> Response:
        """The signed state of the log at this moment."""
        await self._desk.caller(request)
        return answer(request, await self._site.notary.sign())

    async def what_ran(self, request: Request) -> Response:
        """What decided about an asset then."""
        await self._desk.caller(request)
        asset = request.query_params.get("asset")
        if not asset:
            raise BadRequestError("parameter asset: expected the name of an asset, found none")
        at = instant_of(request, "at")
        return answer(request, await self._store.read(lambda db: what_ran(db, asset, at)))

    async def openapi(self, request: Request) -> Response:
        """This API, described from its types."""
        await self._desk.caller(request)
        return answer(request, document())

    async def events(self, request: Request) -> Response:
        """Changes as they come; `after` or Last-Event-ID says where to go on."""
        await self._desk.caller(request)
        last = request.headers.get("last-event-id") or request.query_params.get("after")
        if last is not None and not (last.isascii() and last.isdigit() and len(last) < 20):
            raise BadRequestError(f"cursor {last[:40]!r}: expected a number")
        cursor = int(last) if last is not None else await self._store.read(cursor_last)
        return StreamingResponse(
            self._stream(cursor), 200, {"cache-control": "no-store"}, "text/event-stream"
        )

    async def _after(self, cursor: int) -> list[Change]:
        return await self._store.read(lambda db: changes_after(db, cursor, BATCH))

    async def _stream(self, cursor: int) -> AsyncIterator[bytes]:
        changed = self._store.listen()
        try:
            yield b": connected\n\n"
            first, newest = await self._store.read(lambda db: (cursor_first(db), cursor_last(db)))
            if cursor > newest or cursor + 1 < first:
                # Away for too long, or from before a restore: whatever is drawn may be old.
                cursor = newest
                yield f"event: resync\nid: {newest}\ndata: {{}}\n\n".encode()
            while True:
                changed.clear()
                changes = await self._after(cursor)
                for change in changes:
                    yield _event(change)
                    cursor = change.cursor
                if changes:
                    continue
                try:
                    async with asyncio.timeout(ALIVE_S):
                        await changed.wait()
                except TimeoutError:
                    yield b": alive\n\n"
        finally:
            self._store.unlisten(changed)


def _event(change: Change) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (change.cursor, msgspec.json.encode(change))
