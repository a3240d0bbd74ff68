"""Lets one site proxy at a time hold a state folder, and numbers those that did.

The lock is the kernel's (`flock(2)`), so it goes with its process, however that ends. What the
file says is for people, and one number: the highest epoch under which anybody worked here. It is
no part of the database, so an old copy of that does not make the numbers begin again.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from edge_core.contracts.plant import Instant
from edge_site_proxy.store.errors import StoreHeldError, StoreUnavailableError


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What the lock file says of who holds the folder, or held it last."""

    process: int
    epoch: int
    since: Instant


@dataclass(slots=True)
class Holder:
    """The right to write below one state folder."""

    descriptor: int
    last: int

    def note(self, epoch: int, now: datetime) -> None:
        """Write down under which epoch this process works.

        Raises:
            StoreUnavailableError: the disk refuses.
        """
        said = msgspec.json.encode(Held(process=os.getpid(), epoch=epoch, since=now))
        try:
            # Longer than what it replaces, or padded: a torn write leaves no other number behind.
            os.pwrite(self.descriptor, said.ljust(_SIZE), 0)
            os.fsync(self.descriptor)
        except OSError as error:
            raise StoreUnavailableError(f"lock file: {error.strerror or error}") from error


_SIZE = 256


@contextmanager
def holding(path: Path) -> Iterator[Holder]:
    """Hold the folder that *path*, a lock file, stands for.

    Raises:
        StoreHeldError: another process holds it.
        StoreUnavailableError: the disk refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StoreUnavailableError(f"lock file {path}: {error.strerror or error}") from error
    try:
        said = _read(descriptor)
        _lock(descriptor, path, said)
        # Whoever held it a moment ago may have written since.
        said = _read(descriptor)
        yield Holder(descriptor, 0 if said is None else said.epoch)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, said: Held | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = "another" if said is None else f"process {said.process}, epoch {said.epoch}"
        since = "" if said is None else f", since {said.since:%Y-%m-%d %H:%M:%S} UTC"
        raise StoreHeldError(
            f"state folder {path.parent}: expected to be the only site proxy there, found one at "
            f"work ({who}{since}); stop it first"
        ) from None


def _read(descriptor: int) -> Held | None:
    """What the file says; a file that says nothing sensible says nothing."""
    try:
        return msgspec.json.decode(os.pread(descriptor, _SIZE, 0).strip(), type=Held)
    except msgspec.DecodeError:
        return None
