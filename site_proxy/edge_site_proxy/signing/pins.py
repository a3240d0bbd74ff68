"""Whose PIN is which: set by the person, reset by an admin, locked after wrong ones, all audited.

A new PIN counts from the transaction on that names its file, so a cut between the two leaves the
old one. A file that no row names is of no use to anybody.
"""

import asyncio
from collections.abc import Callable
from typing import Self

import structlog
from msgspec import Struct

from edge_core.contracts.signing import PinView
from edge_site_proxy.audit.events import Event
from edge_site_proxy.signing.errors import PinChoiceError, PinLockedError, WrongPinError
from edge_site_proxy.signing.lock import FAILURES_MAX, Lock, easy
from edge_site_proxy.signing.vault import Vault
from edge_site_proxy.store import Store
from edge_site_proxy.store.rows import load

KIND = "pins"

log = structlog.get_logger(__name__)


class _Row(Struct, frozen=True, kw_only=True):
    """Which file holds somebody's PIN, None after a reset, and the wrong ones since."""

    file: str | None = None
    failures: int = 0


class Pins:
    """The PINs of everybody at this site; built by `open`."""

    def __init__(
        self, store: Store, vault: Vault, monotonic: Callable[[], float], rows: dict[str, _Row]
    ) -> None:
        self._store = store
        self._vault = vault
        self._monotonic = monotonic
        self._rows = rows
        # Nobody escapes a lock by having the daemon restarted.
        self._locks = {user: Lock(row.failures, monotonic()) for user, row in rows.items()}
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, store: Store, vault: Vault, monotonic: Callable[[], float]) -> Self:
        """Read back whose PIN is which.

        Raises:
            StoreUnavailableError: the disk refuses.
        """
        return cls(store, vault, monotonic, await store.read(lambda db: load(db, KIND, _Row)))

    def view(self, user: str) -> PinView:
        """Whether *user* has a PIN, and for how long it is locked."""
        lock = self._locks.get(user, Lock())
        return PinView(
            user=user,
            pin_set=self._rows.get(user, _Row()).file is not None,
            locked_s=lock.left_s(self._monotonic()),
        )

    async def set(self, user: str, new: str, old: str | None) -> PinView:
        """Give *user* the PIN *new*; *old* is theirs so far, where they have one.

        Raises:
            PinChoiceError: *new* is easy to guess, or the old one.
            WrongPinError: *old* is not theirs, or missing.
            PinLockedError: too many wrong ones.
        """
        if easy(new) or new == old:
            raise PinChoiceError(
                "new PIN: expected 6 to 12 digits that are not all the same, do not count up or "
                "down and are not the old ones, found such a one"
            )
        async with self._turn:
            before = self._rows.get(user, _Row()).file
            if before is not None:
                await self._check(user, old)
            name = await asyncio.to_thread(self._vault.keep, new)
            await self._keep(user, user, _Row(file=name), Event("pin.set", user))
            if before is not None:
                await asyncio.to_thread(self._vault.forget, before)
        return self.view(user)

    async def reset(self, who: str, user: str, reason: str) -> PinView:
        """Take the PIN of *user* away, and every lock; they set a new one themselves."""
        async with self._turn:
            before = self._rows.get(user, _Row()).file
            await self._keep(who, user, _Row(), Event("pin.reset", user, {"reason": reason}))
            if before is not None:
                await asyncio.to_thread(self._vault.forget, before)
        return self.view(user)

    async def check(self, user: str, pin: str) -> None:
        """See that *pin* is the PIN of *user*; a wrong one is counted and audited.

        Raises:
            WrongPinError: it is not, or they have none.
            PinLockedError: too many wrong ones; this one was not looked at.
        """
        async with self._turn:
            await self._check(user, pin)

    async def _check(self, user: str, pin: str | None) -> None:
        row, lock = self._rows.get(user, _Row()), self._locks.get(user, Lock())
        left_s = lock.left_s(self._monotonic())
        if left_s > 0:
            raise PinLockedError(
                f"PIN of {user}: {lock.failures} wrong ones, so none is looked at for "
                f"{left_s / 60:.0f} min; an admin can reset it with edgetui pin --reset {user}"
            )
        if row.file is None:
            raise WrongPinError(f"PIN of {user}: expected one to be set, found none: edgetui pin")
        if pin is None:
            raise WrongPinError(f"PIN of {user}: expected the old one, found none")
        if await asyncio.to_thread(self._vault.matches, row.file, pin):
            if row.failures:
                await self._keep(user, user, _Row(file=row.file), Event("pin.accepted", user))
            return
        await self._refuse(user, row, lock)

    async def _refuse(self, user: str, row: _Row, lock: Lock) -> None:
        failed = lock.failed(self._monotonic())
        locked = failed.failures >= FAILURES_MAX
        event = Event(
            "pin.locked" if locked else "pin.refused", user, {"failures": failed.failures}
        )
        self._locks[user] = failed  # counted also where the disk refuses the next line
        await self._keep(user, user, _Row(file=row.file, failures=failed.failures), event)
        log.warning("pin.refused", user=user, failures=failed.failures, locked=locked)
        raise WrongPinError(f"PIN of {user}: it is another one ({failed.failures} wrong in a row)")

    async def _keep(self, who: str, user: str, row: _Row, event: Event) -> None:
        await self._store.change(who, [event], lambda tx: tx.put(KIND, user, row, by=event))
        self._rows[user] = row
        self._locks[user] = Lock(row.failures, self._monotonic())
