"""Waiting that can be cut short: for a time, or for work, until somebody sets the wake."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from edge_core.contracts.errors import EdgeError

T = TypeVar("T")


class Wake:
    """Set from anywhere on the loop; one task waits on it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Cut short whatever waits, now or next."""
        self._event.set()

    def clear(self) -> None:
        """Everything that was said has been read."""
        self._event.clear()

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*, or sooner when woken."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    async def unless_woken(self, work: Coroutine[Any, Any, T]) -> T | None:  # Any: never sent into
        """What *work* gives, or None if it was woken first, and then *work* was cancelled.

        Raises:
            EdgeError: as *work* does.
        """
        done: list[T] = []
        failed: list[EdgeError] = []

        async def carry_out() -> None:
            try:
                done.append(await work)
            except EdgeError as error:
                failed.append(error)

        async with asyncio.TaskGroup() as group:
            working = group.create_task(carry_out())
            waiting = group.create_task(self._event.wait())
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            waiting.cancel()
        if failed:
            raise failed[0]
        return done[0] if done else None
