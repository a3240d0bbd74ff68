"""Rows of the alarm list: one alarm each, lines under maintenance, and how they are found."""

import msgspec
from sqlite_utils import Database, Migrations

from edge_core.contracts.alarms import Maintenance
from edge_core.contracts.api import AlarmView
from edge_site_proxy.alarms.errors import NoSuchAlarmError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.store import Tx
from edge_site_proxy.store.rows import find, load

MIGRATIONS = Migrations("alarms")
ALARMS = "alarms"
MAINTENANCE = "maintenance"
_STANDS = "kind = 'alarms' AND json_extract(doc, '$.state') != 'cleared'"


@MIGRATIONS(name="standing")
def standing_index(db: Database) -> None:
    """One alarm a cause, among those that stand."""
    db.execute(
        "CREATE UNIQUE INDEX alarms_standing ON state (json_extract(doc, '$.source'))"
        f" WHERE {_STANDS}"
    )


@MIGRATIONS()
def page_index(db: Database) -> None:
    """Alarms by the page that speaks for them."""
    db.execute(
        "CREATE INDEX alarms_page ON state (json_extract(doc, '$.page')) WHERE kind = 'alarms'"
    )


def standing(db: Database) -> list[AlarmView]:
    """Every alarm that is not cleared, oldest first."""
    return _read(db, f"{_STANDS} ORDER BY rowid", [])


def standing_of(db: Database, cause: str) -> AlarmView | None:
    """The alarm of *cause* that is not cleared."""
    found = _read(db, f"{_STANDS} AND json_extract(doc, '$.source') = ?", [cause])
    return found[0] if found else None


def newest(db: Database, count: int) -> list[AlarmView]:
    """The last *count* alarms that were raised, cleared or not, newest first."""
    last = number_last(db)
    wanted = [str(number) for number in range(last, max(0, last - count), -1)]
    marks = ", ".join("?" * len(wanted))
    found = _read(db, f"kind = 'alarms' AND key IN ({marks})", [*wanted])
    return sorted(found, key=lambda alarm: -alarm.id)


def number_last(db: Database) -> int:
    """No alarm is ever removed, so their count is the last number."""
    return int(db.execute("SELECT count(*) FROM state WHERE kind = 'alarms'").fetchone()[0])


def members_of(db: Database, page: int) -> list[AlarmView]:
    """Further alarms that the page of alarm number *page* speaks for, oldest first."""
    where = "kind = 'alarms' AND json_extract(doc, '$.page') = ? AND key != ? ORDER BY rowid"
    return _read(db, where, [page, str(page)])


def alarm_of(db: Database, number: int) -> AlarmView:
    """The alarm of that number.

    Raises:
        NoSuchAlarmError: there is none.
    """
    found = find(db, ALARMS, str(number), AlarmView)
    if found is None:
        raise NoSuchAlarmError(f"alarm {number}: expected a known number, found none such")
    return found


def save(tx: Tx, alarm: AlarmView, by: Event) -> None:
    """Write one alarm."""
    tx.put(ALARMS, str(alarm.id), alarm, by=by)


def record(tx: Tx, alarm: AlarmView, event: Event) -> None:
    """Write one alarm, and add the event that carries it."""
    tx.record(event)
    save(tx, alarm, event)


def maintenance(db: Database) -> dict[str, Maintenance]:
    """Lines that are being worked on, by name."""
    return load(db, MAINTENANCE, Maintenance)


def _read(db: Database, where: str, values: list[object]) -> list[AlarmView]:
    rows = db.execute(
        f"SELECT doc FROM state WHERE {where}",  # noqa: S608 - our own constants only
        values,
    ).fetchall()
    return [msgspec.json.decode(row[0], type=AlarmView) for row in rows]
