"""What a journal refuses, one class for each thing a caller does differently.

TryAgainError
├── JournalFullError        no room, on disk or in memory: the sender keeps its copy and waits
│   └── DiskFullError       it is the disk itself: to give up records of ours makes no room
├── JournalSyncError        this entry is not known to be safe: send the very same one again
├── JournalReadOnlyError    nothing can be stored until the daemon is restarted; reading works
└── JournalClosedError      the journal is shutting down
ConflictError
├── JournalConflictError    the identity was used for other bytes: the sender is wrong
└── JournalInUseError       another process has this folder
RefusedError
├── EntryTooLargeError      the entry fits into no segment: it never will
└── JournalForeignError     a newer program wrote this folder: do not touch it
"""

from edge_core.contracts.errors import ConflictError, RefusedError, TryAgainError


class JournalFullError(TryAgainError):
    """There is no room, on disk or among what waits for the disk."""


class DiskFullError(JournalFullError):
    """The disk has no room left, although the journal may have more."""


class JournalSyncError(TryAgainError):
    """The disk did not confirm the entry; whether it survives is unknown."""


class JournalReadOnlyError(TryAgainError):
    """The disk failed twice in a row, or the folder cannot be written; reading still works."""


class JournalUnreadableError(TryAgainError):
    """A segment cannot be opened; its records stay unacknowledged."""


class JournalClosedError(TryAgainError):
    """The journal is closed, or closing."""


class JournalConflictError(ConflictError):
    """A source used the same epoch and sequence for different bytes."""


class JournalInUseError(ConflictError):
    """Another process holds the journal's folder."""


class EntryTooLargeError(RefusedError):
    """The entry can never fit into a segment."""


class JournalForeignError(RefusedError):
    """The folder holds segments of a version that this program does not know."""
