"""Pictures to numbered windows: each new one is a window, and so is each stride of silence."""

from collections.abc import Callable

from edge_core.contracts.artefact import Windowing
from edge_core.features.window import of_picture, of_silence
from edge_runtime.clock import SECOND_NS
from edge_runtime.frames.newest import Frame, Newest, Tally
from edge_runtime.frames.silence import Silence, allowed_s
from edge_runtime.gaps import Gap
from edge_runtime.ledger import Ledger
from edge_runtime.sources.sample import GapCause
from edge_runtime.windows import CutWindow


class PictureStream:
    """Where pictures of a gateway end, and the windows of a model of pictures begin.

    Args:
        newest: has the pictures.
        ledger: numbers the windows.
        tags: columns of a window of this gateway.
        monotonic: seconds that never step.
        unix_ns: the wall clock.
    """

    def __init__(
        self,
        newest: Newest,
        ledger: Ledger,
        tags: int,
        *,
        monotonic: Callable[[], float],
        unix_ns: Callable[[], int],
    ) -> None:
        self._newest = newest
        self._ledger = ledger
        self._tags = tags
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        self._silence: Silence | None = None

    def cut(self, role: str, windowing: Windowing) -> CutWindow | None:
        """The newest picture of *role*, or that there was none for too long; None if neither.

        A picture that waited for longer than one may be missing is not of now: it is passed over.
        """
        now_s, tally = self._monotonic(), self._newest.of(role)
        if self._silence is None or self._silence.role != role:
            self._silence = Silence(role, now_s)
        frame = self._newest.pop(role)
        if tally.came_s is not None:
            self._silence.seen(tally.came_s)
            if frame is not None and now_s - tally.came_s <= allowed_s(windowing, tally.stale_s):
                return self._picture(frame)
        if frame is not None:
            self._newest.skip(role)
        silent_s = self._silence.due(now_s, windowing, tally.stale_s)
        return None if silent_s is None else self._nothing(role, windowing, tally, silent_s)

    def _picture(self, frame: Frame) -> CutWindow:
        window = of_picture(frame.picture, frame.source_ns, self._tags)
        return CutWindow(self._ledger.give(window.end_ns), window)

    def _nothing(
        self, role: str, windowing: Windowing, tally: Tally, silent_s: float
    ) -> CutWindow:
        now_ns = self._unix_ns()
        window = of_silence(now_ns - int(silent_s * SECOND_NS), now_ns, self._tags)
        trouble = f"; {tally.trouble}" if tally.trouble else ""
        allowed = f"{allowed_s(windowing, tally.stale_s):g} s allowed"
        words = f"source {tally.source} fell silent, {allowed}{trouble}"
        gap = Gap(role, window.start_ns, GapCause.SILENCE, said=words)
        return CutWindow(self._ledger.give(now_ns), window, (gap,))
