"""The alarm list: one alarm a cause, kept with its event, told to whoever must know."""

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from msgspec.structs import replace
from sqlite_utils import Database

from edge_core.contracts.alarms import AlarmSummary
from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.alarms import life, rates, rows
from edge_site_proxy.alarms.bell import Bell
from edge_site_proxy.alarms.catalogue import (
    FLOOD_KEY,
    OFFLINE_KEY,
    Delays,
    delays_of,
    meant,
)
from edge_site_proxy.alarms.pages.queue import note_in, queue_in
from edge_site_proxy.alarms.unwritten import NOTHING, Unwritten
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.records import AlarmCall
from edge_site_proxy.store import Store, StoreUnavailableError, Tx

SITE: Final = "site-proxy"
LOOK_S: Final = 5.0
SAY_AGAIN_S: Final = 15.0  # between two changes of what one alarm says
NEWEST: Final = 50  # far more than make a flood, though some of them may have told nobody
DAY_MAX: Final = 2000  # alarms of one day that are looked at; more are noise by any measure

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """What keeps alarms quiet by design at one moment."""

    offline: bool
    lines: frozenset[str]

    def quiet(self, alarm: AlarmView) -> str:
        """The rule that suppresses *alarm*, "" if none does.

        A page is never lost to a link that is down: what is grave enough to page depends on none.
        """
        if alarm.line and alarm.line in self.lines:
            return f"maintenance of {alarm.line}"
        if self.offline and alarm.needs_wan and alarm.priority > Priority.P2:
            return "site offline"
        return ""


