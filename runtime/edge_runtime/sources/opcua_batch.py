"""Asks an OPC UA server about many things, so many at a time as it will have in one request.

A server's limits are seldom where they should be written (OPC 10000-5, 6.3.11), and who goes
beyond them is told so.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

TOO_MUCH: Final = (
    *("BadTooManyOperations", "BadResponseTooLarge", "BadEncodingLimitsExceeded"),
    *("BadRequestTooLarge", "BadTcpMessageTooLarge", "BadNoContinuationPoints"),
)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Batch:
    """How much is asked at once of one service; half as much for good where it was too much.

    Args:
        ua: asyncua's types.
        size: at first.

    Attributes:
        size: how many things are in one request.
    """

    def __init__(self, ua: Any, size: int) -> None:  # Any: asyncua ships no types
        self._ua = ua
        self.size = size

    async def each(
        self, ask: Callable[[Sequence[Asked]], Awaitable[Answer]], things: Sequence[Asked]
    ) -> AsyncIterator[tuple[Sequence[Asked], Answer]]:
        """Some of *things* with the answer to them, until all are answered.

        Raises:
            UaError: the server refuses, and not because it was too much.
        """
        at = 0
        while at < len(things):
            some = things[at : at + self.size]
            try:
                answer = await ask(some)
            except self._ua.UaStatusCodeError as error:
                self.lighten(error, len(some))
                continue
            at += len(some)
            yield some, answer

    def lighten(self, error: Any, asked: int) -> None:  # Any: as above
        """Make a request of *asked* things smaller, if *error* says that it was too large.

        Raises:
            UaError: it says something else, or there is nothing smaller.
        """
        if self._ua.StatusCode(error.code).name not in TOO_MUCH or asked <= 1:
            raise error
        self.size = asked // 2
