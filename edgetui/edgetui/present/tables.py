"""Tables as lines of text: columns by meaning; the least important go first when it is narrow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgetui.present.words import fit, width

Row = TypeVar("Row")
GAP = 2


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column.

    Attributes:
        title: as the header shows it, with the unit if there is one.
        text: the cell of a row.
        cells: widest it may become.
        right: numbers stand at the right.
        rank: the highest rank goes first when the terminal is narrow; 0 always stays.
    """

    title: str
    text: Callable[[Row], str]
    cells: int = 24
    right: bool = False
    rank: int = 0


def chosen(columns: Sequence[Column[Row]], cells: int) -> list[Column[Row]]:
    """The columns that fit into *cells*; the highest ranks are left out first."""
    kept = list(columns)
    while kept and sum(c.cells + GAP for c in kept) - GAP > cells:
        droppable = [c for c in kept if c.rank]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda c: c.rank))
    return kept


def table(columns: Sequence[Column[Row]], rows: Sequence[Row], cells: int) -> list[str]:
    """Header and rows, each at most *cells* wide; an empty list says so in words."""
    kept = chosen(columns, cells)
    texts = [[column.text(row) for column in kept] for row in rows]
    widths = [
        min(c.cells, max([width(c.title), *(width(line[n]) for line in texts)]))
        for n, c in enumerate(kept)
    ]
    lines = [[c.title for c in kept], *texts]
    gap = " " * GAP
    laid = [
        gap.join(fit(t, w, right=c.right) for t, w, c in zip(line, widths, kept, strict=True))
        for line in lines
    ]
    return [line.rstrip() for line in laid] if rows else [laid[0].rstrip(), "(none)"]
