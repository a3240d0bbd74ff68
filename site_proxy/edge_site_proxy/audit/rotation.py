"""A new key for the log: asked for beside the key file, made by the daemon, safe at any power cut.

    audit.key.rotate    somebody asked for a new key, and why
    audit.key.next      the new key, before the log knows it
    audit.key           the key in use; the old one is gone once the log knows the new

The log decides: at start the next key becomes the key if the log says so, and is dropped if not.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge_core.oci.disk import replace_bytes, sync_folder
from edge_site_proxy.audit.note import Signer, load_signer

_ASKED_BYTES_MAX = 4096


class _Asked(Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(min_length=3, max_length=500)]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a new key, and why; the kernel says who wrote the file."""

    who: str
    reason: str


def ask(key_file: Path, reason: str) -> None:
    """Leave the wish for the daemon.

    Raises:
        TryAgainError: the disk takes no bytes.
    """
    replace_bytes(_beside(key_file, "rotate"), msgspec.json.encode(_Asked(reason)))


def asked(key_file: Path) -> Asked | None:
    """What is wished for; what makes no sense is not. Blocks."""
    try:
        opened = os.open(_beside(key_file, "rotate"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(opened, "rb") as file:
        owner = os.fstat(file.fileno()).st_uid
        raw = file.read(_ASKED_BYTES_MAX)
    try:
        reason = msgspec.json.decode(raw, type=_Asked).reason
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Asked(_user(owner), reason)


def prepare(key_file: Path, origin: str) -> Signer:
    """A new key beside the present one. Blocks.

    Raises:
        OSError: the disk refuses.
    """
    path = _beside(key_file, "next")
    path.unlink(missing_ok=True)
    return load_signer(path, origin)


def settle(key_file: Path, origin: str, public: str | None) -> Signer:
    """The key in use, after what a crash may have left is put right. Blocks.

    Args:
        key_file: of the key in use; made where there is none.
        origin: the log's name.
        public: the key that the log names last, if it names one.

    Raises:
        LogKeyError: the file is not usable.
        OSError: the disk refuses.
    """
    path = _beside(key_file, "next")
    if path.exists():
        if load_signer(path, origin).public == public:
            path.replace(key_file)
            _beside(key_file, "rotate").unlink(missing_ok=True)
        else:
            path.unlink()
        sync_folder(key_file.parent)
    return load_signer(key_file, origin)


def _beside(key_file: Path, ending: str) -> Path:
    return key_file.with_name(f"{key_file.name}.{ending}")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"
