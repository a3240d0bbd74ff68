"""The few things a journal asks of a file system, and the real one that grants them."""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from edge_core.journal.errors import JournalInUseError

PARTS_MAX = 1024
"""Linux takes no more buffers in one `pwritev` (IOV_MAX)."""


class File(Protocol):
    """One open file. Every call may raise `OSError`."""

    def size(self) -> int:
        """Length in bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes from *offset*; fewer only at the end of the file."""
        ...

    def write(self, offset: int, parts: Sequence[bytes]) -> int:
        """Write at most `PARTS_MAX` *parts* in a row and say how many bytes were taken.

        A disk that fills up takes fewer than it was given and raises nothing.
        """
        ...

    def allocate(self, length: int) -> None:
        """Reserve room for *length* bytes; what was not written reads as zeros."""
        ...

    def truncate(self, length: int) -> None:
        """Cut the file off."""
        ...

    def sync(self) -> None:
        """Return when bytes and length will survive a power cut.

        After an error nothing is known, and asking again on the same handle proves nothing.
        """
        ...

    def close(self) -> None:
        """Let go, without a promise about what was not synced."""
        ...


class Files(Protocol):
    """Folders and names. Every call may raise `OSError`."""

    def make_folder(self, folder: Path) -> None:
        """Make *folder*, and its name durable, unless it is there."""
        ...

    def names(self, folder: Path) -> list[str]:
        """What lies in *folder*, in any order."""
        ...

    def create(self, path: Path) -> File:
        """A new file for reading and writing; `FileExistsError` if the name is taken."""
        ...

    def open(self, path: Path) -> File:
        """An existing file for reading and writing."""
        ...

    def open_to_read(self, path: Path) -> File:
        """An existing file for reading alone."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name; needs `sync_folder` to last."""
        ...

    def unlink(self, path: Path) -> None:
        """Take a name away; needs no room on the disk."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in *folder* will survive a power cut."""
        ...

    def lock(self, path: Path) -> File:
        """Hold *path* until the handle is closed or the process dies.

        Raises:
            JournalInUseError: another process holds it.
        """
        ...


class DiskFile:
    """A file descriptor of Linux."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def size(self) -> int:
        """See `File.size`."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """See `File.read`."""
        found = os.pread(self._descriptor, length, offset)
        while len(found) < length and (more := self._more(offset, length, found)):
            found += more
        return found

    def _more(self, offset: int, length: int, found: bytes) -> bytes:
        return os.pread(self._descriptor, length - len(found), offset + len(found))

    def write(self, offset: int, parts: Sequence[bytes]) -> int:
        """See `File.write`."""
        return os.pwritev(self._descriptor, parts, offset)

    def allocate(self, length: int) -> None:
        """See `File.allocate`."""
        os.posix_fallocate(self._descriptor, 0, length)

    def truncate(self, length: int) -> None:
        """See `File.truncate`."""
        os.ftruncate(self._descriptor, length)

    def sync(self) -> None:
        """See `File.sync`; `fdatasync` also makes a changed length durable."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """See `File.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


class DiskFiles:
    """The file system of this machine. Nobody but the owner reads what we make."""

    def make_folder(self, folder: Path) -> None:
        """See `Files.make_folder`."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700)
            self.sync_folder(each.parent)
        if not missing:
            # Whoever made it may have been cut off before its name was durable; if the folder
            # above is none of our business, neither is that.
            with suppress(PermissionError):
                self.sync_folder(folder.parent)

    def names(self, folder: Path) -> list[str]:
        """See `Files.names`."""
        return [path.name for path in folder.iterdir()]

    def create(self, path: Path) -> DiskFile:
        """See `Files.create`."""
        return DiskFile(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))

    def open(self, path: Path) -> DiskFile:
        """See `Files.open`."""
        return DiskFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))

    def open_to_read(self, path: Path) -> DiskFile:
        """See `Files.open_to_read`."""
        return DiskFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def rename(self, old: Path, new: Path) -> None:
        """See `Files.rename`."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """See `Files.unlink`."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """See `Files.sync_folder`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: Path) -> DiskFile:
        """See `Files.lock`."""
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise JournalInUseError(
                f"journal folder {path.parent}: expected to be its only user, found another "
                "process at work in it; stop that one first"
            ) from error
        return DiskFile(descriptor)
