"""The dialog before something changes: read, type, sign with F9; Escape changes nothing.

What is sent carries the digest of what was shown. If the site has something else by then, nothing
happens there, and the dialog shows what changed and asks about what is there now.
"""

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen
from textual.widgets import Input

from edge_core.contracts.errors import EdgeError, UnreachableError
from edgetui.client import ChangedMeanwhileError, Operator
from edgetui.desk import Desk
from edgetui.orders import Question
from edgetui.present.changes import differences
from edgetui.present.lines import Line, Tone, join, say
from edgetui.present.sources import Page
from edgetui.widgets.lines import Lines

ANSWER_S: Final = 15.0
KEYS: Final = (
    ("F9", Tone.TITLE),
    (" sign and send   ", Tone.PLAIN),
    ("tab", Tone.TITLE),
    (" next field   ", Tone.PLAIN),
    ("esc", Tone.TITLE),
    (" leave, nothing changes", Tone.PLAIN),
)


class OrderDialog(ModalScreen[None]):
    """Asks one question."""

    # Focus moves before the next key is looked at, so that a burst of keys lands field by field;
    # F9 comes last, through the field it was pressed in, so that it finds everything typed.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f9", "sign", show=False),
        Binding("escape", "leave", show=False, priority=True),
        Binding("enter,tab,down", "next_field", show=False, priority=True),
        Binding("shift+tab,up", "previous_field", show=False, priority=True),
    ]

    def __init__(self, desk: Desk, question: Question) -> None:
        super().__init__()
        self._desk = desk
        self._question = question
        self._note: Sequence[tuple[str, Tone]] = ()
        self._changed: Sequence[Line] = ()
        self._sending = False

    def compose(self) -> ComposeResult:
        """Title, facts, one row a field, notes, keys."""
        ascii_only = self._desk.ascii_only
        self._title_line = Lines(ascii_only=ascii_only, classes="two-rows")
        self._facts = Lines(ascii_only=ascii_only)
        self._notes = Lines(ascii_only=ascii_only)
        self._notes.styles.height = "1fr"
        self._keys = Lines(ascii_only=ascii_only, classes="one-row")
        draft = self._desk.session.drafts.get(self._question.about, {})
        self._fields: dict[str, Input] = {}
        yield self._title_line
        yield self._facts
        for field in self._question.fields:
            typed = Input(
                value=draft.get(field.name, field.default),
                password=field.secret,
                select_on_focus=False,
            )
            typed.cursor_blink = False
            self._fields[field.name] = typed
            label = Lines(Page([say(f"{field.label}", 400)]), classes="one-row")
            label.styles.width = min(44, max(14, len(field.label) + 2))
            with Horizontal(classes="field"):
                yield label
                yield typed
        yield self._notes
        yield self._keys

    def on_mount(self) -> None:
        """Begin where something is missing."""
        self._first_empty().focus()

    def on_resize(self) -> None:
        """Draw once Textual has laid out the new size."""
        self.draw()

    def draw(self) -> None:
        """Show the question, what is wrong with the answers, and whether the site can be heard."""
        cells = self.size.width
        if not self.is_mounted or not cells:
            return
        title = (f"{self._question.title}  ", Tone.TITLE)
        stale = self._stale_words()
        self._title_line.show(Page([join((title, (stale, Tone.P1)), cells)]))
        facts = list(self._question.facts(cells))
        self._facts.styles.height = len(facts)
        self._facts.show(Page(facts))
        notes = [*self._changed, *self._moved(cells)]
        notes += [say(words, cells, tone) for words, tone in self._note]
        self._notes.show(Page(notes))
        self._keys.show(Page([join(KEYS, cells)]))

    def action_next_field(self) -> None:
        """Enter goes on to the next field; it never signs."""
        self.focus_next(Input)

    def action_previous_field(self) -> None:
        """Back to the field before."""
        self.focus_previous(Input)

    def action_leave(self) -> None:
        """Leave; what was typed is kept for the next time."""
        kept = {field.name for field in self._question.fields if field.kept}
        typed = {name: text for name, text in self._typed().items() if name in kept}
        self._desk.session.keep_draft(self._question.about, typed)
        words = "the order was sent before you left" if self._sending else "nothing was sent"
        self._desk.session.say(f"{self._question.title}: {words}")
        self.dismiss()

    def action_sign(self) -> None:
        """Sign, once every field has taken in its keys."""
        self.call_after_refresh(self._sign)

    def _sign(self) -> None:
        """Check what was typed, then send it."""
        if self._sending:
            return
        wrong = [
            (field, words)
            for field in self._question.fields
            if (words := field.check(self._fields[field.name].value))
        ]
        site = self._desk.feed.site
        if wrong:
            self._fields[wrong[0][0].name].focus()
            self._say(*(f"NOT SENT  {field.name}: {words}" for field, words in wrong))
        elif self._question.fresh and self._desk.feed.stale:
            self._say("NOT SENT  what you see is STALE: the site proxy has to be heard first")
        elif site is None:
            self._say("NOT SENT  the site proxy is away")
        else:
            self._sending = True
            self._say("sending", tone=Tone.PLAIN)
            self.run_worker(self._send(site), exclusive=True)

    async def _send(self, site: Operator) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                said = await self._question.send(site, self._typed())
        except ChangedMeanwhileError as error:
            self._ask_again(error)
        except (UnreachableError, TimeoutError):
            self._say("NO ANSWER  it may have happened or not: look before you try again")
        except EdgeError as error:
            self._say(f"REFUSED  {error}")
        else:
            self._desk.session.drafts.pop(self._question.about, None)
            self._desk.session.say(said)
            self._desk.feed.look_again()
            self.dismiss()
            return
        self._sending = False
        self._desk.feed.look_again()
        self.draw()

    def _ask_again(self, error: ChangedMeanwhileError) -> None:
        """Show what changed, and ask about that; a second thought is typed again."""
        question = self._question
        if error.current is None or question.again is None or question.seen is None:
            self._say(f"NOT DONE  {error}")
            return
        self._changed = differences(question.seen, error.current, self.size.width)
        self._question = question.again(error.current)
        for field in self._question.fields:
            if not field.kept:
                self._fields[field.name].value = ""
        self._first_empty().focus()
        self._say("NOTHING WAS DONE  it changed meanwhile: read again, then sign again")

    def _moved(self, cells: int) -> list[Line]:
        """A warning while somebody else is changing what is shown here."""
        seen = self._question.seen
        current = None if seen is None else self._desk.feed.seen.rollout(seen.id)
        if seen is None or current is None or current.etag == seen.etag or self._changed:
            return []
        words = "this changed while you read; signing will be refused and show what it was"
        return [say(words, cells, Tone.P2)]

    def _stale_words(self) -> str:
        return "STALE: the site proxy is silent" if self._desk.feed.stale else ""

    def _typed(self) -> dict[str, str]:
        return {name: field.value for name, field in self._fields.items()}

    def _first_empty(self) -> Input:
        fields = list(self._fields.values())
        return next((field for field in fields if not field.value), fields[0])

    def _say(self, *words: str, tone: Tone = Tone.P2) -> None:
        self._note = [(line, tone) for line in words]
        self.draw()
