"""How long a window may take, and one timer that watches the oldest window of a worker."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from edge_runtime.inference.spec import LoadSpec

# Where twelve processes fought for two cores, a small model's slowest answer took 45 ms.
FLOOR_S: Final = 0.25
SLOW_TIMES: Final = 10.0
_FORGET: Final = 0.99  # how fast a slow answer is forgotten


@dataclass(slots=True)
class Pace:
    """What one window may take of a model that cuts a window every *stride_s*.

    No longer than until the next one is due, since what hangs costs every window meanwhile. But
    never less than `FLOOR_S` or several times what it took lately, which is what a busy machine
    may do to a healthy process; and at most *most_s*, which also holds until it is known.
    """

    most_s: float
    stride_s: float
    last_s: float = 0.0
    slowest_s: float = 0.0  # lately

    @classmethod
    def of(cls, spec: LoadSpec) -> Self:
        """As *spec* and the windows of its model say."""
        windowing = spec.signature.windowing
        return cls(spec.deadline_s, windowing.period_s * windowing.stride_rows)

    def took(self, seconds: float) -> None:
        """A window was answered after so long at work."""
        self.last_s = seconds
        self.slowest_s = max(seconds, self.slowest_s * _FORGET)

    def deadline_s(self, nice: int) -> float:
        """For the next window; what has to stand back behind others gets all there is."""
        if nice > 0 or self.slowest_s <= 0.0:
            return self.most_s
        return min(self.most_s, max(self.stride_s, FLOOR_S, SLOW_TIMES * self.slowest_s))


class Deadline:
    """Calls *late* with the deadline when the oldest window has been at work for so long.

    *deadline_s* is asked anew whenever it matters; *head_for_s* says how long the oldest window
    has been at work, or None while nothing is.
    """

    def __init__(
        self,
        deadline_s: Callable[[], float],
        head_for_s: Callable[[], float | None],
        late: Callable[[float], None],
    ) -> None:
        self._deadline_s = deadline_s
        self._head_for_s = head_for_s
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_s = 0.0  # the deadline for which the timer was set

    def arm(self) -> None:
        """Watch from now on, if there is anything to watch."""
        deadline_s = self._deadline_s()
        if self._timer is not None:
            if deadline_s > self._armed_s / 2:
                return  # as good as set for it
            self._timer.cancel()
            self._timer = None
        head_s = self._head_for_s()
        if head_s is not None:
            self._armed_s = deadline_s
            left_s = max(0.0, deadline_s - head_s)
            self._timer = self._loop.call_later(left_s, self._look)

    def cancel(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        head_s = self._head_for_s()
        deadline_s = self._deadline_s()
        if head_s is not None and head_s >= deadline_s:
            self._late(deadline_s)
        self.arm()
