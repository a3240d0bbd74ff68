"""The palette: type a few letters, press enter, be there."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input

from edgetui.desk import Desk
from edgetui.present.lines import Target, Tone, say
from edgetui.present.search import everything, matching
from edgetui.present.sources import Page
from edgetui.widgets.lines import Lines


class GoTo(ModalScreen[Target | None]):
    """Answers with where to go, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
    ]

    def __init__(self, desk: Desk, screen: str) -> None:
        super().__init__()
        self._desk = desk
        self._among = everything(screen, desk.feed.seen)

    def compose(self) -> ComposeResult:
        """What to type, and what fits."""
        ascii_only = self._desk.ascii_only
        self._typed = Input(placeholder="an action, a rollout, a gateway, a line")
        self._typed.cursor_blink = False
        self._hits = Lines(cursor=True, ascii_only=ascii_only)
        self._hits.can_focus = False
        yield Lines(Page([say("Go to", 20, Tone.TITLE)]), classes="one-row")
        yield self._typed
        yield self._hits

    def on_mount(self) -> None:
        """Ready to type."""
        self._typed.focus()

    def on_resize(self) -> None:
        """Draw once the size is known."""
        self.draw()

    def draw(self) -> None:
        """Show what fits."""
        cells = self._hits.cells
        found = matching(self._typed.value, self._among)
        lines = [say(hit.words, cells, target=hit.target) for hit in found]
        self._hits.show(Page(lines or [say("nothing of that name is known", cells)]))

    @on(Input.Changed)
    def type_on(self) -> None:
        """Narrow it down."""
        self.draw()

    @on(Input.Submitted)
    def go(self) -> None:
        """Take what the cursor is on."""
        self.dismiss(self._hits.target)

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self._hits.move(step)

    def action_leave(self) -> None:
        """Stay where we were."""
        self.dismiss(None)
