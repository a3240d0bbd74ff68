"""The log as files: written from the database, and checked again without it.

What each file is stands at the head of `verify_audit.py`, which goes along: whoever gets an export
needs nothing else of ours.
"""

import base64
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlite_utils import Database

from edge_core.contracts.audit import WhatRan
from edge_core.contracts.gateway import Checkpoint
from edge_core.contracts.plant import Instant
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.history import what_ran
from edge_site_proxy.audit.keys import BEGUN, ROTATED, newest
from edge_site_proxy.audit.note import NUMBER, decoded, state_of
from edge_site_proxy.audit.verify import Besides, Start, Verified, verify
from edge_site_proxy.store.rows import every, fold

EVENTS, NOTES, PUBLIC = "audit.jsonl", "checkpoints.txt", "verifier.pub"
HASHES, HANDOVERS, START = "hashes.txt", "handovers.txt", "start.txt"
VERIFIER = "verify_audit.py"
LINE_BYTES_MAX = 64 * 1024 * 1024  # no event comes near it, so a longer line is none
_PART = "--\n"
_HASH = re.compile(b"[0-9a-f]{64}")


def open_read_only(path: Path) -> Database:
    """The database as it is now, while the daemon runs or does not; nothing can be written.

    Raises:
        LogBrokenError: there is no such file, or it is no database.
    """
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        # One look for all that follows: what the daemon appends meanwhile is not seen.
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM audit_checkpoints").fetchone()
    except sqlite3.Error as error:
        raise LogBrokenError(f"{path}: expected the site's database, found: {error}") from error
    return Database(connection)


def public_of(db: Database) -> str | None:
    """The verifier key that the log itself names; None in one from before it did."""
    named = newest(handovers_of(db))
    begun = audit_log.events_of(db, BEGUN)
    return named or (str(begun[0].facts["key"]) if begun else None)


def handovers_of(db: Database) -> tuple[str, ...]:
    """How the log's key was handed on, oldest first."""
    return tuple(str(event.facts["note"]) for event in audit_log.events_of(db, ROTATED))


def export_log(db: Database, folder: Path, public: str) -> int:
    """Write the log up to its newest checkpoint into *folder*; answers how many events.

    Raises:
        LogBrokenError: there is no checkpoint yet.
    """
    notes = audit_log.notes(db)
    if not notes:
        raise LogBrokenError("audit log: expected a checkpoint, found none yet")
    size = state_of(notes[-1]).size
    write_extract(db, folder, public, notes, 0)
    return size


def write_extract(
    db: Database, folder: Path, public: str, notes: Sequence[str], first: int
) -> None:
    """Write the entries from *first* to the largest of *notes*, and what proves them."""
    folder.mkdir(parents=True, exist_ok=True)
    end = state_of(notes[-1]).size
    with (folder / EVENTS).open("wb") as file:
        file.writelines(leaf + b"\n" for leaf in audit_log.leaves_from(db, first, end))
    with (folder / HASHES).open("wb") as file:
        hashes = audit_log.hashes_from(db, first, end)
        file.writelines(digest.hex().encode() + b"\n" for digest in hashes)
    _write(folder / NOTES, _PART.join(notes))
    _write(folder / START, _start_text(db, first) if first else "")
    put_key(folder, public, db, end)


def put_key(folder: Path, public: str, db: Database, end: int) -> None:
    """The key, how it was handed on before entry *end*, and the verifier."""
    folder.mkdir(parents=True, exist_ok=True)
    handovers = [event for event in audit_log.events_of(db, ROTATED) if event.sequence < end]
    _write(folder / HANDOVERS, _PART.join(str(event.facts["note"]) for event in handovers))
    _write(folder / PUBLIC, public + "\n")
    _write(folder / VERIFIER, Path(__file__).with_name(VERIFIER).read_text("utf-8"))


