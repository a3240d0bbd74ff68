"""What every request passes: who calls, may they, and what an error looks like."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import Response

from edge_core.contracts.api import Action, TelemetryView
from edge_core.contracts.errors import ConflictError, EdgeError
from edge_core.contracts.rollout import RolloutView
from edge_site_proxy.api.operator.errors import RoleMissingError
from edge_site_proxy.api.operator.peer import Peer
from edge_site_proxy.api.operator.people import Caller, Lookup, caller
from edge_site_proxy.api.operator.settings import OperatorSettings
from edge_site_proxy.api.operator.wire import refusal
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.views import view
from edge_site_proxy.site import Site

Handler = Callable[[Request], Awaitable[Response]]
Revoke = Callable[[str, str, str], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers work with.

    Attributes:
        site: the services.
        settings: roles.
        telemetry: the state of the write-ahead log.
        enrolled: whether a gateway has a certificate that still counts.
        lookup: names and groups of a user id.
        revoke: ends every certificate of a serial, for a reason, on somebody's word.
    """

    site: Site
    settings: OperatorSettings
    telemetry: Callable[[], TelemetryView]
    enrolled: Callable[[str], bool]
    lookup: Lookup
    revoke: Revoke | None = None

    async def caller(self, request: Request) -> Caller:
        """Who the kernel says is calling, with the roles they have at this moment.

        Raises:
            RoleMissingError: nobody we know, or somebody without a role.
        """
        extensions = request.scope.get("extensions") or {}
        peer = extensions.get("unix", {}).get("peer")
        if not isinstance(peer, Peer):
            raise RoleMissingError("caller: expected a socket that names its peer, found none")
        return await asyncio.to_thread(caller, peer.uid, self.settings, self.lookup)

    async def sender(self, request: Request, action: Action) -> Sender:
        """The caller as the sender of an order.

        Raises:
            RoleMissingError: they may not do *action*.
        """
        who = await self.caller(request)
        who.must(action)
        return Sender(who.user, request.headers.get("if-match"), who.name, who.groups)

    def current(self, request: Request) -> RolloutView | None:
        """The rollout that the path speaks of, as it is now."""
        name = request.path_params.get("rollout")
        found = self.site.world.rollouts.get(name) if isinstance(name, str) else None
        return None if found is None else view(self.site.world, found)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Any of our errors, as a problem."""
        if not isinstance(error, EdgeError):
            raise error
        log.info(
            "request.refused",
            path=request.url.path[:200],
            error=type(error).__name__,
            reason=str(error),
        )
        current = self.current(request) if isinstance(error, ConflictError) else None
        return refusal(error, current)
