"""Enrols, renews and revokes gateways, and says of each request whether its certificate counts.

What decides on every request is in memory; what changes goes through the store with its event.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
from sqlite_utils import Database

from edge_core.contracts.errors import TryAgainError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.identity import drops, ledger
from edge_site_proxy.identity.authority import Authority
from edge_site_proxy.identity.drops import Dropped, RevokeDrop, TokenDrop, token_digest
from edge_site_proxy.identity.errors import CertificateError, SigningRequestError, TokenError
from edge_site_proxy.identity.ledger import Kept
from edge_site_proxy.identity.request import (
    PublicKey,
    read_request,
    requested_serial,
    signable_key,
)
from edge_site_proxy.identity.request import spki as spki_of
from edge_site_proxy.store import Store, Tx

_log = structlog.get_logger(__name__)
_LOOK_S = 1.0  # how long a revocation may take to be seen
_RENEWED_LATELY = dt.timedelta(hours=1)  # within it the same key gets the same certificate again


class Peer(Protocol):
    """What of a connection's certificate is looked at."""

    @property
    def serial(self) -> str:
        """The gateway's serial."""
        ...

    @property
    def number(self) -> str:
        """The certificate's number, upper-case hex."""
        ...

    @property
    def not_after(self) -> dt.datetime:
        """The certificate's end."""
        ...


class Register:
    """The identities of one site.

    Args:
        store: the site's database.
        authority: signs.
        folder: where `site-proxy token` leaves its files.
        life: of a gateway's certificate.
    """

    def __init__(
        self, store: Store, authority: Authority, *, folder: Path, life: dt.timedelta
    ) -> None:
        self._store = store
        self._authority = authority
        self._folder = folder
        self._life = life
        self._revoked: set[str] = set()
        self._holders: dict[str, dt.datetime] = {}

    async def load(self) -> None:
        """Read what was revoked; call once before serving."""
        self._revoked = await self._store.read(ledger.revoked_numbers)
        self._holders = await self._store.read(ledger.holders)

    def admit(self, peer: Peer, now: dt.datetime) -> None:
        """Let *peer* pass.

        Raises:
            CertificateError: revoked, or past its end; an open connection outlives both.
        """
        if peer.number in self._revoked:
            raise CertificateError(
                f"certificate {peer.number} of {peer.serial}: revoked; enrol again"
            )
        if now >= peer.not_after:
            raise CertificateError(
                f"certificate {peer.number} of {peer.serial}: expected one that is still good, "
                f"found one that ended {peer.not_after.isoformat()}; enrol again"
            )

    def enrolled(self, serial: str) -> bool:
        """Whether *serial* was ever given a certificate that is not revoked."""
        return serial in self._holders

    def ca_certificates(self) -> bytes:
        """The site CA as PKCS#7 certs-only DER."""
        return self._authority.certificates_only()

    async def enrol(self, serial: str, token: str, request: bytes, *, now: dt.datetime) -> bytes:
        """The first certificate of *serial*, or the same again if its answer was lost.

        Raises:
            SigningRequestError: not a request we sign, or for another serial.
            TokenError: the token does not entitle to it.
        """
        key = _key_for(serial, request)
        await self.take_drops(now)
        digest = token_digest(token)
        spki = spki_of(key)

        def issue(tx: Tx) -> Kept:
            known = ledger.token(tx.db, digest)
            spent_on = _entitled(known, serial, now)
            if spent_on is not None:
                return _again(ledger.certificate(tx.db, spent_on), spki, serial)
            kept = self._issue(tx.db, serial, key, now=now)
            ledger.use_token(tx.db, digest, kept.number)
            tx.record(_event("gateway.enrolled", kept))
            return kept

        return await self._hand_out(issue, serial)

    async def renew(self, serial: str, request: bytes, *, now: dt.datetime) -> bytes:
        """The next certificate of *serial*; the one in use stays good until its own end.

        Raises:
            SigningRequestError: not a request we sign, or for another serial.
        """
        key = _key_for(serial, request)
        spki = spki_of(key)

        def issue(tx: Tx) -> Kept:
            last = ledger.newest(tx.db, serial)
            if last and last.spki == spki and now - last.issued < _RENEWED_LATELY:
                return last
            kept = self._issue(tx.db, serial, key, now=now)
            tx.record(_event("gateway.renewed", kept))
            return kept

        return await self._hand_out(issue, serial)

    async def take_drops(self, now: dt.datetime) -> None:
        """Take in what `site-proxy token` has left."""
        for dropped in await asyncio.to_thread(drops.found, self._folder):
            await self._take(dropped, now)
            dropped.path.unlink(missing_ok=True)

    async def run(self, now: Callable[[], dt.datetime]) -> None:
        """Look for drops until cancelled."""
        while True:
            try:
                await self.take_drops(now())
            except (TryAgainError, OSError) as error:
                # Nothing is lost: the files are still there for the next look.
                _log.warning("drop.waited", reason=str(error))
            await asyncio.sleep(_LOOK_S)

    async def _take(self, dropped: Dropped, now: dt.datetime) -> None:
        match dropped.drop:
            case TokenDrop() as made:
                await self._store.change(dropped.who, [], lambda tx: _keep_token(tx, made))
            case RevokeDrop() as order:
                await self._end(order, dropped.who, now)
            case None:
                _log.warning("drop.refused", path=str(dropped.path), who=dropped.who)

    async def revoke(self, serial: str, reason: str, who: str, *, now: dt.datetime) -> None:
        """End every certificate of *serial* on the word of *who*.

        Raises:
            StoreUnavailableError: the disk refuses; nothing was revoked.
        """
        await self._end(RevokeDrop(serial=serial, reason=reason[:500]), who, now)

    async def _end(self, order: RevokeDrop, who: str, now: dt.datetime) -> None:
        numbers = await self._store.change(who, [], lambda tx: _revoke(tx, order, now))
        self._revoked.update(numbers)
        self._holders.pop(order.serial, None)

    def _issue(self, db: Database, serial: str, key: PublicKey, *, now: dt.datetime) -> Kept:
        issued = self._authority.sign_gateway(serial, key, now=now, life=self._life)
        spki = spki_of(key)
        ledger.add_certificate(db, issued, spki, now=now)
        return Kept(issued.number, serial, now, issued.not_after, spki, issued.der)

    async def _hand_out(self, issue: Callable[[Tx], Kept], serial: str) -> bytes:
        kept = await self._store.change(f"gateway:{serial}", [], issue)
        self._holders[serial] = kept.not_after
        return self._authority.certificates_only([kept.der])


