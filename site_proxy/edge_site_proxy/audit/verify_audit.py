"""Checks an export of a site's audit log, or an extract of it, without the product.

    python3 verify_audit.py [FOLDER] [--key FILE] [--witness FILE ...] [--json]

FOLDER      the export; the folder of this script when it is not given
--key       the log's public key as you were given it; the export's own key proves only that the
            export is of one piece
--witness   checkpoints that somebody else kept: a gateway, a shift report, you

Needs Python 3.10 and the package `cryptography`. Exit code 0: everything fits. 3: something does
not, and the first entry that cannot be trusted is named. 2: it was called wrongly.

What may lie in an export (what is not there is not checked):

audit.jsonl      one event a line, as it was hashed. `previous` is the SHA-256 of the line before
                 without its newline, so `sha256sum` alone can walk the log.
checkpoints.txt  signed notes parted by a line "--": the log's name, how many entries it had, the
                 root of the Merkle tree over them (RFC 6962), a signature (C2SP signed-note,
                 tlog-checkpoint; Ed25519).
hashes.txt       the Merkle leaf hash of each line: SHA-256 of a zero byte and the line. Nobody
                 signs it, but it must have the signed roots; then it tells which line was changed.
handovers.txt    how each key of the log made the next, signed by both.
start.txt        of an extract: "start N", and hashes of the complete subtrees before entry N.
verifier.pub     the public key, name+id+key.
X.json, X.tlog-proof    one event, and the proof that it is in the log (C2SP tlog-proof).
consistency.txt  "old N", a proof, and a checkpoint: its log begins with the log of N entries
                 (as C2SP tlog-witness asks for it).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.stderr.write("verify_audit.py: needs the Python package cryptography\n")
    sys.exit(2)

DASH = "\u2014 "
NOTHING = "sha256:" + "0" * 64  # what the first entry names as the one before it
ABOUT_KEYS = {"audit.key_rotated": "note", "audit.begun": "key"}  # kinds, and what to look at
NUMBER = re.compile("0|[1-9][0-9]{0,15}")
LINE_BYTES_MAX = 64 * 1024 * 1024


class BadError(Exception):
    """It does not verify; *entry* is the first that cannot be trusted, where that is known."""

    def __init__(self, message: str, entry: int | None = None) -> None:
        super().__init__(message)
        self.entry = entry


# --- Hashes: RFC 6962, section 2.1 -------------------------------------------------------------


def leaf_hash(line: bytes) -> bytes:
    """Of one entry."""
    return hashlib.sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A Merkle tree that grows by one leaf at a time, kept as its complete subtrees."""

    def __init__(self, size: int = 0, subtrees: Sequence[bytes] = ()) -> None:
        if len(subtrees) != size.bit_count():
            raise BadError(f"start.txt: not one hash for each subtree of {size} entries")
        self.size = size
        self.subtrees = list(subtrees)

    def add(self, digest: bytes) -> None:
        """One more leaf; it completes as many subtrees as the size ends in binary ones."""
        ones = self.size
        while ones & 1:
            digest = node_hash(self.subtrees.pop(), digest)
            ones >>= 1
        self.subtrees.append(digest)
        self.size += 1

    def root(self) -> bytes:
        """Over all leaves so far."""
        if not self.subtrees:
            return hashlib.sha256(b"").digest()
        digest = self.subtrees[-1]
        for left in self.subtrees[-2::-1]:
            digest = node_hash(left, digest)
        return digest


def climb(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 6962, 2.1.1)."""
    if bool(path) == (size == 1):
        raise BadError("the proof is not as long as the tree is high")
    if size == 1:
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return node_hash(climb(index, split, leaf, path[:-1]), path[-1])
    return node_hash(path[-1], climb(index - split, size - split, leaf, path[:-1]))


def grown(old: int, new: int, path: Sequence[bytes], known: bytes | None) -> tuple[bytes, bytes]:
    """The old and the new root that a consistency proof leads to (RFC 6962, 2.1.2).

    *known* is the old root for as long as the old tree is a subtree that needs no proof.
    """
    if old == new and known is not None and not path:
        return known, known
    if old == new and known is None and len(path) == 1:
        return path[0], path[0]
    if old >= new or not path:
        raise BadError("the proof is not as long as the tree is high")
    split = 1 << (new - 1).bit_length() - 1
    if old <= split:
        before, after = grown(old, split, path[:-1], known)
        return before, node_hash(after, path[-1])
    before, after = grown(old - split, new - split, path[:-1], None)
    return node_hash(path[-1], before), node_hash(path[-1], after)


# --- Signed notes and keys ---------------------------------------------------------------------


def from_base64(text: str) -> bytes:
    """The bytes, or none where *text* is not base64 as it would be written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""


