"""Keys: the public ones a site pins, and the private one of a signer that keeps it in a file.

A signer is anything that answers a message with a DER ECDSA signature over its SHA-256: a file
here, a PKCS#11 token or a KMS in the packager.
"""

import base64
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edge_core.contracts.errors import ConfigurationError, ConflictError, RefusedError

PEM_BYTES_MAX: Final = 16 * 1024  # the largest key we take is far below 1 kB
_GROUP_AND_WORLD: Final = stat.S_IRWXG | stat.S_IRWXO

_Key = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# The key fixes the hash. A bundle that could choose it could choose a weak one.
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
}


class Signer(Protocol):
    """Whoever holds a private key."""

    @property
    def hint(self) -> str:
        """The hint of the matching public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA signature over SHA-256(*message*); may block on a token or a network."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may verify: P-256 with SHA-256, P-384 with SHA-384, or Ed25519.

    Attributes:
        hint: base64 of SHA-256 of the DER SubjectPublicKeyInfo, as cosign writes it.
    """

    hint: str
    _key: _Key = field(repr=False, compare=False)

    @classmethod
    def of(cls, key: object, *, what: str = "public key") -> Self:
        """Wrap a key of the cryptography library.

        Raises:
            RefusedError: a kind or curve that we do not verify with.
        """
        if isinstance(key, ec.EllipticCurvePublicKey):
            if key.curve.name not in _HASHES:
                raise RefusedError(
                    f"{what}: expected P-256, P-384 or Ed25519, found curve {key.curve.name}"
                )
        elif not isinstance(key, ed25519.Ed25519PublicKey):
            raise RefusedError(
                f"{what}: expected P-256, P-384 or Ed25519, found {type(key).__name__}"
            )
        return cls(hint=_hint(key), _key=key)

    @classmethod
    def from_pem(cls, pem: bytes, *, what: str = "public key") -> Self:
        """Read a PEM SubjectPublicKeyInfo.

        Raises:
            RefusedError: not such a PEM, or a kind that we do not verify with.
        """
        if len(pem) > PEM_BYTES_MAX:
            raise RefusedError(f"{what}: expected at most {PEM_BYTES_MAX} bytes, found {len(pem)}")
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise RefusedError(
                f"{what}: expected a PEM public key, found something else"
            ) from None
        return cls.of(key, what=what)

    def to_pem(self) -> bytes:
        """The PEM SubjectPublicKeyInfo, as a trust policy carries it."""
        return self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether *signature* over *message* was made by this key."""
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, ec.ECDSA(_HASHES[self._key.curve.name]))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key under the name by which policy and audit log call it."""

    id: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Keyring:
    """The pinned keys of a site by hint; a key that is not here does not exist for us."""

    by_hint: Mapping[str, PinnedKey]

    @classmethod
    def of(cls, keys: Iterable[PinnedKey]) -> Self:
        """Pin *keys*.

        Raises:
            ConfigurationError: two entries share an id, or one key has two ids: it would then
                count twice towards a threshold.
        """
        by_hint: dict[str, PinnedKey] = {}
        ids: set[str] = set()
        for pinned in keys:
            if pinned.id in ids:
                raise ConfigurationError(f"keys: expected each id once, found {pinned.id!r} twice")
            if (twin := by_hint.get(pinned.key.hint)) is not None:
                raise ConfigurationError(
                    f"keys: expected each key once, found one as {twin.id!r} and {pinned.id!r}"
                )
            ids.add(pinned.id)
            by_hint[pinned.key.hint] = pinned
        return cls(by_hint=by_hint)

    def only(self, ids: Iterable[str]) -> Self:
        """The part of this keyring whose ids are in *ids*."""
        wanted = frozenset(ids)
        return type(self)(
            by_hint={hint: key for hint, key in self.by_hint.items() if key.id in wanted}
        )

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all pinned keys."""
        return frozenset(pinned.id for pinned in self.by_hint.values())


@dataclass(frozen=True, slots=True)
class FileSigner:
    """A P-256 private key in a PEM file that only its owner may read."""

    public_key: PublicKey
    _key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    @property
    def hint(self) -> str:
        """The hint of the matching public key."""
        return self.public_key.hint

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key at *path*.

        Raises:
            ConfigurationError: not there, not a plain file, readable by others, or not an
                unencrypted P-256 PEM.
        """
        pem = _read_secret(path)
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError(
                f"{path}: expected an unencrypted PEM private key, found something else"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ConfigurationError(f"{path}: expected a P-256 key, found another kind")
        return cls(public_key=PublicKey.of(key.public_key()), _key=key)

    @classmethod
    def generate(cls, path: Path) -> Self:
        """Make a new key at *path*, mode 0600.

        Raises:
            ConflictError: something is at *path* already; a key is never overwritten.
            ConfigurationError: the file cannot be written there.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_secret(path, pem)
        return cls(public_key=PublicKey.of(key.public_key()), _key=key)

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA signature over SHA-256(*message*)."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


def _hint(key: _Key) -> str:
    spki = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def _read_secret(path: Path) -> bytes:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a key file, found {error.strerror}") from None
    try:
        # The opened file is asked, not the path: between the two it could change.
        mode = os.fstat(opened).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigurationError(f"{path}: expected a plain file, found another kind")
        if mode & _GROUP_AND_WORLD:
            raise ConfigurationError(
                f"{path}: expected mode 0600, found {stat.S_IMODE(mode):04o}; "
                "a key that others can read is not secret: chmod 600, better make a new one"
            )
        return os.read(opened, PEM_BYTES_MAX)
    finally:
        os.close(opened)


def _write_secret(path: Path, pem: bytes) -> None:
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConflictError(
            f"{path}: expected no file, found one; keys are not replaced"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot write a key there: {error.strerror}") from None
    with os.fdopen(opened, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
