"""What can go wrong with the database.

EdgeError
├── StoreError                1   our own failure: see the message
│   ├── UnauditedChangeError  1   a bug of ours: state was about to change without an event
│   └── StoreCorruptError     1   the file is not a database of ours, or is from a newer version
└── TryAgainError            75
    ├── StoreHeldError            another site proxy works on this folder: stop that one first
    └── StoreUnavailableError     full, read-only or failing: changes stop, inference does not
"""

from edge_core.contracts.errors import EdgeError, TryAgainError


class StoreError(EdgeError):
    """Our own failure in keeping state."""


class UnauditedChangeError(StoreError):
    """A mutation changed rows and recorded no event, so nothing was kept."""


class StoreCorruptError(StoreError):
    """The file cannot be used as this site's database."""


class StoreHeldError(TryAgainError):
    """Another process holds the state folder; two writers would tell gateways two stories."""


class StoreUnavailableError(TryAgainError):
    """The disk refuses: nothing was changed, and the same call may work later."""
