"""Keeps the newest checkpoint at hand: signed once a size, stored, handed to every gateway."""

import structlog
from sqlite_utils import Database

from edge_core.contracts.gateway import Checkpoint
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.note import Root, Signer, open_note
from edge_site_proxy.store import Store

NOTES_KEPT = 10_000

log = structlog.get_logger(__name__)


class Notary:
    """Signs the log's state.

    Args:
        store: holds the log.
        signer: the log's key.
    """

    def __init__(self, store: Store, signer: Signer) -> None:
        self._store = store
        self._signer = signer
        self._newest: Checkpoint | None = None

    @property
    def newest(self) -> Checkpoint | None:
        """The checkpoint last signed; at most a second behind the log."""
        return self._newest

    @property
    def public(self) -> str:
        """The verifier key."""
        return self._signer.public

    async def check_history(self) -> None:
        """At start: see that the log still holds what its last checkpoint said (S17).

        Raises:
            LogBrokenError: it is shorter, or another one.
        """
        found = await self._store.read(audit_log.newest_note)
        if found is None:
            return
        said = open_note(found, self._signer.public)
        size = await self._store.read(audit_log.size_of)
        if size < said.size:
            raise LogBrokenError(
                f"audit log: expected at least {said.size} entries, found {size}", size
            )
        root = await self._store.read(lambda db: audit_log.root_of(db, said.size))
        if root != said.root:
            raise LogBrokenError(
                f"audit log at {said.size}: expected {said.root.hex()}, found {root.hex()}"
            )

    async def sign(self) -> Checkpoint:
        """Sign the present state, unless that was done already."""

        def state(db: Database) -> Root:
            size = audit_log.size_of(db)
            return Root(size, audit_log.root_of(db, size))

        size = await self._store.read(audit_log.size_of)
        if self._newest is not None and self._newest.size == size:
            return self._newest
        found = await self._store.read(state)
        note = self._signer.sign(found)
        await self._store.observe(lambda db: audit_log.keep_note(db, found.size, note, NOTES_KEPT))
        self._newest = Checkpoint(size=found.size, note=note)
        return self._newest
