"""Which label holds: decided, held for as long as the contract allows, then the safe output."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from edge_core.contracts.artefact import UNKNOWN
from edge_runtime.sinks.standing import Holding, Shown, Standing
from edge_runtime.verdict import NO_MODEL, SAFE_MODE, Verdict
from tests.simulators.releases import signature

AT = datetime(2026, 11, 22, tzinfo=UTC)
CONTRACT = msgspec.structs.replace(
    signature(), classes=["normal", "leak"], safe_output="normal", silence_s_max=10.0
)
DECIDED, HELD, SAFE = Standing.DECIDED, Standing.HELD, Standing.SAFE
Fields = dict[str, Any]  # of a verdict
LEAK: Fields = {"decided": True, "label": "leak", "confidence": 0.9}
BAD: Fields = {"label": "normal", "reason": "flow: bad status", "bad": ["flow"]}
FAILED: Fields = {"label": "normal", "reason": "model failed: crash"}
ORDERED: Fields = {"label": "normal", "reason": SAFE_MODE}


def verdict(at_s: float, **what: Any) -> Verdict:  # Any: fields of it
    """A verdict on the window that ended then."""
    at = AT + timedelta(seconds=at_s)
    usual: Fields = {
        "serial": "gw-1",
        "epoch": 1,
        "window": 1,
        "started": at,
        "ended": at,
        "decided": False,
        "label": None,
    }
    return Verdict(**{**usual, **what})


CASES: dict[str, tuple[Sequence[tuple[float, Fields]], tuple[str, Standing] | None]] = {
    "a decision holds": ([(1, LEAK)], ("leak", DECIDED)),
    "one bad window changes nothing": ([(1, LEAK), (2, BAD)], ("leak", HELD)),
    "many within the time likewise": ([(1, LEAK), (5, BAD), (11, FAILED)], ("leak", HELD)),
    "beyond the time the safe output holds": ([(1, LEAK), (11.1, BAD)], ("normal", SAFE)),
    "a decision ends it": ([(1, LEAK), (12, BAD), (13, LEAK)], ("leak", DECIDED)),
    "safe mode is an order and holds at once": ([(1, LEAK), (2, ORDERED)], ("normal", SAFE)),
    "safe mode that went on holds on": ([(1, LEAK), (2, ORDERED), (3, BAD)], ("normal", SAFE)),
    "nothing was ever decided": ([(1, BAD)], None),
    "nothing was ever decided, for too long": ([(1, BAD), (11, BAD)], ("normal", SAFE)),
}


@pytest.mark.parametrize("name", CASES)
def test_holds(name: str) -> None:
    """Each row is what was said and when, in seconds, and what holds after it."""
    said, wanted = CASES[name]
    holding = Holding(0.0)
    holding.follow(CONTRACT)
    shown: Shown | None = None
    for at_s, what in said:
        shown = holding.hear(verdict(at_s, **what), at_s)
    assert (None if shown is None else (shown.label, shown.standing)) == wanted


def test_look() -> None:
    """The safe output comes by itself when its time is up, once."""
    holding = Holding(0.0)
    holding.follow(CONTRACT)
    holding.hear(verdict(1, **LEAK), 1)
    now = AT + timedelta(seconds=30)
    assert holding.look(11.0, now) is None
    shown = holding.look(11.1, now)
    assert shown == Shown("normal", SAFE, now, place=0)
    assert holding.look(12.0, now) is None


def test_model_leaves() -> None:
    """A model that leaves has promised; its contract is kept without it."""
    holding = Holding(0.0)
    holding.follow(CONTRACT)
    holding.hear(verdict(1, **LEAK), 1)
    holding.follow(None)
    shown = holding.hear(verdict(12, reason=NO_MODEL), 12)
    assert shown is not None
    assert (shown.label, shown.standing) == ("normal", SAFE)


def test_no_model_ever() -> None:
    """Where there never was a model nothing holds, and nothing beats."""
    holding = Holding(0.0)
    assert holding.hear(verdict(1, reason=NO_MODEL), 1) is None
    assert holding.look(1e6, AT) is None
    assert not holding.scoring(1)


def test_described() -> None:
    """What holds comes with its place among the classes, and whether it is an alarm."""
    holding = Holding(0.0)
    holding.follow(CONTRACT)
    shown = holding.hear(verdict(1, value=2.5, **LEAK), 1)
    at = AT + timedelta(seconds=1)
    assert shown == Shown("leak", DECIDED, at, 1, alarm=True, confidence=0.9, value=2.5)


SAFE_OUTPUTS: dict[str, tuple[int | None, bool]] = {
    "normal": (0, False),
    "leak": (1, True),
    UNKNOWN: (None, False),
}


@pytest.mark.parametrize("label", SAFE_OUTPUTS)
def test_safe_output(label: str) -> None:
    """A contract names a class, which may be an alarm, or not knowing, which is none."""
    place, alarm = SAFE_OUTPUTS[label]
    holding = Holding(0.0)
    holding.follow(msgspec.structs.replace(CONTRACT, safe_output=label))
    holding.hear(verdict(1, **LEAK), 1)
    shown = holding.hear(verdict(2, **ORDERED), 2)
    assert shown == Shown(label, SAFE, AT + timedelta(seconds=2), place, alarm=alarm)


SCORING: dict[str, tuple[Fields, bool]] = {
    "a decision": (LEAK, True),
    "a bad input, found out": (BAD, True),
    "an order to be safe": (ORDERED, True),
    "a model that failed": (FAILED, False),
    "no model": ({"reason": NO_MODEL}, False),
}


@pytest.mark.parametrize("name", SCORING)
def test_scoring(name: str) -> None:
    """Each row is the last thing said, and whether that is scoring; silence is not, in the end."""
    what, scoring = SCORING[name]
    holding = Holding(0.0)
    holding.follow(CONTRACT)
    holding.hear(verdict(1, **what), 1)
    assert holding.scoring(10.9) is scoring
    assert not holding.scoring(11.1)


def test_usual_silence() -> None:
    """A model that does not say may be silent for three windows."""
    made = signature()
    stride_s = made.windowing.period_s * made.windowing.stride_rows
    assert made.silence_s == pytest.approx(3 * stride_s)
    assert CONTRACT.silence_s == 10.0
