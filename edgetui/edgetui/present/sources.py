"""Where a screen's lines come from: a page of a few, or thousands of rows drawn when seen."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from edgetui.present.lines import Line, Target
from edgetui.present.tables import Column, Grid, lay

Row = TypeVar("Row")


class Source(Protocol):
    """Lines by number, and where the line about a thing is."""

    @property
    def header(self) -> Line | None:
        """What stays on top while the rest scrolls."""
        ...

    def __len__(self) -> int: ...

    def line(self, number: int) -> Line:
        """One line."""
        ...

    def find(self, target: Target) -> int | None:
        """The line about *target*."""
        ...


class Page:
    """A few lines, all there."""

    header = None

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self._lines = list(lines)

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, number: int) -> Line:
        """One line."""
        return self._lines[number]

    def find(self, target: Target) -> int | None:
        """The first line about *target*."""
        return next((n for n, line in enumerate(self._lines) if line.target == target), None)


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """What a table screen shows: columns, rows, and what each row is about."""

    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    target: Callable[[Row], Target]


@dataclass(slots=True)
class Rows(Generic[Row]):
    """Rows as lines; only what is looked at is drawn.

    `widths` is kept from one drawing to the next, so columns never move to and fro.
    """

    listing: Listing[Row]
    cells: int
    widths: dict[str, int]
    grid: Grid[Row] = field(init=False)

    def __post_init__(self) -> None:
        """Choose the columns."""
        self.grid = lay(self.listing.columns, self.listing.rows, self.cells, self.widths)

    @property
    def header(self) -> Line | None:
        """The titles."""
        return self.grid.header()

    def __len__(self) -> int:
        return len(self.listing.rows)

    def line(self, number: int) -> Line:
        """One row."""
        row = self.listing.rows[number]
        return self.grid.line(row, self.listing.target(row))

    def find(self, target: Target) -> int | None:
        """The row about *target*."""
        name = self.listing.target
        return next((n for n, row in enumerate(self.listing.rows) if name(row) == target), None)


def containing(rows: Iterable[Row], columns: Sequence[Column[Row]], wanted: str) -> list[Row]:
    """The rows one of whose cells contains *wanted*, whatever the case."""
    sought = wanted.strip().casefold()
    if not sought:
        return list(rows)
    return [row for row in rows if any(sought in c.text(row).casefold() for c in columns)]
