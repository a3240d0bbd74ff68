"""An event loop whose time is its own: whoever sleeps is woken at once, and the clock says when.

Only for code that waits for time and for other tasks; threads and sockets know no such clock.
"""

import asyncio
import selectors
from dataclasses import dataclass


@dataclass(slots=True)
class VirtualClock:
    """Seconds since the loop was made."""

    now_s: float = 0.0


class _Selector(selectors.SelectSelector):
    """Instead of waiting for the next timer, turns the clock to it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; nobody is waited for."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("every task waits for something that will never come")
        if not ready and timeout is not None:
            self._clock.now_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """As above; `anyio_backend` takes it as `("asyncio", {"loop_factory": VirtualLoop})`."""

    def __init__(self) -> None:
        self._virtual = VirtualClock()
        super().__init__(_Selector(self._virtual))

    def time(self) -> float:
        """The virtual time, seconds."""
        return self._virtual.now_s
