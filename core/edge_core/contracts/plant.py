"""The plant: who stands where, in the words of ISA-95 and IEC 62443.

A gateway's place is stored apart from its serial, so a replaced box takes over the place and not
the history. Redundancy group, line and zone are what the blast-radius rules count.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Serial = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Place = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]


class SafetyClass(StrEnum):
    """How much a zone may be disturbed; `safety` moves last, and only under approval."""

    NONE = "none"
    SAFETY = "safety"


class Zone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An IEC 62443 zone."""

    name: Place
    safety_class: SafetyClass = SafetyClass.NONE


class Position(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an asset stands (ISA-95); a line has cells, and one cell moves at a time."""

    site: Place
    area: Place
    line: Place
    cell: Place
    asset: Place


class GatewayPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway as the site knows it, before it ever reports."""

    serial: Serial
    position: Position
    zone: Place
    model: Place
    hardware: Place = "generic"
    redundancy_group: Place | None = None


class Inventory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`inventory.toml`: the gateways of one site."""

    site: Place
    zones: list[Zone]
    gateways: Annotated[list[GatewayPlace], Meta(max_length=20_000)]


class ClockQuality(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the kernel says of its own clock (adjtimex)."""

    synchronised: bool
    error_max_us: Annotated[int, Meta(ge=0)]
