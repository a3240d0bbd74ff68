"""`edge-gateway map`: a tag map for a model's contract, proposed from what a server has."""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_core.command import tell
from edge_core.contracts.errors import EdgeError, RefusedError
from edge_runtime.commands.browse import walked
from edge_runtime.commands.names import PROGRAM
from edge_runtime.commands.output import flush, json_line, say
from edge_runtime.commands.server import SCHEME, server
from edge_runtime.commission.contracts import contract_at
from edge_runtime.commission.exports import read_export
from edge_runtime.commission.nodes import Tree, kept
from edge_runtime.commission.propose import Mapped, propose, wanted_by
from edge_runtime.commission.tagmap import ambiguous_words, as_json, as_tags, missing_words
from edge_runtime.commission.walk import Bounds

REFUSED: Final = RefusedError.exit_code


def map_tags(arguments: argparse.Namespace) -> int:
    """Propose; 3 if a role has no candidate."""
    contract = contract_at(arguments.contract, arguments.release)
    tree = _tree(arguments)
    mapped = propose(wanted_by(contract.signature), kept(tree.nodes, arguments.filter or ""))
    _say(arguments, mapped, f"{contract.name}, from {tree.server or arguments.browse}")
    for each in mapped:
        if each.missing:
            tell(PROGRAM, missing_words(each))
        elif each.ambiguous:
            tell(PROGRAM, ambiguous_words(each))
    for note in tree.notes:
        tell(PROGRAM, f"the server was not seen as a whole: {note}")
    missing = sum(each.missing for each in mapped)
    tell(PROGRAM, f"{len(mapped) - missing} of {len(mapped)} roles have a tag")
    return REFUSED if missing else 0


def _tree(arguments: argparse.Namespace) -> Tree:
    found = arguments.browse
    if found is None or found.startswith(SCHEME):
        return asyncio.run(walked(server(arguments, found), Bounds()))
    return read_export(Path(found))


def _say(arguments: argparse.Namespace, mapped: Sequence[Mapped], title: str) -> None:
    lines = list(as_tags(mapped, arguments.source or "plc", title))
    if arguments.out is not None:
        _write(arguments.out, "\n".join(lines) + "\n")
        tell(PROGRAM, f"wrote {arguments.out}")
    if arguments.json:
        json_line(as_json(mapped, arguments.source or "plc"))
    elif arguments.out is None:
        for line in lines:
            say(line)
        flush()


def _write(path: Path, text: str) -> None:
    """All of it or nothing, so that a full disk does not cost the file that was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EdgeError(f"{path}: cannot be written: {error.strerror}") from None
