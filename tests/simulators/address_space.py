"""An OPC UA session over an address space of our making, as strange as a test wants it."""

from dataclasses import dataclass, field
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError


def node_id(identifier: str | int, namespace: int = 2) -> ua.NodeId:
    """A node id of whichever kind."""
    own = ua.String(identifier) if isinstance(identifier, str) else ua.Int32(identifier)
    return ua.NodeId(own, ua.Int16(namespace))


HAS_COMPONENT = node_id(47, 0)
HAS_PROPERTY = node_id(46, 0)
TOO_MANY = ua.StatusCode(ua.UInt32(0x80100000))  # BadTooManyOperations
GOOD = ua.StatusCode()


@dataclass(slots=True)
class AddressSpace:
    """Nodes by id; answers `browse`, `browse_next` and `read` as a session of asyncua does.

    Attributes:
        page: references in one answer; the rest comes by continuation.
        operations_max: a longer request is refused.
        endless: every continuation point leads to another one that brings nothing.
        requests: how many were answered.
    """

    children: dict[ua.NodeId, list[ua.ReferenceDescription]] = field(default_factory=dict)
    values: dict[tuple[ua.NodeId, int], ua.DataValue] = field(default_factory=dict)
    page: int = 1000
    operations_max: int = 10_000
    endless: bool = False
    requests: int = 0
    _waiting: dict[bytes, list[ua.ReferenceDescription]] = field(default_factory=dict)

    def add(
        self,
        parent: ua.NodeId,
        name: str,
        node: ua.NodeId,
        kind: ua.NodeClass = ua.NodeClass.Object,
        reference: ua.NodeId = HAS_COMPONENT,
    ) -> ua.NodeId:
        """Put *node* below *parent*."""
        made = ua.ReferenceDescription()
        made.ReferenceTypeId = reference
        made.NodeId = ua.ExpandedNodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
        made.BrowseName = ua.QualifiedName(name, node.NamespaceIndex)
        made.NodeClass = kind
        self.children.setdefault(parent, []).append(made)
        return node

    def variable(
        self,
        parent: ua.NodeId,
        name: str,
        value: object = 1.5,
        kind: ua.VariantType = ua.VariantType.Double,
    ) -> ua.NodeId:
        """Put a readable variable below *parent*."""
        node = self.add(parent, name, node_id(name), ua.NodeClass.Variable)
        ids = AttributeIds
        for attribute, found in (
            (ids.DataType, ua.Variant(node_id(kind.value, 0))),
            (ids.ValueRank, ua.Variant(-1, ua.VariantType.Int32)),
            (ids.UserAccessLevel, ua.Variant(1, ua.VariantType.Byte)),
            (ids.Value, ua.Variant(value, kind)),
        ):
            self.values[node, attribute] = ua.DataValue(found)
        return node

    def property(self, variable: ua.NodeId, name: str, value: object) -> None:
        """Give *variable* a property."""
        node = node_id(f"{variable.Identifier!s}.{name}")
        self.add(variable, name, node, ua.NodeClass.Variable, HAS_PROPERTY)
        self.values[node, AttributeIds.Value] = ua.DataValue(ua.Variant(value))

    async def browse(self, wanted: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """As the session does."""
        self._count(len(wanted.NodesToBrowse))
        return [self._page(self.children.get(each.NodeId, [])) for each in wanted.NodesToBrowse]

    async def browse_next(self, wanted: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        """As the session does."""
        self.requests += 1
        return [self._page(self._waiting.pop(point)) for point in wanted.ContinuationPoints]

    async def read(self, wanted: ua.ReadParameters) -> list[ua.DataValue]:
        """As the session does."""
        self._count(len(wanted.NodesToRead))
        unknown = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(0x80340000)))
        return [
            self.values.get((each.NodeId, each.AttributeId), unknown)
            for each in wanted.NodesToRead
        ]

    def _count(self, operations: int) -> None:
        self.requests += 1
        if operations > self.operations_max:
            raise UaStatusCodeError(TOO_MANY.value)  # type: ignore[no-untyped-call]  # asyncua: half typed

    def _page(self, references: list[Any]) -> ua.BrowseResult:  # Any: asyncua ships no types
        found = ua.BrowseResult()
        found.StatusCode = GOOD
        found.References = references[: self.page]
        rest = references[self.page :]
        if rest or self.endless:
            found.ContinuationPoint = str(self.requests).encode() + b"-%d" % len(self._waiting)
            self._waiting[found.ContinuationPoint] = rest
        return found
