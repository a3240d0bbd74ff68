"""The log names its key from the start, hands it on under both signatures, and survives a cut."""

import json
from pathlib import Path

import pytest

from edge_core.contracts.gateway import PermitRequest
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import rotation
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.export import (
    export_log,
    handovers_of,
    open_read_only,
    public_of,
    verify_database,
    verify_folder,
)
from edge_site_proxy.audit.keys import BEGUN, ROTATED, handover
from edge_site_proxy.audit.notary import SOFTWARE
from edge_site_proxy.audit.note import Root, Signer, load_signer, open_note, state_of
from edge_site_proxy.audit.proofs import consistency_proof, write_proofs
from edge_site_proxy.audit.verify_audit import check_folder
from tests.unit.site_proxy.plant.plant import V1, Plant, plant

pytestmark = pytest.mark.anyio


def verified(folder: Path, key: str) -> int:
    """How many entries of the site's log verify with *key*, by both verifiers."""
    db = open_read_only(folder / "site.db")
    try:
        export_log(db, folder / "export", public_of(db) or "")
        found = verify_database(db, key)
    finally:
        db.close()
    (folder / "key").write_text(key)
    size = check_folder(folder / "export", folder / "key", [])["size"]
    assert size == verify_folder(folder / "export", key).size
    return found.size


async def rotated(here: Plant, key_file: Path) -> str:
    """Hand the key on, and answer the new one."""
    rotation.ask(key_file, "the yearly change")
    await here.site.notary.rotate_if_asked()
    return here.site.notary.public


async def test_begins_with_site_key_and_software(tmp_path: Path) -> None:
    """The first entry binds them to the log, once, however often the site starts."""
    for _ in range(2):
        async with plant(tmp_path) as here:
            store, public = here.site.store, here.site.notary.public
            begun = await store.read(lambda db: audit_log.events_of(db, BEGUN))
            assert [(each.sequence, each.facts) for each in begun] == [
                (0, {"site": "P1", "key": public, "software": SOFTWARE})
            ]


async def test_handed_on(tmp_path: Path) -> None:
    """After two changes of the key the whole log verifies with any of the three."""
    key_file = tmp_path / "audit.key"
    async with plant(tmp_path) as here:
        first = here.site.notary.public
        await here.site.notary.sign()
        second = await rotated(here, key_file)
        await here.bring(V1)
        third = await rotated(here, key_file)
        assert len({first, second, third}) == 3
        assert load_signer(key_file, "edge-site/P1").public == third
        (event, _) = await here.site.store.read(lambda db: audit_log.events_of(db, ROTATED))
        assert (event.facts["old"], event.facts["new"]) == (first, second)
        assert event.facts["reason"] == "the yearly change"
        newest = here.site.notary.newest
        assert newest is not None
        assert open_note(newest.note, third).size == newest.size
        for key in (first, second, third):
            assert verified(tmp_path, key) == newest.size
    assert not (tmp_path / "audit.key.rotate").exists()
    async with plant(tmp_path) as again:
        assert again.site.notary.public == third


async def test_nothing_asked(tmp_path: Path) -> None:
    """Without a wish the key stays; a wish that makes no sense is none."""
    async with plant(tmp_path) as here:
        before = here.site.notary.public
        await here.site.notary.rotate_if_asked()
        (tmp_path / "audit.key.rotate").write_text('{"reason": 5}')
        await here.site.notary.rotate_if_asked()
        assert here.site.notary.public == before


CUTS = {
    "before the log knew of the new key": (False, 1),
    "after the log knew, before the key was put in its place": (True, 2),
}


@pytest.mark.parametrize(("committed", "keys"), CUTS.values(), ids=CUTS.keys())
async def test_power_cut(tmp_path: Path, keys: int, *, committed: bool) -> None:
    """Wherever the power fails the log goes on with the key that it names last."""
    key_file = tmp_path / "audit.key"
    async with plant(tmp_path) as here:
        first = here.site.notary.public
        old = load_signer(key_file, "edge-site/P1")
        new = rotation.prepare(key_file, "edge-site/P1")
        if committed:
            event = Event(ROTATED, "edge-site/P1", {"note": handover(old, new)})
            await here.site.store.change("root", [event], lambda _: None)
    async with plant(tmp_path) as here:
        await here.site.notary.sign()
        expected = new.public if committed else first
        assert here.site.notary.public == expected
        assert verified(tmp_path, first) > 0
        assert len({first, expected}) == keys
    assert not (tmp_path / "audit.key.next").exists()


async def test_a_log_of_another_key(tmp_path: Path) -> None:
    """A key file that was put in the place of the log's is refused at the start."""
    async with plant(tmp_path):
        pass
    (tmp_path / "audit.key").unlink()
    with pytest.raises(LogBrokenError, match="expected a signature"):
        async with plant(tmp_path):
            pass


async def test_permit_replies_bear_the_checkpoint(tmp_path: Path) -> None:
    """A gateway that asks for a permit becomes a witness, whatever the answer is."""
    async with plant(tmp_path) as here:
        request = PermitRequest(digest=V1.digest, attempt=1, boot_epoch=1)
        reply = await here.site.permit("g1", request)
        assert reply.checkpoint == here.site.notary.newest
        assert reply.checkpoint is not None
        assert state_of(reply.checkpoint.note).size == reply.checkpoint.size


async def test_witnesses(tmp_path: Path) -> None:
    """What a gateway kept is checked against the log: a shorter or another log is found."""
    async with plant(tmp_path) as here:
        await here.site.notary.sign()
        newest = here.site.notary.newest
    assert newest is not None
    signer: Signer = load_signer(tmp_path / "audit.key", "edge-site/P1")
    db = open_read_only(tmp_path / "site.db")
    assert verify_database(db, signer.public, [newest.note]).size == newest.size
    longer = signer.sign(Root(newest.size + 3, b"\x01" * 32))
    other = signer.sign(Root(newest.size, b"\x01" * 32))
    assert handovers_of(db) == ()
    with pytest.raises(LogBrokenError, match="is missing"):
        verify_database(db, signer.public, [longer])
    with pytest.raises(LogBrokenError, match="showed itself otherwise"):
        verify_database(db, signer.public, [other])
    db.close()


async def test_proofs(tmp_path: Path) -> None:
    """Each event is proved, and so is that the log only grew; the verifier reads both."""
    async with plant(tmp_path) as here:
        await here.site.notary.sign()
        await here.bring(V1)
        await here.site.notary.sign()
        public = here.site.notary.public
    db = open_read_only(tmp_path / "site.db")
    notes = audit_log.notes(db)
    folder = tmp_path / "proofs"
    write_proofs(db, folder, [0, 3, state_of(notes[-1]).size - 1], notes[-1], public)
    (folder / "checkpoints.txt").write_text(notes[0])
    (folder / "consistency.txt").write_text(consistency_proof(db, state_of(notes[0]), notes[-1]))
    db.close()
    assert check_folder(folder, None, []) == {
        "verified": True,
        "consistency": True,
        "proofs": 3,
    }
    event = json.loads((folder / "event-3.json").read_text())
    assert event["sequence"] == 3
