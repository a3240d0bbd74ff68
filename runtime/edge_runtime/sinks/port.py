"""What the pipeline and the outlet ask of whoever takes verdicts."""

from typing import Protocol

from edge_runtime.sinks.standing import Shown
from edge_runtime.verdict import Verdict


class Sink(Protocol):
    """Takes verdicts at once."""

    def put(self, verdict: Verdict) -> None:
        """Never blocks, never raises."""
        ...


class Outlet(Protocol):
    """A sink that runs beside the pipeline and hears everything that a plant may want.

    Attributes:
        name: what faults call it.
        dropped: what it let go because the other side was too slow or away.
    """

    name: str
    dropped: int

    def put(self, verdict: Verdict) -> None:
        """One verdict; never blocks, never raises."""
        ...

    def show(self, shown: Shown) -> None:
        """What holds now; likewise."""
        ...

    def beat(self, count: int) -> None:
        """Windows are being scored; likewise."""
        ...

    async def run(self) -> None:
        """Hand on for ever."""
        ...
