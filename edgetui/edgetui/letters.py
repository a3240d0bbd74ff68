"""Letters for terminals that have only ASCII, and whether this is one."""

from collections.abc import Mapping
from typing import Final

ASCII_TERMINALS: Final = frozenset({"vt52", "vt100", "vt102", "vt220", "ansi", "cons25"})

_PAIRS: Final = {
    "─━═╌┄┈╴╶": "-",
    "│┃║▏▕▎▍╎┆": "|",
    "┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬╭╮╯╰┏┓┗┛": "+",
    "█▉▊▋▌▐▓▒░▀▄": "#",
    "▁▔": "_",
    "▂": ".",
    "▃": "-",
    "▅": "+",
    "▆": "*",
    "▇": "=",
    "■": "!",
    "▲△": "^",
    "▼▽": "v",
    "●•·": "o",
    "…": "~",
    "\u2010\u2011\u2013\u2014": "-",
    "✓": "+",
    "→": ">",
    "←": "<",
    "“”„": '"',
    "\u2018\u2019": "'",
    "°": "o",
    "\N{REPLACEMENT CHARACTER}": "?",
}
# A braille cell by how its dots lie: upper half, lower half, both.
_UPPER, _LOWER = 0x01 | 0x02 | 0x08 | 0x10, 0x04 | 0x20 | 0x40 | 0x80


def _braille(dots: int) -> str:
    if not dots:
        return " "
    if dots & _UPPER and dots & _LOWER:
        return ":"
    return "'" if dots & _UPPER else "."


class _Ascii(dict[int, str]):
    """A table for `str.translate` that knows every letter: what it does not list is `?`."""

    def __missing__(self, letter: int) -> str:
        if letter < 0x80:
            raise LookupError(letter)
        self[letter] = "?"
        return "?"


def ascii_letters() -> Mapping[int, str]:
    """A table for `str.translate`: one cell for one cell, so nothing moves."""
    table = _Ascii({ord(letter): plain for many, plain in _PAIRS.items() for letter in many})
    table.update({0x2800 + dots: _braille(dots) for dots in range(256)})
    return table


def only_ascii(term: str, encoding: str) -> bool:
    """Whether a terminal of kind *term* that is written to in *encoding* has only ASCII."""
    return term in ASCII_TERMINALS or encoding.replace("-", "").lower() not in {"utf8", "utf8sig"}
