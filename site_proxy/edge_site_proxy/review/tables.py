"""Rows of the review queue."""

import hashlib
from collections.abc import Iterator
from datetime import datetime

import msgspec
from sqlite_utils import Database, Migrations

from edge_core.contracts.review import (
    ItemState,
    LabelRecord,
    QueueSummary,
    ReviewItem,
    SuspectWindow,
)
from edge_site_proxy.review.errors import NoSuchItemError

MIGRATIONS = Migrations("review")
_SELECT = "SELECT item, state, line, asset, received, window, labels FROM review_items"


@MIGRATIONS()
def first(db: Database) -> None:
    """Items by number; a window has one, however often it is sent."""
    db.execute(
        "CREATE TABLE review_items (item INTEGER PRIMARY KEY AUTOINCREMENT,"
        " id TEXT NOT NULL UNIQUE, serial TEXT NOT NULL, state TEXT NOT NULL, line TEXT NOT NULL,"
        " asset TEXT NOT NULL, received TEXT NOT NULL, window BLOB NOT NULL,"
        " labels BLOB NOT NULL DEFAULT '[]')"
    )
    db.execute("CREATE INDEX review_state ON review_items (state, line, item)")
    db.execute("CREATE INDEX review_serial ON review_items (serial, state, item)")


@MIGRATIONS()
def by_age(db: Database) -> None:
    """Open items by age, for a queue that is full and takes one more."""
    db.execute("CREATE INDEX review_open ON review_items (item) WHERE state = 'open'")


def holds(db: Database, name: str) -> bool:
    """Whether the window is here already."""
    return db.execute("SELECT 1 FROM review_items WHERE id = ?", [name]).fetchone() is not None


def insert(db: Database, window: SuspectWindow, line: str, asset: str, at: datetime) -> int:
    """A new open item."""
    row = db.execute(
        "INSERT INTO review_items (id, serial, state, line, asset, received, window)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING item",
        [
            window.id,
            window.serial,
            ItemState.OPEN.value,
            line,
            asset,
            at.isoformat(),
            msgspec.json.encode(window),
        ],
    ).fetchone()
    return int(row[0])


def load(db: Database, item: int) -> ReviewItem:
    """One item.

    Raises:
        NoSuchItemError: there is none.
    """
    row = db.execute(f"{_SELECT} WHERE item = ?", [item]).fetchone()
    if row is None:
        raise NoSuchItemError(f"queue item {item}: expected a known number, found none such")
    return _item(row)


def select(
    db: Database,
    *,
    state: ItemState | None,
    limit: int,
    line: str | None = None,
    asset: str | None = None,
) -> list[ReviewItem]:
    """Items in order of arrival."""
    chosen = {"state": None if state is None else state.value, "line": line, "asset": asset}
    rows = db.execute(
        f"{_SELECT} WHERE (:state IS NULL OR state = :state) AND (:line IS NULL OR line = :line)"
        " AND (:asset IS NULL OR asset = :asset) ORDER BY item LIMIT :limit",
        {**chosen, "limit": limit},
    ).fetchall()
    return [_item(row) for row in rows]


def save(db: Database, item: int, state: ItemState, labels: list[LabelRecord]) -> None:
    """Replace state and labels."""
    db.execute(
        "UPDATE review_items SET state = ?, labels = ? WHERE item = ?",
        [state.value, msgspec.json.encode(labels), item],
    )


def oldest_open(db: Database, serial: str | None, keep: int) -> list[int]:
    """Open items beyond the *keep* newest, of one gateway or of all."""
    # Each has its own index; one statement for both would sort every open item, each time.
    if serial is None:
        rows = db.execute(
            "SELECT item FROM review_items INDEXED BY review_open WHERE state = 'open'"
            " ORDER BY item DESC LIMIT -1 OFFSET ?",
            [keep],
        ).fetchall()
    else:
        rows = db.execute(
            "SELECT item FROM review_items WHERE serial = ? AND state = 'open'"
            " ORDER BY item DESC LIMIT -1 OFFSET ?",
            [serial, keep],
        ).fetchall()
    return [int(row[0]) for row in rows]


def open_before(db: Database, moment: datetime) -> list[int]:
    """Open items that came before *moment*."""
    rows = db.execute(
        "SELECT item FROM review_items WHERE state = 'open' AND received < ?",
        [moment.isoformat()],
    ).fetchall()
    return [int(row[0]) for row in rows]


def expire(db: Database, items: list[int]) -> None:
    """Nobody will look at *items* any more."""
    for item in items:
        db.execute("UPDATE review_items SET state = 'expired' WHERE item = ?", [item])


def summary(db: Database, leased: int) -> QueueSummary:
    """How much work there is; *leased* of the open items are in somebody's hands."""
    counts = dict(db.execute("SELECT state, count(*) FROM review_items GROUP BY state").fetchall())
    open_ = int(counts.get("open", 0))
    return QueueSummary(
        open=max(0, open_ - leased),
        leased=min(leased, open_),
        labelled=int(counts.get("labelled", 0)),
        expired=int(counts.get("expired", 0)),
    )


def open_by_line(db: Database) -> dict[str, int]:
    """Open items a line."""
    rows = db.execute(
        "SELECT line, count(*) FROM review_items WHERE state = 'open' GROUP BY line"
    ).fetchall()
    return {row[0]: int(row[1]) for row in rows}


def labelled(db: Database) -> Iterator[tuple[ReviewItem, str]]:
    """Every labelled item, with the SHA-256 of its window as it was kept."""
    rows = db.execute(f"{_SELECT} WHERE state = 'labelled' ORDER BY item").fetchall()
    for row in rows:
        yield _item(row), hashlib.sha256(bytes(row[5])).hexdigest()


def _item(row: tuple[int, str, str, str, str, bytes, bytes]) -> ReviewItem:
    return ReviewItem(
        item=row[0],
        state=ItemState(row[1]),
        line=row[2],
        asset=row[3],
        received=datetime.fromisoformat(row[4]),
        window=msgspec.json.decode(row[5], type=SuspectWindow),
        labels=msgspec.json.decode(row[6], type=list[LabelRecord]),
    )
