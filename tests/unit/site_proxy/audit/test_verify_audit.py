"""The verifier that goes with every export says what ours says, whatever was done to the files."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.audit import verify_audit
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.export import verify_folder
from edge_site_proxy.audit.log import leaf_digest
from edge_site_proxy.audit.note import Root
from tests.unit.site_proxy.audit.logs import SIGNERS, exported

FILES = ("audit.jsonl", "checkpoints.txt", "hashes.txt", "handovers.txt", "verifier.pub")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untouched export."""
    folder = tmp_path_factory.mktemp("export")
    exported(folder)
    return folder


@pytest.fixture(scope="module")
def copy(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tampered copies of it."""
    folder = tmp_path_factory.mktemp("copy")
    restore(export, folder)
    return folder


def restore(export: Path, copy: Path) -> None:
    """Make *copy* as *export* is."""
    for name in FILES:
        (copy / name).write_bytes((export / name).read_bytes())


Said = tuple[bool, int | None]  # whether it verifies, and the first bad entry


def ours(folder: Path, key: str | None = None) -> Said:
    """What `site-proxy audit verify` says."""
    try:
        verify_folder(folder, key)
    except LogBrokenError as error:
        return False, error.first_bad
    return True, None


def theirs(folder: Path) -> Said:
    """What `verify_audit.py` says."""
    try:
        verify_audit.check_folder(folder, None, [])
    except verify_audit.BadError as error:
        return False, error.entry
    return True, None


def both(folder: Path) -> Said:
    """What they agree on."""
    said = ours(folder)
    assert said == theirs(folder)
    return said


def test_good(export: Path) -> None:
    """Both verify an untouched export, to the same root."""
    proved = verify_folder(export)
    found = verify_audit.check_folder(export, None, [])
    assert found == {"verified": True, "size": 24, "root": proved.root.hex(), "loose": 0}


def test_needs_nothing_of_ours() -> None:
    """It imports the standard library and `cryptography`, and no more."""
    tree = ast.parse(Path(verify_audit.__file__).read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert names <= {*sys.stdlib_module_names, "cryptography"}


ENDS = {
    "an untouched export": ((), b"", 0, True),
    "one byte of an entry changed": ((), b"ana", 3, False),
    "the trusted key": (("--key", "KEY"), b"", 0, True),
    "a folder that is not there": (("nowhere",), b"", 2, None),
    "an option that is none": (("--fast",), b"", 2, None),
}


@pytest.mark.parametrize(("more", "change", "code", "verified"), ENDS.values(), ids=ENDS.keys())
def test_as_a_program(
    more: tuple[str, ...], change: bytes, code: int, *, verified: bool | None, tmp_path: Path
) -> None:
    """It runs from the export alone, and ends with 0, 3 or 2 and one JSON line."""
    exported(tmp_path / "export")
    path = tmp_path / "export" / "audit.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[6] = lines[6].replace(b'"' + change + b'"', b'"bob"') if change else lines[6]
    path.write_bytes(b"\n".join(lines))
    (tmp_path / "KEY").write_text(SIGNERS[0].public)
    program = [sys.executable, "-I", str(tmp_path / "export" / "verify_audit.py"), "--json", *more]
    ended = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    if verified is not None:
        said = json.loads(ended.stdout)
        assert said["verified"] is verified
        assert said.get("first_bad") == (6 if change else None)


@pytest.mark.parametrize("listed", [True, False], ids=["with the hashes", "without them"])
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), how=st.sampled_from("crp"))
def test_any_byte(
    export: Path, copy: Path, *, listed: bool, place: int, byte: int, how: str
) -> None:
    """A byte changed, removed or put in anywhere in the log is named by its entry."""
    restore(export, copy)
    raw = (export / "audit.jsonl").read_bytes()
    place %= len(raw)
    put = {"c": bytes([byte]), "r": b"", "p": bytes([byte]) + raw[place : place + 1]}
    changed = raw[:place] + put[how] + raw[place + 1 :]
    (copy / "audit.jsonl").write_bytes(changed)
    if not listed:
        (copy / "hashes.txt").unlink()
    verified, first_bad = both(copy)
    same = [line.rstrip(b"\r\n") for line in changed.split(b"\n")] == [
        line.rstrip(b"\r\n") for line in raw.split(b"\n")
    ]
    tail = changed.rstrip(b"\r\n") == raw.rstrip(b"\r\n") and changed.count(b"\n") <= raw.count(
        b"\n"
    )
    assert verified == (same or tail)
    if not verified and listed:
        entry = raw[:place].count(b"\n")
        assert first_bad in {entry, entry + 1 if raw[place : place + 1] == b"\n" else entry}


@given(data=st.data(), listed=st.booleans())
def test_any_line(export: Path, copy: Path, data: st.DataObject, *, listed: bool) -> None:
    """A line removed, doubled, swapped or moved is named by both as the first out of place."""
    restore(export, copy)
    lines = (export / "audit.jsonl").read_bytes().splitlines(keepends=True)
    changed = list(lines)
    for _ in range(data.draw(st.integers(1, 2))):
        one, other = (data.draw(st.integers(0, len(changed) - 1)) for _ in range(2))
        how = data.draw(st.sampled_from(["remove", "double", "swap", "move"]))
        if how == "remove":
            del changed[one]
        elif how == "double":
            changed.insert(other, changed[one])
        elif how == "swap":
            changed[one], changed[other] = changed[other], changed[one]
        else:
            changed.insert(other, changed.pop(one))
    (copy / "audit.jsonl").write_bytes(b"".join(changed))
    if not listed:
        (copy / "hashes.txt").unlink()
    verified, first_bad = both(copy)
    assert verified == (changed == lines)
    if not verified:
        at = next(n for n in range(25) if changed[n : n + 1] != lines[n : n + 1])
        assert first_bad == at


@given(name=st.sampled_from(FILES[1:]), place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_any_other_byte(export: Path, copy: Path, name: str, place: int, byte: int) -> None:
    """Whatever is changed in what comes with the entries, both say the same of it."""
    restore(export, copy)
    raw = (export / name).read_bytes()
    place %= len(raw)
    changed = raw[:place] + bytes([byte]) + raw[place + 1 :]
    (copy / name).write_bytes(changed)
    verified, first_bad = both(copy)
    if name == "hashes.txt" and not verified:
        assert first_bad in {place // 65, place // 65 + 1}
    if name in {"checkpoints.txt", "handovers.txt"}:
        assert verified == (changed == raw)


@given(st.binary(max_size=200), st.integers(0, 24))
def test_any_entry(export: Path, copy: Path, junk: bytes, place: int) -> None:
    """Junk in the place of an entry is named by both."""
    restore(export, copy)
    lines = (export / "audit.jsonl").read_bytes().splitlines(keepends=True)
    lines.insert(place, junk.replace(b"\n", b"") + b"\n")
    (copy / "audit.jsonl").write_bytes(b"".join(lines))
    assert both(copy) == (False, place)


ODD = {
    "a byte that is no UTF-8": b"\x80",
    "half a character": b"\\ud83d",
    "both halves": b"\\ud83d\\ude00",
    "a control character": b"\x01",
    "an escape that is none": b"\\q",
    "a byte order mark": b"\xef\xbb\xbf",
    "an end of the text": b'"} {"a":"',
    "a number that is none": b'","x":01,"y":"',
    "not a number": b'","x":NaN,"y":"',
    "a huge number": b'","x":1e999,"y":"',
    "the same name twice": b'","who":"bob","who":"eve","y":"',
    "another sequence after the first": b'"},"sequence":23.0,"y":{"z":"',
    "another sequence of the right kind": b'"},"sequence":7,"y":{"z":"',
    "a true sequence": b'"},"sequence":true,"y":{"z":"',
    "deep nesting": b'","x":' + b"[" * 5000 + b"]" * 5000 + b',"y":"',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("entry", [2, 22, 23])
def test_odd_json(export: Path, copy: Path, entry: int, odd: bytes) -> None:
    """What one reader of JSON takes and another does not is the same to both verifiers."""
    restore(export, copy)
    (copy / "hashes.txt").unlink()
    lines = (export / "audit.jsonl").read_bytes().splitlines(keepends=True)
    lines[entry] = lines[entry].replace(b"\xc3\x84", odd, 1)
    (copy / "audit.jsonl").write_bytes(b"".join(lines))
    assert both(copy)[0] is False
    restore(export, copy)
    (copy / "audit.jsonl").write_bytes(b"".join(lines))
    assert both(copy) == (False, entry)


def rewritten(lines: list[bytes], position: int) -> list[bytes]:
    """The log changed at *position*, with every later hash made to fit."""
    changed = lines[:position]
    previous = leaf_digest(changed[-1])
    for number, line in enumerate(lines[position:]):
        event = json.loads(line) | {"previous": previous}
        event |= {"who": "mallory"} if number == 0 else {}
        changed.append(json.dumps(event, sort_keys=True, separators=(",", ":")).encode())
        previous = leaf_digest(changed[-1])
    return changed


@pytest.mark.parametrize(("position", "last_good"), [(1, 0), (5, 3), (12, 11), (20, 18), (23, 18)])
def test_rewritten_to_fit(export: Path, copy: Path, position: int, last_good: int) -> None:
    """A rewrite is named exactly with the hashes, and else by the last good checkpoint."""
    restore(export, copy)
    lines = (export / "audit.jsonl").read_bytes().splitlines()
    (copy / "audit.jsonl").write_bytes(b"\n".join(rewritten(lines, position)) + b"\n")
    assert both(copy) == (False, position)
    (copy / "hashes.txt").unlink()
    assert both(copy) == (False, last_good)


def test_every_key_of_the_chain_is_enough(export: Path) -> None:
    """Who trusts the first key, or any later one, can check the whole log."""
    for signer in SIGNERS:
        assert ours(export, signer.public) == (True, None)
    assert ours(export, SIGNERS[0].public.replace("P1", "P2"))[0] is False


def test_a_key_signs_in_its_own_time_only(export: Path, copy: Path) -> None:
    """A key that was handed on signs nothing any more: a thief of it cannot."""
    restore(export, copy)
    notes = (export / "checkpoints.txt").read_text().split("--\n")
    state = verify_audit.read_checkpoint(notes[-1], [each.public for each in SIGNERS])
    late = SIGNERS[0].sign(Root(state.size, state.root))
    (copy / "checkpoints.txt").write_text("--\n".join([*notes[:-1], late]))
    assert both(copy) == (False, None)


def test_two_roots_of_one_size(export: Path, copy: Path) -> None:
    """A log that was shown otherwise to somebody is no log, even if one of the two fits."""
    restore(export, copy)
    notes = (export / "checkpoints.txt").read_text().split("--\n")
    other = SIGNERS[-1].sign(Root(24, b"\x01" * 32))
    (copy / "checkpoints.txt").write_text("--\n".join([*notes, other]))
    assert both(copy) == (False, None)


def test_a_witness_of_more(export: Path, tmp_path: Path) -> None:
    """A checkpoint that a gateway kept of a longer log shows that the tail was cut off."""
    witness = tmp_path / "witness.json"
    note = SIGNERS[-1].sign(Root(30, b"\x01" * 32))
    witness.write_text(json.dumps({"serial": "g1", "checkpoint": {"size": 30, "note": note}}))
    with pytest.raises(LogBrokenError, match="entry 24 is missing"):
        verify_folder(export, None, [note])
    with pytest.raises(verify_audit.BadError, match="entry 24 is missing"):
        verify_audit.check_folder(export, None, [witness])
