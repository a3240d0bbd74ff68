"""One writer thread: state and its audit event are written together or not at all.

`change` is the only way to write state, and it refuses a mutation that recorded no event.
`observe` writes evidence (reports, health windows, timers) over a connection of its own, to which
SQLite itself denies every other table: what is denied is looked up when a statement is prepared,
so a connection that were now denied and now not would prepare all of them again and again. Reads
run in the same thread, so what they see is what was committed.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlite_utils import Database, Migrations

from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.events import Event
from edge_site_proxy.store import rows as state
from edge_site_proxy.store.errors import (
    StoreCorruptError,
    StoreUnavailableError,
    UnauditedChangeError,
)
from edge_site_proxy.store.feed import FEED, note_changes
from edge_site_proxy.store.rows import Rows

T = TypeVar("T")

_OBSERVABLE_ACTIONS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_EVIDENCE = frozenset({"changes", "sqlite_sequence", "audit_checkpoints"})  # the store's own
_DISK = frozenset(  # the disk's refusals, and not a mistake in a statement
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_ROW_ACTIONS = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})


@dataclass(slots=True)
class Tx:
    """One open transaction: the database, and what it will be recorded as."""

    db: Database
    at: datetime
    events: list[Event] = field(default_factory=list)
    touched: list[tuple[str, str]] = field(default_factory=list)
    recorded: list[AuditEvent] = field(default_factory=list)
    carried: dict[int, Rows] = field(default_factory=dict)

    def record(self, event: Event) -> None:
        """Add an event to those this transaction is recorded as."""
        self.events.append(event)

    def put(self, kind: str, key: str, doc: object, *, by: Event) -> None:
        """Write a row of state; *by* is the event of this transaction that carries it.

        Raises:
            UnauditedChangeError: this transaction is not recorded as *by*.
        """
        held = self._held(by, name := f"{kind}/{key}")
        if changed := state.put(self.db, kind, key, doc):
            held[name] = {**(held.get(name) or {}), **changed}

    def drop(self, kind: str, key: str, *, by: Event) -> None:
        """Remove a row of state, as `put` writes one."""
        self._held(by, name := f"{kind}/{key}")[name] = None
        state.drop(self.db, kind, key)

    def touch(self, resource: str, name: str) -> None:
        """Tell the change feed to look at *resource* *name* again."""
        self.touched.append((resource, name))

    def _held(self, by: Event, name: str) -> Rows:
        """What *by* carries; a row goes into the log in the order in which it changed."""
        mine = next((place for place, event in enumerate(self.events) if event is by), None)
        last = max((place for place, rows in self.carried.items() if name in rows), default=0)
        if mine is None or mine < last:
            raise UnauditedChangeError(
                f"row {name}: expected the newest event about it in this transaction, "
                f"found {by.kind} {by.subject}"
            )
        return self.carried.setdefault(mine, {})


@dataclass(frozen=True, slots=True)
class _Observation:
    """One waiting piece of evidence and whoever waits for it."""

    mutate: Callable[[Database], object]
    done: "Future[object]"


class Store:
    """The database; every method but `open` and `close` may be called from the event loop.

    Attributes:
        trouble: why the disk took nothing the last time, None once it has taken a change again.

    Args:
        db: opened and migrated by `open`.
        evidence: the same file, over a connection of its own.
        now: wall clock, for the time an event bears.
        clock: what the kernel says of that clock.
        observable: tables that `observe` may write.
    """

    def __init__(
        self,
        db: Database,
        evidence: Database,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], ClockQuality],
        observable: frozenset[str],
    ) -> None:
        self._db = db
        self._evidence = evidence
        self._now = now
        self._clock = clock
        self._observable = observable | _EVIDENCE
        self._evidence.conn.set_authorizer(self._authorise)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting: list[_Observation] = []
        self._waiting_guard = threading.Lock()
        self._listeners: list[asyncio.Event] = []
        self.trouble: str | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        migrations: Sequence[Migrations],
        observable: Iterable[str],
        now: Callable[[], datetime],
        clock: Callable[[], ClockQuality],
    ) -> Self:
        """Open or create the database, and bring its tables up to date.

        Args:
            path: of the file; its folder must exist.
            migrations: one set a component, each named after it.
            observable: the tables that hold evidence rather than state.
            now: wall clock.
            clock: quality of that clock.

        Raises:
            StoreCorruptError: the file is no database.
            StoreUnavailableError: the disk refuses.
        """
        try:
            db = _connected(path)
            for part in (audit_log.MIGRATIONS, FEED, state.STATE, *migrations):
                part.apply(db)
            evidence = _connected(path)
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"database {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreCorruptError(
                f"database {path}: expected a SQLite database, found: {error}; "
                "put it aside and restore the last copy"
            ) from error
        return cls(db, evidence, now=now, clock=clock, observable=frozenset(observable))

    async def change(self, who: str, events: Sequence[Event], mutate: Callable[[Tx], T]) -> T:
        """Change state: *mutate*'s writes, *events* and those it records, in one transaction.

        Raises:
            UnauditedChangeError: rows changed and no event says why; nothing was kept.
            StoreUnavailableError: the disk refuses; nothing was kept.
        """
        answer = await self._run(lambda: self._change(who, events, mutate))
        self.trouble = None
        for listener in self._listeners:
            listener.set()
        return answer

    async def observe(self, mutate: Callable[[Database], T]) -> T:
        """Write evidence; those that wait together share one flush to the disk.

        Raises:
            StoreUnavailableError: the disk refuses, or *mutate* tried to write state.
        """
        done: Future[object] = Future()
        with self._waiting_guard:
            self._waiting.append(_Observation(mutate, done))
        batch: list[_Observation] = []
        job = self._writer.submit(self._observe, batch)
        job.add_done_callback(lambda job: _deliver(job, batch))
        try:
            answer = await asyncio.shield(asyncio.wrap_future(done))
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise StoreUnavailableError(f"database: {error}; nothing was kept") from error
        return answer  # type: ignore[return-value]  # the future of this very mutate

    async def read(self, look: Callable[[Database], T]) -> T:
        """What *look* finds in the committed state."""
        return await self._run(lambda: look(self._db))

    def listen(self) -> asyncio.Event:
        """An event that is set after every change; clear it before looking."""
        listener = asyncio.Event()
        self._listeners.append(listener)
        return listener

    def unlisten(self, listener: asyncio.Event) -> None:
        """Stop setting *listener*."""
        self._listeners.remove(listener)

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        await self._run(self._evidence.close)
        await self._run(self._db.close)
        self._writer.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, job: Callable[[], T]) -> T:
        # Shielded: a caller that gives up must not leave a half-known outcome in the writer.
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.shield(loop.run_in_executor(self._writer, job))
        except sqlite3.Error as error:
            self._note_trouble(error)
            raise StoreUnavailableError(f"database: {error}; nothing was changed") from error

    def _note_trouble(self, error: sqlite3.Error) -> None:
        # The low byte is the kind; the rest says where in the file (SQLite, extended codes).
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK:
            self.trouble = str(error)

    def _change(self, who: str, events: Sequence[Event], mutate: Callable[[Tx], T]) -> T:
        with self._db.atomic():
            before = self._db.conn.total_changes
            tx = Tx(self._db, self._now(), list(events))
            answer = mutate(tx)
            if self._db.conn.total_changes != before and not tx.events:
                raise UnauditedChangeError(
                    f"change by {who}: expected at least one audit event, found none"
                )
            synchronised = self._clock().synchronised
            mark = audit_log.Mark(who, tx.at, clock_synchronised=synchronised)
            for place, event in enumerate(tx.events):
                tx.recorded.append(
                    audit_log.append(self._db, event, mark, tx.carried.get(place, {}))
                )
            note_changes(self._db, tx.events, tx.touched, tx.at)
        return answer

    def _observe(self, batch: list[_Observation]) -> list[object]:
        with self._waiting_guard:
            batch.extend(self._waiting)
            self._waiting.clear()
        if not batch:
            return []
        with self._evidence.atomic():
            return [waiting.mutate(self._evidence) for waiting in batch]

    def _authorise(self, action: int, first: str | None, *_: str | None) -> int:
        if action in _OBSERVABLE_ACTIONS:
            return sqlite3.SQLITE_OK
        allowed = action in _ROW_ACTIONS and first in self._observable
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _connected(path: Path) -> Database:
    """A connection whose commits are on the disk when they return."""
    db = Database(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    db.enable_wal()
    db.execute("PRAGMA synchronous=FULL")
    return db


def _deliver(job: "Future[list[object]]", batch: Sequence[_Observation]) -> None:
    error = job.exception()
    for position, waiting in enumerate(batch):
        if error is None:
            waiting.done.set_result(job.result()[position])
        else:
            waiting.done.set_exception(error)
