"""The alarm list, one alarm in full, and the audit log."""

import asyncio

from edge_core.contracts.api import AlarmState, AlarmView
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.errors import EdgeError
from edgetui import orders
from edgetui.client import Operator
from edgetui.desk import Desk
from edgetui.feed import AUDIT
from edgetui.present.alarms_page import (
    alarm_columns,
    alarm_page,
    by_urgency,
    causes,
    first_outs,
)
from edgetui.present.lines import Target, Tone, say
from edgetui.present.ops_page import AUDIT_COLUMNS, event_page
from edgetui.present.sources import Listing, Page, Source
from edgetui.screens.board import Board
from edgetui.screens.listing import ListingBoard
from edgetui.screens.orders import ask

ANSWER_S = 10.0


class AlarmsBoard(ListingBoard[AlarmView]):
    """What is wrong, what it means, what to do."""

    place = "alarms"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._folded = False

    def listing(self) -> Listing[AlarmView]:
        """Those that stand, the unseen first; folded, one row a cause."""
        view = self.desk.feed.seen.overview
        alarms = view.alarms if view else []
        standing = by_urgency(a for a in alarms if a.state is not AlarmState.CLEARED)
        columns = alarm_columns(self.desk.now(), causes(standing))
        rows = first_outs(standing) if self._folded else standing
        return Listing(columns, rows, lambda a: Target("alarm", str(a.id)))

    def do_fold(self) -> None:
        """One row a cause, its first-out; or every alarm."""
        self._folded = not self._folded
        self.tell("the first of each cause" if self._folded else "every alarm")
        self.draw()

    def do_down(self) -> None:
        """All of one alarm."""
        if self.body.target is not None:
            self.desk.go(self.body.target)

    def do_ack(self) -> None:
        """I have seen it; one at a time, never all."""
        alarm, site = self.chosen(), self.desk.feed.site
        if alarm is None:
            return
        if site is None:
            self.tell("the site proxy is away: nothing was sent", Tone.P2)
            return
        self.run_worker(self._ack(alarm, site), group="ack")

    def do_shelve(self) -> None:
        """Not now, with a reason."""
        alarm = self.chosen()
        if alarm is not None:
            ask(self, orders.shelve(alarm))

    async def _ack(self, alarm: AlarmView, site: Operator) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                self.tell(await orders.ack(site, alarm))
        except (EdgeError, TimeoutError) as error:
            self.tell(f"alarm {alarm.id}: not acknowledged: {error}", Tone.P2)
        self.desk.feed.look_again()


class AlarmBoard(Board):
    """One alarm, nothing of it cut."""

    place = "alarm"

    def __init__(self, desk: Desk, name: str) -> None:
        super().__init__(desk)
        self.thing = name

    def where(self) -> str:
        """The way here."""
        return f"Alarms > {self.thing}"

    def build(self, cells: int, rows: int) -> Source:
        """The page."""
        del rows
        view = self.desk.feed.seen.overview
        alarms = view.alarms if view else []
        alarm = next((a for a in alarms if str(a.id) == self.thing), None)
        if alarm is None:
            return Page([say(f"alarm {self.thing} has gone", cells)])
        return Page(alarm_page(alarm, self.desk.now(), cells))


class AuditBoard(ListingBoard[AuditEvent]):
    """Who did what, when and why; the newest first."""

    place = "audit"
    wants = (AUDIT,)

    def listing(self) -> Listing[AuditEvent]:
        """The tail of the log."""
        events = self.desk.feed.seen.audit[::-1]
        return Listing(AUDIT_COLUMNS, events, lambda e: Target("event", str(e.sequence)))

    def do_down(self) -> None:
        """All facts of one event."""
        if self.body.target is not None:
            self.desk.go(self.body.target)


class EventBoard(Board):
    """One event, nothing of it cut."""

    place = "event"
    wants = (AUDIT,)

    def __init__(self, desk: Desk, name: str) -> None:
        super().__init__(desk)
        self.thing = name

    def where(self) -> str:
        """The way here."""
        return f"Audit > #{self.thing}"

    def build(self, cells: int, rows: int) -> Source:
        """The page."""
        del rows
        events = self.desk.feed.seen.audit
        event = next((e for e in events if str(e.sequence) == self.thing), None)
        if event is None:
            return Page([say(f"event {self.thing} is not at hand any more", cells)])
        return Page(event_page(event, cells))
