"""The one SQLite database of a site: one writer, no change without an event."""

from edge_site_proxy.store.database import Store, Tx
from edge_site_proxy.store.errors import (
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    UnauditedChangeError,
)

__all__ = [
    "Store",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "Tx",
    "UnauditedChangeError",
]
