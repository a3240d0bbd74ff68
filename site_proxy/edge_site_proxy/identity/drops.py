"""What an administrator of this host asks of the running daemon: small files in one folder.

`site-proxy token` writes one, the daemon takes it into the database with its audit event and
removes it. So the database keeps one writer, and a token can be made while the daemon is down.
The kernel says who wrote a file. A token is written as its SHA-256 alone.
"""

import datetime as dt
import hashlib
import os
import pwd
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge_core.contracts.gateway import Reason
from edge_core.contracts.plant import Instant, Serial

TOKEN_LIFE = dt.timedelta(hours=24)
_TOKEN_BYTES = 24  # 192 bits: nothing to guess, so a plain SHA-256 at rest is enough
_DROP_BYTES_MAX = 4096
_DROPS_MAX = 1000  # one pass; the rest waits for the next

TokenDigest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class TokenDrop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="token"):
    """Whoever shows the token with this digest may enrol *serial* once."""

    digest: TokenDigest
    serial: Serial
    expires: Instant


class RevokeDrop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="revoke"):
    """No certificate that *serial* holds today counts any more."""

    serial: Serial
    reason: Reason


Drop = TokenDrop | RevokeDrop


@dataclass(frozen=True, slots=True)
class Dropped:
    """One file as found: *drop* is None when its content is not ours; *who* wrote it."""

    path: Path
    drop: Drop | None
    who: str


def token_digest(token: str) -> str:
    """How a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def make_token(serial: str, *, now: dt.datetime, life: dt.timedelta) -> tuple[str, TokenDrop]:
    """A fresh token and what is kept of it."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    return token, TokenDrop(digest=token_digest(token), serial=serial, expires=now + life)


def put(folder: Path, drop: Drop) -> Path:
    """Leave *drop* for the daemon; it survives a power cut and appears complete or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    name = secrets.token_hex(8)
    temporary, final = folder / f".{name}", folder / f"{name}.json"
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(opened, "wb") as file:
        file.write(msgspec.json.encode(drop))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(final)
    _sync(folder)
    return final


def found(folder: Path) -> list[Dropped]:
    """What lies in *folder*, oldest first."""
    paths = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    dropped = [each for path in paths[:_DROPS_MAX] if (each := _read(path)) is not None]
    return [each for _, each in sorted(dropped, key=lambda pair: pair[0])]


def _read(path: Path) -> tuple[int, Dropped] | None:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(file.fileno())
        raw = file.read(_DROP_BYTES_MAX + 1)
    try:
        drop = msgspec.json.decode(raw, type=Drop) if len(raw) <= _DROP_BYTES_MAX else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        drop = None
    return status.st_mtime_ns, Dropped(path, drop, _user(status.st_uid))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
