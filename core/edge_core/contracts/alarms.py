"""The alarm list around its alarms: lines under maintenance, and the list in numbers."""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.api import Why
from edge_core.contracts.gateway import Count, Reason
from edge_core.contracts.plant import Instant


class MaintenanceRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Work begins on a line: what its gateways would alarm about is expected, for so long."""

    line: Annotated[str, Meta(min_length=1, max_length=64)]
    minutes: Annotated[int, Meta(ge=1, le=480)]
    reason: Why


class Maintenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line that is being worked on; it ends by itself."""

    line: str
    since: Instant
    until: Instant
    who: str
    reason: Reason


class AlarmSummary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The alarm list in numbers (ISA-18.2, clause 16): is it of use to somebody, or noise?

    Attributes:
        flood: whether a flood stands.
        recent: alarms that came in the last ten minutes; a flood begins above `flood_above`.
        peak: the most that came in any ten minutes of the last day.
        day: how many came in the last day.
        standing: by priority, those that somebody has to look at.
        stale: sources of alarms that have stood for over a day.
        chattering: sources whose cause came more than three times while they stood.
        shelved: how many are put aside; `suppressed`, `out_of_service` likewise.
    """

    at: Instant
    flood: bool
    recent: Count
    flood_above: Count
    peak: Count
    day: Count
    standing: dict[str, Count]
    stale: list[str]
    chattering: list[str]
    shelved: Count
    suppressed: Count
    out_of_service: Count
