"""The log as files: written from the database, and checked again without it.

audit.jsonl        one event a line, as it was hashed
checkpoints.txt    signed notes, smallest first, parted by a line of "--"
verifier.pub       the key to check them with; a careful auditor has his own copy
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlite_utils import Database

from edge_core.contracts.api import WhatRan
from edge_core.contracts.plant import Instant
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import tree
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.history import what_ran
from edge_site_proxy.audit.verify import Verified, verify
from edge_site_proxy.store.rows import every, fold

EVENTS, NOTES, PUBLIC = "audit.jsonl", "checkpoints.txt", "verifier.pub"
_PART = "--\n"
_ROWS = 5000


def open_read_only(path: Path) -> Database:
    """The database while the daemon runs, or while it does not; nothing can be written.

    Raises:
        LogBrokenError: there is no such file, or it is no database.
    """
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        connection.execute("SELECT count(*) FROM audit_checkpoints").fetchone()
        connection.execute("BEGIN")  # one moment of the database, however long the reading takes
    except sqlite3.Error as error:
        raise LogBrokenError(f"{path}: expected the site's database, found: {error}") from error
    return Database(connection)


def export_log(db: Database, folder: Path, public: str) -> int:
    """Write the log and its checkpoints into *folder*; answers how many events there were."""
    folder.mkdir(parents=True, exist_ok=True)
    notes = audit_log.notes(db)
    count = 0
    with (folder / EVENTS).open("wb") as file:
        for leaf in _leaves(db):
            file.write(leaf + b"\n")
            count += 1
    (folder / NOTES).write_text(_PART.join(notes), encoding="utf-8")
    (folder / PUBLIC).write_text(public + "\n", encoding="utf-8")
    return count


def verify_folder(folder: Path, public: str | None = None) -> Verified:
    """Check what `export_log` wrote.

    Args:
        folder: of the export.
        public: the verifier key that is trusted; the export's own where None is given.

    Raises:
        LogBrokenError: it does not verify, or a file is missing.
    """
    try:
        notes = (folder / NOTES).read_text(encoding="utf-8").split(_PART)
        key = public or (folder / PUBLIC).read_text(encoding="utf-8")
        with (folder / EVENTS).open("rb") as lines:
            return verify(lines, [note for note in notes if note], key)
    except (OSError, UnicodeDecodeError) as error:
        raise LogBrokenError(f"{folder}: expected an export of the audit log: {error}") from error


def verify_database(db: Database, public: str) -> Verified:
    """Check the log where it lies: each entry against its stored hash, then as an export.

    And the state beside it, which must be what the entries lead to.

    Raises:
        LogBrokenError: it does not verify; `first_bad` names the first such entry.
    """
    look = audit_log.lookup(db)
    for position, leaf in enumerate(_leaves(db)):
        if tree.leaf_hash(leaf) != look(0, position):
            raise LogBrokenError(f"entry {position}: it is not what was hashed", position)
    verified = verify(_leaves(db), audit_log.notes(db), public)
    check_state(db)
    return verified


def check_state(db: Database) -> None:
    """See that every row of state is what the log says, and that none is missing (S16).

    Raises:
        LogBrokenError: names the first row that differs.
    """
    said, found = fold(audit_log.parse(leaf) for leaf in _leaves(db)), every(db)
    for name in sorted(said.keys() | found.keys()):
        if said.get(name) != found.get(name):
            raise LogBrokenError(
                f"row {name}: expected what the log says of it, found "
                f"{'another' if name in found else 'none'}; somebody wrote past the log"
            )


def what_ran_there(db: Database, asset: str, at: Instant) -> WhatRan:
    """The auditor's question, asked of the database directly; raises as `what_ran` does."""
    return what_ran(db, asset, at)


def _leaves(db: Database) -> Iterator[bytes]:
    after = -1
    while leaves := audit_log.leaves_after(db, after, _ROWS):
        yield from leaves
        after += len(leaves)
