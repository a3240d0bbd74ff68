"""Which tags have kept windows from a verdict for too long: a case for whoever mends instruments.

Values in, values out. One bad window is a passing thing; a tag that forbade each of them for a
minute, and for two windows where they are longer, is a broken instrument or a lost line to it.
Many tags at once have one cause, so they are told in one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from edge_core.contracts.gateway import BAD_INPUTS_MAX, BadInput
from edge_runtime.faults import Faults
from edge_runtime.frames.silence import stride_s
from edge_runtime.scoring import Scored

DELAY_S: Final = 60.0
DELAY_WINDOWS: Final = 2
KIND: Final = "input"
NAMED_MAX: Final = 8  # of many tags, as many names as a line can bear


@dataclass(frozen=True, slots=True)
class _Spell:
    """One tag since it went bad: in which window, at what monotonic time, and why."""

    at: datetime
    since_s: float
    why: str


class Instruments:
    """Follows every tag from window to window; times are monotonic seconds."""

    def __init__(self) -> None:
        self._spells: dict[str, _Spell] = {}

    def look(
        self, bad: Mapping[str, str], at: datetime, now_s: float, stride_s: float
    ) -> dict[str, str]:
        """What a person has to be told after one more window, by its kind.

        Args:
            bad: why, of each tag that forbade a verdict.
            at: the end of the window.
            now_s: when it was judged.
            stride_s: how often there is a window.
        """
        delay_s = max(DELAY_S, DELAY_WINDOWS * stride_s)
        before_s = now_s - delay_s
        spells = {tag: self._spells.get(tag, _Spell(at, now_s, why)) for tag, why in bad.items()}
        # What was told stays as it was told, whatever else goes wrong with that tag meanwhile.
        self._spells = {
            tag: each if each.since_s <= before_s else replace(each, why=bad[tag])
            for tag, each in spells.items()
        }
        due = {tag: each for tag, each in self._spells.items() if each.since_s <= before_s}
        if len(due) > BAD_INPUTS_MAX:
            return {KIND: _together(due)}
        return {f"{KIND} {tag}": _alone(tag, spell) for tag, spell in due.items()}


class InstrumentWatch:
    """Tells of bad instruments as faults, and that they are good again."""

    def __init__(self, faults: Faults, monotonic: Callable[[], float]) -> None:
        self._faults = faults
        self._monotonic = monotonic
        self._instruments = Instruments()
        self._told: dict[str, str] = {}

    def take(self, scored: Scored) -> None:
        """See `watchers`."""
        model = scored.route.effective
        verdict = scored.verdict
        told: dict[str, str] = {}
        if model is not None:
            bad = dict(zip(verdict.bad, scored.why, strict=True))
            every_s = stride_s(model.signature.windowing)
            told = self._instruments.look(bad, verdict.ended, self._monotonic(), every_s)
        for kind in self._told.keys() - told.keys():
            self._faults.mend(kind)
        for kind, words in told.items():
            if self._told.get(kind) != words:
                self._faults.fault(kind, words)
        self._told = told


def is_input(kind: str) -> bool:
    """Whether a fault of that kind is about instruments and not about the gateway."""
    return kind == KIND or kind.startswith(f"{KIND} ")


def told_of(kind: str, words: str) -> BadInput:
    """As a heartbeat says it."""
    return BadInput(tag=kind.removeprefix(KIND).strip() or None, words=words)


def _alone(tag: str, spell: _Spell) -> str:
    return (
        f"{tag}: {spell.why} since {_text(spell.at)}, no verdict until it is good: check the "
        "instrument"
    )


def _together(due: Mapping[str, _Spell]) -> str:
    names = ", ".join(sorted(due)[:NAMED_MAX])
    first = min(due.values(), key=lambda each: each.since_s)
    return (
        f"{len(due)} tags ({names}{', ...' if len(due) > NAMED_MAX else ''}): {first.why} since "
        f"{_text(first.at)}, no verdict until they are good: check what they have in common"
    )


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
