"""Help: the keys of one screen, and what its words and marks mean."""

from edgetui.desk import Desk
from edgetui.present.help_page import help_page
from edgetui.present.sources import Page, Source
from edgetui.screens.board import Board


class HelpBoard(Board):
    """The keys of the screen one came from."""

    place = "help"

    def __init__(self, desk: Desk, about: str) -> None:
        super().__init__(desk)
        self._about = about

    def where(self) -> str:
        """Which screen's help."""
        return f"Help: {self._about}"

    def build(self, cells: int, rows: int) -> Source:
        """The page."""
        del rows
        return Page(help_page(self._about, self.desk.feed.seen.who, cells))
