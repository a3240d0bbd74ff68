"""The keys that mean the same on every screen."""

from collections.abc import Callable, Collection
from typing import Any

from textual.app import App

from edgetui.desk import Desk
from edgetui.keys.registry import find
from edgetui.present.lines import Target, Tone
from edgetui.screens.board import Board, Handler
from edgetui.screens.help import HelpBoard
from edgetui.session import ARMED_S
from edgetui.widgets.goto import GoTo


class Everywhere:
    """Handlers for the whole console.

    Args:
        app: whose screens they move among.
        desk: what they change.
        modes: screens that a function key goes to, each where it was left.
    """

    def __init__(self, app: App[Any], desk: Desk, modes: Collection[str]) -> None:
        self._app = app
        self._desk = desk
        self._modes = modes

    def handler(self, name: str) -> Handler | None:
        """What runs for the key called *name*."""
        if name in self._modes:
            return lambda: self._go(name)
        found: Callable[[], None] | None = getattr(self, f"do_{name}", None)
        return found

    def do_help(self) -> None:
        """The keys of this screen."""
        if not isinstance(self._app.screen, HelpBoard):
            self._app.push_screen(HelpBoard(self._desk, self._place()))

    def do_palette(self) -> None:
        """Find an action or a thing."""
        self._desk.go_deaf()
        self._app.push_screen(GoTo(self._desk, self._place()), self._found)

    def do_up(self) -> None:
        """One level up; from the top of a list to the overview."""
        if len(self._app.screen_stack) > 1:
            self._app.pop_screen()
        else:
            self._go("overview")

    def do_freeze(self) -> None:
        """Hold the screen still, or let it go on."""
        self._desk.session.freeze()
        frozen = self._desk.session.frozen_s() is not None
        self._tell("frozen: space goes on" if frozen else "live again")

    def do_arm(self) -> None:
        """Wake the capital keys."""
        self._desk.session.arm()
        self._tell(f"armed for {ARMED_S:.0f} s: capital keys open their dialogs", Tone.P2)

    def do_copy(self) -> None:
        """Send the line to the person's own clipboard."""
        board = self._app.screen
        if isinstance(board, Board):
            self._app.copy_to_clipboard(board.copied())
            self._tell("sent to your terminal's clipboard (OSC 52), if it has one")

    def do_repaint(self) -> None:
        """Draw everything anew."""
        self._desk.link.repaint.set()
        self._app.refresh()

    def do_interrupt(self) -> None:
        """Many a hand ends programs that way; here it might end the wrong thing."""
        self._tell("^q leaves the console; nothing on the plant changes")

    def do_quit(self) -> None:
        """Leave; labels that are not stored yet are said out loud first."""
        waiting = len(self._desk.bench.waiting)
        if waiting and not self._desk.session.leaving:
            self._desk.session.leaving = True
            self._tell(
                f"{waiting} labels are not stored yet: ^q again leaves all the same", Tone.P1
            )
            return
        self._app.exit(0)

    def _found(self, target: Target | None) -> None:
        board = self._app.screen
        if target is None:
            return
        if target.kind == "key" and isinstance(board, Board):
            bound = find(target.name, board.place)
            if bound is not None:
                board.press(bound, "")
        else:
            self._desk.go(target)

    def _place(self) -> str:
        board = self._app.screen
        return board.place if isinstance(board, Board) else "overview"

    def _tell(self, words: str, tone: Tone = Tone.PLAIN) -> None:
        board = self._app.screen
        if isinstance(board, Board):
            board.tell(words, tone)

    def _go(self, mode: str) -> None:
        self._app.switch_mode(mode)
