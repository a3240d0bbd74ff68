"""A blob on its way to disk: what has arrived stays, and only the right bytes get the name.

`<name>.part` holds a prefix of the blob. Whoever opens it hashes that prefix first, so the hash
of the whole costs no second reading, and a prefix that rotted is found out at the end. The
methods block; a daemon calls them through `asyncio.to_thread`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from edge_core.contracts.artefact import Descriptor
from edge_core.contracts.errors import RefusedError, TryAgainError, UnreachableError
from edge_core.oci.digest import Hasher, digest_of_file
from edge_core.oci.disk import publish, writing
from edge_core.oci.errors import DigestMismatchError


def part_path(final: Path) -> Path:
    """Where the arrived part of *final* lies."""
    return final.with_name(f"{final.name}.part")


def is_complete(descriptor: Descriptor, final: Path) -> bool:
    """Whether *final* is there with the size and every byte that *descriptor* promises."""
    try:
        digest, size = digest_of_file(final)
    except OSError:  # what the disk does not give back is fetched again, as what is not there
        return False
    return size == descriptor.size and digest == descriptor.digest


@dataclass(slots=True)
class Part:
    """The arrived part of one blob, open for more; made by `open_part`.

    Attributes:
        descriptor: what the whole must be.
        final: the name the whole will get.
    """

    descriptor: Descriptor
    final: Path
    _file: BinaryIO
    _hasher: Hasher
    # A cancelled caller leaves its thread writing; closing waits for it.
    _lock: Lock = field(default_factory=Lock)

    @property
    def size(self) -> int:
        """How many bytes have arrived: the offset at which to go on."""
        return self._hasher.size

    @property
    def rotten(self) -> bool:
        """All bytes are here, and they are not the right ones."""
        full = self.size == self.descriptor.size
        return full and self._hasher.digest != self.descriptor.digest

    def write(self, chunk: bytes) -> None:
        """Append *chunk*.

        Raises:
            RefusedError: more bytes than promised; what had arrived is discarded.
            TryAgainError: the disk takes no more bytes.
        """
        if self.size + len(chunk) > self.descriptor.size:
            self.restart()
            raise RefusedError(
                f"blob {self.descriptor.digest}: expected {self.descriptor.size} bytes, found more"
            )
        with self._lock, writing(f"blob {self.descriptor.digest}"):
            self._file.write(chunk)
            self._hasher.update(chunk)

    def restart(self) -> None:
        """Forget what has arrived.

        Raises:
            TryAgainError: the disk does not take that.
        """
        with self._lock, writing(f"blob {self.descriptor.digest}"):
            self._file.seek(0)
            self._file.truncate()
            self._hasher = Hasher()

    def finish(self) -> None:
        """Give the whole its name.

        Raises:
            UnreachableError: bytes are missing; the same call may go on later.
            DigestMismatchError: other bytes than promised; they are discarded.
            TryAgainError: the disk does not take them.
        """
        if self.size < self.descriptor.size:
            raise UnreachableError(
                f"blob {self.descriptor.digest}: expected {self.descriptor.size} bytes, "
                f"found an end after {self.size}"
            )
        if self.rotten:
            found = self._hasher.digest
            self.restart()
            raise DigestMismatchError("blob", expected=self.descriptor.digest, found=found)
        with self._lock, writing(f"blob {self.descriptor.digest}"):
            publish(self._file, part_path(self.final), self.final)

    def close(self) -> None:
        """Close the file once no thread writes to it any more."""
        with self._lock:
            self._file.close()


@contextmanager
def open_part(descriptor: Descriptor, final: Path) -> Iterator[Part]:
    """The part of *final*, locked against any other process or task.

    Raises:
        TryAgainError: somebody else is fetching it, or the disk takes no file.
    """
    part = lock_part(descriptor, final)
    try:
        yield part
    finally:
        part.close()


def lock_part(descriptor: Descriptor, final: Path) -> Part:
    """Open and lock the part of *final*; the caller closes it.

    Raises:
        TryAgainError: somebody else is fetching it, or the disk takes no file.
    """
    path = part_path(final)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with writing(path.name):
        # Unbuffered: what write() took is in the kernel, and a kill loses nothing of it.
        file = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)
    try:
        with writing(path.name):
            _lock(file, path)
        hasher = _hashed(file)
        part = Part(descriptor=descriptor, final=final, _file=file, _hasher=hasher or Hasher())
        if hasher is None or hasher.size > descriptor.size:
            part.restart()
    except BaseException:
        file.close()
        raise
    return part


def _hashed(file: BinaryIO) -> Hasher | None:
    """What lies in *file*; None where the disk does not give it back."""
    try:
        return Hasher.of(file)
    except OSError:
        return None


def _lock(file: BinaryIO, path: Path) -> None:
    busy = TryAgainError(f"{path.name}: somebody else is fetching it")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between our open and our lock the other one may have finished and renamed it.
        if path.stat().st_ino != os.fstat(file.fileno()).st_ino:
            raise busy
    except (BlockingIOError, FileNotFoundError):
        raise busy from None
