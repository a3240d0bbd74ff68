"""The newest picture of each role; one that nobody took before the next came is passed over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from edge_core.contracts.label import Label
from edge_runtime.frames.head import Refusal
from edge_runtime.latencies import Latencies


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture.

    Attributes:
        role: what it shows.
        picture: shape (row, column, 3), red first.
        source_ns: when it was taken, nanoseconds since 1970.
        name: the file's, or the number in a stream.
        taken_us: how long decoding it took.
    """

    role: str
    picture: NDArray[np.uint8]
    source_ns: int
    name: str
    taken_us: int = 0


@dataclass(slots=True)
class Tally:
    """What became of the pictures of one role, and where they come from.

    Attributes:
        source: its name.
        stale_s: for how long a picture stands for what is there, as its line says.
        taken: pictures that came.
        skipped: pictures that a newer one replaced before anybody looked.
        refused: pictures that could not be used, by reason.
        decoding: how long it took for those that came.
        trouble: what went wrong since the last picture came; empty where nothing did.
        came_s: when the last one came, monotonic; None before the first.
    """

    source: str = ""
    stale_s: float | None = None
    taken: int = 0
    skipped: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    decoding: Latencies = field(default_factory=Latencies)
    trouble: str = ""
    came_s: float | None = None


class PicturesSeen(Struct, frozen=True, kw_only=True, tag_field="kind", tag="pictures"):
    """What became of one camera's pictures; `age_s` is since the last one, None before the first.

    `decoding_ms` is what decoding took, on average and at most; `trouble` what went wrong since.
    """

    role: Label
    source: str
    taken: int
    skipped: int
    refused: dict[str, int]
    decoding_ms: float
    decoding_ms_max: float
    age_s: float | None
    trouble: str = ""


def _any_time(_: int) -> str:
    return ""


class Newest:
    """Where sources of pictures end, and whoever looks at them begins.

    Args:
        monotonic: seconds that never step.
        judge: what is wrong with a picture of such a source time; empty where nothing is.

    Attributes:
        tallies: by role.
    """

    def __init__(
        self, monotonic: Callable[[], float], judge: Callable[[int], str] = _any_time
    ) -> None:
        self._monotonic = monotonic
        self._judge = judge
        self._waiting: dict[str, Frame] = {}
        self._filled = asyncio.Event()
        self.tallies: dict[str, Tally] = {}

    def of(self, role: str) -> Tally:
        """What became of the pictures of *role*."""
        return self.tallies.setdefault(role, Tally())

    def comes_from(self, role: str, source: str, stale_s: float | None) -> None:
        """Pictures of *role* come from *source*, and each stands for so long."""
        tally = self.of(role)
        tally.source, tally.stale_s = source, stale_s

    def put(self, frame: Frame) -> None:
        """This is now the newest of its role, unless a newer one waits or it is not of now."""
        tally = self.of(frame.role)
        if wrong := self._judge(frame.source_ns):
            self.refuse(frame.role, Refusal.OFF_TIME, wrong)
            return
        tally.taken += 1
        tally.decoding.add(frame.taken_us)
        tally.came_s, tally.trouble = self._monotonic(), ""
        waiting = self._waiting.get(frame.role)
        if waiting is not None:
            tally.skipped += 1
        if waiting is None or frame.source_ns >= waiting.source_ns:
            self._waiting[frame.role] = frame
        self._filled.set()

    def skip(self, role: str, count: int = 1) -> None:
        """Pictures were passed over."""
        self.of(role).skipped += count

    def refuse(self, role: str, reason: str, words: str, count: int = 1) -> None:
        """Pictures could not be used."""
        tally = self.of(role)
        tally.refused[reason] = tally.refused.get(reason, 0) + count
        tally.trouble = words

    def lost(self, role: str, words: str) -> None:
        """No picture comes, and this is why."""
        self.of(role).trouble = words

    def shown(self) -> list[PicturesSeen]:
        """What became of the pictures of every role, for people."""
        return [self._shown(role, tally) for role, tally in self.tallies.items() if tally.source]

    def _shown(self, role: str, tally: Tally) -> PicturesSeen:
        age_s = None if tally.came_s is None else self._monotonic() - tally.came_s
        return PicturesSeen(
            role=role,
            source=tally.source,
            taken=tally.taken,
            skipped=tally.skipped,
            refused=dict(tally.refused),
            decoding_ms=round(tally.decoding.total / 1000 / max(1, tally.taken), 3),
            decoding_ms_max=tally.decoding.most / 1000,
            age_s=None if age_s is None else round(age_s, 3),
            trouble=tally.trouble,
        )

    def pop(self, role: str) -> Frame | None:
        """The newest picture of *role*, if there is one that was not given yet."""
        return self._waiting.pop(role, None)

    async def next(self, role: str) -> Frame:
        """The newest picture of *role* that was not given yet; waits for one."""
        while role not in self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.pop(role)
