"""Rows of the rollouts: plans and headers, releases, permits, wishes; and apart, the evidence."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlite_utils import Database, Migrations

from edge_core.contracts.gateway import Desired, HealthWindow, RollbackOrder
from edge_core.contracts.rollout import Plan
from edge_site_proxy.audit.events import Event
from edge_site_proxy.fleet.places import Retired
from edge_site_proxy.fleet.sightings import Sighting
from edge_site_proxy.rollout.baselines import Baseline, BaselineRow, row_of
from edge_site_proxy.rollout.budget import Ledger, Token
from edge_site_proxy.rollout.gates.evidence import History, Tally
from edge_site_proxy.rollout.marks import Marks
from edge_site_proxy.rollout.records import Arrived, Grant, Header, InForce, Rollout
from edge_site_proxy.store import Tx
from edge_site_proxy.store.rows import find, load

MIGRATIONS = Migrations("rollout")
OBSERVABLE = frozenset({"sightings", "health", "tallies", "timers"})
HEALTH_KEPT_DAYS = 14

T = TypeVar("T")


@MIGRATIONS()
def first(db: Database) -> None:
    """Evidence: what gateways reported, and how long each phase has stood."""
    for table in (
        "sightings (serial TEXT PRIMARY KEY, at TEXT NOT NULL, doc BLOB NOT NULL)",
        "timers (name TEXT PRIMARY KEY, elapsed_s REAL NOT NULL)",
    ):
        db.execute(f"CREATE TABLE {table}")
    db.execute(
        "CREATE TABLE health (serial TEXT, epoch INTEGER, number INTEGER, digest TEXT, role TEXT,"
        " ended TEXT NOT NULL, doc BLOB NOT NULL,"
        " PRIMARY KEY (serial, epoch, number, digest, role)) WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE tallies (serial TEXT, digest TEXT, role TEXT, doc BLOB NOT NULL,"
        " PRIMARY KEY (serial, digest, role)) WITHOUT ROWID"
    )


TallyKey = tuple[str, str, str]  # serial, digest, role


def load_rollouts(db: Database) -> dict[str, Rollout]:
    """Every rollout, by id."""
    plans = load(db, "plans", Plan)
    headers = load(db, "rollouts", Header)
    return {name: Rollout(plan=plans[name], header=header) for name, header in headers.items()}


def save_rollout(tx: Tx, rollout: Rollout, by: Event) -> None:
    """Write plan and header."""
    tx.put("plans", rollout.id, rollout.plan, by=by)
    tx.put("rollouts", rollout.id, rollout.header, by=by)


def load_releases(db: Database) -> dict[str, Arrived]:
    """Every release that arrived, by digest."""
    return load(db, "releases", Arrived)


def save_release(tx: Tx, arrived: Arrived, by: Event) -> None:
    """Remember a release."""
    tx.put("releases", arrived.release.digest, arrived, by=by)


def load_signed_plans(db: Database) -> dict[str, InForce]:
    """The newest signed plan of each model, by model."""
    return load(db, "signed_plans", InForce)


def save_signed_plan(tx: Tx, in_force: InForce, by: Event) -> None:
    """Remember a signed plan in place of the one before."""
    tx.put("signed_plans", in_force.plan.release.model, in_force, by=by)


def load_grants(db: Database) -> dict[str, Grant]:
    """Every permit that is out, by serial."""
    return load(db, "grants", Grant)


def save_grant(tx: Tx, grant: Grant, by: Event) -> None:
    """Note a permit before it is given out."""
    tx.put("grants", grant.serial, grant, by=by)


def drop_grant(tx: Tx, serial: str, by: Event) -> None:
    """The permit of *serial* is settled."""
    tx.drop("grants", serial, by=by)


def load_tokens(db: Database) -> dict[str, Token]:
    """Every gateway that may download, by serial."""
    return load(db, "downloads", Token)


def load_ledger(db: Database) -> Ledger:
    """The bytes that were given out for downloads."""
    return find(db, "ledgers", "downloads", Ledger) or Ledger()


def save_token(tx: Tx, token: Token, ledger: Ledger, by: Event) -> None:
    """Note what a gateway may download before it is told so, and what that leaves."""
    tx.put("downloads", token.serial, token, by=by)
    tx.put("ledgers", "downloads", ledger, by=by)


def drop_token(tx: Tx, serial: str, by: Event) -> None:
    """*serial* downloads no more."""
    tx.drop("downloads", serial, by=by)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What people want of one gateway, apart from any rollout."""

    safe_mode: bool = False
    rollback: RollbackOrder | None = None
    snapshot: str | None = None


def load_wishes(db: Database) -> dict[str, Wish]:
    """By serial."""
    return load(db, "wishes", Wish)


def save_wish(tx: Tx, serial: str, wish: Wish, by: Event) -> None:
    """Replace what is wanted of *serial*."""
    tx.put("wishes", serial, wish, by=by)


def load_marks(db: Database) -> dict[str, Marks]:
    """What is noted of gateways beside their reports, by serial."""
    return load(db, "marks", Marks)


def save_marks(tx: Tx, serial: str, marks: Marks, by: Event) -> None:
    """Replace what is noted of *serial*."""
    tx.put("marks", serial, marks, by=by)


def load_retired(db: Database) -> dict[str, Retired]:
    """Gateways that were retired, by serial."""
    return load(db, "retired", Retired)


