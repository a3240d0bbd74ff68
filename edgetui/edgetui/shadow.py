"""The screen as it should be and as the terminal has it; what differs is all that is sent.

Textual paints whole regions again when one cell changed. Here its output is read back into a grid,
and a frame is the shortest run of moves, styles and letters from one grid to the other. Sequences
are those of ECMA-48; styles are compared as the text of their parameters, never understood.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rich.cells import cell_len

Cell = tuple[str, str]  # letters (none: right half of a wide one), style parameters
BLANK: Final[Cell] = (" ", "")
BRIDGE_CELLS: Final = 5  # that many equal cells cost no more to send again than to jump over

_TOKEN: Final = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<style>[\d;]*)m"
    r"|(?P<line>\n)"
    r"|(?P<control>\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[?>=<]?[\d;]*\$?[A-Za-z]|\x1b[=>78])"
    r"|(?P<text>[^\x1b\n]+)"
)
# What a terminal would obey never stands in a cell; Textual writes none, foreign text might.
_CONTROLS: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
_SYNCHRONISED: Final = ("\x1b[?2026h", "\x1b[?2026l")  # our frames are whole without them


class Shadow:
    """Two grids of cells: what Textual wants, and what the terminal shows.

    After `forget`, the terminal is taken to be blank; the caller has to clear it.
    """

    def __init__(self, width: int, height: int, letters: Mapping[int, str] | None = None) -> None:
        self._letters = letters or {}
        self._size = (0, 0)
        self._column = self._row = 0
        self._style = ""
        self._terminal_at: tuple[int, int] | None = None
        self._terminal_style: str | None = None
        self._wanted: list[list[Cell]] = []
        self._shown: list[list[Cell]] = []
        self._touched: set[int] = set()
        self.resize(width, height)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._size

    @property
    def touched(self) -> bool:
        """Whether there may be something to send."""
        return bool(self._touched)

    def resize(self, width: int, height: int) -> None:
        """Begin anew with blank grids; Textual paints everything after a change of size."""
        self._size = (width, height)
        self._wanted = [[BLANK] * width for _ in range(height)]
        self.forget()

    def forget(self) -> None:
        """The terminal was cleared: whatever is not blank must be sent again."""
        width, height = self._size
        self._shown = [[BLANK] * width for _ in range(height)]
        self._touched = set(range(height))
        self._terminal_at = self._terminal_style = None

    def apply(self, painted: str) -> str:
        """Take in what Textual painted; returns the control sequences to pass on as they are."""
        controls = []
        for token in _TOKEN.finditer(painted):
            kind = token.lastgroup
            if kind == "text":
                self._write(token["text"].translate(self._letters))
            elif kind == "column":
                self._row, self._column = int(token["row"]) - 1, int(token["column"]) - 1
            elif kind == "style":
                self._style = _styled(self._style, token["style"])
            elif kind == "line":
                self._row, self._column = self._row + 1, 0
            elif token["control"] not in _SYNCHRONISED:
                controls.append(token["control"])
        if controls:
            self._terminal_at = None
        return "".join(controls)

    def frame(self) -> str:
        """What brings the terminal up to date; nothing where nothing differs."""
        sent = "".join(part for y in sorted(self._touched) for part in self._row_frame(y))
        self._touched.clear()
        return sent

    def _write(self, text: str) -> None:
        if not 0 <= self._row < self._size[1]:
            return
        row = self._wanted[self._row]
        for letter in text.translate(_CONTROLS):
            cells = 1 if letter < "\u0300" else cell_len(letter)
            if cells == 0:
                _join(row, self._column - 1, letter)
            else:
                _place(row, self._column, (letter, self._style), cells)
            self._column += cells
        self._touched.add(self._row)

    def _row_frame(self, y: int) -> Iterator[str]:
        wanted, shown = self._wanted[y], self._shown[y]
        if wanted == shown:
            return
        filled = len(wanted)
        while filled and wanted[filled - 1] == BLANK:
            filled -= 1
        for start, end in _runs(wanted, shown, filled):
            yield self._move(start, y)
            yield from self._letters_of(wanted, start, end)
            self._terminal_at = (end, y) if end < len(wanted) else None
        if any(cell != BLANK for cell in shown[filled:]):
            yield self._move(filled, y)
            yield self._styled("")
            yield "\x1b[K"
        self._shown[y] = list(wanted)

    def _letters_of(self, wanted: list[Cell], start: int, end: int) -> Iterator[str]:
        for letters, style in wanted[start:end]:
            yield self._styled(style)
            yield letters

    def _styled(self, style: str) -> str:
        if style == self._terminal_style:
            return ""
        self._terminal_style = style
        return f"\x1b[0;{style}m" if style else "\x1b[m"

    def _move(self, x: int, y: int) -> str:
        at, self._terminal_at = self._terminal_at, (x, y)
        if at == (x, y):
            return ""
        if at is not None and at[1] == y and x > at[0]:
            return f"\x1b[{x - at[0]}C"
        if at is not None and x == 0 and y == at[1] + 1:
            return "\r\n"
        return f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H"


def _runs(wanted: list[Cell], shown: list[Cell], filled: int) -> Iterator[tuple[int, int]]:
    """Stretches of cells to send again, up to *filled*; short equal stretches are bridged."""
    start = end = -1
    for x in range(filled):
        if wanted[x] == shown[x]:
            continue
        if start >= 0 and x - end >= BRIDGE_CELLS:
            yield start, end
            start = -1
        if start < 0:
            start = x
            while start and not wanted[start][0]:
                start -= 1  # half a wide letter cannot be sent
        end = x + 1
        while end < filled and not wanted[end][0]:
            end += 1
    if start >= 0:
        yield start, end


def _place(row: list[Cell], x: int, cell: Cell, cells: int) -> None:
    """Put a letter of one or two cells at *x*, and blank what it cuts in half."""
    if not 0 <= x < len(row):
        return
    if not row[x][0] and x:
        row[x - 1] = (" ", row[x - 1][1])
    after = x + cells
    if after < len(row) and not row[after][0]:
        row[after] = (" ", row[after][1])
    if cells > 1 and after > len(row):
        row[x] = (" ", cell[1])  # half of it would stand outside
        return
    row[x] = cell
    if cells > 1:
        row[x + 1] = ("", cell[1])


def _join(row: list[Cell], x: int, mark: str) -> None:
    """A combining mark belongs to the letter before it."""
    while 0 < x < len(row) and not row[x][0]:
        x -= 1
    if 0 <= x < len(row):
        row[x] = (row[x][0] + mark, row[x][1])


def _styled(current: str, parameters: str) -> str:
    if parameters in {"", "0"}:
        return ""
    return f"{current};{parameters}" if current else parameters
