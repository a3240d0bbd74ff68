"""Certificates: enrolled once, renewed in time, and the old kept until the new has worked."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from edge_core.contracts.errors import ConfigurationError, RefusedError, TryAgainError
from edge_runtime.enrolment import enrol_once, renew_once
from edge_runtime.errors import SiteRefusedError, SiteUnreachableError
from edge_runtime.identity import IdentityFolder, client_context, issued, signing_request
from edge_runtime.link import SiteLink
from edge_runtime.site import connect
from edge_runtime.witness import Witness
from edge_site_proxy.identity.authority import Authority, make_root
from tests.unit.runtime.gateways import SERIAL, Rig
from tests.unit.runtime.heard import Heard

pytestmark = pytest.mark.anyio

SHORT = timedelta(minutes=20)  # with the hour before its start that is more than two thirds gone


def folder(rig: Rig) -> IdentityFolder:
    """Where the gateway's pair lies."""
    return IdentityFolder(rig.folder / "identity", SERIAL)


def linked(rig: Rig, heard: Heard | None = None) -> SiteLink:
    """The link of the rig's gateway, whose faults *heard* hears."""
    told = heard or Heard()
    witness = Witness(rig.folder / "witness.json", told, time.monotonic)
    return SiteLink(rig.config().proxy, folder(rig), lambda: datetime.now(UTC), witness, told)


async def test_renewal(rig: Rig) -> None:
    """A link renews what is due, and goes on with the new pair."""
    rig.site.life = SHORT
    identity = folder(rig)
    link = linked(rig)
    async with anyio.create_task_group() as group:
        group.start_soon(link.run)
        with anyio.fail_after(10):
            while rig.site.certificates < 2 or identity.next.exists():  # noqa: ASYNC110 - the link
                await anyio.sleep(0.01)
            assert (await link.desired()).serial == SERIAL
        group.cancel_scope.cancel()
    assert identity.enrolled()


async def test_new_pair_that_does_not_work(rig: Rig) -> None:
    """A pair that the site does not accept never replaces the one that works."""
    identity = folder(rig)
    await enrol_once(rig.config().proxy, identity)
    before = identity.current.read_bytes()
    other = Authority(make_root("elsewhere", now=datetime.now(UTC)))
    rig.site.authority = other
    async with connect(rig.config().proxy, identity) as client:
        with pytest.raises(SiteUnreachableError):
            await renew_once(client, identity)
        assert (await client.desired()).serial == SERIAL
    assert identity.current.read_bytes() == before


async def test_a_disk_that_takes_no_certificate(rig: Rig) -> None:
    """A renewal that the disk refuses is an alarm; the link goes on with the pair it has."""
    rig.site.life = SHORT
    identity, heard = folder(rig), Heard()
    await enrol_once(rig.config().proxy, identity)
    before = identity.current.read_bytes()
    (identity.next.with_suffix(".new") / "in the way").mkdir(parents=True)
    link = linked(rig, heard)
    async with anyio.create_task_group() as group:
        group.start_soon(link.run)
        with anyio.fail_after(10):
            while "certificate" not in heard.standing:  # noqa: ASYNC110 - the link
                await anyio.sleep(0.01)
            assert (await link.desired()).serial == SERIAL
        group.cancel_scope.cancel()
    assert f"{identity.next}: cannot be written" in heard.standing["certificate"]
    assert "the certificate in use ends at 2" in heard.standing["certificate"]
    assert identity.current.read_bytes() == before


async def test_nothing_is_asked_for_in_vain(rig: Rig) -> None:
    """Where the disk takes no certificate no token is spent, and none is signed."""
    identity = folder(rig)
    identity.path.write_bytes(b"in the way")
    with pytest.raises(TryAgainError, match=f"{identity.path}: cannot be written"):
        await enrol_once(rig.config().proxy, identity)
    assert rig.site.certificates == 0
    identity.path.unlink()
    await enrol_once(rig.config().proxy, identity)
    elsewhere = IdentityFolder(identity.current, SERIAL)
    async with connect(rig.config().proxy, identity) as client:
        with pytest.raises(TryAgainError, match="cannot be written"):
            await renew_once(client, elsewhere)
    assert rig.site.certificates == 1


async def test_wrong_token(rig: Rig) -> None:
    """A token that is not ours is refused, and nothing is written."""
    (rig.folder / "token").write_text("another")
    with pytest.raises(SiteRefusedError) as refused:
        await enrol_once(rig.config().proxy, folder(rig))
    assert refused.value.status == 401
    assert not folder(rig).enrolled()


async def test_not_enrolled(rig: Rig) -> None:
    """Before there is a certificate the site is simply not there."""
    link = linked(rig)
    with pytest.raises(SiteUnreachableError):
        await link.desired()


def test_foreign_answers(tmp_path: Path) -> None:
    """A certificate for another key or another name is not taken."""
    authority = Authority(make_root("plant", now=datetime.now(UTC)))
    ours, theirs = signing_request(SERIAL), signing_request(SERIAL)
    now, life = datetime.now(UTC), timedelta(days=1)

    def answer(serial: str, key: object) -> bytes:
        signed = authority.sign_gateway(serial, key, now=now, life=life)  # type: ignore[arg-type]  # an EC key
        return authority.certificates_only([signed.der])

    with pytest.raises(RefusedError, match="own key"):
        issued(answer(SERIAL, theirs.key.public_key()), ours, SERIAL)
    with pytest.raises(RefusedError, match="another name"):
        issued(answer("gw-2", ours.key.public_key()), ours, SERIAL)
    with pytest.raises(RefusedError, match="PKCS#7"):
        issued(b"nonsense", ours, SERIAL)
    found = issued(answer(SERIAL, ours.key.public_key()), ours, SERIAL)
    assert found.not_valid_after_utc > now
    with pytest.raises(ConfigurationError, match=r"proxy\.ca"):
        client_context(tmp_path / "none.pem", None)
