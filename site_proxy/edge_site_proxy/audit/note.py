"""Checkpoints: size and root of the log as a signed note (C2SP signed-note, tlog-checkpoint)."""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge_site_proxy.audit.errors import LogBrokenError, LogKeyError

_ED25519 = b"\x01"  # signature type in C2SP signed-note
_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class Root:
    """A state of the log."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs checkpoints for the log called *origin*."""

    origin: str
    key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The verifier key, `name+id+key`, for whoever checks."""
        return _written(self.origin, self.key.public_key())

    def sign(self, state: Root) -> str:
        """The checkpoint of *state*."""
        text = f"{self.origin}\n{state.size}\n{base64.b64encode(state.root).decode()}\n"
        signature = self.key.sign(text.encode())
        public = self.key.public_key().public_bytes_raw()
        stamp = base64.b64encode(_key_id(self.origin, public) + signature).decode()
        return f"{text}\n{_DASH}{self.origin} {stamp}\n"


def load_signer(path: Path, origin: str) -> Signer:
    """The key in *path*; a new one, with mode 0600, where there is none.

    Raises:
        LogKeyError: the file is no Ed25519 key, or others may read it.
    """
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        raise LogKeyError(
            f"{path}: expected mode 0600, found {path.stat().st_mode & 0o777:04o}; chmod 600 it"
        )
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except ValueError as error:
        raise LogKeyError(f"{path}: expected a PEM private key, found: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LogKeyError(f"{path}: expected an Ed25519 key, found {type(key).__name__}")
    return Signer(origin, key)


def open_note(note: str, public: str) -> Root:
    """The state that *note* vouches for.

    Args:
        note: a checkpoint.
        public: the verifier key, `name+id+key`.

    Raises:
        LogBrokenError: the note is not one, or *public* did not sign it.
    """
    origin, key = _read_public(public)
    text, _, signatures = note.partition("\n\n")
    lines = text.split("\n")
    if len(lines) < 3 or lines[0] != origin or not (lines[1].isascii() and lines[1].isdigit()):
        raise LogBrokenError(f"checkpoint: expected one of {origin}, found {lines[0][:80]!r}")
    wanted = _key_id(origin, key.public_bytes_raw())
    for line in signatures.splitlines():
        name, _, stamp = line.removeprefix(_DASH).partition(" ")
        raw = _decoded(stamp)
        if not line.startswith(_DASH) or name != origin or raw[:4] != wanted:
            continue
        try:
            key.verify(raw[4:], f"{text}\n".encode())
        except InvalidSignature as error:
            raise LogBrokenError("checkpoint: its signature does not verify") from error
        return Root(int(lines[1]), _decoded(lines[2]))
    raise LogBrokenError(f"checkpoint: expected a signature of {origin}, found none")


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    partial = path.with_name(f"{path.name}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _written(name: str, key: Ed25519PublicKey) -> str:
    raw = key.public_bytes_raw()
    return f"{name}+{_key_id(name, raw).hex()}+{base64.b64encode(_ED25519 + raw).decode()}"


def _read_public(text: str) -> tuple[str, Ed25519PublicKey]:
    name, _, rest = text.strip().partition("+")
    number, _, encoded = rest.partition("+")
    raw = _decoded(encoded)
    if len(raw) != 33 or raw[:1] != _ED25519 or _key_id(name, raw[1:]).hex() != number:
        raise LogBrokenError(f"verifier key {text[:80]!r}: expected name+id+key of an Ed25519 key")
    return name, Ed25519PublicKey.from_public_bytes(raw[1:])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
