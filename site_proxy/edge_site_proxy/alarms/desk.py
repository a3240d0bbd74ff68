"""What people do with alarms: see them, put them aside, deal with them; and work on a line."""

from collections.abc import Callable, Container
from datetime import datetime, timedelta

from edge_core.contracts.alarms import Maintenance, MaintenanceRequest
from edge_core.contracts.api import AlarmView
from edge_site_proxy.alarms import life, rows
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.alarms.errors import NoSuchLineError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.store import Store, StoreUnavailableError, Tx


class AlarmDesk:
    """Takes people's orders about alarms; each is one event that says who and why.

    What cannot be written down does not happen: all of them may raise StoreUnavailableError.

    Args:
        store: where alarms are kept.
        book: is woken, since pages follow from what people do.
        now: wall clock.
        lines: of the plant.
    """

    def __init__(
        self,
        store: Store,
        book: AlarmBook,
        now: Callable[[], datetime],
        lines: Container[str],
    ) -> None:
        self._store = store
        self._book = book
        self._now = now
        self._lines = lines

    async def alarm(self, number: int) -> AlarmView:
        """One alarm.

        Raises:
            NoSuchAlarmError: no such number.
        """
        waits = self._book.unwritten.held.alarm
        if waits is not None and waits.id == number:
            return waits
        return await self._store.read(lambda db: rows.alarm_of(db, number))

    async def ack(self, number: int, who: str, reason: str) -> AlarmView:
        """Somebody has seen it; who was first stays written down.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmOverError: it is over.
            AlarmAsideError: it is put aside.
        """
        return await self._plain(number, who, reason, "acked", life.acked)

    async def shelve(self, number: int, who: str, minutes: int, reason: str) -> AlarmView:
        """Somebody puts it aside; it comes back by itself.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmOverError: it is over.
            AlarmAsideError: it is suppressed or out of service.
        """

        def turn(alarm: AlarmView, now: datetime) -> AlarmView:
            return life.shelved(alarm, who, reason, now, now + timedelta(minutes=minutes))

        facts: dict[str, object] = {"reason": reason, "minutes": minutes}
        return await self._turn(who, number, "shelved", facts, turn)

    async def unshelve(self, number: int, who: str, reason: str) -> AlarmView:
        """Somebody takes it from the shelf before its time.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmAsideError: it is not on the shelf.
        """
        return await self._plain(number, who, reason, "unshelved", life.unshelved)

    async def retire(self, number: int, who: str, reason: str) -> AlarmView:
        """Somebody takes it out of service until further notice.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmOverError: it is over.
        """
        return await self._plain(number, who, reason, "retired", life.retired)

    async def restore(self, number: int, who: str, reason: str) -> AlarmView:
        """Somebody puts it into service again.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmAsideError: it is in service.
        """
        return await self._plain(number, who, reason, "restored", life.restored)

    async def reset(self, number: int, who: str, reason: str) -> AlarmView:
        """Somebody has dealt with one that latched, or that only a person can end.

        Raises:
            NoSuchAlarmError: no such number.
            AlarmOverError: it is over.
            AlarmStandsError: nobody has acknowledged it, or its cause is there.
        """
        return await self._plain(number, who, reason, "reset", life.reset)

    async def maintenance(self) -> list[Maintenance]:
        """Lines that are being worked on."""
        return list((await self._store.read(rows.maintenance)).values())

    async def begin_maintenance(self, who: str, order: MaintenanceRequest) -> Maintenance:
        """Work begins on a line; what its gateways alarm about meanwhile is expected.

        Raises:
            NoSuchLineError: the plant has no such line.
        """
        if order.line not in self._lines:
            raise NoSuchLineError(f"line {order.line}: expected one of the plant, found none such")
        now = self._now()
        work = Maintenance(
            line=order.line,
            since=now,
            until=now + timedelta(minutes=order.minutes),
            who=who,
            reason=order.reason,
        )
        facts = {"reason": order.reason, "minutes": order.minutes}
        event = Event("maintenance.begun", order.line, facts)
        await self._store.change(
            who, [event], lambda tx: tx.put(rows.MAINTENANCE, order.line, work, by=event)
        )
        await self._book.look()
        return work

    async def end_maintenance(self, who: str, line: str, reason: str) -> Maintenance:
        """Work on a line is done; what still stands there is on the list again.

        Raises:
            NoSuchLineError: nobody works on that line.
        """
        event = Event("maintenance.ended", line, {"reason": reason})

        def mutate(tx: Tx) -> Maintenance:
            work = rows.maintenance(tx.db).get(line)
            if work is None:
                raise NoSuchLineError(f"line {line}: expected one under maintenance, it is not")
            tx.drop(rows.MAINTENANCE, line, by=event)
            return work

        work = await self._store.change(who, [event], mutate)
        await self._book.look()
        return work

    async def _plain(
        self,
        number: int,
        who: str,
        reason: str,
        verb: str,
        turn: Callable[[AlarmView, str, str, datetime], AlarmView],
    ) -> AlarmView:
        return await self._turn(
            who, number, verb, {"reason": reason}, lambda a, now: turn(a, who, reason, now)
        )

    async def _turn(
        self,
        who: str,
        number: int,
        verb: str,
        facts: dict[str, object],
        turn: Callable[[AlarmView, datetime], AlarmView],
    ) -> AlarmView:
        waits = self._book.unwritten.held.alarm
        if waits is not None and waits.id == number:
            raise StoreUnavailableError(
                f"alarm {number}: expected a log that takes who saw it, found none: {waits.what}"
            )
        event = Event(f"alarm.{verb}", str(number), facts)

        def mutate(tx: Tx) -> AlarmView:
            before = rows.alarm_of(tx.db, number)
            alarm = turn(before, tx.at)
            if alarm is not before:
                rows.record(tx, alarm, event)
            return alarm

        alarm = await self._store.change(who, [], mutate)
        self._book.wake.set()
        return alarm
