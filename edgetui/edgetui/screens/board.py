"""What all screens have in common: banner, body, last word, keys; and where a key press goes.

A key press becomes `do_<id>` of the screen, of the orders it has at hand, or of `Everywhere`. The
registry says which keys there are; a screen only has handlers.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.message_pump import _MessagePumpMeta
from textual.screen import Screen
from textual.widgets import Input

from edgetui.desk import Desk
from edgetui.keys import registry
from edgetui.present.alarms_page import alarm_banner
from edgetui.present.banner import banner, keys_line
from edgetui.present.lines import Line, Tone, say
from edgetui.present.sources import Page, Source
from edgetui.widgets.lines import Lines

CELLS_MIN, ROWS_MIN = 60, 20
Handler = Callable[[], None]
MOVES = {"up": -1, "down": 1, "home": -1_000_000, "end": 1_000_000}
PAGES = {"pageup": -1, "pagedown": 1}
TYPING = frozenset({"enter", "home", "end", "backspace", "delete", "left", "right", "tab"})


class _AbstractScreens(_MessagePumpMeta, ABCMeta):
    """Textual's own kind of class, and one that is not made before it is whole."""


class Board(Screen[None], metaclass=_AbstractScreens):
    """A screen about one thing.

    Attributes:
        place: the screen's name in the registry.
        wants: what the feed has to read for it, beside the overview.
        pressed: the key that is being handled.
    """

    place: ClassVar[str] = ""
    wants: ClassVar[tuple[str, ...]] = ()
    AUTO_FOCUS: ClassVar[str | None] = "#body"

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.pressed = ""
        self.orders: Sequence[object] = ()

    def compose(self) -> ComposeResult:
        """Banner, body, filter, last word, keys."""
        ascii_only = self.desk.ascii_only
        self.top = Lines(ascii_only=ascii_only, classes="two-rows")
        self.body = Lines(cursor=True, ascii_only=ascii_only)
        self.body.id = "body"
        self.filter_field = Input(classes="hidden", placeholder="show only rows with this text")
        self.filter_field.cursor_blink = False
        self.word = Lines(ascii_only=ascii_only, classes="one-row")
        self.keys = Lines(ascii_only=ascii_only, classes="one-row")
        yield from (self.top, self.body, self.filter_field, self.word, self.keys)

    def where(self) -> str:
        """The way here, from the overview down."""
        return self.place.capitalize()

    @abstractmethod
    def build(self, cells: int, rows: int) -> Source:
        """What the body shows."""

    def draw(self) -> None:
        """Show what is known now; only what changed reaches the terminal."""
        if not self.is_mounted or not self.size.width:
            return
        desk, cells = self.desk, self.size.width
        if self.size.width < CELLS_MIN or self.size.height < ROWS_MIN:
            self.body.show(Page(self._too_small(cells)))
        elif desk.session.frozen_s() is None:
            self.body.show(self.build(self.body.cells, self.body.size.height))
        self.top.show(Page(banner(desk.facts(self.where()), cells)))
        self.word.show(Page([say(desk.session.word[0], cells, desk.session.word[1])]))
        bounds = registry.footer(self.place, desk.feed.seen.who, armed=desk.armed)
        self.keys.show(Page([keys_line(bounds, cells)]))

    def tell(self, words: str, tone: Tone = Tone.PLAIN) -> None:
        """Have *words* stand above the keys."""
        self.desk.session.say(words, tone)
        self.draw()

    def take(self, event: events.Key) -> bool:
        """Do what a key does here; False leaves it to what has the focus.

        Keys are taken one after the other, before the next is looked at: on a slow link they come
        in bursts, and each must meet the screen that the one before it left.
        """
        typing = isinstance(self.focused, Input)
        if typing and (event.is_printable or event.key in TYPING):
            return False
        if event.key in MOVES:
            self.body.move(MOVES[event.key])
        elif event.key in PAGES:
            self.body.page(PAGES[event.key])
        elif (bound := registry.at_key(event.key, self.place)) is not None:
            self.press(bound, event.key)
        else:
            return False
        return True

    def press(self, bound: registry.Bound, key: str) -> None:
        """Do what the registry binds to *key*, or say why not."""
        refusal = registry.why_not(bound, self.desk.feed.seen.who, armed=self.desk.armed)
        if refusal:
            self.tell(refusal, Tone.P3)
            return
        self.pressed = key
        handler = self.handler(bound.id)
        if handler is not None:
            handler()

    def handler(self, name: str) -> Handler | None:
        """What runs for the key called *name*."""
        for owner in (self, *self.orders):
            found: Handler | None = getattr(owner, f"do_{name}", None)
            if found is not None:
                return found
        return self.desk.everywhere(name)

    def copied(self) -> str:
        """What `y` copies: the line under the cursor."""
        return str(self.body.chosen or "")

    def on_screen_resume(self) -> None:
        """Shown again: look at what this screen needs."""
        self.desk.feed.want(*self.wants)
        self.draw()

    def on_resize(self) -> None:
        """Draw once Textual has laid out the new size."""
        self.call_after_refresh(self.draw)

    def _too_small(self, cells: int) -> list[Line]:
        wanted = f"make the window larger: {CELLS_MIN} x {ROWS_MIN} at least"
        overview = self.desk.feed.seen.overview
        lines = [say(wanted, cells, Tone.TITLE)]
        return lines + ([alarm_banner(overview.alarms, cells)] if overview else [])
