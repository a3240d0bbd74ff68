"""Tells one receiver what it must know, each thing once: until it is answered, and no longer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from edge_site_proxy.alarms.errors import PageDelayedError, PageRefusedError
from edge_site_proxy.alarms.pages.patience import Patience
from edge_site_proxy.alarms.pages.queue import Ear, PageQueue
from edge_site_proxy.alarms.pages.say import Page, Said, Verb, next_verb, summarised
from edge_site_proxy.alarms.pages.wire import Wire

LOOK_S: Final = 15.0  # what waits for a summary becomes one without anybody waking us

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to tell, and what is kept of it once it was told."""

    verb: Verb
    page: Page
    said: tuple[Said, ...]


def orders(
    receiver: str,
    open_pages: Sequence[tuple[Page, Said | None]],
    speaks: frozenset[Verb],
    now: datetime,
) -> list[Order]:
    """What *receiver* is to be told now, oldest first.

    Args:
        receiver: its name.
        open_pages: every open page and what it was told last of each.
        speaks: what it can be told.
        now: wall clock.
    """
    untold = [page for page, said in open_pages if said is None and next_verb(page, None, speaks)]
    one = summarised(untold, now)
    found = [] if one is None else [_summary(receiver, one, untold)]
    for page, said in open_pages:
        if (said is None and one is not None) or (said is not None and said.under is not None):
            continue
        whole = _whole(page, open_pages)
        verb = next_verb(whole, said, speaks)
        if verb is None:
            continue
        turn = 1 if said is None else said.turn + (verb is Verb.TRIGGER)
        kept = Said(receiver=receiver, alarm=page.alarm.id, verb=verb, turn=turn)
        found.append(Order(verb, whole, (kept,)))
    return found


def _summary(receiver: str, one: Page, untold: Sequence[Page]) -> Order:
    first = one.alarm.id
    said = tuple(
        Said(
            receiver=receiver,
            alarm=page.alarm.id,
            verb=Verb.TRIGGER,
            under=None if page.alarm.id == first else first,
        )
        for page in untold
    )
    return Order(Verb.TRIGGER, one, said)


def _whole(page: Page, open_pages: Sequence[tuple[Page, Said | None]]) -> Page:
    """*page* with everything that its summary spoke for."""
    under = [
        alarm
        for other, said in open_pages
        if said is not None and said.under == page.alarm.id
        for alarm in other.all
    ]
    return Page(page.alarm, (*page.members, *under), page.since)


class Pager:
    """Works off what one receiver has not been told.

    Args:
        queue: the pages.
        patience: with this receiver.
        name: of the receiver.
        wire: to the receiver.
        now: wall clock.
    """

    def __init__(
        self,
        queue: PageQueue,
        patience: Patience,
        name: str,
        wire: Wire,
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._patience = patience
        self._wire = wire
        self._now = now
        self.ear = Ear(name, wire.speaks)

    async def run(self) -> None:
        """Until cancelled."""
        await self._patience.keep_on(self.send_due, LOOK_S)

    async def send_due(self) -> timedelta | None:
        """Tell what is due; for how long to leave the receiver alone, None if it took everything.

        A page that is refused does not keep the others waiting.

        Raises:
            StoreUnavailableError: the database cannot be read.
        """
        open_pages = await self._queue.open(self.ear.name)
        found = orders(self.ear.name, open_pages, self.ear.speaks, self._now())
        trouble: PageDelayedError | None = None
        for order in found:
            try:
                await self._wire.send(order.verb, order.page, order.said[0].turn)
            except PageDelayedError as error:
                trouble = error
                if not isinstance(error, PageRefusedError):
                    break
            else:
                await self._queue.told(order.said)
                log.info("page.sent", receiver=self.ear.name, alarm=order.page.alarm.id)
        if trouble is not None:
            return await self._patience.failed(trouble)
        if found:
            await self._patience.well()
        return None
