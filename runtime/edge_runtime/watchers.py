"""Everybody who looks at a scored window after its verdict is out; none of them can change it."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import structlog

from edge_core.contracts.errors import EdgeError
from edge_core.drift.errors import ReferenceRefusedError
from edge_core.drift.wcusum import DriftScore
from edge_runtime.charts import ChartKeeper
from edge_runtime.config import ReviewConfig
from edge_runtime.drift import DriftWatch
from edge_runtime.health import HealthSums
from edge_runtime.instruments import InstrumentWatch
from edge_runtime.line import InForce, LineWatch
from edge_runtime.live import LiveFeed
from edge_runtime.review import ReviewRouter, suspect
from edge_runtime.scoring import Scored
from edge_runtime.telemetry import Meters
from edge_runtime.traces import Traces
from edge_runtime.windows import WindowStream

log = structlog.get_logger(__name__)

WAITING_MAX: Final = 16  # suspect windows on their way to the outbox; more are let go
RETRY_S: Final = 5.0


class Keeps(Protocol):
    """Where suspect windows are kept until the site has them."""

    async def add_window(self, body: bytes) -> None:
        """Returns once it is safe."""
        ...


@dataclass(frozen=True, slots=True)
class Watchers:
    """Health, drift, telemetry, review, the line's signals, instruments, and who watches live."""

    health: HealthSums
    drift: DriftWatch
    charts: ChartKeeper
    meters: Meters
    review: "Review"
    live: LiveFeed
    line: LineWatch
    traces: Traces
    instruments: InstrumentWatch
    _open: dict[int, DriftScore | None] = field(default_factory=dict)

    def take(self, scored: Scored) -> None:
        """Look at one window, in order, with the opinions that were there for its verdict."""
        self.live.take(scored)
        self.instruments.take(scored)
        seen = self.line.take(scored)
        for verdict in seen.overridden:
            self.overridden(verdict)
        self.health.take(scored, seen.kpi)
        self.meters.take(scored)
        self.traces.take(scored)
        drift = self._charted(scored)
        if scored.awaits:
            self._open[scored.cut.number] = drift
            return
        self.review.take(scored, drift)

    def second(self, scored: Scored) -> None:
        """Look again at a window whose last opinion came after its verdict, or never will."""
        self.health.second(scored)
        self.meters.second(scored)
        self.traces.second(scored)
        self.review.take(scored, self._open.pop(scored.cut.number, None))

    def decided(self, label: str) -> None:
        """The operator says *label*."""
        verdict = self.line.decided(label)
        if verdict is not None:
            self.overridden(verdict)

    def overridden(self, verdict: InForce) -> None:
        """The operator decided against the verdict in force."""
        self.health.override(verdict.model, verdict.role)
        self.meters.override(verdict.model, verdict.role)

    def _charted(self, scored: Scored) -> DriftScore | None:
        try:
            return self.drift.take(scored)
        except ReferenceRefusedError as error:
            # The reference came with the release: a bad one costs its charts, not the verdicts.
            log.warning("drift.refused", reason=str(error))
            return None


class Review:
    """Sends picked windows to the outbox.

    Attributes:
        picked: windows that were to be kept.
        let_go: those of them that were pushed out by newer ones before they were.
    """

    def __init__(
        self,
        router: ReviewRouter,
        stream: WindowStream,
        units: dict[str, str],
        budget: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._router = router
        self._stream = stream
        self._units = units
        self._budget = budget
        self._monotonic = monotonic
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._filled = asyncio.Event()
        self.picked = 0
        self.let_go = 0

    def follow(self, config: ReviewConfig) -> None:
        """Pick by other rules from now on."""
        self._router.follow(config)

    def take(self, scored: Scored, drift: DriftScore | None) -> None:
        """Pick the window, or do not."""
        pick = self._router.consider(scored, drift, budget=self._budget(), now_s=self._monotonic())
        window = None
        if pick is not None:
            window = suspect(scored, pick, self._stream.roles, self._units)
        if window is not None:
            self.picked += 1
            self.let_go += int(len(self._waiting) == WAITING_MAX)
            self._waiting.append(msgspec.json.encode(window))
            self._filled.set()

    async def run(self, keeps: Keeps) -> None:
        """Hand picked windows on, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                # Out of the queue first: what is picked meanwhile may push out what is in it.
                await self._kept(keeps, self._waiting.popleft())

    async def _kept(self, keeps: Keeps, window: bytes) -> None:
        """Have *window* kept, however long that takes; a disk that takes none is said once."""
        told = ""
        while True:
            try:
                await keeps.add_window(window)
            except EdgeError as error:
                if told != str(error):
                    told = str(error)
                    log.warning("review.unkept", reason=told)
                await asyncio.sleep(RETRY_S)
            else:
                return
