"""Alertmanager's API v2: every alarm that stands, told again and again; what returned, as over.

Alertmanager keeps no alert that is not repeated, so this is a state that is shown, not a queue
that is worked off. Labels are what an alert is: they change only where an alarm becomes graver.
The format is that of alertmanager's `api/v2/openapi.yaml`, `postAlerts`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.alarms.errors import PageDelayedError
from edge_site_proxy.alarms.pages.patience import Patience
from edge_site_proxy.alarms.pages.queue import Ear, PageQueue
from edge_site_proxy.alarms.pages.say import ONCE, Said, Verb, next_verb
from edge_site_proxy.alarms.pages.wire import Post

SHOWN: Final = frozenset({AlarmState.UNACK, AlarmState.ACKED})
NEWEST: Final = 500
_ADDRESS: Final = re.compile(r"https?://\S+\Z")


@dataclass(frozen=True, slots=True)
class Showing:
    """How alarms are shown.

    Attributes:
        site: a label of each alert.
        resend: between two repeats.
        hold: for how long an alert stands without one.
    """

    site: str
    resend: timedelta
    hold: timedelta


def alerts(alarms: Iterable[AlarmView], showing: Showing, now: datetime) -> list[dict[str, Any]]:
    """What to post now: alarms that stand, and for a while those that do no longer.

    An alarm that was put aside is over as far as Alertmanager goes. One source that returned and
    stands again is shown as standing alone. No `startsAt` is sent: Alertmanager notifies at once
    about what began longer than its `group_wait` ago, and so before it knows what inhibits it.

    Args:
        alarms: the newest alarms, cleared or not.
        showing: how.
        now: wall clock.
    """
    told = [alarm for alarm in alarms if alarm.state is not AlarmState.PENDING]
    standing = [alarm for alarm in told if alarm.state in SHOWN]
    sources = {alarm.source for alarm in standing}
    over = [
        alarm
        for alarm in told
        if alarm.state not in SHOWN
        and alarm.source not in sources
        and now - alarm.changed < showing.hold
    ]
    return [
        *(_alert(alarm, showing, now + showing.hold) for alarm in standing),
        *(_alert(alarm, showing, alarm.changed) for alarm in over),
    ]


def _alert(alarm: AlarmView, showing: Showing, ends: datetime) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "labels": _labels(alarm, showing.site),
        "annotations": {
            "summary": alarm.what,
            "consequence": alarm.consequence,
            "runbook_url": alarm.runbook,
            "actions": "\n".join(alarm.actions),
            "alarm": str(alarm.id),
            "raised": alarm.raised.isoformat(),
            "state": alarm.state.value,
        },
        "endsAt": ends.isoformat(),
    }
    if _ADDRESS.match(alarm.runbook):
        alert["generatorURL"] = alarm.runbook
    return alert


def _labels(alarm: AlarmView, site: str) -> dict[str, str]:
    """What the alert is; `pages` is yes for the one alarm of a cause that wakes somebody."""
    own = alarm.page is None or alarm.page == alarm.id
    labels = {
        "alertname": alarm.kind or "EdgeAlarm",
        "site": site,
        "priority": alarm.priority.value,
        "source": alarm.source,
        "group": alarm.group,
        "line": alarm.line,
        "needs_wan": "yes" if alarm.needs_wan else "no",
        "pages": "yes" if alarm.priority is Priority.P1 and own else "no",
    }
    return {name: value for name, value in labels.items() if value}


class Alertmanager:
    """Shows one Alertmanager the alarm list.

    Args:
        queue: pages, to note which of them were shown.
        book: the alarms.
        patience: with this receiver.
        name: of the receiver.
        wire: to it.
        now: wall clock.
    """

    def __init__(
        self,
        queue: PageQueue,
        book: AlarmBook,
        patience: Patience,
        name: str,
        wire: "AlertsWire",
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._book = book
        self._patience = patience
        self._wire = wire
        self._now = now
        self.ear = Ear(name, ONCE | {Verb.RESOLVE})

    async def run(self) -> None:
        """Until cancelled."""
        every = self._wire.showing.resend.total_seconds()
        await self._patience.keep_on(self.show, every)

    async def show(self) -> timedelta | None:
        """Post the list; for how long to leave the receiver alone, None if it was taken.

        Raises:
            StoreUnavailableError: the database cannot be read.
        """
        alarms = await self._alarms()
        open_pages = await self._queue.open(self.ear.name)
        try:
            await self._wire.show(alarms, self._now())
        except PageDelayedError as error:
            return await self._patience.failed(error)
        await self._patience.well()
        await self._queue.told(
            [
                Said(receiver=self.ear.name, alarm=page.alarm.id, verb=verb)
                for page, said in open_pages
                if (verb := next_verb(page, said, self.ear.speaks)) is not None
            ]
        )
        return None

    async def _alarms(self) -> Sequence[AlarmView]:
        """Whatever stands, and the newest of what does not."""
        standing = await self._book.standing()
        known = {alarm.id for alarm in standing}
        newest = await self._book.every(NEWEST)
        return [*standing, *(alarm for alarm in newest if alarm.id not in known)]


@dataclass(frozen=True, slots=True)
class AlertsWire:
    """The way to one Alertmanager.

    Attributes:
        post: the way out.
        url: up to and without `/api/v2`.
        showing: how alarms are shown.
    """

    post: Post
    url: str
    showing: Showing

    async def show(self, alarms: Iterable[AlarmView], now: datetime) -> None:
        """Post *alarms*; with none of them nothing is sent.

        Raises:
            PageDelayedError: not now.
            PageRefusedError: the answer is no.
        """
        posted = alerts(alarms, self.showing, now)
        if posted:
            await self.post.send(f"{self.url}/api/v2/alerts", posted, {})