def save_retired(tx: Tx, retired: Retired, by: Event) -> None:
    """Note the end of a gateway."""
    tx.put("retired", retired.serial, retired, by=by)


def load_desired(db: Database) -> dict[str, Desired]:
    """What each gateway is told, by serial."""
    return load(db, "desired", Desired)


def save_desired(tx: Tx, desired: Desired, by: Event) -> None:
    """Replace what a gateway is told."""
    tx.put("desired", desired.serial, desired, by=by)


def load_baselines(db: Database) -> dict[tuple[str, int], Baseline]:
    """Histories as they were when a cohort began to activate."""
    return {
        (row.rollout, row.cohort): row.baseline
        for row in load(db, "baselines", BaselineRow).values()
    }


def save_baseline(
    tx: Tx, rollout: str, cohort: int, baseline: Mapping[str, History], by: Event
) -> None:
    """Freeze the histories for one cohort."""
    tx.put("baselines", f"{rollout}/{cohort}", row_of(rollout, cohort, baseline), by=by)


def load_sightings(db: Database) -> dict[str, tuple[datetime, Sighting]]:
    """When each gateway was last heard, and what is believed of it."""
    rows = db.execute("SELECT serial, at, doc FROM sightings").fetchall()
    return {row[0]: (datetime.fromisoformat(row[1]), _read(row[2], Sighting)) for row in rows}


def save_sightings(db: Database, rows: Iterable[tuple[str, datetime, Sighting]]) -> None:
    """Evidence: when each serial was heard, and what is believed of it."""
    db.conn.executemany(
        "INSERT INTO sightings (serial, at, doc) VALUES (?, ?, ?)"
        " ON CONFLICT (serial) DO UPDATE SET at = excluded.at, doc = excluded.doc",
        [(serial, at.isoformat(), _bytes(sighting)) for serial, at, sighting in rows],
    )


def take_windows(db: Database, serial: str, windows: Sequence[HealthWindow]) -> list[HealthWindow]:
    """Evidence: health windows of one gateway; answers those that were not held already."""
    fresh = {_name(window): window for window in reversed(windows)}  # of a repeat the first
    for epoch in {window.epoch for window in windows}:
        numbers = [window.number for window in windows if window.epoch == epoch]
        held = db.execute(
            "SELECT epoch, number, digest, role FROM health"
            " WHERE serial = ? AND epoch = ? AND number BETWEEN ? AND ?",
            [serial, epoch, min(numbers), max(numbers)],
        )
        for name in held.fetchall():
            fresh.pop(name, None)
    db.conn.executemany(
        "INSERT INTO health (serial, epoch, number, digest, role, ended, doc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (serial, *name, window.ended.isoformat(), _bytes(window))
            for name, window in fresh.items()
        ],
    )
    return list(fresh.values())


def _name(window: HealthWindow) -> tuple[int, int, str, str]:
    """What tells a window from every other of its gateway."""
    return window.epoch, window.number, window.digest, window.role


def windows_of(db: Database, serial: str, limit: int) -> list[HealthWindow]:
    """The newest health windows of one gateway, newest first."""
    rows = db.execute(
        "SELECT doc FROM health WHERE serial = ? ORDER BY epoch DESC, number DESC LIMIT ?",
        [serial, limit],
    ).fetchall()
    return [_read(row[0], HealthWindow) for row in rows]


def forget_windows(db: Database, before: datetime) -> None:
    """Evidence older than *before* is no longer needed one by one; its tally stays."""
    db.execute("DELETE FROM health WHERE ended < ?", [before.isoformat()])


def load_tallies(db: Database) -> dict[TallyKey, Tally]:
    """Every tally."""
    rows = db.execute("SELECT serial, digest, role, doc FROM tallies").fetchall()
    return {(row[0], row[1], row[2]): _read(row[3], Tally) for row in rows}


def load_tally(db: Database, key: TallyKey) -> Tally | None:
    """One tally, as kept."""
    row = db.execute(
        "SELECT doc FROM tallies WHERE serial = ? AND digest = ? AND role = ?", [*key]
    ).fetchone()
    return None if row is None else _read(row[0], Tally)


def save_tally(db: Database, key: TallyKey, tally: Tally) -> None:
    """Evidence: what the windows of one model on one gateway add up to."""
    db.execute(
        "INSERT INTO tallies (serial, digest, role, doc) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (serial, digest, role) DO UPDATE SET doc = excluded.doc",
        [*key, _bytes(tally)],
    )


def load_timers(db: Database) -> dict[str, float]:
    """How long each phase had stood when we last ran, in seconds."""
    return {row[0]: row[1] for row in db.execute("SELECT name, elapsed_s FROM timers").fetchall()}


def save_timers(db: Database, timers: Mapping[str, float]) -> None:
    """Evidence: replace every timer."""
    db.execute("DELETE FROM timers")
    for name, elapsed_s in timers.items():
        db.execute("INSERT INTO timers (name, elapsed_s) VALUES (?, ?)", [name, elapsed_s])


class _Number(msgspec.Struct, frozen=True, kw_only=True):
    value: int


def load_number(db: Database, key: str) -> int:
    """A number of the site, 0 if never set."""
    found = find(db, "site", key, _Number)
    return 0 if found is None else found.value


def save_number(tx: Tx, key: str, value: int, by: Event) -> None:
    """Set a number of the site."""
    tx.put("site", key, _Number(value=value), by=by)


def _bytes(value: object) -> bytes:
    return msgspec.json.encode(value)


def _read(raw: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(raw, type=kind)
