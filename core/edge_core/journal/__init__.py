"""The segmented write-ahead log: what it took is on disk, and a repeat is recognised.

    async with await Journal.open(folder, JournalConfig(bytes_max=4 * GIB)) as journal:
        await journal.append(Entry(...))           # returns after fdatasync
        batch = await journal.read_batch(after=0)  # or: async for record in journal.read()
        await journal.acknowledge(batch.reached)

`layout` has the format, `recovery` what happens after a crash, `survey` looks without touching.
"""

from edge_core.journal.config import (
    GIB,
    KIB,
    MIB,
    JournalConfig,
    JournalState,
    JournalStats,
    RecoveryReport,
)
from edge_core.journal.entries import Appended, Batch, DuplicateEntry, Entry, Record, Stored
from edge_core.journal.errors import (
    DiskFullError,
    EntryTooLargeError,
    JournalClosedError,
    JournalConflictError,
    JournalForeignError,
    JournalFullError,
    JournalInUseError,
    JournalReadOnlyError,
    JournalSyncError,
    JournalUnreadableError,
)
from edge_core.journal.files import DiskFiles, File, Files
from edge_core.journal.host import Host
from edge_core.journal.journal import Journal
from edge_core.journal.marks import FirstCopy, Marks, Sighting

__all__ = [
    "GIB",
    "KIB",
    "MIB",
    "Appended",
    "Batch",
    "DiskFiles",
    "DiskFullError",
    "DuplicateEntry",
    "Entry",
    "EntryTooLargeError",
    "File",
    "Files",
    "FirstCopy",
    "Host",
    "Journal",
    "JournalClosedError",
    "JournalConfig",
    "JournalConflictError",
    "JournalForeignError",
    "JournalFullError",
    "JournalInUseError",
    "JournalReadOnlyError",
    "JournalState",
    "JournalStats",
    "JournalSyncError",
    "JournalUnreadableError",
    "Marks",
    "Record",
    "RecoveryReport",
    "Sighting",
    "Stored",
]
