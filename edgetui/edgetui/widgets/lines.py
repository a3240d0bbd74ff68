"""Lines on the screen: a cursor, scrolling, and only what changed is drawn again.

Thousands of rows cost as much as a screenful: the source is asked for visible lines only. In a
table the cursor moves and the rows follow; on a page the lines scroll, and the cursor goes from
one thing to the next among those in sight.
"""

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from edgetui.present.lines import Line, Part, Target, with_ascii_marks
from edgetui.present.sources import Page, Source
from edgetui.theme import PLAIN, STYLES, UNDER_THE_CURSOR

MARKER = "> "
PAGE_OVERLAP = 2


class Lines(Widget):
    """Shows a source.

    Args:
        source: what to show first.
        cursor: whether lines can be chosen.
        ascii_only: whether priorities are drawn as `[1]`.
    """

    def __init__(
        self,
        source: Source | None = None,
        *,
        cursor: bool = False,
        ascii_only: bool = False,
        classes: str | None = None,
    ) -> None:
        super().__init__(classes=classes)
        self.can_focus = cursor
        self._has_cursor = cursor
        self._ascii_only = ascii_only
        self._source: Source = source or Page()
        self._at = self._top = 0
        self._drawn: dict[int, tuple[Line, bool]] = {}

    @property
    def target(self) -> Target | None:
        """What the line under the cursor is about."""
        return self._target(self._at) if 0 <= self._at < len(self._source) else None

    @property
    def chosen(self) -> Line | None:
        """The line under the cursor."""
        return self._source.line(self._at) if self.target is not None else None

    @property
    def position(self) -> tuple[int, int]:
        """The number of the line under the cursor, from 1, and how many there are."""
        return self._at + 1, len(self._source)

    @property
    def cells(self) -> int:
        """How wide a line may be."""
        return max(1, self.size.width - (len(MARKER) if self._has_cursor else 0))

    def show(self, source: Source) -> None:
        """Show *source*; the cursor stays on the thing it was on, wherever that is now."""
        kept = self.target
        self._source = source
        if kept is not None:
            found = source.find(kept)
            self._at = self._at if found is None else found
        self._settle()
        self._draw_changes()

    def choose(self, target: Target) -> None:
        """Put the cursor on *target*, if it is there."""
        found = self._source.find(target)
        if found is not None:
            self._at = found
            self._follow()
            self._draw_changes()

    def move(self, step: int) -> None:
        """Move the cursor by *step* lines."""
        if self._head:
            self._at = min(max(self._at + step, 0), max(0, len(self._source) - 1))
            self._follow()
        elif abs(step) > 1 or not self._to_next_in_sight(step):
            self._scroll(step)
        self._draw_changes()

    def page(self, direction: int) -> None:
        """Move by a screenful."""
        self.move(direction * max(2, self._rows - PAGE_OVERLAP))

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._settle()
        self._drawn.clear()

    def render_line(self, y: int) -> Strip:
        """Draw one row of the screen."""
        line, chosen = self._wanted(y)
        self._drawn[y] = (line, chosen)
        return self._strip(line, chosen=chosen)

    @property
    def _head(self) -> int:
        return 0 if self._source.header is None else 1

    @property
    def _rows(self) -> int:
        return max(1, self.size.height - self._head)

    def _target(self, number: int) -> Target | None:
        return self._source.line(number).target

    def _things(self) -> list[int]:
        """The lines in sight that can be chosen."""
        visible = range(self._top, min(self._top + self._rows, len(self._source)))
        return [n for n in visible if self._target(n) is not None]

    def _to_next_in_sight(self, step: int) -> bool:
        found = [n for n in self._things() if (n > self._at if step > 0 else n < self._at)]
        if found:
            self._at = found[0] if step > 0 else found[-1]
        return bool(found)

    def _scroll(self, step: int) -> None:
        self._top = min(max(self._top + step, 0), max(0, len(self._source) - self._rows))
        things = self._things()
        if abs(step) == 1 and self._to_next_in_sight(step):
            return
        if things and self._at not in things:
            self._at = things[0] if step > 0 else things[-1]

    def _follow(self) -> None:
        """Scroll until the cursor is in sight."""
        self._top = max(min(self._top, self._at), self._at - self._rows + 1, 0)

    def _settle(self) -> None:
        """After other lines came: a table follows its cursor, a page stays where it is."""
        count = len(self._source)
        self._at = min(self._at, count - 1)
        self._top = min(self._top, max(0, count - self._rows))
        if not self._has_cursor:
            return
        if self._head:
            self._at = max(0, self._at)
            self._follow()
        elif self._at not in (things := self._things()):
            self._at = things[0] if things else -1

    def _wanted(self, y: int) -> tuple[Line, bool]:
        header = self._source.header
        if header is not None and y == 0:
            return header, False
        number = self._top + y - self._head
        if not 0 <= number < len(self._source):
            return Line(), False
        line = self._source.line(number)
        chosen = self._has_cursor and number == self._at and line.target is not None
        return line, chosen

    def _draw_changes(self) -> None:
        """Have only those rows drawn again whose line is another one."""
        for y in range(self.size.height):
            if self._drawn.get(y) != self._wanted(y):
                self.refresh(Region(0, y, self.size.width, 1))

    def _strip(self, line: Line, *, chosen: bool) -> Strip:
        segments = []
        if self._has_cursor:
            segments.append(Segment(MARKER if chosen else "  ", PLAIN))
        for number, part in enumerate(line.parts):
            style = STYLES[part.tone]
            if chosen and number == 0:
                style += UNDER_THE_CURSOR
            segments.append(Segment(self._text(part), style))
        return Strip(segments).adjust_cell_length(self.size.width, PLAIN)

    def _text(self, part: Part) -> str:
        return with_ascii_marks(part.text) if self._ascii_only else part.text
