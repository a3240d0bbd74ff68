"""When a gateway that is in a hurry comes back: soon, but never all of them at once; pure.

Whoever is under way is asked back within seconds. Where that would be thousands, each gets the
next free appointment instead, so the site is asked as often as it can answer and no more.
"""

BEATS_A_SECOND = 250.0  # a third of what one core answers, the rest is for everything else


class Pace:
    """Gives out appointments."""

    def __init__(self, beats_a_second: float = BEATS_A_SECOND) -> None:
        self._apart_s = 1.0 / beats_a_second
        self._taken_until_s = 0.0

    def wait_s(self, now_s: float, busy_s: float, quiet_s: float) -> float:
        """Seconds until the next free appointment: at least *busy_s*, at most *quiet_s*.

        Args:
            now_s: monotonic.
            busy_s: how soon a gateway should come back where there is room for it.
            quiet_s: when it comes back anyway.
        """
        at_s = max(now_s + busy_s, self._taken_until_s)
        if at_s - now_s >= quiet_s:
            return quiet_s  # it comes anyway, and takes nobody's appointment
        self._taken_until_s = at_s + self._apart_s
        return at_s - now_s
