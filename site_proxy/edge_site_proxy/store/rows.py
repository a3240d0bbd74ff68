"""Rows of state: each is written together with the event that says why, and the event carries it.

So the state is the fold of the audit log, by construction: `fold` over every event gives what
`every` reads. A row is `kind/key` and one JSON object; an event carries the fields that changed,
or null where the row went. Evidence (what gateways report) is no state and lies elsewhere.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from sqlite_utils import Database, Migrations

from edge_core.contracts.audit import AuditEvent

STATE = Migrations("state")
Fields = dict[str, Any]  # Any: JSON values; the kind of the row decides which
Rows = dict[str, Fields | None]

T = TypeVar("T")


@STATE()
def state(db: Database) -> None:
    """Every row of state, by kind and key."""
    db.execute(
        "CREATE TABLE state (kind TEXT NOT NULL, key TEXT NOT NULL, doc TEXT NOT NULL,"
        " PRIMARY KEY (kind, key))"
    )


def put(db: Database, kind: str, key: str, doc: object) -> Fields:
    """Write one row; answers the fields that differ from what was there.

    Raises:
        ValueError: a field that was there is missing, which an event could not say, or *doc*
            breaks the bounds of its own type.
    """
    text = msgspec.json.encode(doc).decode()
    if isinstance(doc, msgspec.Struct):
        # Nothing checks a struct that we make; unread now, it would stop the next start instead.
        msgspec.json.decode(text, type=type(doc))
    new = msgspec.json.decode(text, type=Fields)
    row = db.execute("SELECT doc FROM state WHERE kind = ? AND key = ?", [kind, key]).fetchone()
    old = {} if row is None else msgspec.json.decode(row[0], type=Fields)
    if lost := old.keys() - new.keys():
        raise ValueError(f"{kind}/{key}: expected its fields to stay, {sorted(lost)} went")
    changed = {name: value for name, value in new.items() if name not in old or old[name] != value}
    if changed or row is None:
        db.execute(
            "INSERT INTO state (kind, key, doc) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, key) DO UPDATE SET doc = excluded.doc",
            [kind, key, text],
        )
    return changed


def drop(db: Database, kind: str, key: str) -> None:
    """Remove one row, if it is there."""
    db.execute("DELETE FROM state WHERE kind = ? AND key = ?", [kind, key])


def load(db: Database, kind: str, shape: type[T]) -> dict[str, T]:
    """Every row of *kind*, by key, in order of arrival."""
    rows = db.execute("SELECT key, doc FROM state WHERE kind = ? ORDER BY rowid", [kind])
    return {key: msgspec.json.decode(doc, type=shape) for key, doc in rows}


def find(db: Database, kind: str, key: str, shape: type[T]) -> T | None:
    """One row, None if it is not there."""
    row = db.execute("SELECT doc FROM state WHERE kind = ? AND key = ?", [kind, key]).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=shape)


def every(db: Database) -> dict[str, Fields]:
    """The whole state, in the form that `fold` gives."""
    rows = db.execute("SELECT kind, key, doc FROM state")
    return {f"{kind}/{key}": msgspec.json.decode(doc, type=Fields) for kind, key, doc in rows}


def fold(events: Iterable[AuditEvent]) -> dict[str, Fields]:
    """The state that *events* lead to, from nothing."""
    folded: dict[str, Fields] = {}
    for event in events:
        for name, fields in event.rows.items():
            if fields is None:
                folded.pop(name, None)
            else:
                folded[name] = {**folded.get(name, {}), **fields}
    return folded
