"""Which verdict holds, and for how long: decided, held for a while, or the model's safe output.

Values in, values out; times are seconds of a monotonic clock. A window without a verdict changes
nothing until there was none for as long as the model's contract allows; then its safe output
holds. Safe mode is an order and holds at once.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from edge_core.contracts.artefact import ModelSignature
from edge_runtime.verdict import SAFE_MODE, Verdict


class Standing(StrEnum):
    """Why a label holds."""

    DECIDED = "decided"
    HELD = "held"
    SAFE = "safe"


@dataclass(frozen=True, slots=True)
class Shown:
    """What holds now.

    Attributes:
        at: the end of the window it is from; when it was found out where there is none.
        place: of the label among the model's classes, None where it is none of them.
        alarm: whether it is another class than the normal one; what is no class is no alarm.
        confidence: of a decided label.
        value: of a regression.
    """

    label: str
    standing: Standing
    at: datetime
    place: int | None = None
    alarm: bool = False
    confidence: float | None = None
    value: float | None = None


class Holding:
    """What holds on one gateway, from verdict to verdict."""

    def __init__(self, now_s: float) -> None:
        self._contract: ModelSignature | None = None
        self._decided_s = now_s  # the model's time begins when we do
        self._heard_s = now_s
        self._scored_s: float | None = None
        self._shown: Shown | None = None

    @property
    def silence_s(self) -> float | None:
        """How long there may be no verdict; None before there was a model."""
        return None if self._contract is None else self._contract.silence_s

    def follow(self, contract: ModelSignature | None) -> None:
        """The model that decides now; when it leaves, its contract holds on."""
        if contract is not None:
            self._contract = contract

    def hear(self, verdict: Verdict, now_s: float) -> Shown | None:
        """What *verdict* makes of what holds, None where nothing ever held."""
        self._heard_s = now_s
        if verdict.decided or verdict.bad or verdict.reason == SAFE_MODE:
            self._scored_s = now_s
        if verdict.decided and verdict.label is not None:
            self._decided_s = now_s
            self._shown = self._of(verdict, verdict.label)
        elif verdict.reason == SAFE_MODE or self._late(now_s):
            self._shown = self._safe(verdict.ended)
        elif self._shown is not None and self._shown.standing is Standing.DECIDED:
            self._shown = replace(self._shown, standing=Standing.HELD)
        return self._shown

    def look(self, now_s: float, now: datetime) -> Shown | None:
        """The safe output if it holds since the last look, else None."""
        safe = self._shown is not None and self._shown.standing is Standing.SAFE
        if safe or not self._late(now_s):
            return None
        self._shown = self._safe(now)
        return self._shown

    def silent_s(self, now_s: float) -> float:
        """How long nobody said anything at all, not even that there is no verdict."""
        return now_s - self._heard_s

    def scoring(self, now_s: float) -> bool:
        """Whether windows are scored: the last one was no longer ago than there may be silence.

        A window that was not scored for its bad input counts; one whose model failed does not.
        """
        silence_s = self.silence_s
        if silence_s is None or self._scored_s is None:
            return False
        return now_s - self._scored_s <= silence_s

    def _late(self, now_s: float) -> bool:
        silence_s = self.silence_s
        return silence_s is not None and now_s - self._decided_s > silence_s

    def _safe(self, at: datetime) -> Shown | None:
        if self._contract is None:
            return self._shown
        label = self._contract.safe_output
        return self._described(Shown(label, Standing.SAFE, at))

    def _of(self, verdict: Verdict, label: str) -> Shown:
        return self._described(
            Shown(
                label,
                Standing.DECIDED,
                verdict.ended,
                confidence=verdict.confidence,
                value=verdict.value,
            )
        )

    def _described(self, shown: Shown) -> Shown:
        contract = self._contract
        if contract is None:
            return shown
        place = contract.classes.index(shown.label) if shown.label in contract.classes else None
        alarm = place is not None and shown.label != contract.normal_class
        return replace(shown, place=place, alarm=alarm)
