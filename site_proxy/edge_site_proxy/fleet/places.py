"""Who stands where now: the inventory, and who was replaced or retired since then; pure.

A place outlives the gateway that stands in it. A serial that was retired is never used again: its
reports, its evidence and its events keep their name.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from edge_core.contracts.plant import GatewayPlace, Instant, Inventory


class Retired(Struct, frozen=True, kw_only=True):
    """The end of one gateway: where it stood, who stands there now, and on whose word."""

    serial: str
    asset: str
    by: str | None
    at: Instant
    who: str
    reason: str


def standing_now(inventory: Inventory, retired: Mapping[str, Retired]) -> Inventory:
    """*inventory* with every retired gateway gone, and its successor in its place."""
    listed = {place.serial for place in inventory.gateways}
    found = [_now(place, retired, listed) for place in inventory.gateways]
    return replace(inventory, gateways=[place for place in found if place is not None])


def _now(
    place: GatewayPlace, retired: Mapping[str, Retired], listed: set[str]
) -> GatewayPlace | None:
    serial = place.serial
    for _ in range(len(retired)):
        if serial not in retired:
            break
        successor = retired[serial].by
        # Where the inventory lists the successor itself, it has the last word on its place.
        if successor is None or successor in listed:
            return None
        serial = successor
    return None if serial in retired else replace(place, serial=serial)


def successors(retired: Mapping[str, Retired]) -> dict[str, str]:
    """Who came in the place of another: successor to predecessor."""
    return {each.by: each.serial for each in retired.values() if each.by is not None}


def epitaph(retired: Retired) -> str:
    """What is said to whoever asks for a retired gateway."""
    after = "" if retired.by is None else f", replaced by {retired.by}"
    return f"retired on {retired.at:%Y-%m-%d}{after} ({retired.reason})"
