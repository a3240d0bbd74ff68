"""Checkpoints: size and root of the log as a signed note (C2SP signed-note, tlog-checkpoint)."""

import base64
import hashlib
import os
import re
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
NUMBER = re.compile("0|[1-9][0-9]{0,15}")  # as C2SP writes one


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
        return f"{text}\n{self.signature(text)}"

    def signature(self, text: str) -> str:
        """The line that vouches for *text*, which ends with a newline."""
        public = self.key.public_key().public_bytes_raw()
        stamp = _key_id(self.origin, public) + self.key.sign(text.encode())
        return f"{_DASH}{self.origin} {base64.b64encode(stamp).decode()}\n"


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
    state = state_of(note)
    found, origin = note.partition("\n")[0], public.partition("+")[0]
    if found != origin:
        raise LogBrokenError(f"checkpoint: expected one of {origin}, found {found[:80]!r}")
    if not signed_by(note, public):
        raise LogBrokenError(f"checkpoint of {state.size}: expected a signature of {public}")
    return state


def state_of(note: str) -> Root:
    """What *note* says; whether somebody signed it is asked of `signed_by`.

    Raises:
        LogBrokenError: it is no checkpoint.
    """
    lines = note.partition("\n\n")[0].split("\n")
    if len(lines) < 3 or not NUMBER.fullmatch(lines[1]):
        raise LogBrokenError(f"checkpoint: expected name, size and root, found {lines[0][:80]!r}")
    root = decoded(lines[2])
    if len(root) != 32:
        raise LogBrokenError(f"checkpoint of {lines[1]}: expected a root of 32 bytes in base64")
    return Root(int(lines[1]), root)


def signed_by(note: str, public: str) -> bool:
    """Whether a signature line of *note* is by *public*, and good.

    Raises:
        LogBrokenError: *public* is no verifier key, its signature does not verify, or what
            follows the text is no list of signatures.
    """
    origin, key = _read_public(public)
    text, gap, signatures = note.partition("\n\n")
    lines = signatures.removesuffix("\n").split("\n")
    if not gap or not all(line.startswith(_DASH) for line in lines):
        raise LogBrokenError("note: expected signature lines after the text, found another")
    wanted = _key_id(origin, key.public_bytes_raw())
    for line in lines:
        name, _, stamp = line.removeprefix(_DASH).partition(" ")
        raw = decoded(stamp)
        if name != origin or raw[:4] != wanted:
            continue
        try:
            key.verify(raw[4:], f"{text}\n".encode())
        except InvalidSignature as error:
            raise LogBrokenError("note: its signature does not verify") from error
        return True
    return False


def decoded(text: str) -> bytes:
    """The bytes of *text*, nothing where it is not base64 as it would be written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""


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
    raw = decoded(encoded)
    if len(raw) != 33 or raw[:1] != _ED25519 or _key_id(name, raw[1:]).hex() != number:
        raise LogBrokenError(f"verifier key {text[:80]!r}: expected name+id+key of an Ed25519 key")
    return name, Ed25519PublicKey.from_public_bytes(raw[1:])
