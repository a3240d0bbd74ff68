"""Walking a server's address space: all of it, each node once, and never for ever."""

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from edge_runtime.commission.nodes import Node, Tree
from edge_runtime.commission.walk import Bounds, Walk
from tests.simulators.address_space import AddressSpace, node_id

pytestmark = pytest.mark.anyio

ROOT = node_id(85, 0)
NAMESPACES = ["http://opcfoundation.org/UA/", "urn:server", "urn:plant"]
WIDE = 5_000


async def walked(
    space: AddressSpace, bounds: Bounds | None = None
) -> tuple[Tree, list[tuple[str, int]]]:
    """What is found below the root, and the progress that was told."""
    told: list[tuple[str, int]] = []

    def heard(what: str, count: int) -> None:
        told.append((what, count))

    walk = Walk(space, ua, NAMESPACES, bounds or Bounds(), heard)
    return await walk.below(ROOT, "opc.tcp://plant"), told


def paths(tree: Tree) -> list[str]:
    """The paths found."""
    return [node.path for node in tree.nodes]


async def test_all_facts() -> None:
    """A variable shows id by URI, type, unit, access, range and value; properties are no nodes."""
    space = AddressSpace()
    pump = space.add(ROOT, "pump", node_id("pump"))
    flow = space.variable(pump, "flow", 31.5)
    unit = ua.EUInformation(DisplayName=ua.LocalizedText("l/min"))
    space.property(flow, "EngineeringUnits", unit)
    space.property(flow, "EURange", ua.Range(Low=0.0, High=150.0))
    tree, _ = await walked(space)
    assert tree.complete
    assert tree.nodes[0] == Node(
        node="nsu=urn:plant;s=pump", path="/pump", name="pump", kind="object"
    )
    assert tree.nodes[1:] == [
        Node(
            node="nsu=urn:plant;s=flow",
            path="/pump/flow",
            name="flow",
            type="Double",
            unit="l/min",
            access="r",
            value=31.5,
            low=0.0,
            high=150.0,
        )
    ]


async def test_unit_by_code() -> None:
    """A unit without a name is known by its UNECE code."""
    space = AddressSpace()
    pressure = space.variable(ROOT, "pressure")
    code = int.from_bytes(b"BAR")
    space.property(pressure, "EngineeringUnits", ua.EUInformation(UnitId=code))
    tree, _ = await walked(space)
    assert tree.nodes[0].unit == "bar"


async def test_loop() -> None:
    """A folder that contains itself, by whatever way, is found once."""
    space = AddressSpace()
    one = space.add(ROOT, "one", node_id("one"))
    two = space.add(one, "two", node_id("two"))
    space.add(two, "back", one)
    space.add(two, "root", ROOT)
    space.add(ROOT, "again", two)
    tree, _ = await walked(space)
    assert paths(tree) == ["/one", "/again"]
    assert tree.complete


async def test_order() -> None:
    """Everything stands right after what is above it, as people read a tree."""
    space = AddressSpace()
    for name in ("a", "b"):
        folder = space.add(ROOT, name, node_id(name))
        space.variable(folder, f"{name}1")
    tree, _ = await walked(space)
    assert paths(tree) == ["/a", "/a/a1", "/b", "/b/b1"]


async def test_too_many_nodes() -> None:
    """A tree larger than the bound is cut there, and says so; long ones tell how far they are."""
    space = AddressSpace()
    for number in range(WIDE):
        space.variable(ROOT, f"v{number}")
    tree, told = await walked(space)
    assert len(tree.nodes) == WIDE
    assert told == sorted(told)
    assert told[0] == ("nodes", WIDE)
    assert told[-1] == ("values", WIDE)
    tree, _ = await walked(space, Bounds(nodes=100))
    assert len(tree.nodes) == 100
    assert not tree.complete
    assert "100" in tree.notes[0]


async def test_hall_of_mirrors() -> None:
    """A tree that is deeper than the bound is left there, and says so."""
    space = AddressSpace()
    above = ROOT
    for number in range(50):
        above = space.add(above, f"{number}", node_id(f"{number}"))
    tree, _ = await walked(space, Bounds(depth=5))
    assert len(tree.nodes) == 5
    assert tree.notes == ["nothing below depth 5 was looked at"]


async def test_pages() -> None:
    """A server that answers in small pages is asked for every one of them."""
    space = AddressSpace(page=7)
    for number in range(30):
        space.variable(ROOT, f"v{number}")
    tree, _ = await walked(space)
    assert len(tree.nodes) == 30


async def test_endless_pages() -> None:
    """A server that always has another, empty page is left."""
    space = AddressSpace(endless=True)
    space.variable(ROOT, "v")
    tree, _ = await walked(space)
    assert paths(tree) == ["/v"]
    assert space.requests < 1000
    assert not tree.complete


async def test_small_requests() -> None:
    """A server that takes five operations at once is asked for less until it answers."""
    space = AddressSpace(operations_max=5)
    for number in range(20):
        folder = space.add(ROOT, f"f{number}", node_id(f"f{number}"))
        space.variable(folder, f"v{number}")
    tree, _ = await walked(space)
    assert len(tree.nodes) == 40
    assert all(node.type == "Double" for node in tree.nodes if node.kind == "variable")


async def test_hostile_names() -> None:
    """A name of a megabyte is cut, one with a slash keeps its place in the tree."""
    space = AddressSpace()
    space.variable(ROOT, "x" * 1_000_000)
    space.variable(ROOT, "a/b")
    tree, _ = await walked(space)
    long, slashed = tree.nodes
    assert len(long.name) <= 120
    assert slashed.parent == ""


VALUES: dict[str, tuple[object, object]] = {
    "a number that is none is a word": (float("nan"), "nan"),
    "an array is described": ([1.0, 2.0, 3.0, 4.0, 5.0], "[1.0, 2.0, 3.0, 4.0, ... 5 in all]"),
    "text is cut": ("y" * 200, "y" * 79 + "\N{HORIZONTAL ELLIPSIS}"),
    "bytes are counted": (b"abc", "3 bytes"),
}


@pytest.mark.parametrize("name", VALUES)
async def test_values(name: str) -> None:
    """Each row is a value on the wire, and how it is shown."""
    sent, shown = VALUES[name]
    space = AddressSpace()
    node = space.variable(ROOT, "v")
    space.values[node, AttributeIds.Value] = ua.DataValue(ua.Variant(sent))
    tree, _ = await walked(space)
    assert tree.nodes[0].value == shown


async def test_bad_status() -> None:
    """A value that is not good says so by its status."""
    space = AddressSpace()
    node = space.variable(ROOT, "v")
    broken = ua.StatusCode(ua.UInt32(0x808C0000))
    space.values[node, AttributeIds.Value] = ua.DataValue(ua.Variant(888.8), broken)
    tree, _ = await walked(space)
    assert tree.nodes[0].status == "BadSensorFailure"