@lru_cache
def read_key(text: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """Name, number and key of a verifier key, name+number+base64."""
    name, _, rest = text.partition("+")
    number, _, encoded = rest.partition("+")
    raw = from_base64(encoded)
    computed = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if len(raw) != 33 or raw[:1] != b"\x01" or computed.hex() != number:
        raise BadError(f"{text[:80]!r} is no Ed25519 verifier key")
    return name, computed, Ed25519PublicKey.from_public_bytes(raw[1:])


def signed_by(note: str, key: str) -> bool:
    """Whether *key* signed *note*; a signature of its that is wrong is an error."""
    name, number, public = read_key(key)
    text, gap, signatures = note.partition("\n\n")
    lines = signatures.removesuffix("\n").split("\n")
    if not gap or any(not line.startswith(DASH) for line in lines):
        raise BadError("a note has something else than signatures after its text")
    for line in lines:
        signer, _, stamp = line.removeprefix(DASH).partition(" ")
        raw = from_base64(stamp)
        if signer == name and raw[:4] == number:
            try:
                public.verify(raw[4:], (text + "\n").encode())
            except InvalidSignature:
                raise BadError("a note's signature does not verify") from None
            return True
    return False


def key_chain(handovers: Sequence[str], trusted: str) -> list[str]:
    """Every key of the log, oldest first; the trusted one must be among them."""
    keys: list[str] = []
    for note in handovers:
        lines = note.partition("\n\n")[0].split("\n")
        if len(lines) != 3 or not lines[0].endswith("/key-rotation"):
            raise BadError("a key handover is not name, old key and new key")
        name, old, new = lines[0].removesuffix("/key-rotation"), lines[1], lines[2]
        if {old.partition("+")[0], new.partition("+")[0]} != {name}:
            raise BadError("a key handover is between keys of different names")
        if not (signed_by(note, old) and signed_by(note, new)):
            raise BadError("a key handover is not signed by both keys")
        if keys and keys[-1] != old:
            raise BadError("a key handover does not begin with the key before it")
        keys = [*(keys or [old]), new]
    if keys and trusted not in keys:
        raise BadError("the trusted key is none of the log's")
    return keys or [trusted]


@dataclass(frozen=True)
class Checkpoint:
    """A signed state of the log; *signer* says which of its keys signed."""

    size: int
    root: bytes
    signer: int


def read_checkpoint(note: str, keys: Sequence[str]) -> Checkpoint:
    """What *note* vouches for."""
    lines = note.partition("\n\n")[0].split("\n")
    if len(lines) < 3 or not NUMBER.fullmatch(lines[1]) or len(from_base64(lines[2])) != 32:
        raise BadError(f"a checkpoint is not name, size and root: {lines[0][:80]!r}")
    if lines[0] != keys[0].partition("+")[0]:
        raise BadError(f"the checkpoint of {lines[1]} entries is of another log")
    for number, key in enumerate(keys):
        if signed_by(note, key):
            return Checkpoint(int(lines[1]), from_base64(lines[2]), number)
    raise BadError(f"the checkpoint of {lines[1]} entries is signed by no key of the log")


# --- The log -----------------------------------------------------------------------------------


def no_constant(word: str) -> None:
    """NaN and Infinity are no JSON."""
    raise ValueError(word)


DECODER = json.JSONDecoder(parse_constant=no_constant)


def read_event(line: bytes, entry: int) -> dict[str, Any]:  # Any: JSON values
    """The event of *line*, with the three fields that hold the log together."""
    try:
        event: dict[str, Any] = DECODER.decode(line.decode())
        sequence, previous, kind = event["sequence"], event["previous"], event["kind"]
        if b"\\u" in line:
            json.dumps(event, ensure_ascii=False).encode()  # half a character is none
    except (ValueError, TypeError, LookupError, RecursionError):
        raise BadError(f"entry {entry} is no event", entry) from None
    if type(sequence) is int and isinstance(previous, str) and isinstance(kind, str):
        return event
    raise BadError(f"entry {entry} is no event", entry)


class Walk:
    """One walk over audit.jsonl.

    strange    the first entry that is not in its place in hashes.txt
    handovers  where the log says that its key was handed on, with the note
    first_key  what the first entry says the key is
    """

    def __init__(self, checkpoints: Sequence[Checkpoint], start: Tree) -> None:
        self.checkpoints = checkpoints
        self.due = {each.size: each.root for each in checkpoints}
        self.tree, self.proved = start, start.size
        self.rewritten, self.strange = -1, -1
        self.handovers: list[tuple[int, str]] = []
        self.first_key: str | None = None

    def go(self, lines: Iterable[bytes], digests: Iterator[bytes], *, listing: bool) -> None:
        """See every entry, and every checkpoint as soon as its entries are there."""
        before = None if self.tree.size else NOTHING
        self.compare()
        self.no_doubt()
        for line in lines:
            entry, digest = self.tree.size, leaf_hash(line)
            if listing and self.strange < 0 and next(digests, b"") != digest:
                self.strange = entry
            event = read_event(line, entry)
            if event["sequence"] != entry:
                raise BadError(f"entry {entry} says that it is {event['sequence']}", entry)
            if before not in {None, event["previous"]}:
                # An entry vouches for the one before it; a checkpoint does so better.
                wrong = entry if self.proved == entry else max(0, entry - 1)
                raise BadError(f"entry {wrong}: the next one names another hash for it", wrong)
            self.no_doubt()
            if event["kind"] in ABOUT_KEYS:
                self.note_keys(event, entry)
            before = "sha256:" + hashlib.sha256(line).hexdigest()
            self.tree.add(digest)
            if self.tree.size in self.due:
                self.compare()
        if listing and self.strange < 0 and next(digests, b""):
            self.strange = self.tree.size
        self.no_doubt()
        if max(self.due) > self.tree.size:
            entry = self.tree.size
            raise BadError(f"entry {entry} is missing: {max(self.due)} were signed", entry)

    def compare(self) -> None:
        """Where the root is not the signed one, the next entry may say which it was."""
        if self.tree.size not in self.due:
            return
        if self.tree.root() == self.due[self.tree.size]:
            self.proved = self.tree.size
        else:
            self.rewritten = self.tree.size

    def no_doubt(self) -> None:
        """The entries fit each other and not their checkpoint: they were made to."""
        if self.rewritten >= 0:
            span = f"entries {self.proved} to {self.rewritten - 1}"
            raise BadError(f"{span} were rewritten from one of them on", self.proved)

    def note_keys(self, event: dict[str, Any], entry: int) -> None:
        """Remember what an event says about the log's keys."""
        field = ABOUT_KEYS[event["kind"]]
        if field == "key" and entry:
            return
        facts = event.get("facts")
        value = facts.get(field) if isinstance(facts, dict) else None
        if not isinstance(value, str):
            raise BadError(f"entry {entry} is about a key and has none", entry)
        if field == "note":
            self.handovers.append((entry, value))
        else:
            self.first_key = value

    def check_keys(self, keys: Sequence[str], handovers: Sequence[str]) -> None:
        """Handovers are those of the log, and each key signed only in its own time."""
        earlier = len(handovers) - len(self.handovers)
        if earlier < 0 or [note for _, note in self.handovers] != list(handovers[earlier:]):
            where = self.handovers[0][0] if self.handovers else None
            raise BadError("handovers.txt and the log tell of different handovers", where)
        if self.first_key not in {None, keys[0]}:
            raise BadError("entry 0 says that the log's first key is another", 0)
        for each in self.checkpoints:
            if each.signer != earlier + sum(at < each.size for at, _ in self.handovers):
                raise BadError(f"the checkpoint of {each.size} entries is by another time's key")


def check_log(export: Export, lines: Iterable[bytes]) -> int:
    """See that *lines* are what every checkpoint vouches for; answers how many entries."""
    checkpoints = sorted(export.checkpoints, key=lambda each: each.size)
    if not checkpoints:
        raise BadError("there is no checkpoint, so nobody vouches for anything")
    for one, other in pairwise(checkpoints):
        if one.size == other.size and one.root != other.root:
            raise BadError(f"two checkpoints of {one.size} entries have different roots")
    walk = Walk(checkpoints, Tree(*export.start))
    try:
        with closing(export.listed()) as digests:
            walk.go(lines, digests, listing=export.listing)
    except BadError:
        # The list tells more exactly which entry it was, if it is the list that was signed.
        tree = Tree(*export.start)
        with closing(export.listed()) as digests:
            signed = all(fits(tree, digests, each) for each in checkpoints)
        if walk.strange < 0 or not signed:
            raise
        raise BadError(f"entry {walk.strange} is not what was hashed", walk.strange) from None
    if walk.strange >= 0:
        raise BadError(f"hashes.txt is wrong about entry {walk.strange}", walk.strange)
    walk.check_keys(export.keys, export.handovers)
    return walk.tree.size


def fits(tree: Tree, digests: Iterator[bytes], checkpoint: Checkpoint) -> bool:
    """Whether the list of hashes leads to the checkpoint."""
    while tree.size < checkpoint.size and (digest := next(digests, b"")):
        tree.add(digest)
    return tree.size == checkpoint.size and tree.root() == checkpoint.root


# --- Proofs ------------------------------------------------------------------------------------


def read_path(lines: Sequence[str]) -> list[bytes]:
    """The hashes of a proof."""
    path = [from_base64(line) for line in lines]
    if len(path) > 63 or any(len(digest) != 32 for digest in path):
        raise BadError("it is not a list of hashes")
    return path


def read_proof(text: str, word: str, keys: Sequence[str]) -> tuple[int, list[bytes], Checkpoint]:
    """Number, path and checkpoint of a proof whose first line is `word NUMBER`."""
    head, _, note = text.partition("\n\n")
    first, *rest = head.split("\n")
    number = first.removeprefix(f"{word} ")
    if not first.startswith(f"{word} ") or not NUMBER.fullmatch(number):
        raise BadError(f"it is no proof: {first[:80]!r}")
    return int(number), read_path(rest), read_checkpoint(note, keys)


def check_inclusion(text: str, event: bytes, keys: Sequence[str]) -> None:
    """See that *event*, the bytes of one line, is in the log of the proof's checkpoint."""
    head, _, rest = text.partition("\n")
    if head != "c2sp.org/tlog-proof@v1":
        raise BadError("it is no tlog-proof")
    if rest.startswith("extra "):
        rest = rest.partition("\n")[2]
    entry, path, checkpoint = read_proof(rest, "index", keys)
    inside = entry < checkpoint.size
    if not inside or climb(entry, checkpoint.size, leaf_hash(event), path) != checkpoint.root:
        raise BadError(f"the event is not entry {entry} of the log", entry)
    if read_event(event, entry)["sequence"] != entry:
        raise BadError(f"entry {entry} says that it is another", entry)


def check_consistency(text: str, export: Export) -> None:
    """See that the log of the proof's checkpoint begins with that of an older checkpoint."""
    size, path, checkpoint = read_proof(text, "old", export.keys)
    roots = {each.root for each in export.checkpoints if each.size == size}
    if size == 0 and not path:
        return
    if not roots:
        raise BadError(f"consistency.txt: the checkpoint of {size} entries is not here")
    for root in roots:
        if grown(size, checkpoint.size, path, root) != (root, checkpoint.root):
            raise BadError(f"the log of {checkpoint.size} does not begin with that of {size}")


# --- Files -------------------------------------------------------------------------------------


def text_of(path: Path) -> str:
    """What is in a text file."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadError(f"{path.name}: {error}") from None


def notes_of(path: Path) -> list[str]:
    """The signed notes of a file, or the one in what `edge-gateway status --json` said."""
    text = text_of(path)
    if not text.startswith("{"):
        return [note for note in text.split("--\n") if note]
    try:
        return [str(json.loads(text)["checkpoint"]["note"])]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise BadError(f"{path.name}: it holds no checkpoint") from None


def lines_of(path: Path) -> Generator[bytes]:
    """The lines of a file without their ends, whoever saved it."""
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX):
            yield line.rstrip(b"\r\n")


def hashes_of(path: Path) -> Generator[bytes]:
    """The list of hashes; what is not written as one is in nobody's place."""
    with closing(lines_of(path) if path.exists() else nothing()) as lines:
        for line in lines:
            yield bytes.fromhex(line.decode()) if re.fullmatch(b"[0-9a-f]{64}", line) else b"?"


def nothing() -> Generator[bytes]:
    """No lines."""
    yield from ()


@dataclass(frozen=True)
class Export:
    """What came with the entries."""

    keys: list[str]
    handovers: list[str]
    checkpoints: list[Checkpoint]
    start: tuple[int, list[bytes]]
    listed: Callable[[], Generator[bytes]]
    listing: bool


def read_export(folder: Path, key: Path | None, witnesses: Sequence[Path]) -> Export:
    """Read the small files, and see that every signature is good."""
    there = {path.name for path in folder.iterdir()}
    own = "handovers.txt"
    handovers = notes_of(folder / own) if own in there else []
    keys = key_chain(handovers, text_of(key or folder / "verifier.pub").strip())
    files = [folder / "checkpoints.txt"] if "checkpoints.txt" in there else []
    notes = [note for path in [*files, *witnesses] for note in notes_of(path)]
    start = (0, list[bytes]())
    if "start.txt" in there:
        first, *rest = text_of(folder / "start.txt").removesuffix("\n").split("\n")
        number = first.removeprefix("start ")
        if not first.startswith("start ") or not NUMBER.fullmatch(number):
            raise BadError("start.txt: it does not say where the extract starts")
        start = (int(number), read_path(rest))
    listing = "hashes.txt" in there
    return Export(
        keys=keys,
        handovers=handovers,
        checkpoints=[read_checkpoint(note, keys) for note in notes],
        start=start,
        listed=lambda: hashes_of(folder / "hashes.txt"),
        listing=listing,
    )


def check_folder(folder: Path, key: Path | None, witnesses: Sequence[Path]) -> dict[str, object]:
    """Check whatever *folder* holds; answers what was proved."""
    export = read_export(folder, key, witnesses)
    found: dict[str, object] = {"verified": True}
    if (folder / "audit.jsonl").exists():
        with closing(lines_of(folder / "audit.jsonl")) as lines:
            size = check_log(export, lines)
        last = max(export.checkpoints, key=lambda each: each.size)
        found |= {"size": last.size, "root": last.root.hex(), "loose": size - last.size}
    if (folder / "consistency.txt").exists():
        check_consistency(text_of(folder / "consistency.txt"), export)
        found["consistency"] = True
    proofs = sorted(folder.glob("*.tlog-proof"))
    for path in proofs:
        event = text_of(path.with_suffix(".json")).encode().rstrip(b"\r\n")
        check_inclusion(text_of(path), event, export.keys)
    if proofs:
        found["proofs"] = len(proofs)
    if found == {"verified": True}:
        raise BadError(f"{folder}: there is nothing here to check")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, say so, and answer with the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parent
    parser.add_argument("folder", type=Path, nargs="?", default=here, metavar="FOLDER")
    parser.add_argument("--key", type=Path, metavar="FILE")
    parser.add_argument("--witness", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    if not chosen.folder.is_dir():
        parser.error(f"{chosen.folder}: expected the folder of an export")
    try:
        found = check_folder(chosen.folder, chosen.key, chosen.witness)
    except BadError as error:
        found = {"verified": False, "reason": str(error), "first_bad": error.entry}
    words = json.dumps(found) if chosen.json else ", ".join(f"{k} {v}" for k, v in found.items())
    sys.stdout.write("".join(c if c.isprintable() else "\ufffd" for c in words) + "\n")
    return 0 if found["verified"] else 3


if __name__ == "__main__":
    sys.exit(main())
