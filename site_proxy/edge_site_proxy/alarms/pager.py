"""Sends each page once: one POST an alarm, tried until it is answered, the same key every time."""

import asyncio
from typing import Protocol

import aiohttp
import msgspec
import structlog

from edge_core.contracts.api import AlarmView
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.store import StoreUnavailableError

RETRY_S_FIRST = 1.0
RETRY_S_MAX = 300.0
LOOK_S = 15.0  # alarms come back from the shelf without anybody waking us
ANSWER_S = 20.0

log = structlog.get_logger(__name__)


class Wire(Protocol):
    """Carries one page away; raises `aiohttp.ClientError` or `TimeoutError` if it cannot."""

    async def send(self, alarm: AlarmView) -> None:
        """Return once it was accepted."""


class Webhook:
    """One address that takes a page as JSON.

    The receiver tells a repeat by the `Idempotency-Key` header, which is the same for every try
    of one alarm: if the answer to a first try is lost, nobody is woken twice.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, site: str) -> None:
        self._session = session
        self._url = url
        self._site = site

    async def send(self, alarm: AlarmView) -> None:
        """POST the alarm."""
        body = {
            "site": self._site,
            "alarm": alarm.id,
            "priority": alarm.priority.value,
            "source": alarm.source,
            "what": alarm.what,
            "consequence": alarm.consequence,
            "runbook": alarm.runbook,
            "raised": alarm.raised.isoformat(),
        }
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self._site}-alarm-{alarm.id}",
        }
        async with (
            asyncio.timeout(ANSWER_S),
            self._session.post(
                self._url, data=msgspec.json.encode(body), headers=headers, allow_redirects=False
            ) as answer,
        ):
            answer.raise_for_status()
            if answer.status >= 300:
                raise aiohttp.ClientPayloadError(
                    f"expected an answer below 300, found {answer.status}"
                )


class Pager:
    """Works the queue of pages off, oldest first.

    Args:
        book: the queue.
        wire: where pages go, or None where a plant wants none.
    """

    def __init__(self, book: AlarmBook, wire: Wire | None) -> None:
        self._book = book
        self._wire = wire

    async def run(self) -> None:
        """Until cancelled."""
        retry_s = RETRY_S_FIRST
        while True:
            self._book.wake.clear()
            try:
                await self._book.unshelve_due()
                sent = await self.send_due()
            except StoreUnavailableError as error:
                log.warning("pager.waited", reason=str(error))
                sent = False
            retry_s = RETRY_S_FIRST if sent else min(RETRY_S_MAX, retry_s * 2)
            try:
                async with asyncio.timeout(LOOK_S if sent else retry_s):
                    await self._book.wake.wait()
            except TimeoutError:
                continue

    async def send_due(self) -> bool:
        """Send what waits; False if one could not be sent and must be tried again."""
        if self._wire is None:
            return True
        for alarm in await self._book.pages_due():
            try:
                await self._wire.send(alarm)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("page.failed", alarm=alarm.id, reason=str(error) or "no answer")
                return False
            await self._book.paged(alarm.id)
            log.info("page.sent", alarm=alarm.id)
        return True
