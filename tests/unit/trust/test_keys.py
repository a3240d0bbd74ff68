"""Keys: which kinds verify, and which files are secret enough to sign with."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from edge_core.contracts.errors import ConfigurationError, ConflictError, RefusedError
from edge_core.trust import FileSigner, Keyring, PinnedKey, PublicKey


def test_a_file_key_signs_and_verifies(tmp_path: Path) -> None:
    """What a generated key signs, its public key verifies, also after a reload."""
    made = FileSigner.generate(tmp_path / "key")
    loaded = FileSigner.load(tmp_path / "key")
    assert loaded.hint == made.hint
    public = PublicKey.from_pem(made.public_key.to_pem())
    assert public == made.public_key
    assert public.verifies(loaded.sign(b"message"), b"message")
    assert not public.verifies(loaded.sign(b"message"), b"massage")
    assert not public.verifies(b"", b"message")


def test_every_kind_verifies_with_its_own_hash() -> None:
    """P-384 goes with SHA-384 and Ed25519 with itself; P-384 with SHA-256 does not verify."""
    p384 = ec.generate_private_key(ec.SECP384R1())
    pinned = PublicKey.of(p384.public_key())
    assert pinned.verifies(p384.sign(b"m", ec.ECDSA(hashes.SHA384())), b"m")
    assert not pinned.verifies(p384.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m")
    edwards = ed25519.Ed25519PrivateKey.generate()
    assert PublicKey.of(edwards.public_key()).verifies(edwards.sign(b"m"), b"m")


def test_other_kinds_are_refused() -> None:
    """RSA and other curves are no keys of ours."""
    with pytest.raises(RefusedError, match="found curve secp521r1"):
        PublicKey.of(ec.generate_private_key(ec.SECP521R1()).public_key())
    with pytest.raises(RefusedError, match="expected P-256, P-384 or Ed25519"):
        PublicKey.of(rsa.generate_private_key(65537, 2048).public_key())


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\n!!\n", b"\xff" * 20_000])
def test_broken_pem_is_refused(pem: bytes) -> None:
    """A broken PEM is a refusal, never a crash."""
    with pytest.raises(RefusedError, match="public key: expected"):
        PublicKey.from_pem(pem)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Group or world rights on a key file stop the signer, and the message has the mode."""
    FileSigner.generate(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ConfigurationError, match=f"expected mode 0600, found {mode:04o}"):
        FileSigner.load(tmp_path / "key")


def _secret(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def test_files_that_are_no_key(tmp_path: Path) -> None:
    """A missing file, a folder, an encrypted key and another curve each get one line."""
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    rows = {
        tmp_path / "missing": "No such file",
        tmp_path: "expected a plain file",
        _secret(tmp_path / "text", b"hello"): "expected an unencrypted PEM",
        _secret(tmp_path / "encrypted", encrypted): "expected an unencrypted PEM",
        _secret(tmp_path / "other", other): "expected a P-256 key",
    }
    for path, message in rows.items():
        with pytest.raises(ConfigurationError, match=message):
            FileSigner.load(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Generating over a file is a conflict, and the file stays."""
    made = FileSigner.generate(tmp_path / "key")
    with pytest.raises(ConflictError):
        FileSigner.generate(tmp_path / "key")
    assert FileSigner.load(tmp_path / "key").hint == made.hint
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_one_key_has_one_id(signers: dict[str, FileSigner]) -> None:
    """A key under two ids would count twice, so the keyring is not made."""
    key = signers["release-a"].public_key
    with pytest.raises(ConfigurationError, match="found one as 'a' and 'b'"):
        Keyring.of([PinnedKey(id="a", key=key), PinnedKey(id="b", key=key)])
    with pytest.raises(ConfigurationError, match="found 'a' twice"):
        Keyring.of(
            [PinnedKey(id="a", key=key), PinnedKey(id="a", key=signers["release-b"].public_key)]
        )
