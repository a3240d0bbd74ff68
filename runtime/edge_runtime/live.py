"""Shows what goes on in a running gateway to whoever watches: values, windows, verdicts.

Looking costs the pipeline nothing: events go to bounded queues, and who reads too slowly loses the
oldest and is told how many. Values are a picture of all tags now and then, not every sample.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from edge_core.contracts.artefact import Label
from edge_core.contracts.errors import TryAgainError
from edge_core.contracts.plant import Instant
from edge_runtime.frames.newest import PicturesSeen
from edge_runtime.scoring import Scored, instant
from edge_runtime.verdict import Verdict
from edge_runtime.windows import Latest

WATCHERS_MAX: Final = 8
WAITING_MAX: Final = 1000  # events that one watcher has not read yet


class ValueSeen(Struct, frozen=True, kw_only=True, tag_field="kind", tag="value"):
    """What a tag shows; `age_s` is since its source time, by the plant's clock."""

    role: Label
    value: float | None
    unit: str
    quality: str
    at: Instant
    age_s: float


class WindowSeen(Struct, frozen=True, kw_only=True, tag_field="kind", tag="window"):
    """A window that was cut: the share of usable rows of each tag, and whose have a gap in it.

    Where pictures are the windows, `good` has the camera instead of the tags.
    """

    window: int
    started: Instant
    ended: Instant
    good: dict[Label, float]
    gaps: list[Label] = []


class VerdictSeen(Struct, frozen=True, kw_only=True, tag_field="kind", tag="verdict"):
    """A verdict as published; `shadow` is what the model that looks on said."""

    verdict: Verdict
    shadow: Label | None = None


class Missed(Struct, frozen=True, kw_only=True, tag_field="kind", tag="missed"):
    """So many events were let go, since they were read too slowly."""

    events: int


Seen = ValueSeen | PicturesSeen | WindowSeen | VerdictSeen | Missed


class Shows(msgspec.Struct, frozen=True, kw_only=True):
    """What one watcher wants: values every so often, and only some roles of them."""

    every_s: float = 1.0
    roles: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Watcher:
    waiting: deque[Seen] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    missed: int = 0

    def put(self, seen: Seen) -> None:
        if len(self.waiting) == WAITING_MAX:
            self.waiting.popleft()
            self.missed += 1
        self.waiting.append(seen)
        self.filled.set()

    def drain(self) -> list[Seen]:
        found: list[Seen] = [Missed(events=self.missed)] if self.missed else []
        self.missed = 0
        found += self.waiting
        self.waiting.clear()
        self.filled.clear()
        return found


class LiveFeed:
    """Tells watchers what the pipeline does.

    Args:
        roles: of the columns of a window.
        units: the unit of each role.
        latest: the last sample of every tag that has one.
        now_ns: the plant's time, None before the first sample.
        pictures: what became of those of every camera.
    """

    def __init__(
        self,
        roles: Sequence[str],
        units: dict[str, str],
        latest: Callable[[], Sequence[Latest]],
        now_ns: Callable[[], int | None],
        pictures: Callable[[], Sequence[PicturesSeen]] = tuple,
    ) -> None:
        self._roles = tuple(roles)
        self._units = units
        self._latest = latest
        self._now_ns = now_ns
        self._pictures = pictures
        self._watchers: list[_Watcher] = []

    def take(self, scored: Scored) -> None:
        """Show one window and its verdict; never blocks, never raises."""
        if not self._watchers:
            return
        window = scored.cut.window
        seen = WindowSeen(
            window=scored.cut.number,
            started=instant(window.start_ns),
            ended=instant(window.end_ns),
            good=self._good(scored),
            gaps=[role for role, gap in zip(self._roles, window.gap, strict=True) if gap],
        )
        second = scored.opinions[1].label if len(scored.opinions) > 1 else None
        for watcher in self._watchers:
            watcher.put(seen)
            watcher.put(VerdictSeen(verdict=scored.verdict, shadow=second))

    def _good(self, scored: Scored) -> dict[Label, float]:
        """The share of usable rows of each tag; of a model of pictures, whether there was one."""
        window, model = scored.cut.window, scored.route.effective
        if model is not None and model.signature.frame is not None:
            return {model.signature.frame.role: float(window.picture is not None)}
        shares = zip(self._roles, window.good_share, strict=True)
        return {role: round(float(share), 4) for role, share in shares}

    async def watch(self, shows: Shows) -> AsyncIterator[Seen]:
        """Everything from now on, for ever; begins with all values.

        Raises:
            TryAgainError: too many are watching already.
        """
        if len(self._watchers) >= WATCHERS_MAX:
            raise TryAgainError(f"watch: expected at most {WATCHERS_MAX} at once, found as many")
        watcher = _Watcher()
        self._watchers.append(watcher)
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        try:
            while True:
                if loop.time() >= due_s:
                    due_s = loop.time() + shows.every_s
                    for value in self._values(shows.roles):
                        watcher.put(value)
                    for camera in self._pictures():
                        if not shows.roles or camera.role in shows.roles:
                            watcher.put(camera)
                for seen in watcher.drain():
                    yield seen
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due_s):
                        await watcher.filled.wait()
        finally:
            self._watchers.remove(watcher)

    def _values(self, roles: frozenset[str]) -> list[ValueSeen]:
        now_ns = self._now_ns()
        return [
            ValueSeen(
                role=each.role,
                value=each.value if math.isfinite(each.value) else None,
                unit=self._units[each.role],
                quality=each.quality.name.lower(),
                at=instant(each.source_ns),
                age_s=0.0 if now_ns is None else max(0.0, (now_ns - each.source_ns) / 1e9),
            )
            for each in self._latest()
            if not roles or each.role in roles
        ]
