"""Short ways to write entries, drafts and a host down."""

from itertools import count
from pathlib import Path

from edge_core.journal import Entry, Host, JournalConfig
from edge_core.journal.layout import crc32c, record_bytes
from edge_core.journal.segment import Draft
from tests.simulators.files import SimulatedFiles

FOLDER = Path("/journal")
SEGMENT_BYTES = 16 * 1024
SMALL = JournalConfig(
    segment_bytes=SEGMENT_BYTES,
    bytes_max=6 * SEGMENT_BYTES,
    quarantine_bytes_max=2 * SEGMENT_BYTES,
    cursor_interval_s=0,
)


def entry(sequence: int, body: bytes | None = None, source: str = "gw-1", epoch: int = 1) -> Entry:
    """The entry with this *sequence*, and a body that says which it is."""
    content = f"body {sequence};".encode() * 20 if body is None else body
    return Entry(
        kind=1,
        source=source,
        epoch=epoch,
        sequence=sequence,
        body=content,
        ingest_unix_ns=1_700_000_000_000_000_000 + sequence,
        flags=sequence % 256,
    )


def draft(made: Entry) -> Draft:
    """The same, ready for the disk."""
    room = record_bytes(made.source_bytes, len(made.body))
    return Draft(made, crc32c(made.body), room)


def host(files: SimulatedFiles) -> Host:
    """A machine with this disk, whose clocks stand still and whose dice are known."""
    dice = count(0x1234_5678_9ABC_DEF1, 0x10_0000_0002)
    return Host(
        files=files,
        unix_ns=lambda: 1_700_000_000_000_000_000,
        boot_ns=lambda: 5_000_000_000,
        monotonic=lambda: 0.0,
        identity=lambda: next(dice) % (1 << 64),
    )
