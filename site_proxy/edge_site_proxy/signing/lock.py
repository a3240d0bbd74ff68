"""How many wrong PINs are too many, and for how long; on the monotonic clock; pure."""

from dataclasses import dataclass
from itertools import pairwise

FAILURES_MAX = 5
LOCKED_S = 900.0


@dataclass(frozen=True, slots=True)
class Lock:
    """The wrong PINs of one person since the last right one.

    After the fifth none is looked at for a quarter of an hour, and then one at a time: each
    further wrong one locks again. So a thousand days are too few to try every PIN.

    Attributes:
        failures: in a row.
        since_s: when the newest was, on the monotonic clock; a restart counts as just now.
    """

    failures: int = 0
    since_s: float = 0.0

    def left_s(self, now_s: float) -> float:
        """How long no PIN is looked at; 0 while one is."""
        if self.failures < FAILURES_MAX:
            return 0.0
        return max(0.0, self.since_s + LOCKED_S - now_s)

    def failed(self, now_s: float) -> "Lock":
        """One more wrong PIN."""
        return Lock(self.failures + 1, now_s)


def easy(pin: str) -> bool:
    """Whether *pin* is one digit repeated, or digits counted up or down."""
    steps = {int(after) - int(before) for before, after in pairwise(pin)}
    return len(steps) == 1 and steps <= {-1, 0, 1}
