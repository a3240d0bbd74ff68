"""The alarm list: one alarm a cause, kept with its event, and a page queued for each new P1."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from sqlite_utils import Database, Migrations

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.alarms import life
from edge_site_proxy.alarms.errors import NoSuchAlarmError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout.records import AlarmCall
from edge_site_proxy.store import Store, Tx
from edge_site_proxy.store.rows import find

MIGRATIONS = Migrations("alarms")
SITE = "site-proxy"
_STANDS = "kind = 'alarms' AND json_extract(doc, '$.state') != 'cleared'"

_PAGE_WAITS = (
    "kind = 'alarms' AND key IN (SELECT key FROM state WHERE kind = 'pages') ORDER BY rowid"
)


class _Due(Struct, frozen=True, kw_only=True):
    """A page that waits until it is answered."""

    alarm: int


@MIGRATIONS()
def standing(db: Database) -> None:
    """One alarm a cause, among those that stand."""
    db.execute(
        "CREATE UNIQUE INDEX alarms_standing ON state (json_extract(doc, '$.source'))"
        f" WHERE {_STANDS}"
    )


class AlarmBook:
    """Raises, clears, acknowledges and shelves.

    Args:
        store: where alarms are kept.
        now: wall clock.
        runbooks: folder or address that a runbook's name is appended to.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], runbooks: str) -> None:
        self._store = store
        self._now = now
        self._runbooks = runbooks.rstrip("/")
        self.wake = asyncio.Event()

    def raise_in(self, tx: Tx, call: AlarmCall) -> None:
        """Within a transaction: raise the alarm, or note that its cause is still there."""
        standing = _standing(tx.db, call.key)
        if standing is not None:
            alarm = life.again(standing, tx.at)
            if alarm is not standing:
                event = Event("alarm.raised_again", str(alarm.id), {"cause": call.key})
                _record(tx, alarm, event)
            return
        number = _next_number(tx.db)
        alarm = AlarmView(
            id=number,
            priority=call.priority,
            state=AlarmState.UNACK,
            source=call.key,
            what=call.what[:500],
            consequence=call.consequence[:500],
            runbook=f"{self._runbooks}/{call.runbook}.md",
            raised=tx.at,
            changed=tx.at,
        )
        facts = {"cause": call.key, "priority": call.priority.value, "what": alarm.what}
        event = Event("alarm.raised", str(number), facts)
        _record(tx, alarm, event)
        if call.priority is Priority.P1:
            tx.put("pages", str(number), _Due(alarm=number), by=event)

    def clear_in(self, tx: Tx, key: str) -> None:
        """Within a transaction: the cause *key* is gone, if it ever stood."""
        standing = _standing(tx.db, key)
        if standing is None:
            return
        alarm = life.returned(standing, tx.at)
        if alarm is not standing:
            _record(tx, alarm, Event("alarm.returned", str(alarm.id), {"cause": key}))

    async def raise_alarm(self, call: AlarmCall) -> None:
        """Raise an alarm by itself; a repeat is the same alarm."""
        if await self._store.read(lambda db: _quiet(_standing(db, call.key))):
            return
        await self._store.change(SITE, [], lambda tx: self.raise_in(tx, call))
        self.wake.set()

    async def clear_alarm(self, key: str) -> None:
        """The cause *key* is gone; nothing happens if it never stood."""
        if await self._store.read(lambda db: _standing(db, key)) is not None:
            await self._store.change(SITE, [], lambda tx: self.clear_in(tx, key))

    async def ack(self, number: int, who: str, reason: str) -> AlarmView:
        """Somebody has seen it.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmOverError: it is over.
        """
        now = self._now()
        facts: dict[str, object] = {"reason": reason}
        return await self._turn(
            who, number, "alarm.acked", facts, lambda alarm: life.acked(alarm, who, now)
        )

    async def shelve(self, number: int, who: str, minutes: int, reason: str) -> AlarmView:
        """Somebody puts it aside.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmOverError: it is over.
        """
        now = self._now()
        until = now + timedelta(minutes=minutes)
        facts: dict[str, object] = {"reason": reason, "minutes": minutes}
        return await self._turn(
            who, number, "alarm.shelved", facts, lambda alarm: life.shelved(alarm, who, now, until)
        )

    async def unshelve_due(self) -> None:
        """Bring back what has been on the shelf for long enough."""
        now = self._now()
        for alarm in await self.standing():
            if life.unshelved(alarm, now) is not alarm:
                await self._turn(
                    SITE, alarm.id, "alarm.unshelved", {}, lambda each: life.unshelved(each, now)
                )

    async def standing(self) -> list[AlarmView]:
        """Every alarm that is not over, the gravest and newest first."""
        alarms = await self._store.read(lambda db: _read(db, _STANDS, []))
        return sorted(alarms, key=lambda alarm: (alarm.priority.value, -alarm.id))

    async def every(self, limit: int) -> list[AlarmView]:
        """The newest alarms, over or not."""
        newest = "kind = 'alarms' ORDER BY rowid DESC LIMIT ?"
        return await self._store.read(lambda db: _read(db, newest, [limit]))

    async def pages_due(self) -> list[AlarmView]:
        """Alarms whose page was not answered yet, oldest first."""
        return await self._store.read(lambda db: _read(db, _PAGE_WAITS, []))

    async def paged(self, number: int) -> None:
        """The page of *number* was answered; it is never sent again."""
        event = Event("alarm.paged", str(number))

        def mutate(tx: Tx) -> None:
            tx.drop("pages", str(number), by=event)
            _save(tx, msgspec.structs.replace(_alarm(tx.db, number), paged=True), event)

        await self._store.change(SITE, [event], mutate)

    async def _turn(
        self,
        who: str,
        number: int,
        kind: str,
        facts: dict[str, object],
        turn: Callable[[AlarmView], AlarmView],
    ) -> AlarmView:
        event = Event(kind, str(number), facts)

        def mutate(tx: Tx) -> AlarmView:
            alarm = turn(_alarm(tx.db, number))
            _save(tx, alarm, event)
            return alarm

        return await self._store.change(who, [event], mutate)


def _quiet(alarm: AlarmView | None) -> bool:
    """Whether another call for the same cause would change nothing."""
    return alarm is not None and alarm.state is not AlarmState.RETURNED_UNACK


def _standing(db: Database, cause: str) -> AlarmView | None:
    found = _read(db, f"{_STANDS} AND json_extract(doc, '$.source') = ?", [cause])
    return found[0] if found else None


def _alarm(db: Database, number: int) -> AlarmView:
    found = find(db, "alarms", str(number), AlarmView)
    if found is None:
        raise NoSuchAlarmError(f"alarm {number}: expected a known number, found none such")
    return found


def _next_number(db: Database) -> int:
    """No alarm is ever removed, so their count is the last number."""
    return int(db.execute("SELECT count(*) FROM state WHERE kind = 'alarms'").fetchone()[0]) + 1


def _read(db: Database, where: str, values: list[object]) -> list[AlarmView]:
    rows = db.execute(
        f"SELECT doc FROM state WHERE {where}",  # noqa: S608 - our own constants only
        values,
    ).fetchall()
    return [msgspec.json.decode(row[0], type=AlarmView) for row in rows]


def _record(tx: Tx, alarm: AlarmView, event: Event) -> None:
    tx.record(event)
    _save(tx, alarm, event)


def _save(tx: Tx, alarm: AlarmView, event: Event) -> None:
    tx.put("alarms", str(alarm.id), alarm, by=event)
