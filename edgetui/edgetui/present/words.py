"""Values as words: ages, shares, states, digests; everything foreign is made inert here."""

import unicodedata
from datetime import datetime

from edge_core.contracts.api import AlarmState, Priority
from edge_core.contracts.artefact import Digest
from edge_core.contracts.gates import Verdict

STALE_S = 90.0  # three heartbeats in quiet times
AGE_STEP_S = 10
UNKNOWN = "-"
MILLISECOND_US = 1000.0

# Every state has a letter and a word: colour only ever doubles what is written.
PRIORITY_MARKS = {Priority.P1: "■1", Priority.P2: "▲2", Priority.P3: "▼3", Priority.P4: "●4"}
PRIORITY_ASCII = {Priority.P1: "[1]", Priority.P2: "[2]", Priority.P3: "[3]", Priority.P4: "[4]"}
ALARM_WORDS = {
    AlarmState.PENDING: "pending",
    AlarmState.UNACK: "UNACK",
    AlarmState.ACKED: "acked",
    AlarmState.RETURNED_UNACK: "rtn-unk",
    AlarmState.LATCHED_UNACK: "latch-unk",
    AlarmState.LATCHED_ACKED: "latched",
    AlarmState.SHELVED: "shelved",
    AlarmState.SUPPRESSED: "suppressed",
    AlarmState.OUT_OF_SERVICE: "out of svc",
    AlarmState.CLEARED: "cleared",
}
VERDICT_WORDS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "FAIL",
    Verdict.INCONCLUSIVE: "cannot tell yet",
}


MARKS_MAX = 2  # accents a letter may bear; more of them would draw over the lines around it


def inert(text: str) -> str:
    """*text* without anything that moves a cursor, breaks a line, or hides or reverses letters."""
    if text.isascii() and text.isprintable():
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if _is_mark(character) else 0
        if marks <= MARKS_MAX:
            deceives = not character.isprintable() or _deceives(character)
            kept.append("\N{REPLACEMENT CHARACTER}" if deceives else character)
    return "".join(kept)


def _deceives(character: str) -> bool:
    # Format characters (bidi overrides, zero-width joiners) are printable to some terminals.
    return unicodedata.category(character) in {"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in {"Mn", "Me"}


def width(text: str) -> int:
    """How many cells *text* takes on a terminal."""
    return len(text) if text.isascii() else sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if _is_mark(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """*text* made inert and exactly *cells* wide: cut with an ellipsis, or padded."""
    text = inert(text)
    if width(text) > cells:
        kept, used = "", 0
        for character in text:
            if used + _cells(character) > cells - 1:
                break
            kept += character
            used += _cells(character)
        text = kept + "…" if cells > 0 else ""
    padding = " " * (cells - width(text))
    return padding + text if right else text + padding


def age(seconds: float | None) -> str:
    """How long ago, in one unit; with a question mark once it is too old to be relied on.

    Seconds go in tens: a screen full of ages that each change every second is a full link.
    """
    if seconds is None:
        return "never ?"
    if seconds < AGE_STEP_S:
        return f"<{AGE_STEP_S} s"
    mark = " ?" if seconds > STALE_S else ""
    if seconds <= 99:
        return f"{int(seconds // AGE_STEP_S) * AGE_STEP_S} s{mark}"
    for limit, size, unit in ((99 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds <= limit:
            return f"{int(seconds // size)} {unit}{mark}"
    return f"{int(seconds // 86_400)} d{mark}"


def share(part: int, whole: int) -> str:
    """A share in percent, or that there is nothing to take a share of."""
    return f"{100 * part / whole:.1f}" if whole else UNKNOWN


def number(value: float | None, unit: str) -> str:
    """A measured value with its unit, three significant digits and never an exponent.

    What is counted (`{window}` in UCUM) is said by the row's own name, so it has no unit here.
    """
    if value is None:
        return UNKNOWN
    if unit == "1":
        return f"{_plain(100 * value)} %"
    if unit == "us" and value >= MILLISECOND_US:
        return number(value / MILLISECOND_US, "ms")
    if unit == "ms" and value >= MILLISECOND_US:
        return number(value / MILLISECOND_US, "s")
    return _plain(value) if unit.startswith("{") else f"{_plain(value)} {unit}".strip()


def _plain(value: float) -> str:
    """Three significant digits, written out."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def short(digest: Digest | None) -> str:
    """The first twelve digits of a digest; `digest` in JSON output has all of them."""
    return digest.removeprefix("sha256:")[:12] if digest else UNKNOWN


def named(digest: Digest | None, names: dict[str, str]) -> str:
    """A release by the name people use, else by its digest."""
    return inert(names.get(digest, short(digest))) if digest else UNKNOWN


def instant(at: datetime | None) -> str:
    """An instant in UTC to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else UNKNOWN


def clock(at: datetime) -> str:
    """The time of day in UTC."""
    return at.strftime("%H:%M:%SZ")
