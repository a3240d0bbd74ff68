"""Writes the reports that auditors ask for into folders that check themselves."""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec
from sqlite_utils import Database

from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.errors import NotFoundError
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import tree
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.export import notes_in, verify_folder, write_extract
from edge_site_proxy.audit.note import Root, state_of
from edge_site_proxy.audit.proofs import consistency_proof, write_proofs
from edge_site_proxy.audit.reports.access import access, drift
from edge_site_proxy.audit.reports.changes import within
from edge_site_proxy.audit.reports.evidence import change_of, document, numbers_of, page
from edge_site_proxy.audit.reports.inventory import inventory
from edge_site_proxy.audit.reports.population import duties, emergencies, population
from edge_site_proxy.audit.reports.sheet import Sheet, as_csv, as_json_lines


class Report(StrEnum):
    """What can be asked for; E8 is the verifier, which goes along with each."""

    CHANGES = "changes"
    CHANGE = "change"
    INVENTORY = "inventory"
    DUTIES = "duties"
    EMERGENCY = "emergency"
    ACCESS = "access"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Question:
    """What exactly is asked.

    Attributes:
        report: which.
        since: the period begins with it; None is the log's beginning.
        until: the period ends before it; None is the log's end.
        at: the instant of an inventory; the newest event's where None.
        change: the id, for the evidence of one.
    """

    report: Report
    since: datetime | None = None
    until: datetime | None = None
    at: datetime | None = None
    change: str = ""


@dataclass(frozen=True, slots=True)
class Wrote:
    """The files of a report, and the rows of each table."""

    folder: Path
    rows: dict[str, int]


@contextmanager
def opened_export(folder: Path, public: str | None) -> Iterator[tuple[Database, str]]:
    """An exported log as a database of its own, once it verifies, and the key to check it with.

    Raises:
        LogBrokenError: it does not verify, or is an extract.
    """
    verify_folder(folder, public)
    if (folder / "start.txt").exists():
        raise LogBrokenError(f"{folder}: expected the whole log, found an extract of it")
    key = public or (folder / "verifier.pub").read_text("utf-8").strip()
    with tempfile.TemporaryDirectory() as scratch:
        connection = sqlite3.connect(Path(scratch) / "log.db", isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")
        with closing(Database(connection)) as db:
            audit_log.MIGRATIONS.apply(db)
            with db.atomic():
                _fill(db, folder)
            yield db, key


def _fill(db: Database, folder: Path) -> None:
    look = audit_log.lookup(db)
    with (folder / "audit.jsonl").open("rb") as file:
        for size, line in enumerate(file):
            leaf = line.rstrip(b"\r\n")
            event = audit_log.parse(leaf)
            row = [event.sequence, event.kind, event.subject, event.at.isoformat(), leaf]
            db.execute("INSERT INTO audit_events VALUES (?, ?, ?, ?, ?)", row)
            for node, digest in tree.appended(size, tree.leaf_hash(leaf), look):
                db.execute("INSERT INTO audit_nodes VALUES (?, ?, ?)", [*node, digest])
    for note in notes_in(folder / "checkpoints.txt"):
        audit_log.keep_note(db, state_of(note).size, note, 2**31)


def write_report(db: Database, public: str, folder: Path, question: Question) -> Wrote:
    """Write the tables of one report as CSV and JSON lines, and what proves them.

    Raises:
        NotFoundError: there is no checkpoint yet, or no such change.
        LogBrokenError: the log is not what its checkpoints say.
    """
    notes = audit_log.notes(db)
    if not notes:
        raise NotFoundError("audit log: expected a checkpoint, found none yet")
    folder.mkdir(parents=True, exist_ok=True)
    if question.report is Report.CHANGE:
        return _write_change(db, public, folder, question.change, notes[-1])
    end = state_of(notes[-1]).size
    tables = _tables(_events(db, end), question, now=_now(db, end))
    for table in tables:
        (folder / f"{table.name}.csv").write_text(as_csv(table), "utf-8", newline="")
        (folder / f"{table.name}.jsonl").write_bytes(as_json_lines(table))
    _write_span(db, public, folder, question, notes)
    return Wrote(folder, {table.name: len(table.rows) for table in tables})


def _tables(events: Iterator[AuditEvent], asked: Question, now: datetime) -> list[Sheet]:
    since, until = asked.since, asked.until
    match asked.report:
        case Report.CHANGES:
            return [population(events, since, until)]
        case Report.INVENTORY:
            return inventory(events, asked.at or now)
        case Report.DUTIES:
            return duties(events, since, until)
        case Report.EMERGENCY:
            return [emergencies(events, since, until)]
        case Report.ACCESS:
            return [access(events, since, until)]
        case Report.DRIFT:
            return [drift(events, since, until, asked.at or now)]
        case Report.CHANGE:
            raise AssertionError("the evidence of one change is no table")


def _write_span(
    db: Database, public: str, folder: Path, asked: Question, notes: Sequence[str]
) -> None:
    """The whole log between two checkpoints that enclose the period: nothing is left out.

    Inventories and opens of old alarms depend on what was before, so their span begins there.
    """
    first, last = _span(db, asked, state_of(notes[-1]).size)
    sizes = {state_of(note).size: note for note in notes}
    begin = max((size for size in sizes if size <= first), default=0)
    end = min(size for size in sizes if size >= last)
    pair = [sizes[size] for size in sorted({begin, end}) if size in sizes]
    write_extract(db, folder, public, pair, begin)
    old = state_of(sizes[begin]) if begin in sizes else Root(0, tree.EMPTY_ROOT)
    proof = consistency_proof(db, old, sizes[end])
    (folder / "consistency.txt").write_text(proof, encoding="utf-8")


def _span(db: Database, asked: Question, size: int) -> tuple[int, int]:
    """The first entry of the period, and how many entries there are up to its end."""
    from_start = asked.report in {Report.INVENTORY, Report.DRIFT}
    first, last = (0 if from_start else size), 0
    for event in _events(db, size):
        if within(event.at, asked.since, asked.until):
            first, last = min(first, event.sequence), event.sequence + 1
    return (min(first, last), max(last, 1))


def _write_change(db: Database, public: str, folder: Path, name: str, note: str) -> Wrote:
    size = state_of(note).size
    change = change_of(_events(db, size), name)
    evidence = document(change)
    (folder / "change.html").write_text(page(evidence, note), encoding="utf-8")
    (folder / "change.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(evidence)) + b"\n"
    )
    entries = numbers_of(change)
    write_proofs(db, folder, entries, note, public)
    return Wrote(folder, {"change": 1, "proofs": len(entries)})


def _events(db: Database, end: int) -> Iterator[AuditEvent]:
    return (audit_log.parse(leaf) for leaf in audit_log.leaves_from(db, 0, end))


def _now(db: Database, end: int) -> datetime:
    """The newest event's time: a report of yesterday's log is the same tomorrow."""
    (leaf,) = audit_log.leaves_from(db, end - 1, end)
    return audit_log.parse(leaf).at
