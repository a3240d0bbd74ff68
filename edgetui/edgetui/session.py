"""One person at one terminal: armed or not, frozen or not, drafts, and the last word said."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edgetui.present.lines import Tone

ARMED_S: Final = 60.0
DEAF_S: Final = 0.3  # keys typed before a dialog was seen must not answer it
DRAFTS_MAX: Final = 20
WORD_S: Final = 30.0  # longer, and it would be read as being about what is on the screen by then
SILENCE: Final = ("", Tone.PLAIN)


@dataclass
class Session:
    """What the console remembers while it runs; nothing of it reaches the plant.

    Attributes:
        drafts: what was typed into dialogs that were left, by what they were about.
        filters: what each table screen is filtered by.
        leaving: whether somebody has been told what leaving would lose.
    """

    monotonic: Callable[[], float]
    drafts: dict[str, dict[str, str]] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=dict)
    leaving: bool = False
    _word: tuple[str, Tone] = SILENCE
    _word_until: float = float("-inf")
    _armed_until: float = float("-inf")
    _deaf_until: float = float("-inf")
    _frozen_at: float | None = None

    def arm(self) -> None:
        """Wake the capital keys."""
        self._armed_until = self.monotonic() + ARMED_S

    def armed_s(self) -> float:
        """For how long they stay awake, 0 when they sleep."""
        return max(0.0, self._armed_until - self.monotonic())

    def freeze(self) -> None:
        """Hold the screen still, or let it go on."""
        self._frozen_at = self.monotonic() if self._frozen_at is None else None

    def frozen_s(self) -> float | None:
        """For how long the screen has been held still, None when it is not."""
        return None if self._frozen_at is None else self.monotonic() - self._frozen_at

    def go_deaf(self, rtt_s: float) -> None:
        """Hear no key until a person on a link of *rtt_s* can have seen what just opened."""
        self._deaf_until = self.monotonic() + DEAF_S + rtt_s

    @property
    def deaf(self) -> bool:
        """Whether keys are dropped just now."""
        return self.monotonic() < self._deaf_until

    def say(self, words: str, tone: Tone = Tone.PLAIN) -> None:
        """Have *words* stand above the keys for a while, or until the next ones."""
        self._word = (words, tone)
        self._word_until = self.monotonic() + WORD_S

    @property
    def word(self) -> tuple[str, Tone]:
        """What the console had to say last, and how; nothing once that is long ago."""
        return self._word if self.monotonic() < self._word_until else SILENCE

    def keep_draft(self, about: str, typed: dict[str, str]) -> None:
        """Remember what was typed into a dialog that is being left."""
        self.drafts.pop(about, None)
        if any(typed.values()):
            self.drafts[about] = typed
        while len(self.drafts) > DRAFTS_MAX:
            self.drafts.pop(next(iter(self.drafts)))
