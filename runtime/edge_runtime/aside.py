"""Asks a model aside, so that it never delays the line: a few windows wait for it, no more.

One window is asked at a time. When more wait than may, the oldest is dropped and counted, so that
a slow model is judged on fresh windows; what waits for a route that was replaced is dropped too.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

WAITING_MAX: Final = 4  # windows that may wait for a model beside the one it has

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Request(Generic[T]):
    """One question to one model, and what became of it.

    Attributes:
        ask: puts it to the model; never fails.
        wanted: whether anybody still wants to know.
        answer: None while it is open and when it was dropped.
        settled: answered or dropped.
    """

    ask: Callable[[], Awaitable[T]]
    wanted: Callable[[], bool]
    answer: T | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    _then: Callable[["Request[T]"], None] | None = None

    def then(self, heard: Callable[["Request[T]"], None]) -> None:
        """Call *heard* once, when it is settled or at once if it is."""
        if self.settled.is_set():
            heard(self)
        else:
            self._then = heard

    def settle(self, answer: T | None) -> None:
        """Keep the answer, None if there will be none, and tell whoever waits."""
        if self.settled.is_set():
            return
        self.answer = answer
        self.settled.set()
        if self._then is not None:
            self._then(self)


class Aside(Generic[T]):
    """The windows that wait for one model; `run` puts them to it.

    Attributes:
        dropped: requests that were never put.
    """

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._waiting: deque[Request[T]] = deque()
        self._filled = asyncio.Event()
        self._asking = False
        self.dropped = 0

    @property
    def idle(self) -> bool:
        """Whether a request would be put at once."""
        return not self._asking and not self._waiting

    def put(self, request: Request[T]) -> None:
        """Have *request* asked; the oldest that waits makes room. Never blocks."""
        self._waiting.append(request)
        while len(self._waiting) > self._waiting_max:
            self._drop(self._waiting.popleft())
        self._filled.set()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._filled.wait()
            await self.drain()

    async def drain(self) -> None:
        """Ask until nothing waits."""
        self._filled.clear()
        while self._waiting:
            request = self._waiting.popleft()
            if not request.wanted():
                self._drop(request)
                continue
            self._asking = True
            try:
                request.settle(await request.ask())
            finally:
                self._asking = False
                request.settle(None)

    def _drop(self, request: Request[T]) -> None:
        self.dropped += 1
        request.settle(None)
