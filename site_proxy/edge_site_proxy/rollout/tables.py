"""Rows of the rollouts: plans and headers, releases, permits, wishes and evidence."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlite_utils import Database, Migrations

from edge_core.contracts.gateway import Desired, HealthWindow, RollbackOrder
from edge_core.contracts.rollout import Plan
from edge_site_proxy.fleet.sightings import Sighting
from edge_site_proxy.rollout.evidence import Tally
from edge_site_proxy.rollout.gate import History
from edge_site_proxy.rollout.records import Arrived, Grant, Header, Rollout

MIGRATIONS = Migrations("rollout")
OBSERVABLE = frozenset({"sightings", "health", "tallies", "timers"})
HEALTH_KEPT_DAYS = 14

T = TypeVar("T")


@MIGRATIONS()
def first(db: Database) -> None:
    """State of the rollouts, and apart from it the evidence."""
    for table in (
        "site (key TEXT PRIMARY KEY, value INTEGER NOT NULL)",
        "releases (digest TEXT PRIMARY KEY, doc BLOB NOT NULL)",
        "rollouts (id TEXT PRIMARY KEY, plan BLOB NOT NULL, header BLOB NOT NULL)",
        "grants (serial TEXT PRIMARY KEY, doc BLOB NOT NULL)",
        "wishes (serial TEXT PRIMARY KEY, safe_mode INTEGER, rollback BLOB, snapshot TEXT)",
        "desired (serial TEXT PRIMARY KEY, doc BLOB NOT NULL)",
        "baselines (rollout TEXT, cohort INTEGER, doc BLOB, PRIMARY KEY (rollout, cohort))",
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
    rows = db.execute("SELECT id, plan, header FROM rollouts").fetchall()
    return {
        row[0]: Rollout(plan=_read(row[1], Plan), header=_read(row[2], Header)) for row in rows
    }


def save_rollout(db: Database, rollout: Rollout) -> None:
    """Write plan and header."""
    db.execute(
        "INSERT INTO rollouts (id, plan, header) VALUES (?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET plan = excluded.plan, header = excluded.header",
        [rollout.id, _bytes(rollout.plan), _bytes(rollout.header)],
    )


def load_releases(db: Database) -> dict[str, Arrived]:
    """Every release that arrived, by digest."""
    rows = db.execute("SELECT digest, doc FROM releases").fetchall()
    return {row[0]: _read(row[1], Arrived) for row in rows}


def save_release(db: Database, arrived: Arrived) -> None:
    """Remember a release."""
    db.execute(
        "INSERT INTO releases (digest, doc) VALUES (?, ?)"
        " ON CONFLICT (digest) DO UPDATE SET doc = excluded.doc",
        [arrived.release.digest, _bytes(arrived)],
    )


def load_grants(db: Database) -> dict[str, Grant]:
    """Every permit that is out, by serial."""
    rows = db.execute("SELECT serial, doc FROM grants").fetchall()
    return {row[0]: _read(row[1], Grant) for row in rows}


def save_grant(db: Database, grant: Grant) -> None:
    """Note a permit before it is given out."""
    db.execute(
        "INSERT INTO grants (serial, doc) VALUES (?, ?)"
        " ON CONFLICT (serial) DO UPDATE SET doc = excluded.doc",
        [grant.serial, _bytes(grant)],
    )


def drop_grant(db: Database, serial: str) -> None:
    """The permit of *serial* is settled."""
    db.execute("DELETE FROM grants WHERE serial = ?", [serial])


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What people want of one gateway, apart from any rollout."""

    safe_mode: bool = False
    rollback: RollbackOrder | None = None
    snapshot: str | None = None


def load_wishes(db: Database) -> dict[str, Wish]:
    """By serial."""
    rows = db.execute("SELECT serial, safe_mode, rollback, snapshot FROM wishes").fetchall()
    return {
        row[0]: Wish(
            safe_mode=bool(row[1]),
            rollback=None if row[2] is None else _read(row[2], RollbackOrder),
            snapshot=row[3],
        )
        for row in rows
    }


