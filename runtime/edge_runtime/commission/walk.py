"""Walks the address space of an OPC UA server, whatever it looks like: bounded, each node once.

A server is somebody else's: it may loop, never end, answer with names of a megabyte or refuse a
large request. Whatever is left out is said in the tree's notes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_runtime.commission.nodes import Kind, Node, Tree
from edge_runtime.commission.shown import NAME_CHARS_MAX, Shown, address, clipped, shown
from edge_runtime.sources.opcua_batch import Batch

OBJECTS: Final = 85  # the folder that every server has (OPC 10000-5, 8.2.2)
OWN: Final = (2253, 23470, 31915)  # Server, Aliases, Locations: the server's own, not the plant
HIERARCHICAL: Final = 33
HAS_PROPERTY: Final = 46
CLASSES: Final[dict[int, Kind]] = {1: "object", 2: "variable", 4: "method"}
PROPERTIES: Final = {"EngineeringUnits": "unit", "EURange": "range"}
REFERENCES_A_NODE: Final = 32  # read for each node that is kept, on average; more is a loop
EMPTY_ANSWERS_MAX: Final = 100  # continuations in a row that bring nothing

Progress = Callable[[str, int], None]
"""Hears what was counted, and how many so far."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk goes.

    Attributes:
        nodes: at most so many are kept.
        depth: at most so deep below the root.
        batch: nodes in one request.
        server: whether the server's own diagnostics are wanted.
    """

    nodes: int = 100_000
    depth: int = 20
    batch: int = 100
    server: bool = False


@dataclass(slots=True)
class _Place:
    """One node on the way."""

    id: Any  # Any: asyncua ships no types
    path: str
    name: str
    kind: Kind
    children: list["_Place"] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)  # Any: as above
    fact: Shown | None = None


class Walk:
    """One walk over one session.

    Args:
        session: of asyncua; browses and reads.
        ua: asyncua's types.
        namespaces: the server's array.
        bounds: how far.
        progress: hears how far it is.
    """

    def __init__(
        self,
        session: Any,  # Any: asyncua ships no types
        ua: Any,  # Any: as above
        namespaces: Sequence[str],
        bounds: Bounds,
        progress: Progress,
    ) -> None:
        self._session = session
        self._ua = ua
        self._namespaces = namespaces
        self._bounds = bounds
        self._progress = progress
        self._seen: set[Any] = set()  # Any: as above
        self._kept = 0
        self._references = 0
        self._batch = Batch(ua, bounds.batch)
        self._notes: dict[str, None] = {}

    async def below(self, root: Any, server: str) -> Tree:  # Any: as above
        """Everything below the node *root* of *server*.

        Raises:
            UaError: the server broke off, or does not let us look.
        """
        top = _Place(root, "", "", "object")
        self._seen.add(root)
        if not self._bounds.server:
            self._seen |= {self._ua.NodeId(each, 0) for each in OWN}
        level = [top]
        for depth in range(1, self._bounds.depth + 1):
            level = await self._deeper(level)
            if not level or self._full:
                break
            if depth == self._bounds.depth and any(each.kind == "object" for each in level):
                self._note(f"nothing below depth {depth} was looked at")
        places = _in_order(top)
        nodes = await self._read(places)
        return Tree(server=server, nodes=nodes, complete=not self._notes, notes=list(self._notes))

    @property
    def _full(self) -> bool:
        return self._kept >= self._bounds.nodes

    def _note(self, words: str) -> None:
        self._notes[words] = None

    async def _deeper(self, level: list[_Place]) -> list[_Place]:
        """The places right below *level*."""
        found: list[_Place] = []
        async for some, answers in self._batch.each(self._browse, level):
            for parent, references in zip(some, answers, strict=True):
                found += self._children(parent, references)
            self._progress("nodes", self._kept)
            if self._full:
                break
        return found

    async def _browse(self, places: Sequence[_Place]) -> list[list[Any]]:  # Any: as above
        """The references of each of *places*, continuations followed."""
        ua = self._ua
        wanted = ua.BrowseParameters()
        wanted.RequestedMaxReferencesPerNode = 1000
        wanted.NodesToBrowse = [self._wanted(place.id) for place in places]
        answers = (await self._session.browse(wanted))[: len(places)]
        found = [list(answer.References or ()) for answer in answers]
        found += [[] for _ in range(len(places) - len(found))]
        for place, answer, references in zip(places, answers, found, strict=False):
            if not answer.StatusCode.is_good():
                self._note(f"{clipped(place.path) or '/'}: {answer.StatusCode.name}")
            await self._continue(answer.ContinuationPoint, references)
        self._references += sum(len(each) for each in found)
        return found

    def _wanted(self, node: Any) -> Any:  # Any: as above
        ua = self._ua
        wanted = ua.BrowseDescription()
        wanted.NodeId = node
        wanted.BrowseDirection = ua.BrowseDirection.Forward
        wanted.ReferenceTypeId = ua.NodeId(HIERARCHICAL, 0)
        wanted.IncludeSubtypes = True
        wanted.NodeClassMask = sum(CLASSES)
        wanted.ResultMask = int(ua.BrowseResultMask.All)
        return wanted

    async def _continue(self, point: bytes | None, into: list[Any]) -> None:  # Any: as above
        """The rest of a long answer, as far as it is wanted and the server means it."""
        empty = 0
        while point:
            more = self._ua.BrowseNextParameters()
            more.ReleaseContinuationPoints = (
                len(into) + self._kept >= self._bounds.nodes or empty >= EMPTY_ANSWERS_MAX
            )
            more.ContinuationPoints = [point]
            [answer, *_] = await self._session.browse_next(more)
            if more.ReleaseContinuationPoints:
                self._note(f"only the first {self._bounds.nodes:,} nodes were looked at")
                return
            into += answer.References or ()
            empty = 0 if answer.References else empty + 1
            point = answer.ContinuationPoint

    def _children(self, parent: _Place, references: list[Any]) -> list[_Place]:  # Any: as above
        found: list[_Place] = []
        for reference in references:
            target = reference.NodeId
            kind = CLASSES.get(int(reference.NodeClass))
            name = reference.BrowseName.Name or reference.DisplayName.Text or "?"
            if kind is None or getattr(target, "ServerIndex", None):
                continue  # another server's node, or of a class that we did not ask for
            node = self._ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
            is_property = reference.ReferenceTypeId == self._ua.NodeId(HAS_PROPERTY, 0)
            if is_property and parent.kind == "variable":
                if name in PROPERTIES:
                    parent.properties.setdefault(PROPERTIES[name], node)
                continue
            if node in self._seen:
                continue
            if self._full or self._references > REFERENCES_A_NODE * self._bounds.nodes:
                self._note(f"only the first {self._kept:,} nodes were looked at")
                break
            self._seen.add(node)
            self._kept += 1
            name = clipped(name.replace("/", "\N{DIVISION SLASH}"), NAME_CHARS_MAX)
            found.append(_Place(node, f"{parent.path}/{name}", name, kind))
        parent.children += found
        return found

    async def _read(self, places: list[_Place]) -> list[Node]:
        """The places as nodes, with all that their attributes say."""
        variables = [place for place in places if place.kind == "variable"]
        done = 0
        async for some, _ in self._batch.each(self._look, variables):
            done += len(some)
            self._progress("values", done)
        types = await self._type_names({place.fact.type_id for place in places if place.fact})
        return [_node(place, address(place.id, self._namespaces), types) for place in places]

    async def _look(self, places: Sequence[_Place]) -> None:
        """Read what each of *places*, all of them variables, shows."""
        ids = self._ua.AttributeIds
        wanted: list[tuple[Any, Any]] = []  # Any: as above
        for place in places:
            wanted += [
                (place.id, attribute)
                for attribute in (ids.DataType, ids.ValueRank, ids.UserAccessLevel, ids.Value)
            ]
            wanted += [(node, ids.Value) for node in place.properties.values()]
        answers = await self._attributes(wanted)
        at = 0
        for place in places:
            names = ("type", "rank", "access", "value", *place.properties)
            place.fact = shown(dict(zip(names, answers[at : at + len(names)], strict=True)))
            at += len(names)

    async def _attributes(self, wanted: list[tuple[Any, Any]]) -> list[Any]:  # Any: as above
        request = self._ua.ReadParameters()
        for node, attribute in wanted:
            each = self._ua.ReadValueId()
            each.NodeId, each.AttributeId = node, attribute
            request.NodesToRead.append(each)
        answers: list[Any] = await self._session.read(request)  # Any: as above
        if len(answers) != len(wanted):
            raise self._ua.UaError(
                f"expected {len(wanted)} values in an answer, found {len(answers)}"
            )
        return answers

    async def _type_names(self, types: set[Any]) -> dict[Any, str]:  # Any: as above
        """Data types by name: the standard's own are known, a server's are asked for."""
        standard = self._ua.ObjectIdNames
        found: dict[Any, str] = {None: ""}  # Any: as above
        ours = [each for each in types if each is not None and each.NamespaceIndex]
        for each in types - set(ours) - {None}:
            found[each] = standard.get(each.Identifier) or address(each, self._namespaces)
        async for some, answers in self._batch.each(self._browse_names, ours):
            for each, answer in zip(some, answers, strict=True):
                name = getattr(answer.Value.Value, "Name", None) if answer.Value else None
                found[each] = clipped(name or address(each, self._namespaces))
        return found

    async def _browse_names(self, nodes: Sequence[Any]) -> list[Any]:  # Any: as above
        name_of = self._ua.AttributeIds.BrowseName
        return await self._attributes([(each, name_of) for each in nodes])


def _in_order(top: _Place) -> list[_Place]:
    """Every place below *top*, each right after what is above it."""
    found: list[_Place] = []
    waiting = list(reversed(top.children))
    while waiting:
        place = waiting.pop()
        found.append(place)
        waiting += reversed(place.children)
    return found


def _node(
    place: _Place,
    node: str,
    types: dict[Any, str],  # Any: asyncua ships no types
) -> Node:
    fact = place.fact
    if fact is None:
        return Node(node=node, path=place.path, name=place.name, kind=place.kind)
    return Node(
        node=node,
        path=place.path,
        name=place.name,
        type=types[fact.type_id] + fact.brackets,
        unit=fact.unit,
        access=fact.access,
        value=fact.value,
        status=fact.status,
        low=fact.low,
        high=fact.high,
    )
