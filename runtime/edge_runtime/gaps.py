"""The gaps that sources record: which tag, from when to when, and why."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_core.features.samples import CellQuality, Samples
from edge_runtime.clock import OFF_TIME_NS
from edge_runtime.sources.sample import GapCause

GAPS_MAX: Final = 1024  # kept: two outages of as many tags as a gateway may have
_CAUSE_BITS: Final = 0xFFFF
_CAUSES: Final = {int(cause): cause for cause in GapCause}

WORDS: Final = {
    GapCause.UNTOLD: "nothing is known",
    GapCause.CONNECTION: "the connection was lost",
    GapCause.SILENCE: "its source fell silent",
    GapCause.OVERFLOW: "values were lost in a queue",
    GapCause.SEQUENCE: "a message is missing",
    GapCause.DEATH: "its source has ended",
    GapCause.UNIT: "unit changed at its source",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing is known of *role* after `start_ns`, until `end_ns` if it has ended.

    `said` is what its source itself said of the cause.
    """

    role: str
    start_ns: int
    cause: GapCause
    end_ns: int | None = None
    said: str = ""

    def touches(self, start_ns: int, end_ns: int) -> bool:
        """Whether any instant of the gap lies within; both ends count."""
        return self.start_ns <= end_ns and (self.end_ns is None or self.end_ns >= start_ns)

    @property
    def words(self) -> str:
        """The cause, for people."""
        return self.said or WORDS[self.cause]


class GapLog:
    """Gaps open and closed, the last `GAPS_MAX` of them."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._roles = roles
        self._open: dict[int, Gap] = {}
        self._closed: deque[Gap] = deque(maxlen=GAPS_MAX)
        self._lost = np.zeros(len(roles), np.bool_)

    @property
    def recent(self) -> tuple[Gap, ...]:
        """Oldest first."""
        return tuple(
            sorted((*self._closed, *self._open.values()), key=lambda gap: (gap.start_ns, gap.role))
        )

    def touching(self, start_ns: int, end_ns: int) -> tuple[Gap, ...]:
        """The gaps that lie between two instants, if only in part."""
        if not self._closed and not self._open:
            return ()
        return tuple(gap for gap in self.recent if gap.touches(start_ns, end_ns))

    def take(
        self,
        samples: Samples,
        status: NDArray[np.uint32],
        off: NDArray[np.bool_],
        *,
        live: bool,
    ) -> None:
        """Open a gap where a sample says so; the next sample of that tag that is of now ends it.

        A live one that is far older than the gap ends it too: the clock was set back meanwhile.

        Args:
            samples: in order of arrival.
            status: their codes; the low bits of a gap's are its cause.
            off: which of them are not of now.
            live: they are no history.
        """
        opens = (samples.quality == CellQuality.GAP) | (samples.quality == CellQuality.UNIT)
        if not opens.any() and not self._lost[samples.tags].any():
            return
        self._lost[samples.tags[opens]] = True
        for at in np.flatnonzero(self._lost[samples.tags] & ~off).tolist():
            tag, time_ns = int(samples.tags[at]), int(samples.times_ns[at])
            if opens[at]:
                cause = _CAUSES.get(int(status[at]) & _CAUSE_BITS, GapCause.UNTOLD)
                self._open.setdefault(tag, Gap(self._roles[tag], time_ns, cause))
            elif tag in self._open:
                self._end(tag, time_ns, live=live)

    def _end(self, tag: int, time_ns: int, *, live: bool) -> None:
        start_ns = self._open[tag].start_ns
        set_back = live and time_ns < start_ns - OFF_TIME_NS
        if time_ns > start_ns or set_back:
            self._closed.append(replace(self._open.pop(tag), end_ns=max(time_ns, start_ns)))
            self._lost[tag] = False
