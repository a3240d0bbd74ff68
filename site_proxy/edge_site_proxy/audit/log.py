"""The audit log's tables: appending inside a transaction, reading, roots and proofs.

Nothing here commits. A leaf is the canonical JSON of an `AuditEvent`; each event also carries the
SHA-256 of the leaf before it, so a plain `sha256sum` can walk the log without a Merkle tree.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlite_utils import Database, Migrations

from edge_core.contracts.audit import AuditEvent
from edge_site_proxy.audit import tree
from edge_site_proxy.audit.canonical import canonical
from edge_site_proxy.audit.events import Event

MIGRATIONS = Migrations("audit")
BLOCK = 1000  # entries; one old checkpoint for so many is kept for good
NO_PREVIOUS = "sha256:" + "0" * 64


@MIGRATIONS()
def leaves(db: Database) -> None:
    """Events as they were hashed, and the complete subtrees over them; both only ever grow."""
    db.execute(
        "CREATE TABLE audit_events (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
        " subject TEXT NOT NULL, at TEXT NOT NULL, leaf BLOB NOT NULL)"
    )
    db.execute("CREATE INDEX audit_kind ON audit_events (kind, subject, sequence)")
    db.execute(
        "CREATE TABLE audit_nodes (level INTEGER, position INTEGER, hash BLOB NOT NULL,"
        " PRIMARY KEY (level, position)) WITHOUT ROWID"
    )
    db.execute("CREATE TABLE audit_checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL)")
    for table in ("audit_events", "audit_nodes"):
        for action in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_{action.lower()} BEFORE {action} ON {table} BEGIN"
                f" SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )


def leaf_of(event: AuditEvent) -> bytes:
    """The bytes that are hashed for *event*."""
    return canonical(msgspec.to_builtins(event))


def leaf_digest(leaf: bytes) -> str:
    """What the next event carries as `previous`."""
    return f"sha256:{hashlib.sha256(leaf).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the events of one transaction share: who, when, and how far that clock is right."""

    who: str
    at: datetime
    clock_synchronised: bool


def append(
    db: Database, event: Event, mark: Mark, rows: Mapping[str, dict[str, Any] | None]
) -> AuditEvent:
    """Add *event*, with the *rows* that it changed, as the next leaf.

    The caller's transaction makes it last or not.
    """
    size, previous = _tip(db)
    entry = AuditEvent(
        sequence=size,
        at=mark.at.astimezone(UTC),
        clock_synchronised=mark.clock_synchronised,
        who=event.who or mark.who,
        kind=event.kind,
        subject=event.subject,
        facts=event.facts,
        previous=previous,
        rows=dict(rows),
    )
    leaf = leaf_of(entry)
    db.execute(
        "INSERT INTO audit_events (sequence, kind, subject, at, leaf) VALUES (?, ?, ?, ?, ?)",
        [size, entry.kind, entry.subject, entry.at.isoformat(), leaf],
    )
    for (level, position), digest in tree.appended(size, tree.leaf_hash(leaf), lookup(db)):
        db.execute("INSERT INTO audit_nodes VALUES (?, ?, ?)", [level, position, digest])
    return entry


def size_of(db: Database) -> int:
    """How many events the log holds."""
    return _tip(db)[0]


def root_of(db: Database, size: int) -> bytes:
    """The Merkle root over the first *size* events."""
    return tree.root(size, lookup(db))


def lookup(db: Database) -> tree.Lookup:
    """Reads one stored node."""

    def look(level: int, position: int) -> bytes:
        row = db.execute(
            "SELECT hash FROM audit_nodes WHERE level = ? AND position = ?", [level, position]
        ).fetchone()
        return bytes(row[0])

    return look


def leaves_after(db: Database, after: int, limit: int) -> list[bytes]:
    """Up to *limit* leaves with a sequence above *after*, in order; -1 begins at the first."""
    rows = db.execute(
        "SELECT leaf FROM audit_events WHERE sequence > ? ORDER BY sequence LIMIT ?",
        [after, limit],
    ).fetchall()
    return [bytes(row[0]) for row in rows]


def events_about(db: Database, noun: str, subject: str) -> list[AuditEvent]:
    """Every event about *subject* whose kind begins with *noun*, in order."""
    rows = db.execute(
        "SELECT leaf FROM audit_events WHERE kind >= ? AND kind < ? AND subject = ?"
        " ORDER BY sequence",
        [f"{noun}.", f"{noun}/", subject],
    ).fetchall()
    return [parse(bytes(row[0])) for row in rows]


def hashes_from(db: Database, first: int, end: int) -> Iterator[bytes]:
    """The leaf hashes of the entries from *first* up to *end*, as the tree has them."""
    rows = db.execute(
        "SELECT hash FROM audit_nodes WHERE level = 0 AND position >= ? AND position < ?"
        " ORDER BY position",
        [first, end],
    )
    return (bytes(row[0]) for row in rows)


def leaves_from(db: Database, first: int, end: int) -> Iterator[bytes]:
    """The leaves of the entries from *first* up to *end*, in order."""
    rows = db.execute(
        "SELECT leaf FROM audit_events WHERE sequence >= ? AND sequence < ? ORDER BY sequence",
        [first, end],
    )
    return (bytes(row[0]) for row in rows)


def peaks(db: Database, size: int) -> tuple[bytes, ...]:
    """Hashes of the complete subtrees of the first *size* leaves, the largest first."""
    look, start, found = lookup(db), 0, []
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append(look(level, start >> level))
            start += 1 << level
    return tuple(found)


def events_of(db: Database, kind: str) -> list[AuditEvent]:
    """Every event of one kind, in order."""
    rows = db.execute(
        "SELECT leaf FROM audit_events WHERE kind = ? ORDER BY sequence", [kind]
    ).fetchall()
    return [parse(bytes(row[0])) for row in rows]


def newest_note(db: Database) -> str | None:
    """The newest checkpoint that was kept."""
    row = db.execute("SELECT note FROM audit_checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def notes(db: Database) -> list[str]:
    """Every checkpoint that was kept, smallest first."""
    rows = db.execute("SELECT note FROM audit_checkpoints ORDER BY size").fetchall()
    return [str(row[0]) for row in rows]


def keep_note(db: Database, size: int, note: str, kept: int) -> None:
    """Keep a checkpoint: the newest *kept* of them, and before those one every BLOCK entries.

    So a period of years ago still lies between two checkpoints that somebody may have seen then.
    """
    db.execute("INSERT OR IGNORE INTO audit_checkpoints (size, note) VALUES (?, ?)", [size, note])
    row = db.execute(
        "SELECT size FROM audit_checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?", [kept]
    ).fetchone()
    if row is not None:
        db.execute(
            "DELETE FROM audit_checkpoints WHERE size = ? AND EXISTS"
            " (SELECT 1 FROM audit_checkpoints WHERE size >= ? AND size < ?)",
            [row[0], row[0] - row[0] % BLOCK, row[0]],
        )


def parse(leaf: bytes) -> AuditEvent:
    """Read one leaf back.

    Raises:
        msgspec.DecodeError: it is not the JSON of an event.
    """
    return _EVENT.decode(leaf)


def _tip(db: Database) -> tuple[int, str]:
    row = db.execute(
        "SELECT sequence, leaf FROM audit_events ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return (0, NO_PREVIOUS) if row is None else (row[0] + 1, leaf_digest(bytes(row[1])))


_EVENT = msgspec.json.Decoder(AuditEvent)
