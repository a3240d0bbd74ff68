"""`edge-gateway browse`: what an OPC UA server has, as a tree for people or as an export."""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from edge_core.command import tell
from edge_core.contracts.errors import UsageError
from edge_runtime.commands.names import PROGRAM
from edge_runtime.commands.output import flush, json_line, table
from edge_runtime.commands.server import server
from edge_runtime.commission.connect import connected, plainly
from edge_runtime.commission.exports import as_csv, as_toml
from edge_runtime.commission.nodes import Node, Tree, kept, with_parents
from edge_runtime.commission.walk import OBJECTS, Bounds, Walk
from edge_runtime.sources.opcua_config import OpcUaConfig

TOLD_S: Final = 5.0  # between two lines of progress
FIRST_TOLD: Final = 1000  # nodes; what is quicker needs no line


def browse(arguments: argparse.Namespace) -> int:
    """Print the tree, or export it."""
    config = server(arguments, arguments.url)
    bounds = Bounds(depth=arguments.depth, nodes=arguments.nodes_max, server=arguments.with_server)
    tree = asyncio.run(walked(config, bounds, arguments.root))
    found = kept(tree.nodes, arguments.filter or "")
    shown = msgspec.structs.replace(tree, nodes=found)
    if arguments.json:
        json_line(shown)
    else:
        for line in _lines(arguments, tree, shown):
            sys.stdout.write(line + "\n")
    flush()
    _close(tree, found, arguments.filter)
    return 0


async def walked(config: OpcUaConfig, bounds: Bounds, root: str | None = None) -> Tree:
    """Everything below *root*, or below the Objects folder, of the server of *config*.

    Raises:
        UsageError: *root* is no node id.
        SourceLostError: see `connected`.
        NotPermittedError: likewise.
        ConfigurationError: likewise.
    """
    async with connected(config) as server:
        top = server.ua.NodeId(OBJECTS, 0) if root is None else _node_id(root, server.ua)
        walk = Walk(server.session, server.ua, server.namespaces, bounds, progress(time.monotonic))
        with plainly(config.url, server.ua):
            return await walk.below(top, config.url)


def progress(monotonic: Callable[[], float]) -> Callable[[str, int], None]:
    """Tells of a long tree at 1,000, 2,000, 5,000, 10,000 nodes, and every few seconds."""
    following: dict[str, int] = {}
    told_s = monotonic()

    def heard(what: str, count: int) -> None:
        nonlocal told_s
        step = following.get(what, FIRST_TOLD)
        if count >= step or (count >= FIRST_TOLD and monotonic() - told_s >= TOLD_S):
            following[what] = next(each for each in _steps() if each > count)
            told_s = monotonic()
            tell(PROGRAM, f"{count:,} {what} so far")

    return heard


def _steps() -> Iterator[int]:
    unit = FIRST_TOLD
    while True:
        yield from (unit, 2 * unit, 5 * unit)
        unit *= 10


def _node_id(text: str, ua: object) -> object:
    try:
        return ua.NodeId.from_string(text)  # type: ignore[attr-defined]  # asyncua ships no types
    except ua.UaError:  # type: ignore[attr-defined]  # likewise
        raise UsageError(
            f"--root: expected a node id such as ns=2;s=line1, found {text!r}"
        ) from None


def _lines(arguments: argparse.Namespace, tree: Tree, shown: Tree) -> Iterator[str]:
    if arguments.csv:
        yield from as_csv(shown)
    elif arguments.toml:
        yield from as_toml(shown)
    elif shown.nodes:
        nodes = with_parents(tree.nodes, shown.nodes)
        head = ["name", "type", "unit", "access", "value", "node"]
        yield from table([_row(node) for node in nodes], head)


def _row(node: Node) -> list[str]:
    indent = "  " * (node.depth - 1)
    value = (
        ""
        if node.value is None
        else f"{node.value:.6g}"
        if isinstance(node.value, float)
        else str(node.value)
    )
    shown = " ".join(filter(None, [value, f"({node.status})" if node.status else ""]))
    kind = node.type if node.kind == "variable" else node.kind
    return [indent + node.name, kind, node.unit, node.access, shown, node.node]


def _close(tree: Tree, found: list[Node], text: str | None) -> None:
    """Say how much that was; an empty answer must not look like a failure."""
    of = f" of {len(tree.nodes):,}" if text else ""
    if found:
        tell(PROGRAM, f"{tree.server}: {len(found):,}{of} nodes")
    else:
        what = f"none{of} nodes has {text!r} in it" if text else "the folder is empty"
        tell(PROGRAM, f"{tree.server}: {what}")
    for note in tree.notes:
        tell(PROGRAM, f"not complete: {note}")
