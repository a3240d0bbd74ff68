"""The change feed: which resource to look at again, numbered, for screens that stay open."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlite_utils import Database, Migrations

from edge_core.contracts.api import Change
from edge_site_proxy.audit.events import Event

FEED = Migrations("feed")
CHANGES_KEPT = 20_000  # a screen that was away longer than this draws everything anew


@FEED()
def changes(db: Database) -> None:
    """The feed itself; cursors are never reused, even when old rows are gone."""
    db.execute(
        "CREATE TABLE changes (cursor INTEGER PRIMARY KEY AUTOINCREMENT,"
        " resource TEXT NOT NULL, id TEXT NOT NULL, at TEXT NOT NULL)"
    )


def note_changes(
    db: Database, events: Sequence[Event], touched: Iterable[tuple[str, str]], at: datetime
) -> None:
    """Add one row for each resource that *events* speak of, and for each *touched*."""
    named = [(event.kind.partition(".")[0], event.subject) for event in events]
    for resource, name in dict.fromkeys([*named, *touched]):
        db.execute(
            "INSERT INTO changes (resource, id, at) VALUES (?, ?, ?)",
            [resource, name, at.isoformat()],
        )
    db.execute(
        "DELETE FROM changes WHERE cursor <= (SELECT max(cursor) FROM changes) - ?", [CHANGES_KEPT]
    )


def changes_after(db: Database, cursor: int, limit: int) -> list[Change]:
    """Up to *limit* changes after *cursor*, oldest first."""
    rows = db.execute(
        "SELECT cursor, resource, id, at FROM changes WHERE cursor > ? ORDER BY cursor LIMIT ?",
        [cursor, limit],
    ).fetchall()
    return [
        Change(cursor=row[0], resource=row[1], id=row[2], at=datetime.fromisoformat(row[3]))
        for row in rows
    ]


def cursor_last(db: Database) -> int:
    """The newest cursor, 0 when nothing ever changed."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 0 if row is None else int(row[0])


def cursor_first(db: Database) -> int:
    """The oldest cursor still kept, 0 when there is none."""
    row = db.execute("SELECT min(cursor) FROM changes").fetchone()
    return int(row[0] or 0)
