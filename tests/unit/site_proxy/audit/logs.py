"""A log with everything in it: a beginning, a key handed on twice, and many checkpoints."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database

from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.export import export_log
from edge_site_proxy.audit.keys import BEGUN, ROTATED, handover
from edge_site_proxy.audit.note import Root, Signer

ORIGIN = "edge-site/P1"
SIGNERS = [
    Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
    for number in (7, 8, 9)
]
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
HANDED_ON_AT = (8, 17)


def event_at(number: int) -> Event:
    """What the log of these tests says at *number*."""
    if number == 0:
        return Event(BEGUN, ORIGIN, {"key": SIGNERS[0].public, "site": "P1"})
    if number in HANDED_ON_AT:
        which = HANDED_ON_AT.index(number)
        note = handover(SIGNERS[which], SIGNERS[which + 1])
        return Event(ROTATED, ORIGIN, {"note": note})
    facts = {"number": number, "why": 'Ärger "quoted" \\ 1e5', "share": 0.25 * number}
    return Event("rollout.held", f"r{number}", facts)


def signer_at(size: int) -> Signer:
    """Whose time it was when the log had *size* entries."""
    return SIGNERS[sum(number < size for number in HANDED_ON_AT)]


def grow(db: Database, count: int, noted: tuple[int, ...]) -> None:
    """Append up to *count* events, with checkpoints after so many of them."""
    for number in range(audit_log.size_of(db), count):
        at = START + timedelta(seconds=number)
        audit_log.append(
            db, event_at(number), audit_log.Mark("ana", at, clock_synchronised=True), {}
        )
        if number + 1 in noted:
            note_now(db)


def note_now(db: Database) -> str:
    """Sign the log as it stands, and keep that."""
    size = audit_log.size_of(db)
    note = signer_at(size).sign(Root(size, audit_log.root_of(db, size)))
    audit_log.keep_note(db, size, note, 100)
    return note


def new_log() -> Database:
    """An empty one, in memory."""
    db = Database(memory=True)
    audit_log.MIGRATIONS.apply(db)
    return db


def exported(folder: Path, count: int = 24, noted: tuple[int, ...] = (3, 11, 17, 18, 24)) -> None:
    """An export of a log of *count* events."""
    db = new_log()
    grow(db, count, noted)
    export_log(db, folder, SIGNERS[-1].public)
    db.close()