class AlarmBook:
    """Raises and clears, and does what alarms do by themselves as time passes.

    Attributes:
        wake: rings whenever alarms change.
        unwritten: what cannot be kept at the moment.

    Args:
        store: where alarms are kept.
        now: wall clock.
        runbooks: folder or address that a runbook's name is appended to.
        line_of: the line of a gateway by its serial, "" for one that is not known.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], datetime],
        runbooks: str,
        line_of: Callable[[str], str],
    ) -> None:
        self._store = store
        self._now = now
        self._runbooks = runbooks.rstrip("/")
        self._line_of = line_of
        self.wake = Bell()
        self.unwritten = Unwritten()

    def raise_in(self, tx: Tx, call: AlarmCall) -> None:
        """Within a transaction: raise the alarm, or note that its cause is still there."""
        waits = self.unwritten.held.call
        first = waits is not None and waits.key != call.key
        if waits is not None and first and rows.standing_of(tx.db, waits.key) is None:
            self._begin(tx, waits)  # it was shown under the next number
        standing = rows.standing_of(tx.db, call.key)
        if standing is None:
            self._begin(tx, call)
        else:
            self._again(tx, standing, call)

    def _begin(self, tx: Tx, call: AlarmCall) -> None:
        alarm, delays = self._made(tx.db, call, tx.at)
        quiet = rules(tx.db).quiet(alarm)
        if delays.on:
            alarm = replace(alarm, state=AlarmState.PENDING)
        elif quiet:
            alarm = life.suppressed(alarm, quiet, tx.at)
        facts = {"cause": call.key, "priority": call.priority.value, "what": alarm.what}
        verb = "noticed" if delays.on else "raised"
        rows.record(tx, alarm, Event(f"alarm.{verb}", str(alarm.id), facts))
        self._tell(tx, alarm)

    def clear_in(self, tx: Tx, key: str) -> None:
        """Within a transaction: the cause *key* is gone, if it ever stood."""
        standing = rows.standing_of(tx.db, key)
        if standing is None:
            return
        alarm = life.went(standing, delays_of(standing.kind), tx.at)
        if alarm is standing:
            return
        verb = "cause_went" if alarm.gone is not None else "returned"
        rows.record(tx, alarm, Event(f"alarm.{verb}", str(alarm.id), {"cause": key}))

    async def raise_alarm(self, call: AlarmCall) -> None:
        """Raise an alarm by itself; a repeat is the same alarm."""
        if await self._store.read(lambda db: self._known(rows.standing_of(db, call.key), call)):
            return
        await self._store.change(SITE, [], lambda tx: self.raise_in(tx, call))
        self.wake.set()

    async def clear_alarm(self, key: str) -> None:
        """The cause *key* is gone; nothing happens if it never stood."""
        standing = await self._store.read(lambda db: rows.standing_of(db, key))
        if standing is not None and standing.active and standing.gone is None:
            await self._store.change(SITE, [], lambda tx: self.clear_in(tx, key))
            self.wake.set()

    async def note_unwritten(self, call: AlarmCall) -> None:
        """Raise the one alarm that cannot be kept: that nothing can be. It pages as any."""
        if self.unwritten.held.alarm is None:
            await self._store.read(lambda db: self._notice(db, call))
            self.wake.set()

    async def write_unwritten(self) -> None:
        """Keep what could not be kept, as something that is over; nothing if there is none.

        Raises:
            StoreUnavailableError: it cannot be kept yet.
        """
        held = self.unwritten.held
        if held == NOTHING:
            return

        def mutate(tx: Tx) -> None:
            if held.call is not None and held.alarm is not None:
                lasted = f"so it was from {_second(held.alarm.raised)} to {_second(tx.at)}"
                what = f"{held.call.what[:400]}; {lasted}"
                self.raise_in(tx, dataclasses.replace(held.call, what=what))
                self.clear_in(tx, held.call.key)
            note_in(tx, held.told.values())

        await self._store.change(SITE, [], mutate)
        self.unwritten.forget(held)
        self.wake.set()

    def _notice(self, db: Database, call: AlarmCall) -> None:
        # In the thread of every transaction, so that nobody else takes the number meanwhile.
        standing = rows.standing_of(db, call.key)
        if standing is None:
            alarm, _ = self._made(db, call, self._now())
        else:
            alarm = life.came(standing, call.priority, self._now())
        self.unwritten.notice(call, replace(alarm, what=call.what[:500]))

    async def standing(self) -> list[AlarmView]:
        """Every alarm that is not over and that somebody may know of, gravest and newest first."""
        alarms = await self._store.read(self._standing)
        shown = [alarm for alarm in alarms if alarm.state is not AlarmState.PENDING]
        return sorted(shown, key=lambda alarm: (alarm.priority.value, -alarm.id))

    async def every(self, limit: int) -> list[AlarmView]:
        """The newest alarms, over or not."""
        return await self._store.read(lambda db: rows.newest(db, limit))

    async def summary(self) -> AlarmSummary:
        """The list in numbers."""

        def look(db: Database) -> AlarmSummary:
            return rates.summary(self._standing(db), rows.newest(db, DAY_MAX), self._now())

        return await self._store.read(look)

    async def run(self) -> None:
        """Let alarms do what they do by themselves, until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailableError as error:
                log.warning("alarms.waited", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look: delays that are over, shelves, rules of the site, shifts, and floods."""
        if await self._store.read(lambda db: self._due(db, self._now())):
            await self._store.change(SITE, [], self._turn)
            self.wake.set()

    def _due(self, db: Database, now: datetime) -> bool:
        """Whether a look would change anything."""
        standing, quiet = rows.standing(db), rules(db)
        over = any(each.until <= now for each in rows.maintenance(db).values())
        return (
            over
            or self._flood_over(db, standing, now)
            or any(life.due(a, delays_of(a.kind), quiet.quiet(a), now) for a in standing)
        )

    def _turn(self, tx: Tx) -> None:
        for line, work in rows.maintenance(tx.db).items():
            if work.until <= tx.at:
                event = Event("maintenance.ended", line, {"until": work.until.isoformat()})
                tx.record(event)
                tx.drop(rows.MAINTENANCE, line, by=event)
        if self._flood_over(tx.db, rows.standing(tx.db), tx.at):
            self.clear_in(tx, FLOOD_KEY)
        quiet = rules(tx.db)
        for alarm in rows.standing(tx.db):
            turn = life.due(alarm, delays_of(alarm.kind), quiet.quiet(alarm), tx.at)
            if turn is not None:
                event = Event(f"alarm.{turn.verb}", str(alarm.id), {"cause": alarm.source})
                rows.record(tx, turn.alarm, event)
                self._tell(tx, turn.alarm)

    def _flood_over(self, db: Database, standing: list[AlarmView], now: datetime) -> bool:
        flood = next((each for each in standing if each.source == FLOOD_KEY), None)
        if flood is None or not flood.active:
            return False
        count = len(rates.recent(rows.newest(db, NEWEST), now))
        return not rates.flooded(count, standing=True)

    def _standing(self, db: Database) -> list[AlarmView]:
        """Every alarm that is not over, whether it could be kept or not."""
        return self.unwritten.held.alarms(rows.standing(db))

    def _known(self, alarm: AlarmView | None, call: AlarmCall) -> bool:
        """Whether another call for the same cause would change nothing."""
        if alarm is None:
            return False
        same = life.came(alarm, call.priority, self._now()) is alarm
        return same and not self._says_more(alarm, call, self._now())

    def _says_more(self, alarm: AlarmView, call: AlarmCall, now: datetime) -> bool:
        waited = (now - alarm.changed).total_seconds() >= SAY_AGAIN_S
        return waited and alarm.what != call.what[:500]

    def _again(self, tx: Tx, standing: AlarmView, call: AlarmCall) -> None:
        alarm = life.came(standing, call.priority, tx.at)
        more = self._says_more(standing, call, tx.at)
        if alarm is standing and not more:
            return
        verb = "updated" if alarm is standing else "raised_again"
        if more:
            alarm = replace(alarm, what=call.what[:500], changed=tx.at)
        facts = {"cause": call.key, "what": alarm.what, "priority": alarm.priority.value}
        rows.record(tx, alarm, Event(f"alarm.{verb}", str(alarm.id), facts))
        self._tell(tx, alarm)

    def _made(self, db: Database, call: AlarmCall, at: datetime) -> tuple[AlarmView, Delays]:
        known = meant(call.key, self._line_of)
        kind = known.kind
        alarm = AlarmView(
            id=rows.number_last(db) + 1,
            priority=call.priority,
            state=AlarmState.UNACK,
            source=call.key,
            what=call.what[:500],
            consequence=call.consequence[:500],
            runbook=f"{self._runbooks}/{call.runbook}.md",
            raised=self.unwritten.since(call.key) or at,
            changed=at,
            latches=kind.latches,
            by_hand=kind.by_hand,
            needs_wan=kind.needs_wan,
            kind=kind.name,
            line=known.line,
            group=call.group or known.group,
            actions=known.actions,
        )
        return alarm, kind.delays

    def _tell(self, tx: Tx, alarm: AlarmView) -> None:
        """Count *alarm* towards a flood, and page it, if it has just begun to stand."""
        if alarm.state is not AlarmState.UNACK:
            return
        flood = self._flood(tx, alarm)
        if alarm.priority is not Priority.P1:
            return
        alarm = rows.alarm_of(tx.db, alarm.id)
        if alarm.page is not None or alarm.paged:
            return
        if flood is not None and flood.priority is not Priority.P1:
            event = Event("alarm.raised_again", str(flood.id), {"cause": FLOOD_KEY})
            rows.record(tx, life.came(flood, Priority.P1, tx.at), event)
        queue_in(tx, alarm, flood)

    def _flood(self, tx: Tx, alarm: AlarmView) -> AlarmView | None:
        """The flood that *alarm* came in or made."""
        standing = rows.standing_of(tx.db, FLOOD_KEY)
        stands = standing is not None and standing.active
        came = rates.recent(rows.newest(tx.db, NEWEST), tx.at)
        if alarm.source == FLOOD_KEY or not rates.flooded(len(came), standing=stands):
            return None
        if not stands:
            self.raise_in(tx, _flood_call(came))
        flood = rows.standing_of(tx.db, FLOOD_KEY)
        joined = [each for each in came if each.flood is None]
        if flood is not None and joined:
            event = Event("alarm.grouped", str(flood.id), {"alarms": [each.id for each in joined]})
            tx.record(event)
            for each in joined:
                rows.save(tx, replace(each, flood=flood.id), event)
        return flood


def rules(db: Database) -> Rules:
    """What keeps alarms quiet by design now."""
    offline = rows.standing_of(db, OFFLINE_KEY)
    return Rules(
        offline=offline is not None and offline.active,
        lines=frozenset(rows.maintenance(db)),
    )


def _second(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _flood_call(came: list[AlarmView]) -> AlarmCall:
    first = came[0]
    return AlarmCall(
        key=FLOOD_KEY,
        priority=Priority.P2,
        what=f"more than {rates.FLOOD_ABOVE} alarms in ten minutes, "
        f"first {first.source} at {first.raised:%H:%M}: {first.what}"[:500],
        consequence="the first is most likely the cause, and the others follow from it",
        runbook="alarm-flood",
    )
