"""How much a name in a plant's server sounds like a role of a model, from 0 to 1; pure.

Names at plants are words (`MotorCurrent`), shortened words (`mot_curr`, `Temp2`), in English or in
German, or instrument letters (`FT-101`, ISA 5.1: the first letter says what is measured).
"""

import re
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

SAME: Final = 1.0
ALIAS: Final = 0.9  # another word for the same thing
SHORT: Final = 0.85  # the beginning or the skeleton of the word
LETTER: Final = 0.75  # an instrument letter says the quantity and nothing else
SPELT_MIN: Final = 0.8  # of difflib's ratio: one letter off in a word of six
ABOVE: Final = 0.8  # a word of the role that only a folder above has
ODD_WORD: Final = 0.08  # for each word of the name that the role lacks
OTHER_MEANING: Final = 0.5  # a set point or a limit is not the measurement

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\u00df-\u00ff]+|[0-9]+")
_OTHER: Final = frozenset(
    {
        *("sp", "setpoint", "set", "soll", "sollwert", "target", "limit", "lim", "min", "max"),
        *("alarm", "alm", "warn", "warning", "hi", "lo", "hihi", "lolo", "high", "low", "cmd"),
        *("command", "status", "state", "quality", "enable", "reset", "ack", "mode", "counter"),
        *(
            "total",
            "sum",
            "avg",
            "raw",
            "unit",
            "description",
            "error",
            "fault",
            "simulated",
            "sim",
        ),
    }
)
_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "flow": ("durchfluss", "volumenstrom", "flowrate", "rate", "q"),
    "pressure": ("druck", "p"),
    "temperature": ("temperatur", "t"),
    "current": ("strom", "ampere", "amps", "i"),
    "voltage": ("spannung", "volt", "volts", "u"),
    "power": ("leistung", "wirkleistung"),
    "vibration": ("schwingung", "vib", "accel", "acceleration", "velocity"),
    "speed": ("drehzahl", "rpm", "geschwindigkeit"),
    "level": ("fuellstand", "füllstand", "niveau"),
    "recipe": ("rezept", "regime", "product", "produkt", "grade", "program", "programm"),
    "motor": ("drive", "antrieb"),
    "suction": ("inlet", "saug", "eingang", "in"),
    "discharge": ("outlet", "delivery", "druckseite", "ausgang", "out"),
    "supply": ("vorlauf", "feed"),
    "return": ("ruecklauf", "rücklauf", "back"),
    "bearing": ("lager",),
    "pump": ("pumpe",),
    "valve": ("ventil",),
    "position": ("stellung", "pos"),
}
# ISA 5.1, table 1: first letters; the following ones say how it is shown (T transmits, I shows).
_ISA: Final = {
    "flow": "f",
    "pressure": "p",
    "temperature": "t",
    "current": "i",
    "level": "l",
    "speed": "s",
    "vibration": "v",
    "power": "j",
    "voltage": "e",
    "position": "z",
}
_ISA_NAME = re.compile(r"([a-z])d?[tiyre]{1,2}\Z")


@lru_cache(maxsize=200_000)
def words(name: str) -> tuple[str, ...]:
    """The words of *name*, lower case; numbers are words of their own."""
    return tuple(word.lower() for word in _WORDS.findall(name))


def name_score(role: str, name: str, above: str = "") -> float:
    """How much *name*, below folders called *above*, sounds like *role*: 0 not at all, 1 exactly.

    Every word of the role must be found in the name or, for less, above it; words of the name that
    the role lacks cost a little, and words that mean something else than a measurement cost half.
    """
    wanted, own, higher = words(role), words(name), words(above)
    if not wanted or not own:
        return 0.0
    used: set[str] = set()
    found = 0.0
    for word in wanted:
        best, by = max(((_alike(word, each), each) for each in own), default=(0.0, ""))
        up = ABOVE * max((_alike(word, each) for each in higher), default=0.0)
        found += max(best, up)
        if best and best >= up:
            used.add(by)
    odd = [word for word in own if word not in used and not word.isdigit() and word not in higher]
    score = found / len(wanted) * max(0.5, 1.0 - ODD_WORD * len(odd))
    return score * OTHER_MEANING if any(word in _OTHER for word in odd) else score


@lru_cache(maxsize=200_000)
def _alike(wanted: str, found: str) -> float:
    if wanted == found:
        return SAME
    if found in _ALIASES.get(wanted, ()):
        return ALIAS if len(found) > 1 else LETTER
    if _begins(wanted, found) or _begins(found, wanted):
        return SHORT
    isa = _ISA_NAME.match(found)
    if isa is not None and _ISA.get(wanted) == isa[1]:
        return LETTER
    if _skeleton(wanted, found):
        return SHORT
    ratio = SequenceMatcher(None, wanted, found).ratio()
    return ratio * SHORT if ratio >= SPELT_MIN and not found.isdigit() else 0.0


def _begins(word: str, short: str) -> bool:
    """`temp` begins `temperature`; two letters say too little."""
    return len(short) >= 3 and word.startswith(short) and not short.isdigit()


def _skeleton(word: str, short: str) -> bool:
    """`crnt` is what is left of `current`: consonants of it in their order, the first included."""
    if not 3 <= len(short) < len(word) or short[0] != word[0]:
        return False
    letters = iter(word)
    return all(letter in letters for letter in short) and not set(short[1:]) & set("aeiou")