def _key_for(serial: str, request: bytes) -> PublicKey:
    signing = read_request(request)
    asked = requested_serial(signing)
    if asked != serial:
        raise SigningRequestError(
            f"signing request: expected the common name {serial[:80]!r}, found {asked[:80]!r}"
        )
    return signable_key(signing)


def _entitled(token: ledger.Token | None, serial: str, now: dt.datetime) -> str | None:
    """The certificate the token was spent on, or None if it is unused.

    Raises:
        TokenError: unknown, for another serial, or expired.
    """
    # One sentence for all three: the other side learns nothing about tokens that exist.
    wrong = TokenError(
        f"enrolment of {serial[:80]!r}: expected an unused, unexpired token for this serial; "
        "make one with `site-proxy token --serial SERIAL`"
    )
    if token is None or token.serial != serial or now >= token.expires:
        raise wrong
    return token.number


def _again(kept: Kept | None, spki: bytes, serial: str) -> Kept:
    if kept is None or kept.spki != spki:
        raise TokenError(
            f"enrolment of {serial[:80]!r}: the token was used for another key; make a new one"
        )
    return kept


def _keep_token(tx: Tx, made: TokenDrop) -> None:
    if ledger.add_token(tx.db, made):
        facts = {"expires": made.expires.isoformat()}
        tx.record(Event("gateway.token_made", made.serial, facts))


def _revoke(tx: Tx, order: RevokeDrop, now: dt.datetime) -> list[str]:
    numbers = ledger.revoke(tx.db, order.serial, order.reason, now=now)
    facts = {"numbers": numbers, "reason": order.reason}
    tx.record(Event("gateway.revoked", order.serial, facts))
    return numbers


def _event(kind: str, kept: Kept) -> Event:
    facts = {"number": kept.number, "not_after": kept.not_after.isoformat()}
    return Event(kind, kept.serial, facts)
