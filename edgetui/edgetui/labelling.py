"""A labeller's bench: windows at hand, what was said of them, and what the site has confirmed.

Nothing is ticked as stored before the site proxy said so. What could not be sent waits and is sent
when the site is back; saying the same twice changes nothing there. Undo goes back over windows.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from edge_core.contracts.api import LabelRequest, LeaseRequest
from edge_core.contracts.errors import EdgeError, UnreachableError
from edge_core.contracts.review import UNSURE, ReviewItem
from edgetui.client import Operator

LEASED: Final = 20
LEASE_WHEN_LEFT: Final = 10
LEASE_S: Final = 900.0
UNDO_MAX: Final = 20
NORMAL: Final = "normal"
PACE_OVER: Final = 20  # labels that the pace is judged by
ANSWER_S: Final = 10.0
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)


class Step(Enum):
    """What a person did with a window."""

    LABEL = "label"
    SKIP = "skip"


@dataclass(slots=True)
class Said:
    """One thing said of one window."""

    item: ReviewItem
    step: Step
    label: str
    request: LabelRequest
    at: float
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call that waits for its answer: a label, or taking one back."""

    said: Said
    verb: str


def choices(item: ReviewItem) -> dict[str, str]:
    """Key to label: 0 is normal, 1 to 9 are the other classes in their order."""
    classes = item.window.classes
    normal = NORMAL if NORMAL in classes else classes[0]
    others = [name for name in classes if name != normal]
    return {"0": normal} | {str(n): name for n, name in enumerate(others[:9], 1)}


@dataclass
class Bench:
    """The windows of one labeller.

    Attributes:
        stored: how many labels the site has confirmed.
        trouble: what the site did not take, and why.
        proposal_shown: whether the model's opinion is on the screen.
    """

    monotonic: Callable[[], float]
    stored: int = 0
    trouble: str = ""
    proposal_shown: bool = True
    waiting: deque[Call] = field(default_factory=deque)
    _windows: list[ReviewItem] = field(default_factory=list)
    _position: int = 0
    _history: deque[Said] = field(default_factory=lambda: deque(maxlen=UNDO_MAX))
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=PACE_OVER))
    _shown_at: float = 0.0

    @property
    def current(self) -> ReviewItem | None:
        """The window on the screen."""
        at = self._position
        return self._windows[at] if at < len(self._windows) else None

    @property
    def at_hand(self) -> int:
        """How many windows are here and not yet decided."""
        return len(self._windows) - self._position

    @property
    def last(self) -> Said | None:
        """What `undo` would take back."""
        return self._history[-1] if self._history else None

    def take(self, leased: list[ReviewItem]) -> None:
        """Put windows that are not here yet behind those that are."""
        here = {item.item for item in self._windows}
        if self.current is None:
            self._shown_at = self.monotonic()
        self._windows += [item for item in leased if item.item not in here]

    def say(self, label: str) -> bool:
        """Say what the window was, and go on to the next; False where there is none."""
        return self._decide(Step.LABEL, label)

    def skip(self) -> bool:
        """Leave the window for somebody else."""
        return self._decide(Step.SKIP, "")

    def undo(self) -> Said | None:
        """Go back to the last window; a label that was sent is taken back there."""
        if not self._history:
            return None
        said = self._history.pop()
        unsent = [call for call in self.waiting if call.said is said and not said.sent]
        if unsent:
            self.waiting.remove(unsent[0])
        elif said.step is Step.LABEL:
            self.waiting.append(Call(said, "undo"))
        self._position = self._windows.index(said.item)
        self._shown_at = self.monotonic()
        return said

    def confirmed(self, call: Call) -> None:
        """The site has stored it."""
        self.waiting.popleft()
        self.stored += 1 if call.verb == "label" else -1

    def refused(self, call: Call, why: str) -> None:
        """The site did not take it, and will not."""
        self.waiting.popleft()
        self.trouble = f"item {call.said.item.item}: {why}"

    def a_minute(self) -> float:
        """Labels a minute, over the last ones."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return 0.0
        return (len(self._times) - 1) * 60 / (self._times[-1] - self._times[0])

    def _decide(self, step: Step, label: str) -> bool:
        item, now = self.current, self.monotonic()
        if item is None:
            return False
        request = LabelRequest(
            label=label or UNSURE,
            seconds=max(0.0, now - self._shown_at),
            proposal_shown=self.proposal_shown,
        )
        said = Said(item, step, label, request, now)
        self._history.append(said)
        self._position += 1
        self._shown_at = now
        if step is Step.LABEL:
            self._times.append(now)
            self.waiting.append(Call(said, "label"))
        return True


@dataclass
class Courier:
    """Carries labels to the site, one after the other, and fetches windows ahead."""

    bench: Bench
    site: Callable[[], Operator | None]
    changed: Callable[[], None]
    retry_s: tuple[float, ...] = RETRY_S
    line: str | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _dry: bool = False

    def wake(self) -> None:
        """Something was said."""
        self._woken.set()

    def look_again(self) -> None:
        """There may be new windows."""
        self._dry = False
        self._woken.set()

    async def run(self) -> None:
        """Carry until cancelled; without a site it waits for one."""
        failures = 0
        while True:
            try:
                await self._carry()
                failures = 0
            except (UnreachableError, TimeoutError):
                await asyncio.sleep(self.retry_s[min(failures, len(self.retry_s) - 1)])
                failures += 1
                continue
            self._woken.clear()
            if not self.bench.waiting and not self._wants_more():
                await self._woken.wait()

    async def _carry(self) -> None:
        site = self.site()
        if site is None:
            raise UnreachableError("the site proxy is away")
        while self.bench.waiting:
            await self._carry_one(site, self.bench.waiting[0])
        if self._wants_more():
            await self._fetch(site)

    def _wants_more(self) -> bool:
        return self.bench.at_hand < LEASE_WHEN_LEFT and not self._dry

    async def _fetch(self, site: Operator) -> None:
        before = self.bench.at_hand
        asked = LeaseRequest(count=LEASED, seconds=LEASE_S, line=self.line)
        try:
            async with asyncio.timeout(ANSWER_S):
                leased = await site.change("/v1/queue/lease", asked, list[ReviewItem])
        except UnreachableError:
            raise
        except EdgeError as error:
            self.bench.trouble, leased = str(error), []
        self.bench.take(leased)
        self._dry = self.bench.at_hand == before
        self.changed()

    async def _carry_one(self, site: Operator, call: Call) -> None:
        path = f"/v1/queue/{call.said.item.item}/{call.verb}"
        call.said.sent = True
        try:
            async with asyncio.timeout(ANSWER_S):
                await site.change(path, call.said.request, ReviewItem)
        except UnreachableError:
            raise
        except EdgeError as error:
            self.bench.refused(call, str(error))
        else:
            self.bench.confirmed(call)
        self.changed()
