"""From when on nothing is known, once a source that speaks by messages has gone; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.sources.sample import GapCause, Ingest, gaps


@dataclass(slots=True)
class LastHeard:
    """What time it was at the source when it last spoke.

    One message with a time in the far future must not put the gap there, nor one of yesterday
    there. So there are two gaps: one behind the newest value ever, one behind the last message.
    Whichever of them is wrong lies where it changes nothing.
    """

    _newest_ns: int = 0
    _last_ns: int = 0

    def observe(self, newest_ns: int) -> None:
        """A message whose newest value is of *newest_ns* came."""
        self._last_ns = newest_ns
        self._newest_ns = max(self._newest_ns, newest_ns)

    def mark(self, places: Sequence[int], cause: GapCause, ingest: Ingest) -> None:
        """Hand on the gaps of the tags at *places*; none if nothing was ever heard."""
        if self._newest_ns and places:
            for from_ns in sorted({self._last_ns, self._newest_ns}):
                ingest(gaps(places, from_ns + 1, cause))
