"""The newest picture of each role; one that nobody took before the next came is passed over."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture.

    Attributes:
        role: what it shows.
        picture: shape (row, column, 3), red first.
        source_ns: when it was taken, nanoseconds since 1970.
        name: the file's, or the number in a stream.
    """

    role: str
    picture: NDArray[np.uint8]
    source_ns: int
    name: str


@dataclass(slots=True)
class Newest:
    """Where sources of pictures end, and whoever looks at them begins.

    Attributes:
        taken: pictures that came.
        skipped: pictures that a newer one replaced before anybody looked, by role.
        refused: pictures that could not be used, by role.
    """

    taken: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, Frame] = field(default_factory=dict)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: Frame) -> None:
        """This is now the newest of its role, unless a newer one waits."""
        self.taken += 1
        waiting = self._waiting.get(frame.role)
        if waiting is not None:
            self.skip(frame.role)
        if waiting is None or frame.source_ns >= waiting.source_ns:
            self._waiting[frame.role] = frame
        self._filled.set()

    def skip(self, role: str, count: int = 1) -> None:
        """Pictures were passed over."""
        self.skipped[role] = self.skipped.get(role, 0) + count

    def refuse(self, role: str) -> None:
        """A picture could not be used."""
        self.refused[role] = self.refused.get(role, 0) + 1

    def pop(self, role: str) -> Frame | None:
        """The newest picture of *role*, if there is one that was not given yet."""
        return self._waiting.pop(role, None)

    async def next(self, role: str) -> Frame:
        """The newest picture of *role* that was not given yet; waits for one."""
        while role not in self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.pop(role)
