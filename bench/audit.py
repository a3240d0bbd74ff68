"""How fast the audit log is written, and checked by somebody who does not trust it.

Two verifiers read the same export: `site-proxy audit verify` and the `verify_audit.py` that goes
along with it. Their peer is the least that such a check can cost: SHA-256 over the same file, in
one go. Before anything is timed one byte of the export is changed, and both must name the entry.
"""

import argparse
import asyncio
import hashlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database

from bench.report import report, table
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import tree
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.export import EVENTS, export_log, verify_folder
from edge_site_proxy.audit.keys import BEGUN
from edge_site_proxy.audit.note import Root, Signer
from edge_site_proxy.audit.verify_audit import BadError, check_folder
from edge_site_proxy.site import open_store

SCRATCH = Path("/var/tmp")  # noqa: S108 - must be on a disk, which /tmp need not be
MILLION = 1_000_000
APPENDED = 2_000  # transactions of one event each
NOTE_EVERY = 1_000  # entries; a site at work signs once a second
SIGNER = Signer("edge-site/bench", Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
START = datetime(2026, 3, 2, tzinfo=UTC)
GOAL_S = 30.0


def event_of(number: int) -> Event:
    """What a plant logs: mostly reports of one gateway's attempt."""
    if number == 0:
        return Event(BEGUN, SIGNER.origin, {"key": SIGNER.public, "site": "bench"})
    serial = f"gw-{number % 5000:04d}"
    facts = {
        "digest": f"sha256:{number % 7:064x}",
        "attempt": 1,
        "state": ("downloading", "verified", "staged", "trial", "committed")[number % 5],
        "outcome": "open",
        "veto": None,
        "reason": "",
    }
    return Event("gateway.update_changed", serial, facts)


def leaves(count: int) -> Iterator[bytes]:
    """A chained log of *count* events.

    Of texts and whole numbers msgspec's sorted keys are the canonical form, and much faster.
    """
    previous = audit_log.NO_PREVIOUS
    for number in range(count):
        event = event_of(number)
        entry = AuditEvent(
            sequence=number,
            at=START + timedelta(seconds=number),
            clock_synchronised=True,
            who=f"gateway:{event.subject}",
            kind=event.kind,
            subject=event.subject,
            facts=event.facts,
            previous=previous,
        )
        leaf = msgspec.json.encode(entry, order="sorted")
        assert number % 1000 or leaf == audit_log.leaf_of(entry)
        previous = audit_log.leaf_digest(leaf)
        yield leaf


def make_log(path: Path, count: int) -> Database:
    """A database with *count* events and a checkpoint every thousand, made in one go."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    db = Database(connection)
    audit_log.MIGRATIONS.apply(db)
    nodes: dict[tree.Node, bytes] = {}
    with db.atomic():
        for size, leaf in enumerate(leaves(count)):
            row = [size, "bench.event", "", "", leaf]
            db.execute("INSERT INTO audit_events VALUES (?, ?, ?, ?, ?)", row)
            added = tree.appended(size, tree.leaf_hash(leaf), lambda *node: nodes[node])
            for node, digest in added:
                nodes[node] = digest
                db.execute("INSERT INTO audit_nodes VALUES (?, ?, ?)", [*node, digest])
            if (size + 1) % NOTE_EVERY == 0 or size + 1 == count:
                top = tree.root(size + 1, lambda *node: nodes[node])
                audit_log.keep_note(db, size + 1, SIGNER.sign(Root(size + 1, top)), count)
    return db


def first_bad_ours(folder: Path) -> int | None:
    """The entry that `site-proxy audit verify` names."""
    try:
        verify_folder(folder)
    except LogBrokenError as error:
        return error.first_bad
    return None


def first_bad_alone(folder: Path) -> int | None:
    """The entry that `verify_audit.py` names."""
    try:
        check_folder(folder, None, [])
    except BadError as error:
        return error.entry
    return None


def named_entry(folder: Path) -> int:
    """Change one byte in the middle; both verifiers must name its entry."""
    path = folder / EVENTS
    raw = path.read_bytes()
    place = len(raw) // 2
    entry = raw.count(b"\n", 0, place)
    path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    said = (first_bad_ours(folder), first_bad_alone(folder))
    assert said == (entry, entry), f"entry {entry} was changed, the verifiers name {said}"
    path.write_bytes(raw)
    return entry


def seconds(work: Callable[[], object]) -> float:
    """How long *work* takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare(path: Path) -> str:
    """SHA-256 over a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def append_rate(path: Path, transactions: int) -> float:
    """Durable events a second, one a transaction, through the site's own door."""

    def clock() -> ClockQuality:
        return ClockQuality(synchronised=True, error_max_us=1000)

    async with open_store(path, now=lambda: datetime.now(UTC), clock=clock) as store:
        start = time.perf_counter()
        for number in range(1, transactions + 1):
            await store.change("bench", [event_of(number)], lambda _: None)
        return transactions / (time.perf_counter() - start)


def synced_rate(path: Path, transactions: int) -> float:
    """Leaves a second into a plain file with a flush after each: what durability costs."""
    with path.open("wb", buffering=0) as file:
        start = time.perf_counter()
        for leaf in leaves(transactions):
            file.write(leaf + b"\n")
            os.fdatasync(file.fileno())
        return transactions / (time.perf_counter() - start)


def measure(scratch: Path, count: int, transactions: int, rounds: int) -> None:
    """Take all figures and print them."""
    folder = scratch / "export"
    db = make_log(scratch / "log.db", count)
    export_s = seconds(lambda: export_log(db, folder, SIGNER.public))
    db.close()
    entry = named_entry(folder)
    ours, alone, least = [], [], []
    for _ in range(rounds):
        ours.append(seconds(lambda: verify_folder(folder)))
        alone.append(seconds(lambda: check_folder(folder, None, [])))
        least.append(seconds(lambda: bare(folder / EVENTS)))
    million = MILLION / count
    verify_s, alone_s, bare_s = (
        million * statistics.median(each) for each in (ours, alone, least)
    )
    appended, synced = [], []
    for number in range(rounds):
        appended.append(asyncio.run(append_rate(scratch / f"site-{number}.db", transactions)))
        synced.append(synced_rate(scratch / f"plain-{number}", transactions))
    append_per_s, synced_per_s = statistics.median(appended), statistics.median(synced)
    size_mib = (folder / EVENTS).stat().st_size * million / 2**20
    table(
        f"The audit log, {count} entries measured, told for a million",
        ["what", "seconds"],
        [
            ("site-proxy audit verify", f"{verify_s:.1f}"),
            ("verify_audit.py", f"{alone_s:.1f}"),
            (f"SHA-256 over the same {size_mib:.0f} MiB", f"{bare_s:.2f}"),
            ("site-proxy audit export", f"{million * export_s:.1f}"),
            ("goal", f"{GOAL_S:.0f}"),
        ],
    )
    table(
        "Durable events a second, one a transaction",
        ["what", "a second"],
        [("site-proxy", f"{append_per_s:.0f}"), ("a file and fdatasync", f"{synced_per_s:.0f}")],
    )
    report(
        "audit",
        {
            "verify_million_s": round(verify_s, 2),
            "verify_alone_million_s": round(alone_s, 2),
            "export_million_s": round(million * export_s, 2),
            "append_per_s": round(append_per_s),
            "entries_measured": count,
            "changed_byte_named_by_entry": entry,
        },
        {
            "name": "SHA-256 over the same bytes; a file with fdatasync",
            "sha256_million_s": round(bare_s, 3),
            "append_per_s": round(synced_per_s),
        },
        {
            "verify_vs_sha256": round(bare_s / verify_s, 4),
            "verify_alone_vs_sha256": round(bare_s / alone_s, 4),
            "append_vs_fdatasync": round(append_per_s / synced_per_s, 3),
        },
    )


def main() -> None:
    """Run all of it and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the entries, once")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="folder to write in")
    options = parser.parse_args()
    share, rounds = (10, 1) if options.quick else (1, 3)
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        measure(Path(name), MILLION // share, APPENDED // share, rounds)


if __name__ == "__main__":
    main()
