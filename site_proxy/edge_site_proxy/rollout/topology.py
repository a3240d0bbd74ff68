"""Is the inventory one plant? Every mistake in it, in words; and who is out for maintenance; pure.

The blast-radius rules count groups, lines and zones by name. A name that is spelt in two ways
would quietly halve a group, so what can be checked against the rest is checked.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from edge_core.contracts.plant import GatewayPlace, Inventory, Line


def mistakes(inventory: Inventory, site: str) -> list[str]:
    """What is wrong with *inventory* as that of *site*; empty if nothing is."""
    return [
        *_site(inventory, site),
        *_twice(inventory),
        *(wrong for gateway in inventory.gateways for wrong in _gateway(gateway, inventory)),
        *_areas(inventory),
        *_groups(inventory.gateways),
    ]


def out_of_service(inventory: Inventory) -> dict[str, str]:
    """Who is in maintenance, by itself or with its line, and why."""
    lines = {line.name: line.maintenance for line in inventory.lines if line.maintenance}
    return {
        gateway.serial: gateway.maintenance or f"line {gateway.position.line}: {why}"
        for gateway in inventory.gateways
        if (why := gateway.maintenance or lines.get(gateway.position.line, ""))
    }


def _site(inventory: Inventory, site: str) -> Iterator[str]:
    if inventory.site != site:
        yield f"expected site {site!r}, found {inventory.site!r}"


def _twice(inventory: Inventory) -> Iterator[str]:
    named = (
        ("serial", (gateway.serial for gateway in inventory.gateways)),
        ("zone", (zone.name for zone in inventory.zones)),
        ("line", (line.name for line in inventory.lines)),
        ("hardware class", inventory.hardware),
    )
    for what, names in named:
        for name, count in Counter(names).items():
            if count > 1:
                yield f"expected each {what} once, found {name} twice"


def _gateway(gateway: GatewayPlace, inventory: Inventory) -> Iterator[str]:
    zones = [zone.name for zone in inventory.zones]
    if gateway.zone not in zones:
        yield _unlisted(gateway, "zone", gateway.zone, zones)
    if inventory.hardware and gateway.hardware not in inventory.hardware:
        yield _unlisted(gateway, "hardware class", gateway.hardware, inventory.hardware)
    if gateway.position.site != inventory.site:
        yield (
            f"gateway {gateway.serial}: expected site {inventory.site!r} in its position, "
            f"found {gateway.position.site!r}"
        )
    if inventory.lines:
        yield from _on_line(gateway, {line.name: line for line in inventory.lines})


def _on_line(gateway: GatewayPlace, lines: Mapping[str, Line]) -> Iterator[str]:
    position = gateway.position
    line = lines.get(position.line)
    if line is None:
        yield _unlisted(gateway, "line", position.line, lines)
        return
    if position.area != line.area:
        yield (
            f"gateway {gateway.serial}: expected area {line.area!r}, where line {line.name} is, "
            f"found {position.area!r}"
        )
    if line.cells and position.cell not in line.cells:
        yield _unlisted(gateway, f"cell of line {line.name}", position.cell, line.cells)


def _areas(inventory: Inventory) -> Iterator[str]:
    """A line that two areas claim would be two lines to people and one to the rules."""
    areas: dict[str, set[str]] = defaultdict(set)
    for gateway in inventory.gateways:
        areas[gateway.position.line].add(gateway.position.area)
    listed = {line.name for line in inventory.lines}
    for line, found in areas.items():
        if len(found) > 1 and line not in listed:
            yield f"line {line}: expected one area, found {', '.join(sorted(found))}"


def _groups(gateways: Iterable[GatewayPlace]) -> Iterator[str]:
    groups: dict[str, list[GatewayPlace]] = defaultdict(list)
    for gateway in gateways:
        if gateway.redundancy_group is not None:
            groups[gateway.redundancy_group].append(gateway)
    for name, members in groups.items():
        if len(members) == 1:
            yield (
                f"redundancy group {name}: expected at least two gateways, "
                f"found {members[0].serial} alone"
            )
        for what, found in (
            ("zone", sorted({member.zone for member in members})),
            ("model", sorted({member.model for member in members})),
        ):
            if len(found) > 1:
                yield f"redundancy group {name}: expected one {what}, found {', '.join(found)}"


def _unlisted(gateway: GatewayPlace, what: str, found: str, known: Iterable[str]) -> str:
    listed = ", ".join(sorted(known)) or "none"
    return f"gateway {gateway.serial}: expected a {what} among {listed}, found {found!r}"