def verify_folder(
    folder: Path, public: str | None = None, witnesses: Sequence[str] = ()
) -> Verified:
    """Check what `export_log` wrote.

    Args:
        folder: of the export.
        public: the verifier key that is trusted; the export's own where None is given.
        witnesses: checkpoints that somebody else kept.

    Raises:
        LogBrokenError: it does not verify, or a file is missing.
    """
    listed, handovers = folder / HASHES, folder / HANDOVERS
    try:
        besides = Besides(
            start=_start(folder / START),
            handovers=tuple(notes_in(handovers)) if handovers.exists() else (),
            listed=lambda: _hashes(listed) if listed.exists() else nullcontext(()),
            listing=listed.exists(),
        )
        notes = [*notes_in(folder / NOTES), *witnesses]
        key = public or _text(folder / PUBLIC).strip()
        with (folder / EVENTS).open("rb") as file:
            return verify(_lines(file), notes, key, besides)
    except OSError as error:
        raise LogBrokenError(f"{folder}: expected an export of the audit log: {error}") from error


def verify_database(db: Database, public: str, witnesses: Sequence[str] = ()) -> Verified:
    """Check the log where it lies, as an export of it would be.

    And the state beside it, which must be what the entries lead to.

    Raises:
        LogBrokenError: it does not verify; `first_bad` names the first such entry.
    """
    size = audit_log.size_of(db)
    besides = Besides(
        handovers=handovers_of(db),
        listed=lambda: nullcontext(audit_log.hashes_from(db, 0, size)),
        listing=True,
    )
    notes = [*audit_log.notes(db), *witnesses]
    verified = verify(audit_log.leaves_from(db, 0, size), notes, public, besides)
    check_state(db)
    return verified


def check_state(db: Database) -> None:
    """See that every row of state is what the log says, and that none is missing (S16).

    Raises:
        LogBrokenError: names the first row that differs.
    """
    leaves = audit_log.leaves_from(db, 0, audit_log.size_of(db))
    said, found = fold(map(audit_log.parse, leaves)), every(db)
    for name in sorted(said.keys() | found.keys()):
        if said.get(name) != found.get(name):
            raise LogBrokenError(
                f"row {name}: expected what the log says of it, found "
                f"{'another' if name in found else 'none'}; somebody wrote past the log"
            )


def what_ran_there(db: Database, asset: str, at: Instant) -> WhatRan:
    """The auditor's question, asked of the database directly; raises as `what_ran` does."""
    return what_ran(db, asset, at)


class _Status(msgspec.Struct, frozen=True):
    """The part of what a gateway says of itself that makes it a witness."""

    checkpoint: Checkpoint


def notes_in(path: Path) -> list[str]:
    """The signed notes of a file, or the one in what `edge-gateway status --json` said.

    Raises:
        LogBrokenError: it is neither.
    """
    text = _text(path)
    if not text.startswith("{"):
        return [note for note in text.split(_PART) if note]
    try:
        return [msgspec.json.decode(text, type=_Status).checkpoint.note]
    except msgspec.DecodeError as error:
        raise LogBrokenError(f"{path}: expected a checkpoint, {error}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LINE_BYTES_MAX):
        yield line


@contextmanager
def _hashes(path: Path) -> Iterator[Iterator[bytes]]:
    """What is not written as a hash is in nobody's place."""
    with path.open("rb") as file:
        texts = (line.rstrip(b"\r\n") for line in _lines(file))
        yield (bytes.fromhex(t.decode()) if _HASH.fullmatch(t) else b"?" for t in texts)


def _start_text(db: Database, first: int) -> str:
    return f"start {first}\n" + "".join(
        base64.b64encode(peak).decode() + "\n" for peak in audit_log.peaks(db, first)
    )


def _start(path: Path) -> Start:
    text = _text(path).removesuffix("\n") if path.exists() else ""
    if not text:
        return Start()
    first, *rest = text.split("\n")
    number = first.removeprefix("start ")
    if not first.startswith("start ") or not NUMBER.fullmatch(number):
        raise LogBrokenError(f"{path}: expected where the extract starts, found {first[:80]!r}")
    return Start(int(number), tuple(decoded(line) for line in rest))


def _text(path: Path) -> str:
    # Bytes, because reading as text would turn other line ends into ours.
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LogBrokenError(f"{path}: expected a text file, found: {error}") from error


def _write(path: Path, text: str) -> None:
    """Write *text*, or remove what an earlier export left where there is none."""
    if text:
        path.write_text(text, encoding="utf-8")
    else:
        path.unlink(missing_ok=True)
