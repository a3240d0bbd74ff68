"""Tables as CSV that no spreadsheet takes for formulas, and as JSON lines."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from edge_core.command import one_line

Cell = str | int | float | bool | datetime | None
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20|%")  # what a spreadsheet may calculate


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: its file's name without an ending, its columns, its rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Cell], ...]


def sheet(name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> Sheet:
    """A table; a row that lacks one of the columns is a mistake of ours."""
    return Sheet(name, tuple(columns), tuple({key: row[key] for key in columns} for row in rows))


def as_csv(table: Sheet) -> str:
    """RFC 4180, every cell quoted, the first line names the columns."""
    made = io.StringIO()
    writer = csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows([[cell(row[name]) for name in table.columns] for row in table.rows])
    return made.getvalue()


def as_json_lines(table: Sheet) -> bytes:
    """One object a row, values as they are."""
    rows = ({name: row[name] for name in table.columns} for row in table.rows)
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def cell(value: Cell) -> str:
    """*value* on one inert line; text that could be a formula is made text by an apostrophe."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat()
        case int() | float():
            return str(value)
    inert = one_line(value)
    return f"'{inert}" if inert.lstrip()[:1] in _FORMULA else inert
