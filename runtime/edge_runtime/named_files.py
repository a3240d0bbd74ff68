"""What the files hold that a configuration names: certificates, keys, passwords.

The settings may be the same and a file another one, while the daemon works with what it was.
"""

import hashlib
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from edge_runtime.config import Config

READ_BYTES_MAX: Final = 1 << 20  # of one file; what is longer is neither a certificate nor a key
MISSING: Final = "no file"
# The policy is read again, see `care`; a token is used once, and nobody minds where it went.
_LEFT_OUT: Final = frozenset({"trust_policy", "proxy.token"})


def prints_of(config: Config) -> dict[str, str]:
    """A digest of each file that *config* names, by its key, or what there is instead. Blocks.

    Folders are left out: what lies in them is looked at whenever it is needed.
    """
    return {
        key: _print(path)
        for key, path in _paths(config, "")
        if key not in _LEFT_OUT and not path.is_dir() and not path.is_socket()
    }


def changed_files(was: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """One line for each file that is another one now, by its key."""
    return {
        key: f"`$.{key}`: expected the file that was there when the gateway started, found "
        f"{'none' if now[key] == MISSING else 'another'}; restart it to work with that"
        for key in was
        if key in now and was[key] != now[key]
    }


def _paths(part: Struct, above: str) -> Iterator[tuple[str, Path]]:
    for name in part.__struct_fields__:
        yield from _below(f"{above}{name}", getattr(part, name))


def _below(key: str, value: object) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, Struct):
        yield from _paths(value, f"{key}.")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _below(f"{key}[{number}]", each)


def _print(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return MISSING  # whoever put a pipe there must not make us wait for it
        with path.open("rb") as file:
            return hashlib.sha256(file.read(READ_BYTES_MAX)).hexdigest()
    except OSError:
        return MISSING
