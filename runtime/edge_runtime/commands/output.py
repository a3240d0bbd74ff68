"""How the subcommands speak: lines for people that nothing from outside can break, JSON for all.

Text from a plant's server, a release or a daemon may move a cursor, hide letters or end a line.
For people such a character is replaced; in JSON it is escaped, so that a program still gets it.
"""

import sys
from typing import Any

import msgspec

from edge_core.command import one_line


def say(line: str) -> None:
    """One line on stdout, inert."""
    sys.stdout.write(one_line(line) + "\n")


def pictures(seen: dict[str, Any]) -> str:  # Any: JSON values, of `PicturesSeen`
    """What became of one camera's pictures, on one line."""
    refused = seen.get("refused") or {}
    why = f" ({', '.join(f'{reason} {count}' for reason, count in sorted(refused.items()))})"
    age_s = seen.get("age_s")
    last = "none came yet" if age_s is None else f"last {age_s:.1f} s ago"
    trouble = f"; {seen['trouble']}" if seen.get("trouble") else ""
    return (
        f"{seen.get('role')} from {seen.get('source')}: {seen.get('taken')} taken, "
        f"{seen.get('skipped')} skipped, {sum(refused.values())} refused{why if refused else ''}, "
        f"decoded in {seen.get('decoding_ms')} ms, {last}{trouble}"
    )


def flush() -> None:
    """Bring out what was said, so that a reader who has left is noticed here and not at exit."""
    sys.stdout.flush()


def json_line(document: object) -> None:
    """One JSON document on one line of stdout, at once."""
    sys.stdout.write(inert_json(document) + "\n")
    sys.stdout.flush()


def inert_json(document: object) -> str:
    r"""JSON in which whatever could do something to a terminal is written as `\\uXXXX`."""
    text = msgspec.json.encode(document).decode()
    if text.isascii():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    """RFC 8259, 7: beyond the basic plane it takes a pair of surrogates."""
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def table(rows: list[list[str]], head: list[str]) -> list[str]:
    """*rows* under *head* in columns, each as wide as it must be."""
    inert = [[one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in inert) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in inert
    ]