def save_wish(db: Database, serial: str, wish: Wish) -> None:
    """Replace what is wanted of *serial*."""
    rollback = None if wish.rollback is None else _bytes(wish.rollback)
    db.execute(
        "INSERT INTO wishes (serial, safe_mode, rollback, snapshot) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (serial) DO UPDATE SET safe_mode = excluded.safe_mode,"
        " rollback = excluded.rollback, snapshot = excluded.snapshot",
        [serial, int(wish.safe_mode), rollback, wish.snapshot],
    )


def load_desired(db: Database) -> dict[str, Desired]:
    """What each gateway is told, by serial."""
    rows = db.execute("SELECT serial, doc FROM desired").fetchall()
    return {row[0]: _read(row[1], Desired) for row in rows}


def save_desired(db: Database, desired: Desired) -> None:
    """Replace what a gateway is told."""
    db.execute(
        "INSERT INTO desired (serial, doc) VALUES (?, ?)"
        " ON CONFLICT (serial) DO UPDATE SET doc = excluded.doc",
        [desired.serial, _bytes(desired)],
    )


Baseline = dict[str, History]


class _BaselineRow(msgspec.Struct, frozen=True, kw_only=True):
    windows: int
    bad: int


def load_baselines(db: Database) -> dict[tuple[str, int], Baseline]:
    """Histories as they were when a cohort began to activate."""
    found: dict[tuple[str, int], Baseline] = {}
    for rollout, cohort, doc in db.execute("SELECT rollout, cohort, doc FROM baselines"):
        rows = _read(doc, dict[str, _BaselineRow])
        found[rollout, cohort] = {
            serial: History(windows=row.windows, bad=row.bad) for serial, row in rows.items()
        }
    return found


def save_baseline(
    db: Database, rollout: str, cohort: int, baseline: Mapping[str, History]
) -> None:
    """Freeze the histories for one cohort."""
    rows = {
        serial: _BaselineRow(windows=history.windows, bad=history.bad)
        for serial, history in baseline.items()
    }
    db.execute(
        "INSERT OR REPLACE INTO baselines (rollout, cohort, doc) VALUES (?, ?, ?)",
        [rollout, cohort, _bytes(rows)],
    )


def load_sightings(db: Database) -> dict[str, tuple[datetime, Sighting]]:
    """When each gateway was last heard, and what is believed of it."""
    rows = db.execute("SELECT serial, at, doc FROM sightings").fetchall()
    return {row[0]: (datetime.fromisoformat(row[1]), _read(row[2], Sighting)) for row in rows}


def save_sighting(db: Database, serial: str, at: datetime, sighting: Sighting) -> None:
    """Evidence: what is believed of *serial*."""
    db.execute(
        "INSERT INTO sightings (serial, at, doc) VALUES (?, ?, ?)"
        " ON CONFLICT (serial) DO UPDATE SET at = excluded.at, doc = excluded.doc",
        [serial, at.isoformat(), _bytes(sighting)],
    )


def take_window(db: Database, serial: str, window: HealthWindow) -> bool:
    """Evidence: one health window; False if it is held already."""
    cursor = db.execute(
        "INSERT OR IGNORE INTO health (serial, epoch, number, digest, role, ended, doc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            serial,
            window.epoch,
            window.number,
            window.digest,
            window.role,
            window.ended.isoformat(),
            _bytes(window),
        ],
    )
    return cursor.rowcount == 1


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


def load_number(db: Database, key: str) -> int:
    """A number of the site, 0 if never set."""
    row = db.execute("SELECT value FROM site WHERE key = ?", [key]).fetchone()
    return 0 if row is None else int(row[0])


def save_number(db: Database, key: str, value: int) -> None:
    """Set a number of the site."""
    db.execute(
        "INSERT INTO site (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, value],
    )


def _bytes(value: object) -> bytes:
    return msgspec.json.encode(value)


def _read(raw: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(raw, type=kind)
