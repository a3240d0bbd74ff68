"""A small screen that changes in known ways, under Textual's driver or ours.

`python -m tests.simulators.painted stock|diff [--pulse FD]`: keys change it, `x` floods it with
changes; with a pulse the event loop writes a byte to FD every 50 ms, so that one sees it is alive.
"""

import argparse
import itertools
import os
import time

from rich.text import Text
from textual.app import App, ComposeResult
from textual.widgets import DataTable, Input, Static

from edgetui.driver import DiffDriver, HangUp
from edgetui.letters import ascii_letters
from edgetui.link import Link
from edgetui.theme import THEME

PULSE_S = 0.05
ROWS = 40


class Painted(App[int]):
    """Some text, some styles, wide letters, a table, a field."""

    CSS = "Static { height: 3; } DataTable { height: 1fr; } Input { height: 3; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, kind: str, pulse: int | None) -> None:
        link = Link(time.monotonic)
        letters = ascii_letters() if kind == "ascii" else {}
        super().__init__(None if kind == "stock" else DiffDriver.linked(link, letters))
        self._pulse = pulse
        self._turns = itertools.count()
        self.animation_level = "none"

    def compose(self) -> ComposeResult:
        """The parts."""
        yield Static(Text("ポンプ 九号機 ─│█ é\nplain ") + Text("red", "bold red"), id="text")
        yield DataTable[str]()
        field = Input(placeholder="type here")
        field.cursor_blink = False
        yield field

    def on_mount(self) -> None:
        """Fill the table."""
        self.register_theme(THEME)
        self.theme = THEME.name
        table = self.query_one(DataTable)
        table.add_columns("one", "two", "three")
        for row in range(ROWS):
            table.add_row(f"row {row}", "─" * (row % 9), "ポ" * (row % 4), key=str(row))
        table.focus()
        if self._pulse is not None:
            self.set_interval(PULSE_S, self.beat)

    def beat(self) -> None:
        """Show that the event loop goes round."""
        if self._pulse is not None:
            os.write(self._pulse, b".")

    def on_key(self, event: object) -> None:
        """`n` changes the text, `x` floods, `q` leaves."""
        key = getattr(event, "key", "")
        if key == "n":
            self.turn()
        elif key == "x":
            self.set_interval(0.01, self.turn)
        elif key == "q":
            self.exit(0)

    def turn(self) -> None:
        """Another text in another style."""
        turn = next(self._turns)
        style = ("bold red", "yellow", "reverse", "dim")[turn % 4]
        text = Text(f"turn {turn} ") + Text("ポ" * (turn % 5) + "x" * 30, style)
        self.query_one("#text", Static).update(text)
        table = self.query_one(DataTable)
        table.update_cell_at((turn % ROWS, 0), f"row {turn}")  # type: ignore[arg-type]  # a tuple will do

    def on_hang_up(self, _: HangUp) -> None:
        """The terminal is gone."""
        self.exit(129, return_code=129)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["stock", "diff", "ascii"])
    parser.add_argument("--pulse", type=int)
    chosen = parser.parse_args()
    app = Painted(chosen.kind, chosen.pulse)
    app.run(mouse=False)
    return app.return_code or 0


if __name__ == "__main__":
    raise SystemExit(main())
