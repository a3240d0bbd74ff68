"""Trees as files and back: JSON, CSV for a spreadsheet, TOML; read strictly, written inert."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from edge_core.command import one_line
from edge_core.contracts.errors import NotFoundError, RefusedError
from edge_runtime.commission.nodes import Node, Tree, Value

BYTES_MAX: Final = 256 * 1024 * 1024  # 100,000 nodes with long names are a tenth of that
COLUMNS: Final = (
    *("path", "type", "unit", "access", "value", "status", "low", "high", "node", "kind"),
)
_FORMULA: Final = ("=", "+", "-", "@")  # what a spreadsheet would run


class _Row(Struct, frozen=True, kw_only=True):
    """A line of a CSV export: text only."""

    path: str
    node: str
    type: str = ""
    unit: str = ""
    access: str = ""
    value: str = ""
    status: str = ""
    low: float | None = None
    high: float | None = None
    kind: str = "variable"


def as_csv(tree: Tree) -> Iterator[str]:
    """One line a node below a line of names."""
    yield ",".join(COLUMNS)
    for node in tree.nodes:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(
            _cell(getattr(node, column)) for column in COLUMNS
        )
        yield line.getvalue()


def as_toml(tree: Tree) -> Iterator[str]:
    """One `[[nodes]]` a node."""
    yield f"server = {toml_text(tree.server)}"
    yield f"complete = {str(tree.complete).lower()}"
    yield f"notes = [{', '.join(toml_text(note) for note in tree.notes)}]"
    if not tree.nodes:
        yield "nodes = []"
    for node in tree.nodes:
        yield ""
        yield "[[nodes]]"
        for key, value in msgspec.to_builtins(node).items():
            if value is not None:
                yield f"{key} = {toml_value(value)}"


def toml_value(value: Value) -> str:
    """A scalar as TOML 1.0 writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)  # `inf` and `nan` are TOML's words too
    return str(value) if isinstance(value, int) else toml_text(value or "")


def toml_text(text: str) -> str:
    """A basic string of TOML 1.0 in which nothing can do anything to a terminal."""
    return '"' + "".join(_letter(letter) for letter in text) + '"'


def _letter(letter: str) -> str:
    if letter in {'"', "\\"}:
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:  # half a character is none, and TOML has no way to write it
        return "\N{REPLACEMENT CHARACTER}"
    return f"\\U{code:08X}" if code > 0xFFFF else f"\\u{code:04X}"


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    text = one_line(value)
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def read_export(path: Path) -> Tree:
    """The tree in a file that `browse` has written, whichever of the three forms it has.

    Raises:
        NotFoundError: it cannot be read.
        RefusedError: it is not such a file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise NotFoundError(f"{path}: expected an export: {error.strerror}") from None
    if len(raw) > BYTES_MAX:
        raise RefusedError(f"{path}: expected at most {BYTES_MAX} bytes, found more")
    try:
        return _reader(raw)(raw)
    except (
        ValueError,
        csv.Error,
        RecursionError,
    ) as error:  # msgspec's and Unicode's are of these
        words = one_line(str(error))[:200]
        raise RefusedError(
            f"{path}: expected an export of `edge-gateway browse` as JSON, CSV or TOML: {words}"
        ) from None


def _reader(raw: bytes) -> Callable[[bytes], Tree]:
    start = raw.lstrip()[:1]
    if start == b"{":
        return msgspec.json.Decoder(Tree).decode
    return _from_csv if raw.startswith(b"path,") else _from_toml


def _from_toml(raw: bytes) -> Tree:
    return msgspec.toml.decode(raw, type=Tree)


def _from_csv(raw: bytes) -> Tree:
    lines = csv.DictReader(io.StringIO(raw.decode()), strict=True)
    nodes = []
    for line in lines:
        found = {key: value for key, value in line.items() if key in COLUMNS and value}
        row = msgspec.convert(found, _Row, strict=False)
        nodes.append(_node(row))
    return Tree(server="", nodes=nodes)


def _node(row: _Row) -> Node:
    path = _uncelled(row.path)
    fields = {
        "node": _uncelled(row.node),
        "path": path,
        "name": path.rpartition("/")[2],
        "kind": row.kind,
        "type": _uncelled(row.type),
        "unit": _uncelled(row.unit),
        "access": row.access,
        "value": _uncelled(row.value) or None,
        "status": _uncelled(row.status),
        "low": row.low,
        "high": row.high,
    }
    return msgspec.convert(fields, Node)


def _uncelled(text: str) -> str:
    return text.removeprefix("'")
