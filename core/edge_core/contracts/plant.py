"""The plant: who stands where, in the words of ISA-95 and IEC 62443.

A gateway's place is stored apart from its serial, so a replaced box takes over the place and not
the history. Redundancy group, line and zone are what the blast-radius rules count.

*Line* and *cell* stand for ISA-95's work centre and work unit, so a batch or a continuous plant
has them too: `WorkCentre` says which kind a line is, and the rules are the same for every kind.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Serial = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Place = Annotated[str, Meta(min_length=1, max_length=64)]
Words = Annotated[str, Meta(max_length=200)]
Instant = Annotated[datetime, Meta(tz=True)]


class SafetyClass(StrEnum):
    """How much a zone may be disturbed; `safety` moves last, and only under approval."""

    NONE = "none"
    SAFETY = "safety"


class Zone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An IEC 62443 zone."""

    name: Place
    safety_class: SafetyClass = SafetyClass.NONE


class WorkCentre(StrEnum):
    """What a line is (IEC 62264-1): its cells are units, units, work cells or storage units."""

    PROCESS_CELL = "process_cell"
    PRODUCTION_UNIT = "production_unit"
    PRODUCTION_LINE = "production_line"
    STORAGE_ZONE = "storage_zone"


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of an area. Once a line is listed every line must be."""

    name: Place
    area: Place
    kind: WorkCentre = WorkCentre.PRODUCTION_LINE
    cells: Annotated[list[Place], Meta(max_length=1000)] = []  # none listed: any name will do
    maintenance: Words = ""  # why the whole line is out for now; it is not counted meanwhile


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
    maintenance: Words = ""  # why it is out for now; it is not counted meanwhile


class Inventory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`inventory.toml`: the gateways of one site."""

    site: Place
    zones: list[Zone]
    gateways: Annotated[list[GatewayPlace], Meta(max_length=20_000)]
    enterprise: Annotated[str, Meta(max_length=64)] = ""  # whose site it is
    lines: Annotated[list[Line], Meta(max_length=2_000)] = []
    hardware: Annotated[list[Place], Meta(max_length=100)] = []  # classes; none listed: any name


class ClockQuality(Struct, frozen=True, kw_only=True):
    """What the kernel says of its own clock (adjtimex)."""

    synchronised: bool
    error_max_us: Annotated[int, Meta(ge=0)]
