"""Tables as lines: columns by meaning; the least important go first when it is narrow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from edgetui.present.lines import Line, Part, Target, Tone, say
from edgetui.present.words import fit, inert, width

Row = TypeVar("Row")
GAP: Final = 2
LAST_CELLS_MIN: Final = 12  # the last column takes what is left, but no less than this
LAST_CELLS_WISHED: Final = 28  # it is cut to that much before another column has to go
SAMPLED_ROWS_MAX: Final = 100  # widths of 5,000 rows are judged by some that many of them


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column.

    Attributes:
        title: as the header shows it, with the unit if there is one.
        text: the cell of a row.
        cells: widest it may become.
        right: numbers stand at the right.
        rank: the highest rank goes first when the terminal is narrow; 0 always stays.
        tone: how a row's cell is drawn, where it is not plain.
    """

    title: str
    text: Callable[[Row], str]
    cells: int = 24
    right: bool = False
    rank: int = 0
    tone: Callable[[Row], Tone] | None = None


@dataclass(frozen=True, slots=True)
class Grid(Generic[Row]):
    """Columns with their widths, chosen for one width of screen; draws a row when asked."""

    columns: Sequence[Column[Row]]
    widths: Sequence[int]

    def header(self) -> Line:
        """The titles."""
        cells = [
            fit(c.title, w, right=c.right) for c, w in zip(self.columns, self.widths, strict=True)
        ]
        return Line((Part((" " * GAP).join(cells), Tone.TITLE),))

    def line(self, row: Row, target: Target | None = None) -> Line:
        """One row."""
        parts: list[Part] = []
        for column, cells in zip(self.columns, self.widths, strict=True):
            tone = Tone.PLAIN if column.tone is None else column.tone(row)
            shown = fit(column.text(row), cells, right=column.right)
            if parts:
                parts.append(Part(" " * GAP))
            parts.append(Part(shown, tone))
        return Line(tuple(parts), target)


def lay(
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    cells: int,
    widths: dict[str, int] | None = None,
) -> Grid[Row]:
    """Choose columns and widths for *cells*: first the highest ranks go, then the last is cut.

    *widths* remembers from one call to the next: a column grows and never shrinks again.
    """
    wide = {} if widths is None else widths
    sampled = rows[:: max(1, len(rows) // SAMPLED_ROWS_MAX)]
    for column in columns:
        known = wide.get(column.title, width(column.title))
        seen = [width(inert(column.text(row))) for row in sampled]
        wide[column.title] = min(column.cells, max([known, *seen]))
    kept = list(columns)
    last = columns[-1]
    wishes = {**wide, last.title: min(wide[last.title], LAST_CELLS_WISHED)}
    while _whole([wishes[c.title] for c in kept]) > cells:
        droppable = [c for c in kept if c.rank]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda c: c.rank))
    chosen = [wide[c.title] for c in kept]
    spare = cells - _whole(chosen)
    if spare < 0:
        chosen[-1] = max(LAST_CELLS_MIN, chosen[-1] + spare)
    return Grid(kept, chosen)


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def table(
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    cells: int,
    target: Callable[[Row], Target] | None = None,
) -> list[Line]:
    """Header and rows, each at most *cells* wide; an empty list says so in words."""
    grid = lay(columns, rows, cells)
    if not rows:
        return [grid.header(), say("(none)", cells)]
    return [
        grid.header(),
        *(grid.line(row, target(row) if target else None) for row in rows),
    ]
