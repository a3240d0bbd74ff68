"""PINs at rest: one file a PIN with its salt and its scrypt hash, readable by the daemon alone.

They are no rows of state: the audit log carries every row to whoever is given an export, and six
digits are found from their hash in a day. The log has the name of the file instead, which says
which PIN counts and nothing about it.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge_core.contracts.errors import EdgeError

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1  # RFC 7914: 32 MiB and some 80 ms a look
_SALT_BYTES = 16
_MEMORY_MAX = 256 * 1024 * 1024
_FILE_BYTES_MAX = 4096


class VaultError(EdgeError):
    """A PIN file is missing or not ours: an admin resets that PIN."""


class _Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file holds; the cost is kept beside the hash, so that it can grow."""

    salt: Annotated[bytes, Meta(min_length=8, max_length=64)]
    hash: Annotated[bytes, Meta(min_length=32, max_length=64)]
    n: Annotated[int, Meta(ge=2, le=2**17)]
    r: Annotated[int, Meta(ge=1, le=16)]
    p: Annotated[int, Meta(ge=1, le=4)]


class Vault:
    """The folder of PIN files; every call blocks and belongs into a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, pin: str) -> str:
        """Write *pin* durably under a new name, and answer the name."""
        salt, name = secrets.token_bytes(_SALT_BYTES), secrets.token_hex(16)
        kept = _Kept(
            salt=salt,
            hash=_hash(pin, salt, (SCRYPT_N, SCRYPT_R, SCRYPT_P)),
            n=SCRYPT_N,
            r=SCRYPT_R,
            p=SCRYPT_P,
        )
        self._folder.mkdir(mode=0o700, exist_ok=True)
        opened = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return name

    def matches(self, name: str, pin: str) -> bool:
        """Whether *pin* is the one kept under *name*.

        Raises:
            VaultError: there is no such file, or it is not ours.
        """
        try:
            with (self._folder / name).open("rb") as file:
                kept = msgspec.json.decode(file.read(_FILE_BYTES_MAX), type=_Kept)
        except (OSError, msgspec.DecodeError) as error:
            raise VaultError(
                f"PIN file {name}: expected a salt and a hash, found {error}"
            ) from error
        return hmac.compare_digest(_hash(pin, kept.salt, (kept.n, kept.r, kept.p)), kept.hash)

    def forget(self, name: str) -> None:
        """Remove what is kept under *name*."""
        (self._folder / name).unlink(missing_ok=True)


def _hash(pin: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(pin.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_MAX, dklen=32)
