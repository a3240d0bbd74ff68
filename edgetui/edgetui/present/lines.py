"""A line of a page: text in parts, each with a tone, and what lies behind it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from textwrap import wrap

from edge_core.contracts.api import Priority
from edgetui.present.words import PRIORITY_ASCII, PRIORITY_MARKS, fit, inert, width


class Tone(Enum):
    """How a part is drawn. Normal has no tone; each tone only doubles what a word says."""

    PLAIN = "plain"
    TITLE = "title"
    DIM = "dim"
    P1 = "p1"
    P2 = "p2"
    P3 = "p3"
    P4 = "p4"


TONE_OF = {Priority.P1: Tone.P1, Priority.P2: Tone.P2, Priority.P3: Tone.P3, Priority.P4: Tone.P4}


@dataclass(frozen=True, slots=True)
class Target:
    """What a line is about, so that `enter` can go there: a kind of screen and a name."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Part:
    """Some text in one tone."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `str` is its text."""

    parts: tuple[Part, ...] = ()
    target: Target | None = None

    def __str__(self) -> str:
        return "".join(part.text for part in self.parts).rstrip()


def say(text: str, cells: int, tone: Tone = Tone.PLAIN, target: Target | None = None) -> Line:
    """*text*, inert and at most *cells* wide, as a line of one tone."""
    return Line((Part(fit(text, cells).rstrip(), tone),), target)


def join(parts: Sequence[tuple[str, Tone]], cells: int, target: Target | None = None) -> Line:
    """Texts in tones one after the other, cut at *cells*."""
    kept, left = [], cells
    for text, tone in parts:
        shown = fit(text, min(left, width(text)))
        kept.append(Part(shown, tone))
        left -= width(shown)
        if left <= 0:
            break
    return Line(tuple(kept), target)


def whole(label: str, value: str, cells: int) -> list[Line]:
    """A value that must be readable to its last letter: on a line of its own where it is long."""
    if width(label) + width(value) <= cells:
        return [say(label + value, cells)]
    return [say(label, cells), say(f"  {value}", cells)]


def folded(label: str, value: str, cells: int, tone: Tone = Tone.PLAIN) -> list[Line]:
    """A text that must be readable to its end, over as many lines as it takes."""
    room = max(1, cells - width(label))
    pieces = [piece for words in _words(inert(value), room) for piece in _cut(words, room)]
    return [
        join(((label if not n else " " * width(label), Tone.PLAIN), (piece, tone)), cells)
        for n, piece in enumerate(pieces or ["-"])
    ]


def _words(text: str, room: int) -> list[str]:
    return wrap(text, room, break_on_hyphens=False)


def _cut(text: str, room: int) -> list[str]:
    """Wide letters take twice what `textwrap` thinks."""
    pieces, piece = [], ""
    for letter in text:
        if width(piece + letter) > room:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


BLANK = Line()


def texts(lines: Iterable[Line | str]) -> list[str]:
    """The lines as plain text, for a report or a reader."""
    return [str(line) for line in lines]


def with_ascii_marks(text: str) -> str:
    """Priorities as `[1]`: a mark and the blank after it are three cells, and so is this."""
    for priority, mark in PRIORITY_MARKS.items():
        text = text.replace(f"{mark} ", PRIORITY_ASCII[priority])
    return text
