"""Words as numbers: how the name of a recipe travels in a column of values.

The number of a word is the same on every machine and after every restart, so a reference that
names a recipe fits whatever source tells it. It is whole and below 2**24, so float32 holds it.
"""

import math
import zlib
from collections.abc import Iterable
from typing import Final

TEXT_UNIT = "text"  # a tag of this unit shows words, such as a recipe's name

HEARD_MAX: Final = 4096  # words remembered for people to read; no plant has so many recipes
NAMED_MAX: Final = 16_384  # recipes that references name; the oldest reference's go first
_BITS = 0xFF_FFFF


class Words:
    """Which word had which number.

    A tag that shows lot numbers may say any number of words, and must not keep a recipe that comes
    later from being known by its name: what a reference names is kept apart, and counts first.
    """

    def __init__(self) -> None:
        self._heard: dict[float, str] = {}
        self._named: dict[float, str] = {}

    def name(self, words: Iterable[str]) -> None:
        """A reference speaks of these."""
        for word in words:
            stripped = word.strip()
            if stripped:
                number = _number(stripped)
                self._named.pop(number, None)
                self._named[number] = stripped
        while len(self._named) > NAMED_MAX:
            del self._named[next(iter(self._named))]

    def number_of(self, word: str) -> float:
        """The number of a word; NaN where it says nothing, or what another word said first."""
        stripped = word.strip()
        if not stripped:
            return math.nan
        number = _number(stripped)
        if len(self._heard) < HEARD_MAX:
            self._heard.setdefault(number, stripped)
        means = self._named.get(number) or self._heard.get(number, stripped)
        return number if means == stripped else math.nan

    def word_of(self, number: float) -> str:
        """The word that had this number here; a number that was none is written as such."""
        return self._named.get(number) or self._heard.get(number) or f"{number:g}"


def _number(stripped: str) -> float:
    return float(zlib.crc32(stripped.encode()) & _BITS)


_here = Words()  # one plant a process
name = _here.name
number_of = _here.number_of
word_of = _here.word_of
