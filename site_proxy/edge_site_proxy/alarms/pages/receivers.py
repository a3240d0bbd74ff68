"""Every receiver of pages at once: each goes at its own pace, and none waits for another."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from edge_site_proxy.alarms.pages.queue import Ear, PageQueue
from edge_site_proxy.store import StoreUnavailableError

TIDY_S: Final = 60.0

log = structlog.get_logger(__name__)


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def ear(self) -> Ear:
        """Its name, and what it can be told."""
        ...

    async def run(self) -> None:
        """Tell it, until cancelled."""
        ...


class Receivers:
    """All of them, and the end of pages that nobody has to be told of any more.

    Args:
        queue: the pages.
        receivers: as configured; with none of them pages are kept while their alarms stand.
    """

    def __init__(self, queue: PageQueue, receivers: Sequence[Receiver]) -> None:
        self._queue = queue
        self._receivers = receivers

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for receiver in self._receivers:
                group.create_task(receiver.run())
            group.create_task(self._tidy())

    async def tidy(self) -> None:
        """Forget pages that are over."""
        await self._queue.close_done([receiver.ear for receiver in self._receivers])

    async def _tidy(self) -> None:
        while True:
            try:
                await self.tidy()
            except StoreUnavailableError as error:
                log.warning("pages.kept", reason=str(error))
            await asyncio.sleep(TIDY_S)
