"""A screen with one table: filter, and a cursor on a row."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from textual import on
from textual.widgets import Input

from edgetui.desk import Desk
from edgetui.present.lines import Tone
from edgetui.present.sources import Listing, Rows, Source, containing
from edgetui.present.tables import Column
from edgetui.screens.board import Board

Row = TypeVar("Row")


class ListingBoard(Board, Generic[Row]):
    """A table of rows."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._widths: dict[str, int] = {}
        self._widths_for = 0
        self.shown: Sequence[Row] = ()

    @abstractmethod
    def listing(self) -> Listing[Row]:
        """All rows, in order."""

    def build(self, cells: int, rows: int) -> Source:
        """The rows that pass the filter."""
        del rows
        if cells != self._widths_for:
            self._widths, self._widths_for = {}, cells
        everything = self.listing()
        wanted = self.desk.session.filters.get(self.place, "")
        self.shown = self._passing(everything.columns, everything.rows, wanted)
        kept = Listing(everything.columns, self.shown, everything.target)
        return Rows(kept, cells, self._widths)

    def where(self) -> str:
        """The screen, how many rows it shows, and by which filter."""
        wanted = self.desk.session.filters.get(self.place, "")
        at, of = self.body.position
        filtered = f"  /{wanted}" if wanted else ""
        return f"{self.place.capitalize()} {at if of else 0}/{of}{filtered}"

    def do_filter(self) -> None:
        """Type what rows must contain."""
        self.filter_field.value = self.desk.session.filters.get(self.place, "")
        self.filter_field.remove_class("hidden")
        self.filter_field.focus()

    @on(Input.Changed)
    def filter_by(self, typed: Input.Changed) -> None:
        """Filter while typing."""
        self.desk.session.filters[self.place] = typed.value
        self.draw()

    @on(Input.Submitted)
    def end_filter(self) -> None:
        """Back to the rows."""
        self.filter_field.add_class("hidden")
        self.body.focus()

    def do_up(self) -> None:
        """Leave the filter, then the screen."""
        if self.filter_field.has_focus:
            self.end_filter()
        elif self.desk.session.filters.pop(self.place, ""):
            self.tell("filter taken away")
        else:
            leave = self.desk.everywhere("up")
            if leave is not None:
                leave()

    def chosen(self) -> Row | None:
        """The row under the cursor."""
        at, of = self.body.position
        if not of or at > len(self.shown):
            self.tell("no row is chosen", Tone.P3)
            return None
        return self.shown[at - 1]

    def _passing(
        self, columns: Sequence[Column[Row]], rows: Sequence[Row], wanted: str
    ) -> Sequence[Row]:
        return containing(rows, columns, wanted) if wanted else rows
