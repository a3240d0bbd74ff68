"""The nodes of a plant's OPC UA server as people and programs get them, and which to keep."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal["object", "variable", "method"]
Value = float | int | bool | str | None

NUMBERS = frozenset(
    {
        *("Double", "Float", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32"),
        *("Int64", "UInt64", "Boolean", "Number", "Integer", "UInteger", "Decimal"),
    }
)


class Node(Struct, frozen=True, kw_only=True):
    """One node.

    Attributes:
        node: its id, the namespace by URI: what a tag's `address` is.
        path: from the folder that was browsed, browse names after slashes.
        name: the last of them.
        type: data type by name, with `[]` if it is an array.
        unit: engineering unit as the server writes it, "" where it shows none.
        access: `r`, `w`, `h` (has history) as far as this user has them.
        value: the present value; what is no number, boolean or text is described.
        status: the status code's name where it is not Good.
        low: lowest value by the server's EURange.
        high: highest value by the server's EURange.
    """

    node: str
    path: str
    name: str
    kind: Kind = "variable"
    type: str = ""
    unit: str = ""
    access: str = ""
    value: Value = None
    status: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def parent(self) -> str:
        """Path of the node above."""
        return self.path.rpartition("/")[0]

    @property
    def depth(self) -> int:
        """How far below the folder that was browsed; 1 is right below."""
        return self.path.count("/")

    @property
    def numeric(self) -> bool:
        """Whether it holds one number."""
        return self.kind == "variable" and self.type in NUMBERS


class Tree(Struct, frozen=True, kw_only=True):
    """What was found below one folder of one server, each node once, parents first.

    Attributes:
        server: its URL.
        nodes: as said.
        complete: whether that is all there is.
        notes: why not, and what else was odd.
    """

    server: str
    nodes: list[Node]
    complete: bool = True
    notes: list[str] = []


def matches(node: Node, text: str) -> bool:
    """Whether *text* stands in its path, id, type or unit; upper and lower case are the same."""
    wanted = text.casefold()
    return any(
        wanted in field.casefold() for field in (node.path, node.node, node.type, node.unit)
    )


def kept(nodes: Sequence[Node], text: str) -> list[Node]:
    """The nodes that match, in their order; all of them for no text."""
    return [node for node in nodes if matches(node, text)] if text else list(nodes)


def with_parents(nodes: Sequence[Node], some: Sequence[Node]) -> list[Node]:
    """*some* of *nodes* with everything above them, in the order of *nodes*."""
    wanted = {node.path for node in some}
    for node in some:
        above = node.parent
        while above and above not in wanted:
            wanted.add(above)
            above = above.rpartition("/")[0]
    return [node for node in nodes if node.path in wanted]
