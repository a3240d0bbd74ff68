"""What makes an inventory one plant; each mistake is named, all of them at once."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.plant import (
    GatewayPlace,
    Inventory,
    Line,
    Position,
    SafetyClass,
    WorkCentre,
    Zone,
)
from edge_site_proxy.config import load_inventory
from edge_site_proxy.rollout.topology import mistakes, out_of_service

HERE = Position(site="north", area="A", line="L1", cell="C1", asset="a")


def gateway(serial: str, *, at: dict[str, str] | None = None, **more: str) -> GatewayPlace:
    """A gateway at L1/C1 in zone plain, unless it says otherwise."""
    position = msgspec.structs.replace(HERE, **(at or {}))
    made = GatewayPlace(serial=serial, position=position, zone="plain", model="m")
    return msgspec.structs.replace(made, **more)


ZONES = [Zone(name="plain"), Zone(name="boiler", safety_class=SafetyClass.SAFETY)]
L1 = Line(name="L1", area="A", cells=["C1", "C2"])
SILO = Line(name="SILO", area="B", kind=WorkCentre.STORAGE_ZONE)


@dataclass(frozen=True)
class Row:
    """Gateways, what else is listed, and every mistake in that."""

    gateways: list[GatewayPlace]
    wrong: list[str]
    lines: tuple[Line, ...] = ()
    hardware: tuple[str, ...] = ()
    zones: tuple[Zone, ...] = tuple(ZONES)
    site: str = "north"


PAIR = [gateway("g1", redundancy_group="p"), gateway("g2", redundancy_group="p")]
ROWS = {
    "gateways alone are a plant": Row([gateway("g1"), gateway("g2", at={"line": "L9"})], []),
    "a plant with every list": Row(
        [gateway("g1", hardware="x"), gateway("g2", at={"line": "SILO", "area": "B"})],
        [],
        lines=(L1, SILO),
        hardware=("x", "generic"),
    ),
    "an empty plant": Row([], []),
    "another site": Row([], ["expected site 'south', found 'north'"], site="south"),
    "a position on another site": Row(
        [gateway("g1", at={"site": "south"})],
        ["gateway g1: expected site 'north' in its position, found 'south'"],
    ),
    "a serial twice": Row(
        [gateway("g1"), gateway("g1")], ["expected each serial once, found g1 twice"]
    ),
    "a zone twice": Row(
        [], ["expected each zone once, found plain twice"], zones=(ZONES[0], ZONES[0])
    ),
    "a line twice": Row([], ["expected each line once, found L1 twice"], lines=(L1, L1)),
    "a hardware class twice": Row(
        [], ["expected each hardware class once, found x twice"], hardware=("x", "x")
    ),
    "an unknown zone": Row(
        [gateway("g1", zone="attic")],
        ["gateway g1: expected a zone among boiler, plain, found 'attic'"],
    ),
    "no zone at all": Row(
        [gateway("g1")], ["gateway g1: expected a zone among none, found 'plain'"], zones=()
    ),
    "an unknown hardware class": Row(
        [gateway("g1", hardware="y")],
        ["gateway g1: expected a hardware class among x, found 'y'"],
        hardware=("x",),
    ),
    "an unknown line": Row(
        [gateway("g1", at={"line": "L2"})],
        ["gateway g1: expected a line among L1, SILO, found 'L2'"],
        lines=(L1, SILO),
    ),
    "a line in another area than listed": Row(
        [gateway("g1", at={"area": "B"})],
        ["gateway g1: expected area 'A', where line L1 is, found 'B'"],
        lines=(L1,),
    ),
    "an unknown cell": Row(
        [gateway("g1", at={"cell": "C3"})],
        ["gateway g1: expected a cell of line L1 among C1, C2, found 'C3'"],
        lines=(L1,),
    ),
    "a line without listed cells takes any": Row(
        [gateway("g1", at={"line": "SILO", "area": "B", "cell": "C3"})], [], lines=(SILO,)
    ),
    "one line in two areas": Row(
        [gateway("g1"), gateway("g2", at={"area": "B"})],
        ["line L1: expected one area, found A, B"],
    ),
    "a pair": Row(PAIR, []),
    "a group of one": Row(
        [gateway("g1"), gateway("g2", redundancy_group="p")],
        ["redundancy group p: expected at least two gateways, found g2 alone"],
    ),
    "a group over two zones": Row(
        [PAIR[0], gateway("g2", redundancy_group="p", zone="boiler")],
        ["redundancy group p: expected one zone, found boiler, plain"],
    ),
    "a group with two models": Row(
        [PAIR[0], gateway("g2", redundancy_group="p", model="n")],
        ["redundancy group p: expected one model, found m, n"],
    ),
    "a group over two lines is one": Row(
        [PAIR[0], gateway("g2", redundancy_group="p", at={"line": "L2"})], []
    ),
    "every mistake is named": Row(
        [gateway("g1", zone="attic"), gateway("g2", redundancy_group="p")],
        [
            "gateway g1: expected a zone among boiler, plain, found 'attic'",
            "redundancy group p: expected at least two gateways, found g2 alone",
        ],
    ),
}


def made(row: Row) -> Inventory:
    """The inventory of a row."""
    return Inventory(
        site="north",
        zones=list(row.zones),
        gateways=row.gateways,
        lines=list(row.lines),
        hardware=list(row.hardware),
    )


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_mistakes(row: Row) -> None:
    """Each row is an inventory and what is said of it."""
    assert mistakes(made(row), row.site) == row.wrong


FILE = """
site = "north"
[[zones]]
name = "plain"
[[lines]]
name = "L1"
area = "A"
kind = "process_cell"
"""
ENTRY = """
[[gateways]]
serial = "{serial}"
zone = "{zone}"
model = "m"
maintenance = "new disk"
position = {{ site = "north", area = "A", line = "L1", cell = "C1", asset = "a" }}
"""


def test_the_file_is_refused_with_every_mistake(tmp_path: Path) -> None:
    """One line that names the file and each mistake; a long list is cut, and says so."""
    path = tmp_path / "inventory.toml"
    entries = (ENTRY.format(serial=f"g{number}", zone="attic") for number in range(12))
    path.write_text(FILE + "".join(entries))
    with pytest.raises(
        ConfigurationError, match=r"inventory.toml: gateway g0: .* g9: .*; and 2 m"
    ):
        load_inventory(path, "north")


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """What was written is what is read."""
    path = tmp_path / "inventory.toml"
    path.write_text(FILE + ENTRY.format(serial="g1", zone="plain"))
    inventory = load_inventory(path, "north")
    assert inventory.lines == [Line(name="L1", area="A", kind=WorkCentre.PROCESS_CELL)]
    assert inventory.gateways[0].maintenance == "new disk"


def test_out_of_service() -> None:
    """A gateway by its own word, which comes first, or with its whole line."""
    inventory = made(
        Row(
            [
                gateway("g1", maintenance="new disk"),
                gateway("g2"),
                gateway("g3", at={"line": "SILO"}),
                gateway("g4", at={"line": "SILO"}, maintenance="no power"),
            ],
            [],
            lines=(L1, msgspec.structs.replace(SILO, maintenance="cleaning")),
        )
    )
    assert out_of_service(inventory) == {
        "g1": "new disk",
        "g3": "line SILO: cleaning",
        "g4": "no power",
    }
