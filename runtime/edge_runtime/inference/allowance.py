"""Processor time for one window: the kernel ends a process that takes more, whoever watches.

The daemon's deadline is the first guard. This one holds while the daemon cannot look: it is
stopped, or starved by the very process that spins.
"""

import resource
import time
from typing import Final

_SPENT_MAX: Final = (
    0.5  # of the allowance, before it is given anew; a system call a window is much
)


class Allowance:
    """Processor seconds of this process, given anew as windows are answered."""

    def __init__(self, cpu_s: int) -> None:
        self._cpu_s = cpu_s
        self._renew_at_s = 0.0
        self.renew()

    def renew(self) -> None:
        """A window is done; the next may take the whole allowance, and a second at most beyond."""
        spent_s = time.process_time()
        if spent_s < self._renew_at_s:
            return
        self._renew_at_s = spent_s + self._cpu_s * _SPENT_MAX
        bound_s = int(self._renew_at_s + self._cpu_s) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = bound_s if hard == resource.RLIM_INFINITY else min(bound_s, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
