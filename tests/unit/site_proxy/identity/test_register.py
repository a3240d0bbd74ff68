"""Enrolment, renewal and revocation, through the real store."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.identity import drops
from edge_site_proxy.identity.drops import RevokeDrop, make_token
from edge_site_proxy.identity.errors import CertificateError, SigningRequestError, TokenError
from edge_site_proxy.store import Store
from tests.unit.site_proxy.identity.made import (
    LIFE,
    T0,
    Clock,
    Gateway,
    certificate_in,
    register_in,
)

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Shown:
    """A certificate as a connection shows it."""

    serial: str
    number: str
    not_after: dt.datetime


def token_for(folder: Path, serial: str, *, now: dt.datetime = T0) -> str:
    """What `site-proxy token` does."""
    token, drop = make_token(serial, now=now, life=drops.TOKEN_LIFE)
    drops.put(folder / "drops", drop)
    return token


async def kinds(store: Store) -> list[str]:
    """The kinds of all audit events."""
    leaves = await store.read(lambda db: audit_log.leaves_after(db, -1, 100))
    return [audit_log.parse(leaf).kind for leaf in leaves]


async def test_enrols(tmp_path: Path) -> None:
    """A token and a request of the same serial: a client certificate whose name is the serial."""
    clock = Clock()
    gateway = Gateway("gw-101")
    async with register_in(tmp_path, clock) as (register, store):
        token = token_for(tmp_path, "gw-101")
        answer = await register.enrol("gw-101", token, gateway.request(), now=clock())
        certificate = certificate_in(answer)
        assert certificate.subject.rfc4514_string() == "CN=gw-101,O=north"
        assert certificate.not_valid_after_utc == T0 + LIFE
        assert certificate.public_key() == gateway.key.public_key()
        assert register.enrolled("gw-101")
        assert await kinds(store) == ["gateway.token_made", "gateway.enrolled"]


async def test_lost_answer(tmp_path: Path) -> None:
    """The same token with the same key gives the same certificate again, and no second event."""
    clock = Clock()
    gateway = Gateway("gw-101")
    async with register_in(tmp_path, clock) as (register, store):
        token = token_for(tmp_path, "gw-101")
        first = await register.enrol("gw-101", token, gateway.request(), now=clock())
        again = await register.enrol("gw-101", token, gateway.request(), now=clock())
        assert certificate_in(first) == certificate_in(again)
        assert len(await kinds(store)) == 2


@dataclass(frozen=True)
class Attempt:
    """An enrolment that must fail."""

    serial: str = "gw-101"
    named: str = "gw-101"
    token_for: str = "gw-101"
    after: dt.timedelta = dt.timedelta(0)
    spent: bool = False
    error: type[Exception] = TokenError


REFUSED = {
    "a token for another serial": Attempt(token_for="gw-102"),
    "a request that names another serial": Attempt(named="gw-102", error=SigningRequestError),
    "an expired token": Attempt(after=dt.timedelta(hours=24)),
    "a token that another key has used": Attempt(spent=True),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED.keys())
async def test_refused(attempt: Attempt, tmp_path: Path) -> None:
    """Whatever the token does not entitle to is refused, and the token is not spent by it."""
    clock = Clock()
    async with register_in(tmp_path, clock) as (register, _):
        token = token_for(tmp_path, attempt.token_for)
        if attempt.spent:
            other = Gateway(attempt.serial).request()
            await register.enrol(attempt.serial, token, other, now=clock())
        request = Gateway(attempt.serial).request(attempt.named)
        clock.at += attempt.after
        with pytest.raises(attempt.error):
            await register.enrol(attempt.serial, token, request, now=clock())


async def test_renews(tmp_path: Path) -> None:
    """Renewal gives a later end with a new key; the old certificate stays good meanwhile."""
    clock = Clock()
    async with register_in(tmp_path, clock) as (register, store):
        token = token_for(tmp_path, "gw-101")
        first = await register.enrol("gw-101", token, Gateway("gw-101").request(), now=clock())
        clock.pass_by(days=20)
        second = await register.renew("gw-101", Gateway("gw-101").request(), now=clock())
        old, new = certificate_in(first), certificate_in(second)
        assert new.not_valid_after_utc - old.not_valid_after_utc == dt.timedelta(days=20)
        for certificate in (old, new):
            number = f"{certificate.serial_number:X}"
            register.admit(Shown("gw-101", number, certificate.not_valid_after_utc), clock())
        assert (await kinds(store))[-1] == "gateway.renewed"


async def test_expired(tmp_path: Path) -> None:
    """A certificate past its end is refused on the next request, whatever the connection."""
    clock = Clock()
    async with register_in(tmp_path, clock) as (register, _):
        shown = Shown("gw-101", "0A", T0 + LIFE)
        register.admit(shown, T0 + LIFE - dt.timedelta(seconds=1))
        with pytest.raises(CertificateError, match="ended"):
            register.admit(shown, T0 + LIFE)


async def test_revoked(tmp_path: Path) -> None:
    """Revocation holds at once and after a restart, and takes unused tokens with it."""
    clock = Clock()
    gateway = Gateway("gw-101")
    async with register_in(tmp_path, clock) as (register, store):
        token = token_for(tmp_path, "gw-101")
        spare = token_for(tmp_path, "gw-101")
        answer = await register.enrol("gw-101", token, gateway.request(), now=clock())
        certificate = certificate_in(answer)
        number = f"{certificate.serial_number:X}"
        shown = Shown("gw-101", number.zfill(len(number) + len(number) % 2), T0 + LIFE)
        register.admit(shown, clock())
        drops.put(tmp_path / "drops", RevokeDrop(serial="gw-101", reason="stolen"))
        await register.take_drops(clock())
        with pytest.raises(CertificateError, match="revoked"):
            register.admit(shown, clock())
        assert not register.enrolled("gw-101")
        with pytest.raises(TokenError):
            await register.enrol("gw-101", spare, gateway.request(), now=clock())
        assert (await kinds(store))[-1] == "gateway.revoked"
    async with register_in(tmp_path, clock) as (register, _):
        with pytest.raises(CertificateError, match="revoked"):
            register.admit(shown, clock())


async def test_foreign_drop(tmp_path: Path) -> None:
    """A file that is no drop is taken away, and the ones beside it still count."""
    clock = Clock()
    async with register_in(tmp_path, clock) as (register, _):
        (tmp_path / "drops" / "0.json").write_bytes(b"{]")
        token = token_for(tmp_path, "gw-101")
        request = Gateway("gw-101").request()
        assert await register.enrol("gw-101", token, request, now=clock())
        assert not list((tmp_path / "drops").iterdir())
