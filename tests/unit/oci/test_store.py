"""The blob store: a name is a promise, and a broken promise is found out and put away."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.errors import EdgeError, NotFoundError, RefusedError, TryAgainError
from edge_core.oci import BlobStore, DigestMismatchError, Hasher, digest_of, digest_of_file
from edge_core.oci.disk import reading

MISSING = "sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / "store")


@settings(deadline=None)  # a busy machine is no failure
@given(chunks=st.lists(st.binary(max_size=50), max_size=10))
def test_a_stream_hashes_like_the_whole(chunks: list[bytes]) -> None:
    """However bytes are cut, size and digest are those of all of them."""
    hasher = Hasher()
    for chunk in chunks:
        hasher.update(chunk)
    whole = b"".join(chunks)
    assert hasher.digest == digest_of(whole) == "sha256:" + hashlib.sha256(whole).hexdigest()
    assert hasher.size == len(whole)


def test_bytes_in_and_out(store: BlobStore) -> None:
    """What is added is there, verified, under its digest, twice as well as once."""
    digest = store.add_bytes(b"model")
    assert store.add_bytes(b"model") == digest
    assert store.has(digest)
    assert store.read(digest) == b"model"
    assert store.verify(digest) == 5
    assert list(store.digests()) == [digest]
    assert digest_of_file(store.path(digest)) == (digest, 5)


def test_files_in(store: BlobStore, tmp_path: Path) -> None:
    """A file is copied; other bytes than expected leave nothing behind."""
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    digest = store.add_file(tmp_path / "file")
    assert store.verify(digest) == 3_000_000
    store.remove(digest)
    with pytest.raises(DigestMismatchError):
        store.add_file(tmp_path / "file", expected=MISSING)
    assert list(store.folder.iterdir()) == []


def test_what_is_not_there(store: BlobStore) -> None:
    """A missing blob is said to be missing, and removing it is fine."""
    assert not store.has(MISSING)
    assert store.bytes_here(MISSING) == 0
    for ask in (store.open, store.read, store.verify):
        with pytest.raises(NotFoundError):
            ask(MISSING)
    store.remove(MISSING)


def test_rot_is_quarantined(store: BlobStore) -> None:
    """One flipped bit: refused, out of use, kept as evidence, and a new copy is welcome."""
    for check in (store.verify, store.read):
        digest = store.add_bytes(b"model")
        store.path(digest).write_bytes(b"nodel")
        with pytest.raises(DigestMismatchError, match="blob on disk"):
            check(digest)
        assert not store.has(digest)
        assert (store.root / "quarantine" / digest[7:]).read_bytes() == b"nodel"


def test_rot_on_a_disk_that_takes_no_evidence(store: BlobStore) -> None:
    """Where the evidence cannot be kept the blob is refused all the same."""
    digest = store.add_bytes(b"model")
    store.path(digest).write_bytes(b"nodel")
    (store.root / "quarantine").write_bytes(b"in the way")
    with pytest.raises(DigestMismatchError):
        store.verify(digest)


def test_what_a_killed_process_left(store: BlobStore) -> None:
    """Half-added files go at the next start; blobs and half-fetched ones stay."""
    digest = store.add_bytes(b"model")
    part = store.path(MISSING).with_name("0" * 64 + ".part")
    part.write_bytes(b"half")
    (store.folder / ".adding-1").write_bytes(b"half")
    store.sweep()
    assert set(store.folder.iterdir()) == {store.path(digest), part}
    assert store.bytes_here(MISSING) == 4


def test_adding_heals_rot(store: BlobStore) -> None:
    """Good bytes replace bad ones under the same name."""
    digest = store.add_bytes(b"model")
    store.path(digest).write_bytes(b"nodel")
    store.add_bytes(b"model")
    assert store.read(digest) == b"model"


def test_evidence_has_a_bound(store: BlobStore) -> None:
    """A failing disk does not fill itself with what it broke."""
    for number in range(18):
        digest = store.add_bytes(b"%d" % number)
        store.path(digest).write_bytes(b"rot")
        with pytest.raises(DigestMismatchError):
            store.verify(digest)
    assert len(list((store.root / "quarantine").iterdir())) == 16
    assert list(store.digests()) == []


def test_a_link_is_no_blob(store: BlobStore, tmp_path: Path) -> None:
    """A link in a blob's place is not followed, even to the right bytes."""
    (tmp_path / "elsewhere").write_bytes(b"model")
    digest = digest_of(b"model")
    store.path(digest).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="cannot be read"):
        store.verify(digest)


def test_a_disk_that_gives_nothing_back(store: BlobStore) -> None:
    """What cannot be read is refused as wrong bytes are, and good bytes take its place."""
    digest = store.add_bytes(b"model")
    store.path(digest).unlink()
    store.path(digest).mkdir()
    for check in (store.verify, store.read):
        with pytest.raises(RefusedError, match="cannot be read: Is a directory"):
            check(digest)
    assert not store.has(digest)
    assert store.bytes_here(digest) == 0
    with pytest.raises(TryAgainError, match="cannot be written"):
        store.remove(digest)


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """Where no folder can be made, whoever adds may try again later."""
    (tmp_path / "blobs").write_bytes(b"in the way")
    store = BlobStore(tmp_path)
    for ask in (lambda: store.add_bytes(b"model"), store.sweep, lambda: store.folder):
        with pytest.raises(TryAgainError, match=f"{tmp_path}/blobs/sha256: cannot be written"):
            ask()


READS = {
    "a bad sector": (errno.EIO, RefusedError),
    "a damaged file system": (errno.EUCLEAN, RefusedError),
    "no handle left in this process": (errno.EMFILE, TryAgainError),
    "no memory left for it": (errno.ENOMEM, TryAgainError),
}


@pytest.mark.parametrize("name", READS)
def test_why_it_cannot_be_read(name: str) -> None:
    """Bytes are given up for the medium alone, never for what this process lacks."""
    number, expected = READS[name]
    with pytest.raises(EdgeError) as raised, reading("blob a"):
        raise OSError(number, os.strerror(number))
    assert type(raised.value) is expected
    assert str(raised.value) == f"blob a: cannot be read: {os.strerror(number)}"


def test_a_large_blob_is_not_read_whole(store: BlobStore) -> None:
    """`read` is for small blobs and has a bound."""
    digest = store.add_bytes(b"x" * 100)
    with pytest.raises(RefusedError, match="at most 99 bytes"):
        store.read(digest, bytes_max=99)
