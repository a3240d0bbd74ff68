"""The application: every path of the operator API behind one door."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from edge_core.contracts.api import TelemetryView
from edge_core.contracts.errors import EdgeError
from edge_site_proxy.api.operator.alarms import AlarmCalls
from edge_site_proxy.api.operator.door import Desk, Revoke
from edge_site_proxy.api.operator.overview import OverviewCalls
from edge_site_proxy.api.operator.people import Lookup, on_this_machine
from edge_site_proxy.api.operator.pins import PinCalls
from edge_site_proxy.api.operator.queue import QueueCalls
from edge_site_proxy.api.operator.records import RecordCalls
from edge_site_proxy.api.operator.rollouts import RolloutCalls
from edge_site_proxy.api.operator.settings import OperatorSettings
from edge_site_proxy.api.operator.wire import unknown_path
from edge_site_proxy.site import Site


def operator_app(
    site: Site,
    settings: OperatorSettings,
    *,
    telemetry: Callable[[], TelemetryView],
    enrolled: Callable[[str], bool],
    lookup: Lookup = on_this_machine,
    revoke: Revoke | None = None,
) -> Starlette:
    """The ASGI application.

    Args:
        site: the services.
        settings: roles.
        telemetry: the state of the write-ahead log, for the overview.
        enrolled: whether a gateway has a certificate that counts.
        lookup: name and groups of a user id; the machine's own unless a test says otherwise.
        revoke: ends the certificates of a gateway; None where this site gives out none.
    """
    desk = Desk(site, settings, telemetry, enrolled, lookup, revoke)
    kinds = (OverviewCalls, RolloutCalls, QueueCalls, AlarmCalls, RecordCalls, PinCalls)
    return Starlette(
        routes=[route for kind in kinds for route in kind(desk).routes()],
        exception_handlers={EdgeError: desk.refused, HTTPException: unknown_path},
    )
