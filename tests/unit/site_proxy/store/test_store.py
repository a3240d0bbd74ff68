"""State and its event are written together or not at all."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.events import Event
from edge_site_proxy.store import (
    Store,
    StoreCorruptError,
    StoreUnavailableError,
    Tx,
    UnauditedChangeError,
)
from edge_site_proxy.store.feed import changes_after
from tests.unit.site_proxy.plant.clocks import HandClock

pytestmark = pytest.mark.anyio
PUMPS = Migrations("pumps")


@PUMPS()
def first(db: Database) -> None:
    """One table of state, one of evidence."""
    db.execute("CREATE TABLE pumps (name TEXT PRIMARY KEY)")
    db.execute("CREATE TABLE seen (name TEXT PRIMARY KEY)")


def store(path: Path) -> Store:
    """A store with those tables."""
    clocks = HandClock().clocks()
    return Store.open(
        path, migrations=[PUMPS], observable=["seen"], now=clocks.now, clock=clocks.quality
    )


def add(tx: Tx) -> None:
    """Write one row of state."""
    tx.db.execute("INSERT INTO pumps VALUES ('p')")


def rows(db: Database) -> list[str]:
    """The state."""
    return [row[0] for row in db.execute("SELECT name FROM pumps").fetchall()]


EVENT = Event("pump.added", "p")
STATE = ("INSERT INTO pumps VALUES ('q')", "DELETE FROM pumps", "DROP TABLE seen")


async def test_change(tmp_path: Path) -> None:
    """State, event and change feed are all there after it."""
    async with store(tmp_path / "s.db") as kept:
        await kept.change("ana", [EVENT], add)
        assert await kept.read(rows) == ["p"]
        assert await kept.read(audit_log.size_of) == 1
        changes = await kept.read(lambda db: changes_after(db, 0, 10))
        assert [(each.resource, each.id) for each in changes] == [("pump", "p")]


async def test_no_change_without_an_event(tmp_path: Path) -> None:
    """A mutation that records nothing changes nothing."""
    async with store(tmp_path / "s.db") as kept:
        with pytest.raises(UnauditedChangeError, match="ana"):
            await kept.change("ana", [], add)
        assert await kept.read(rows) == []


async def test_no_event_without_its_change(tmp_path: Path) -> None:
    """A mutation that fails leaves no event behind."""
    async with store(tmp_path / "s.db") as kept:
        await kept.change("ana", [EVENT], add)
        with pytest.raises(StoreUnavailableError, match="UNIQUE"):
            await kept.change("ana", [EVENT], add)
        assert await kept.read(audit_log.size_of) == 1


async def test_evidence_cannot_touch_state(tmp_path: Path) -> None:
    """`observe` writes evidence; SQLite itself denies it anything else."""
    async with store(tmp_path / "s.db") as kept:
        await kept.observe(lambda db: db.execute("INSERT INTO seen VALUES ('x')"))
        for statement in (
            "INSERT INTO pumps VALUES ('q')",
            "DELETE FROM pumps",
            "DROP TABLE seen",
        ):
            with pytest.raises(StoreUnavailableError, match="not authorized"):
                await kept.observe(lambda db, text=statement: db.execute(text))  # type: ignore[misc]  # a default binds the loop's value
        assert await kept.read(rows) == []
        await kept.change("ana", [EVENT], add)


async def test_log_is_append_only(tmp_path: Path) -> None:
    """Not even our own code can change or delete an event."""
    async with store(tmp_path / "s.db") as kept:
        await kept.change("ana", [EVENT], add)
        for statement in ("DELETE FROM audit_events", "UPDATE audit_nodes SET hash = x''"):
            with pytest.raises(StoreUnavailableError, match="append-only"):
                await kept.change("ana", [EVENT], lambda tx, text=statement: tx.db.execute(text))  # type: ignore[misc]  # a default binds the loop's value


async def test_many_at_once(tmp_path: Path) -> None:
    """Two hundred heartbeats at once are all kept, each by its own answer."""
    async with store(tmp_path / "s.db") as kept:

        async def one(number: int) -> None:
            def write(db: Database) -> int:
                db.execute("INSERT INTO seen VALUES (?)", [str(number)])
                return number

            assert await kept.observe(write) == number

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(one(number))
        count = await kept.read(lambda db: db.execute("SELECT count(*) FROM seen").fetchone()[0])
        assert count == 200


async def test_reopened(tmp_path: Path) -> None:
    """Everything is there again, and the log goes on where it was."""
    async with store(tmp_path / "s.db") as kept:
        await kept.change("ana", [EVENT], add)
    async with store(tmp_path / "s.db") as kept:
        assert await kept.read(rows) == ["p"]
        await kept.change("ana", [Event("pump.removed", "p")], lambda _: None)
        assert await kept.read(audit_log.size_of) == 2


async def test_durable_settings(tmp_path: Path) -> None:
    """A commit is on the disk when it returns: WAL with full synchronisation."""
    async with store(tmp_path / "s.db") as kept:
        names = ("journal_mode", "synchronous")
        found = await kept.read(
            lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        )
        assert found == ["wal", 2]


def test_not_a_database(tmp_path: Path) -> None:
    """A file of something else is named, and left as it is."""
    path = tmp_path / "s.db"
    path.write_bytes(b"this is no database at all, but long enough to be read" * 40)
    with pytest.raises(StoreCorruptError, match="expected a SQLite database"):
        store(path)
    assert path.read_bytes().startswith(b"this is no")


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is the disk's refusal, in one line."""
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        store(tmp_path / "absent" / "s.db")


async def test_disk_full(tmp_path: Path) -> None:
    """When the disk is full nothing is half written, and it goes on once there is room."""
    async with store(tmp_path / "s.db") as kept:
        await kept.change("ana", [EVENT], add)
        pages = await kept.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await kept.read(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchone())
        big = Event("pump.described", "p", {"text": "x" * 100_000})
        with pytest.raises(StoreUnavailableError, match="full"):
            await kept.change("ana", [big], lambda _: None)
        assert await kept.read(audit_log.size_of) == 1
        await kept.read(lambda db: db.execute("PRAGMA max_page_count=100000").fetchone())
        await kept.change("ana", [big], lambda _: None)
        assert await kept.read(audit_log.size_of) == 2
    assert sqlite3.threadsafety >= 1
