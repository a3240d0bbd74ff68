"""Exports are checked offline, and whatever was changed is found and named."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlite_utils import Database

from edge_core.contracts.errors import ConfigurationError
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.canonical import canonical
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.events import Event
from edge_site_proxy.audit.log import leaf_digest
from edge_site_proxy.audit.note import Root, Signer, load_signer, open_note
from edge_site_proxy.audit.verify import verify

SIGNER = Signer("edge-site/P1", Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


def written(count: int, notes_at: tuple[int, ...]) -> tuple[list[bytes], list[str]]:
    """A log of *count* events with checkpoints after so many of them."""
    db = Database(memory=True)
    audit_log.MIGRATIONS.apply(db)
    notes = []
    for number in range(count):
        event = Event("rollout.held", f"r{number}", {"number": number})
        at = START + timedelta(seconds=number)
        audit_log.append(db, event, audit_log.Mark("ana", at, clock_synchronised=True), {})
        if number + 1 in notes_at:
            notes.append(SIGNER.sign(Root(number + 1, audit_log.root_of(db, number + 1))))
    leaves = audit_log.leaves_after(db, -1, count)
    db.close()
    return leaves, notes


LEAVES, NOTES = written(10, (4, 9))


def test_good() -> None:
    """An untouched export verifies; what came after the last checkpoint is said to be loose."""
    proved = verify(LEAVES, NOTES, SIGNER.public)
    assert (proved.size, proved.loose) == (9, 1)
    assert proved.root == open_note(NOTES[1], SIGNER.public).root


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_any_line_ends(end: bytes) -> None:
    """An export that was opened and saved elsewhere may end its lines otherwise."""
    assert verify([leaf + end for leaf in LEAVES], NOTES, SIGNER.public).size == 9


@pytest.mark.parametrize("notes", [NOTES[:1], NOTES[1:], NOTES[::-1]])
def test_any_checkpoints(notes: list[str]) -> None:
    """One checkpoint is enough, and of several the largest counts, in whatever order they come."""
    assert verify(LEAVES, notes, SIGNER.public).size == (4 if notes == NOTES[:1] else 9)


def test_no_checkpoint() -> None:
    """Without a checkpoint there is nobody to believe."""
    with pytest.raises(LogBrokenError, match="expected at least one checkpoint"):
        verify(LEAVES, [], SIGNER.public)


def test_nothing_loose() -> None:
    """A log that ends with its checkpoint is proved to the end."""
    proved = verify(LEAVES[:9], NOTES, SIGNER.public)
    assert (proved.size, proved.loose) == (9, 0)


def test_sha256sum_walks_the_log() -> None:
    """Each line's SHA-256 stands in the next line: no tool of ours is needed to see that."""
    for before, leaf in pairwise(LEAVES):
        assert msgspec.json.decode(leaf)["previous"] == leaf_digest(before)


def changed(leaf: bytes) -> bytes:
    """The same event by another person."""
    event = msgspec.json.decode(leaf)
    event["who"] = "mallory"
    return canonical(event)


def rewritten(position: int) -> list[bytes]:
    """A log changed at *position* with every later hash made to fit."""
    leaves, previous = list(LEAVES[:position]), leaf_digest(LEAVES[position - 1])
    for number, leaf in enumerate(LEAVES[position:]):
        event = msgspec.json.decode(leaf)
        event["previous"] = previous
        if number == 0:
            event["who"] = "mallory"
        leaves.append(canonical(event))
        previous = leaf_digest(leaves[-1])
    return leaves


@dataclass(frozen=True)
class Tamper:
    """What was done to the export, and the entry that is named."""

    make: Callable[[], list[bytes]]
    first_bad: int


TAMPERED = {
    "one entry changed": Tamper(lambda: [*LEAVES[:3], changed(LEAVES[3]), *LEAVES[4:]], 3),
    "the first entry changed": Tamper(lambda: [changed(LEAVES[0]), *LEAVES[1:]], 0),
    "one byte of one entry changed": Tamper(
        lambda: [*LEAVES[:6], LEAVES[6].replace(b"r6", b"r7"), *LEAVES[7:]], 6
    ),
    "an entry taken out": Tamper(lambda: [*LEAVES[:5], *LEAVES[6:]], 5),
    "two entries swapped": Tamper(lambda: [*LEAVES[:2], LEAVES[3], LEAVES[2], *LEAVES[4:]], 2),
    "an entry put in twice": Tamper(lambda: [*LEAVES[:5], LEAVES[4], *LEAVES[5:]], 5),
    "the tail cut off": Tamper(lambda: LEAVES[:7], 7),
    "the whole rest rewritten to fit": Tamper(lambda: rewritten(6), 4),
    "all rewritten to fit, before the first checkpoint": Tamper(lambda: rewritten(2), 0),
    "blanks at the end of an entry": Tamper(
        lambda: [*LEAVES[:3], LEAVES[3] + b"  ", *LEAVES[4:]], 3
    ),
    "blanks at the start of an entry": Tamper(
        lambda: [*LEAVES[:3], b"  " + LEAVES[3], *LEAVES[4:]], 3
    ),
    "no JSON": Tamper(lambda: [*LEAVES[:2], b"{", *LEAVES[3:]], 2),
}


@pytest.mark.parametrize("row", TAMPERED.values(), ids=TAMPERED.keys())
def test_tampered(row: Tamper) -> None:
    """The first entry that cannot be trusted is named; a rewrite by its last good checkpoint."""
    with pytest.raises(LogBrokenError) as caught:
        verify(row.make(), NOTES, SIGNER.public)
    assert caught.value.first_bad == row.first_bad


def test_another_key() -> None:
    """A checkpoint by somebody else proves nothing."""
    other = Signer("edge-site/P1", Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
    with pytest.raises(LogBrokenError, match="expected a signature"):
        verify(LEAVES, NOTES, other.public)


NOTES_BAD = {
    "another size": NOTES[0].replace("\n4\n", "\n5\n"),
    "another log": NOTES[0].replace("edge-site/P1", "edge-site/P2"),
    "no signature": NOTES[0].split("\n\n", maxsplit=1)[0] + "\n\n",
    "no note": "hello",
}


@pytest.mark.parametrize("note", NOTES_BAD.values(), ids=NOTES_BAD.keys())
def test_bad_note(note: str) -> None:
    """A checkpoint that was changed in any part is refused."""
    with pytest.raises(LogBrokenError):
        open_note(note, SIGNER.public)


def test_key_file(tmp_path: Path) -> None:
    """A new key is readable by its owner alone; one that others can read is refused."""
    path = tmp_path / "audit.key"
    first = load_signer(path, "edge-site/P1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signer(path, "edge-site/P1").public == first.public
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="expected mode 0600, found 0644"):
        load_signer(path, "edge-site/P1")


def test_key_file_of_another_kind(tmp_path: Path) -> None:
    """A file that is no key says so."""
    path = tmp_path / "audit.key"
    path.write_bytes(b"hello")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="expected a PEM private key"):
        load_signer(path, "edge-site/P1")
