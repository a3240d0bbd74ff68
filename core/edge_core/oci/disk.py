"""How a file gets its final name so that a power cut leaves the old one or the new one.

The functions block; a daemon calls them through `asyncio.to_thread`.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from edge_core.contracts.errors import RefusedError, TryAgainError

UNFINISHED: Final = ".adding-"
"""How the name of a file begins that may be left behind by a killed process."""

_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What this process lacks; it says nothing about the medium."""


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn a disk that takes no bytes into an error that a caller can wait out.

    Raises:
        TryAgainError: the disk is full, read-only or failing, or somebody is in the way there; an
            operator has an alarm to act on.
    """
    try:
        yield
    except OSError as error:
        raise TryAgainError(f"{what}: cannot be written: {_words(error)}") from error


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn a disk that does not give back its bytes into an error like that of wrong bytes.

    Raises:
        RefusedError: the medium fails, as over a bad sector; another copy is of use.
        TryAgainError: this process has no room or no handle left for it.
    """
    try:
        yield
    except OSError as error:
        words = f"{what}: cannot be read: {_words(error)}"
        raise (TryAgainError if error.errno in _OURS else RefusedError)(words) from error


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file in *folder* and its path; removed at the end unless it has another name by then."""
    opened, name = tempfile.mkstemp(dir=folder, prefix=UNFINISHED)
    temporary = Path(name)
    try:
        with os.fdopen(opened, "w+b") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


def publish(file: BinaryIO, temporary: Path, final: Path) -> None:
    """Flush *file*, which lies at *temporary*, and give it the name *final* in the same folder."""
    file.flush()
    os.fchmod(file.fileno(), 0o644)
    os.fsync(file.fileno())
    temporary.replace(final)
    sync_folder(final.parent)


def replace_bytes(final: Path, content: bytes) -> None:
    """Make *content* the whole of *final*.

    Raises:
        TryAgainError: the disk takes no bytes; *final* is what it was.
    """
    with writing(final.name), temporary_file(final.parent) as (file, temporary):
        file.write(content)
        publish(file, temporary, final)


def sweep(folder: Path) -> None:
    """Remove what a process that was killed began in *folder*; nobody may be writing there now.

    Raises:
        TryAgainError: the disk removes nothing.
    """
    with writing(str(folder)):
        for left in folder.glob(f"{UNFINISHED}*"):
            if left.is_file():
                left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names that were made, moved or removed in *folder* survive a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _words(error: OSError) -> str:
    return error.strerror or str(error)
