"""Keeps the newest checkpoint at hand: signed once a size, stored, handed to every gateway."""

import asyncio
from importlib.metadata import version
from pathlib import Path

import structlog
from sqlite_utils import Database

from edge_core.contracts.gateway import Checkpoint
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import rotation
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.export import handovers_of, public_of
from edge_site_proxy.audit.keys import BEGUN, ROTATED, chain, handover, signer_of
from edge_site_proxy.audit.note import Root, Signer, state_of
from edge_site_proxy.store import Store

NOTES_KEPT = 10_000
SOFTWARE = f"edge-mlops/{version('edge-mlops')}"
SITE = "site-proxy"

log = structlog.get_logger(__name__)


class Notary:
    """Signs the log's state; made by `open`.

    Args:
        store: holds the log.
        key_file: where its key lies.
        signer: the key.
    """

    def __init__(self, store: Store, key_file: Path, signer: Signer) -> None:
        self._store = store
        self._key_file = key_file
        self._signer = signer
        self._newest: Checkpoint | None = None
        # Whoever signs while the key is handed on could sign the new state with the old key.
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, store: Store, key_file: Path, origin: str, site: str) -> "Notary":
        """See that the log is what it was (S17), and begin it where there is none.

        Args:
            store: holds the log.
            key_file: its private key; made with mode 0600 where there is none.
            origin: the log's name.
            site: the site it is the log of.

        Raises:
            LogBrokenError: it is shorter than its last checkpoint says, or another one.
            LogKeyError: the key file is not usable.
            StoreUnavailableError: the disk refuses.
        """
        named = await store.read(public_of)
        signer = await asyncio.to_thread(rotation.settle, key_file, origin, named)
        notary = cls(store, key_file, signer)
        await notary._check_history()
        if not await store.read(lambda db: audit_log.events_of(db, BEGUN)):
            facts = {"site": site, "key": signer.public, "software": SOFTWARE}
            await store.change(SITE, [Event(BEGUN, origin[:120], facts)], lambda _: None)
        return notary

    @property
    def newest(self) -> Checkpoint | None:
        """The checkpoint last signed; at most a second behind the log."""
        return self._newest

    @property
    def public(self) -> str:
        """The verifier key."""
        return self._signer.public

    async def _check_history(self) -> None:
        found = await self._store.read(audit_log.newest_note)
        if found is None:
            return
        said = state_of(found)
        signer_of(found, chain(await self._store.read(handovers_of), self._signer.public))
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
        async with self._lock:
            return await self._sign()

    async def rotate_if_asked(self) -> None:
        """Hand the log on to a new key where `site-proxy audit rotate-key` asked for one.

        Raises:
            StoreUnavailableError: the disk refuses; the key in use is the old one.
            OSError: likewise.
        """
        wish = await asyncio.to_thread(rotation.asked, self._key_file)
        if wish is None:
            return
        async with self._lock:
            origin, old = self._signer.origin, self._signer
            new = await asyncio.to_thread(rotation.prepare, self._key_file, origin)
            facts = {
                "old": old.public,
                "new": new.public,
                "reason": wish.reason,
                "note": handover(old, new),
            }
            event = Event(ROTATED, origin[:120], facts)
            await self._store.change(wish.who, [event], lambda _: None)
            self._signer = new
            await asyncio.to_thread(rotation.settle, self._key_file, origin, new.public)
            await self._sign()
        log.info("audit.key_rotated", who=wish.who, public=new.public)

    async def _sign(self) -> Checkpoint:
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
