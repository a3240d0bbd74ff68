"""Stays with one receiver: wakes when alarms change, and leaves it alone when it fails."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Final

import structlog

from edge_core.contracts.api import Priority
from edge_core.contracts.errors import TryAgainError
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.alarms.errors import PageDelayedError, PageRefusedError
from edge_site_proxy.rollout.records import AlarmCall
from edge_site_proxy.telemetry.retry import backoff

BACKOFF_MAX: Final = timedelta(minutes=1)  # a receiver that is back is told soon
FAILURES_ALARM: Final = 4  # some ten seconds: an answer that was lost is no alarm

log = structlog.get_logger(__name__)


class Patience:
    """How one receiver has answered of late, and the alarm that follows from it.

    Args:
        book: where that alarm goes.
        name: of the receiver.
        random: of the backoff.
    """

    def __init__(self, book: AlarmBook, name: str, random: Random) -> None:
        self._book = book
        self._name = name
        self._random = random
        self._failures = 0

    async def well(self) -> None:
        """It took what it was told."""
        self._failures = 0
        await self._book.clear_alarm(f"pages/{self._name}")

    async def failed(self, trouble: PageDelayedError) -> timedelta:
        """It did not; for how long to leave it alone."""
        self._failures += 1
        log.warning("page.failed", receiver=self._name, reason=str(trouble))
        if self._failures >= FAILURES_ALARM or isinstance(trouble, PageRefusedError):
            await self._book.raise_alarm(undelivered(self._name, trouble))
        return trouble.after or backoff(self._failures, self._random, BACKOFF_MAX)

    async def keep_on(self, step: Callable[[], Awaitable[timedelta | None]], every: float) -> None:
        """Call *step* whenever alarms change, and after *every* seconds, until cancelled.

        Args:
            step: says for how long to leave the receiver alone; None if all is well.
            every: seconds.
        """
        rung = self._book.wake.listen()
        while True:
            rung.clear()
            try:
                wait = await step()
            except TryAgainError as error:
                log.warning("pager.waited", receiver=self._name, reason=str(error))
                wait = timedelta(seconds=every)
            if wait is not None:
                await asyncio.sleep(wait.total_seconds())
                continue
            try:
                async with asyncio.timeout(every):
                    await rung.wait()
            except TimeoutError:
                continue


def undelivered(receiver: str, trouble: PageDelayedError) -> AlarmCall:
    """The alarm about a receiver that does not take pages; it can page nobody, so it is P2."""
    return AlarmCall(
        key=f"pages/{receiver}",
        priority=Priority.P2,
        what=f"pages cannot be delivered to {receiver}: {trouble}"[:500],
        consequence="nobody is called; each page is kept and goes out when the receiver answers",
        runbook="pages",
    )
