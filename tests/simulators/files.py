"""A file system in memory that loses what was not synced, and fails when told to.

What the disk has taken and what it has only promised are kept apart, in blocks of 512 bytes. At a
power cut each unsynced block survives or not, each unsynced length and each unsynced name too,
independently of one another: that is harsher than ext4 and than most disks.
"""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge_core.journal import JournalInUseError

BLOCK_BYTES = 512


class PowerCutError(BaseException):
    """The machine is dead: nothing that runs on it handles this."""


@dataclass(slots=True)
class Content:
    """One file's bytes: as programs see them, and as the disk has them."""

    seen: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    allocated: int = 0
    bad: set[int] = field(default_factory=set)

    def write(self, offset: int, content: bytes) -> None:
        """Change what programs see."""
        end = offset + len(content)
        if end > len(self.seen):
            self.seen.extend(bytes(end - len(self.seen)))
        self.seen[offset:end] = content
        if content:
            self.dirty.update(range(offset // BLOCK_BYTES, (end - 1) // BLOCK_BYTES + 1))

    def resize(self, length: int) -> None:
        """Cut off, or put zeros behind."""
        if length < len(self.seen):
            del self.seen[length:]
        else:
            self.seen.extend(bytes(length - len(self.seen)))

    def flush(self) -> None:
        """Let the disk take everything."""
        self.kept = bytearray(self.seen)
        self.dirty.clear()

    def forget(self) -> None:
        """What Linux does after a failed sync: pages count as clean, and never reach the disk."""
        self.dirty.clear()

    def cut(self, luck: Random) -> None:
        """Keep some of what was not synced."""
        after = bytearray(self.kept)
        length = luck.choice([len(self.kept), len(self.seen)])
        after.extend(bytes(max(length - len(after), 0)))
        for block in sorted(self.dirty):
            if luck.random() < 0.5:
                span = slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
                after[span] = self.seen[span].ljust(len(after[span]), b"\0")[: len(after[span])]
        self.seen, self.kept = bytearray(after[:length]), bytearray(after[:length])
        self.dirty.clear()


class SimulatedFiles:
    """A disk of *capacity* bytes.

    Attributes:
        capacity: writes beyond it are cut short, as a full disk does.
        fail: asked before each call with its name and path; raises what the disk shall raise.
        calls: every call so far, in order.
    """

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.capacity = capacity
        self.fail: Callable[[str, Path], None] = _healthy
        self.calls: list[tuple[str, Path]] = []
        self.locked: set[Path] = set()
        self._seen: dict[Path, Content] = {}
        self._kept: dict[Path, Content] = {}

    def did(self, call: str, path: Path) -> None:
        """Note a call, and let it fail if it shall."""
        self.calls.append((call, path))
        self.fail(call, path)

    def content(self, path: Path) -> Content:
        """The file at *path*."""
        try:
            return self._seen[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None

    def paths(self) -> list[Path]:
        """All files, in the order of their names."""
        return sorted(self._seen)

    def used(self) -> int:
        """Bytes taken."""
        return sum(max(len(each.seen), each.allocated) for each in self._seen.values())

    def free(self) -> int:
        """Bytes left."""
        return max(self.capacity - self.used(), 0)

    def cut_power(self, luck: Random) -> None:
        """Lose what was not synced, as *luck* has it, and start again in good health."""
        after = dict(self._kept)
        for path in {*self._seen, *self._kept}:
            if self._seen.get(path) is not self._kept.get(path) and luck.random() < 0.5:
                after.pop(path, None)
                if path in self._seen:
                    after[path] = self._seen[path]
        for content in {id(each): each for each in after.values()}.values():
            content.cut(luck)
        self._seen, self._kept = after, dict(after)
        self.locked.clear()
        self.fail = _healthy

    def damage(self, path: Path, offset: int, content: bytes) -> None:
        """Change bytes behind everybody's back."""
        found = self.content(path)
        for kept in (found.seen, found.kept):
            span = slice(offset, min(offset + len(content), len(kept)))
            kept[span] = content[: len(kept[span])]

    def make_folder(self, folder: Path) -> None:
        """See `Files.make_folder`."""
        self.did("make_folder", folder)

    def names(self, folder: Path) -> list[str]:
        """See `Files.names`."""
        self.did("names", folder)
        return [path.name for path in self._seen if path.parent == folder]

    def create(self, path: Path) -> "SimulatedFile":
        """See `Files.create`."""
        self.did("create", path)
        if path in self._seen:
            raise FileExistsError(errno.EEXIST, "the name is taken", str(path))
        if not self.free():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._seen[path] = Content()
        return SimulatedFile(self, path)

    def open(self, path: Path) -> "SimulatedFile":
        """See `Files.open`."""
        self.did("open", path)
        self.content(path)
        return SimulatedFile(self, path)

    def open_to_read(self, path: Path) -> "SimulatedFile":
        """See `Files.open_to_read`."""
        self.did("open_to_read", path)
        self.content(path)
        return SimulatedFile(self, path)

    def rename(self, old: Path, new: Path) -> None:
        """See `Files.rename`."""
        self.did("rename", old)
        self._seen[new] = self.content(old)
        del self._seen[old]

    def unlink(self, path: Path) -> None:
        """See `Files.unlink`."""
        self.did("unlink", path)
        self.content(path)
        del self._seen[path]

    def sync_folder(self, folder: Path) -> None:
        """See `Files.sync_folder`."""
        self.did("sync_folder", folder)
        for path in {*self._seen, *self._kept}:
            if path.parent != folder:
                continue
            self._kept.pop(path, None)
            if path in self._seen:
                self._kept[path] = self._seen[path]

    def lock(self, path: Path) -> "SimulatedLock":
        """See `Files.lock`."""
        self.did("lock", path)
        if path in self.locked:
            raise JournalInUseError(f"{path}: somebody else is at work here")
        self.locked.add(path)
        self._seen.setdefault(path, Content())
        return SimulatedLock(self, path)


class SimulatedFile:
    """A handle: it goes on to work when the name is gone."""

    def __init__(self, files: SimulatedFiles, path: Path) -> None:
        self._files = files
        self._path = path
        self._content = files.content(path)

    def size(self) -> int:
        """See `File.size`."""
        return len(self._content.seen)

    def read(self, offset: int, length: int) -> bytes:
        """See `File.read`; a bad block fails the whole read."""
        self._files.did("read", self._path)
        blocks = range(offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES))
        if not self._content.bad.isdisjoint(blocks):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return bytes(self._content.seen[offset : offset + length])

    def write(self, offset: int, parts: Sequence[bytes]) -> int:
        """See `File.write`; takes less than it was given where the disk is full."""
        self._files.did("write", self._path)
        assert len(parts) <= 1024
        content = b"".join(parts)
        room = max(len(self._content.seen), self._content.allocated) + self._files.free()
        taken = content[: max(room - offset, 0)]
        if content and not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._content.write(offset, taken)
        return len(taken)

    def allocate(self, length: int) -> None:
        """See `File.allocate`."""
        self._files.did("allocate", self._path)
        held = max(len(self._content.seen), self._content.allocated)
        if length - held > self._files.free():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._content.allocated = max(length, held)
        self._content.resize(self._content.allocated)

    def truncate(self, length: int) -> None:
        """See `File.truncate`."""
        self._files.did("truncate", self._path)
        self._content.resize(length)
        self._content.allocated = min(self._content.allocated, length)

    def sync(self) -> None:
        """See `File.sync`; after a failure the disk never gets what it was promised."""
        try:
            self._files.did("sync", self._path)
        except OSError:
            self._content.forget()
            raise
        self._content.flush()

    def close(self) -> None:
        """See `File.close`."""


class SimulatedLock(SimulatedFile):
    """The handle that keeps others out."""

    def close(self) -> None:
        """Let them in."""
        self._files.locked.discard(self._path)


class ForgetfulFiles(SimulatedFiles):
    """The mutant: its syncs say that all is well and do nothing.

    A test that still passes on it proves nothing about syncing.
    """

    def create(self, path: Path) -> "SimulatedFile":
        """See `Files.create`."""
        super().create(path)
        return ForgetfulFile(self, path)


class ForgetfulFile(SimulatedFile):
    """A handle whose sync is a lie."""

    def sync(self) -> None:
        """Do nothing, and say that it was done."""
        self._files.did("sync", self._path)


def _healthy(_call: str, _path: Path) -> None:
    """No call fails."""
