"""What one check found, in words for people and as a record; and the exit code of them all."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from edge_core.contracts.errors import (
    ConfigurationError,
    EdgeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TryAgainError,
    UnreachableError,
)

SETTING: Final = ConfigurationError.exit_code
REFUSED: Final = RefusedError.exit_code
UNREACHABLE: Final = UnreachableError.exit_code
LATER: Final = TryAgainError.exit_code
# What must be put right first decides: a wrong setting makes everything after it fail, too.
_ORDER: Final = (
    SETTING,
    NotPermittedError.exit_code,
    REFUSED,
    NotFoundError.exit_code,
    UNREACHABLE,
    LATER,
    EdgeError.exit_code,
)


class Level(StrEnum):
    """How it is: FAIL keeps the gateway from its work, WARN will or may."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        check: what kind of thing.
        thing: which one.
        level: how it is.
        expected: what would be in order.
        found: what is.
        advice: what to do; empty where all is well.
        code: the exit code that this alone would give.
    """

    check: str
    thing: str
    level: Level
    expected: str
    found: str
    advice: str = ""
    code: int = 0


def ok(check: str, thing: str, expected: str, found: str) -> Finding:
    """In order."""
    return Finding(check=check, thing=thing, level=Level.OK, expected=expected, found=found)


def warn(check: str, thing: str, expected: str, found: str, advice: str) -> Finding:
    """It works, and somebody should see to it."""
    return Finding(
        check=check, thing=thing, level=Level.WARN, expected=expected, found=found, advice=advice
    )


def fail(check: str, thing: str, expected: str, found: str, advice: str, code: int) -> Finding:
    """It does not work."""
    return Finding(
        check=check,
        thing=thing,
        level=Level.FAIL,
        expected=expected,
        found=found,
        advice=advice,
        code=code,
    )


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without a FAIL; else the code of what must be put right first."""
    codes = {each.code for each in findings if each.level is Level.FAIL}
    return next((code for code in _ORDER if code in codes), EdgeError.exit_code if codes else 0)
