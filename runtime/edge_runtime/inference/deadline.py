"""Watches the oldest window of a worker with one timer, which looks again whenever it fires."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls *late* when the oldest window has been at work for *deadline_s* or longer.

    *head_for_s* says how long that is, or None while nothing is at work.
    """

    def __init__(
        self, deadline_s: float, head_for_s: Callable[[], float | None], late: Callable[[], None]
    ) -> None:
        self._deadline_s = deadline_s
        self._head_for_s = head_for_s
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Watch from now on, if there is anything to watch."""
        if self._timer is not None:
            return
        head_s = self._head_for_s()
        if head_s is not None:
            left_s = max(0.0, self._deadline_s - head_s)
            self._timer = self._loop.call_later(left_s, self._look)

    def cancel(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        head_s = self._head_for_s()
        if head_s is not None and head_s >= self._deadline_s:
            self._late()
        self.arm()
