"""Words as numbers: how the name of a recipe travels in a column of values.

The number of a word is the same on every machine and after every restart, so a reference that
names a recipe fits whatever source tells it. It is whole and below 2**24, so float32 holds it.
"""

import math
import zlib

TEXT_UNIT = "text"  # a tag of this unit shows words, such as a recipe's name

_BITS = 0xFF_FFFF
_KNOWN_MAX = 4096  # words remembered for people to read; no plant has so many recipes

_known: dict[float, str] = {}


def number_of(word: str) -> float:
    """The number of a word; NaN where it says nothing, or what another word said first."""
    stripped = word.strip()
    if not stripped:
        return math.nan
    number = float(zlib.crc32(stripped.encode()) & _BITS)
    if len(_known) < _KNOWN_MAX:
        _known.setdefault(number, stripped)
    return number if _known.get(number, stripped) == stripped else math.nan


def word_of(number: float) -> str:
    """The word that had this number here; a number that was none is written as such."""
    return _known.get(number) or f"{number:g}"
