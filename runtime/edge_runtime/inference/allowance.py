"""Processor time for one window: the kernel ends a process that takes more, whoever watches.

The daemon's deadline is the first guard. This one holds while the daemon cannot look: it is
stopped, or starved by the very process that spins.
"""

import resource
from collections.abc import Callable
from typing import Final

_SPENT_MAX: Final = (
    0.5  # of the allowance, before it is given anew; a system call a window is much
)


class Allowance:
    """Processor seconds of this process, given anew as windows are answered.

    Args:
        cpu_s: what one window may take.
        spent_s: what this process has taken so far.
        limit: from now on this process ends once it has taken so many seconds.
    """

    def __init__(
        self, cpu_s: int, spent_s: Callable[[], float], limit: Callable[[int], None]
    ) -> None:
        self._cpu_s = cpu_s
        self._spent_s = spent_s
        self._limit = limit
        self._renew_at_s = 0.0
        self.renew()

    def renew(self) -> None:
        """A window is done; the next may take the whole allowance, and a second at most beyond."""
        spent_s = self._spent_s()
        if spent_s < self._renew_at_s:
            return
        self._renew_at_s = spent_s + self._cpu_s * _SPENT_MAX
        self._limit(int(self._renew_at_s + self._cpu_s) + 1)


def limit_cpu(bound_s: int) -> None:
    """The kernel ends this process at *bound_s* of processor time, or where it would anyway."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft_limit(bound_s, hard), hard))


def soft_limit(bound_s: int, hard: int) -> int:
    """*bound_s*, or *hard* where the kernel allows no more."""
    return bound_s if hard == resource.RLIM_INFINITY else min(bound_s, hard)
