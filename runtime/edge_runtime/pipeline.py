"""Drives the sample's trip: cut windows when they are due, score them, tell everybody.

Windows are scored one after the other and in order. What decides is published at once; the model
that looks on, health, drift, review and telemetry come after it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from edge_core.contracts.plant import Serial
from edge_runtime.frames.windows import PictureStream
from edge_runtime.ledger import Ledger
from edge_runtime.route import Route
from edge_runtime.scoring import Scored, Scorer, instant
from edge_runtime.sinks.port import Sink
from edge_runtime.verdict import NO_MODEL, Verdict
from edge_runtime.windows import CutWindow, WindowStream

log = structlog.get_logger(__name__)

TICK_S_MAX: Final = 0.25  # how late a window may be noticed
TICK_S_MIN: Final = 0.02
TICKS_A_STRIDE: Final = 2
RECENT_MAX: Final = 200  # verdicts kept for a snapshot
CUT_SHORT: Final = "the gateway restarted before this window was scored"


class Onlooker(Protocol):
    """Sees each scored window after its verdict is out."""

    def take(self, scored: Scored) -> None:
        """Look at it; never blocks, never raises."""
        ...


class Pipeline:
    """From samples to verdicts.

    `kept` are verdicts of the last process that a sink has yet to say; `pictures` cuts the windows
    of a model that looks at pictures.

    Attributes:
        recent: the last verdicts, newest last.
        beats: how often it has gone on: a window scored, or a look that found none due.
    """

    def __init__(
        self,
        stream: WindowStream,
        scorer: Scorer,
        ledger: Ledger,
        sinks: Sequence[Sink],
        watchers: Onlooker,
        kept: Collection[Verdict] = (),
        pictures: PictureStream | None = None,
    ) -> None:
        self._pictures = pictures
        self._period_s = TICK_S_MAX * TICKS_A_STRIDE
        self._stream = stream
        self._scorer = scorer
        self._ledger = ledger
        self._sinks = sinks
        self._watchers = watchers
        self._kept = {verdict.window: verdict.decided for verdict in kept}
        self.recent: deque[Verdict] = deque(maxlen=RECENT_MAX)
        self.beats = 0

    def resume(self, serial: Serial, epoch: int, now: datetime) -> None:
        """Say what the last process could not, before anything new is said.

        A window that was numbered and not scored when it was killed gets no verdict and keeps its
        number, so a listener never has to guess at a hole.
        """
        if self._ledger.cut == 0:
            self._tell(_undecided(serial, epoch, 0, now, NO_MODEL))
        ended = instant(self._ledger.last_end_ns)
        for number in self._ledger.unfinished:
            if number not in self._kept:
                self._tell(_undecided(serial, epoch, number, ended, CUT_SHORT))
            self._ledger.out(number, scored=self._kept.get(number, False))

    async def run(self, serial: Serial, epoch: int, now: Callable[[], datetime]) -> None:
        """Score for ever."""
        self.resume(serial, epoch, now())
        while True:
            async with self._scorer.turn() as route:
                await self.tick(route)
            self.beats += 1
            await asyncio.sleep(self._tick_s)

    async def tick(self, route: Route) -> None:
        """Everything that is due now, on one route."""
        # Without a model windows go on as they were, so that the line hears of it each time.
        if route.effective is not None:
            windowing = route.effective.signature.windowing
            self._period_s = windowing.period_s * windowing.stride_rows
            frame = route.effective.signature.frame
            if frame is not None:
                cut = None if self._pictures is None else self._pictures.cut(frame.role, windowing)
                if cut is not None:
                    await self._one(cut, route)
                return
            self._stream.follow(windowing)
        for cut in self._stream.cut():
            await self._one(cut, route)

    async def _one(self, cut: CutWindow, route: Route) -> None:
        self.beats += 1
        scored = await self._scorer.score(cut, route)
        # Kept first: a kill between the two leaves it said once, see `resume`.
        self._tell(scored.verdict)
        self._ledger.out(cut.number, scored=scored.decisive is not None)
        self._watchers.take(scored)

    def _tell(self, verdict: Verdict) -> None:
        self.recent.append(verdict)
        for sink in self._sinks:
            sink.put(verdict)

    @property
    def _tick_s(self) -> float:
        return min(TICK_S_MAX, max(TICK_S_MIN, self._period_s / TICKS_A_STRIDE))


def _undecided(serial: Serial, epoch: int, window: int, at: datetime, reason: str) -> Verdict:
    """What holds where no model was asked; window 0 is no window."""
    return Verdict(
        serial=serial,
        epoch=epoch,
        window=window,
        started=at,
        ended=at,
        decided=False,
        label=None,
        reason=reason,
    )
