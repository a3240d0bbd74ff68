"""A disk that loses power: what was not flushed is gone, and each step may be the last."""

import errno
import os
from pathlib import Path


class PowerCutError(Exception):
    """The power went."""


class CuttableDisk:
    """A file system in memory, with names and bytes that are only sometimes on the medium.

    Args:
        cut_after: how many steps still work; the step after them loses the power half-way.
    """

    def __init__(self, cut_after: int | None = None) -> None:
        self.steps = 0
        self.cut_after = cut_after
        self._bytes: dict[Path, bytes] = {}  # as programs see them
        self._medium: dict[Path, bytes] = {}  # as they are after a power cut

    def read(self, path: Path) -> bytes | None:
        """The whole file, None if there is none."""
        return self._bytes.get(path)

    def write(self, path: Path, content: bytes) -> None:
        """Make a file with *content* and flush it; cut, it is torn."""
        if self._last():
            self._bytes[path] = self._medium[path] = content[: len(content) // 2]
            raise PowerCutError
        self._bytes[path] = self._medium[path] = content

    def replace(self, source: Path, final: Path) -> None:
        """Rename; the medium learns of it at the next flush of the folder, or by chance before."""
        if self._last():
            self._medium[final] = self._medium.pop(source)  # the chance
            raise PowerCutError
        self._bytes[final] = self._bytes.pop(source)

    def sync_folder(self, folder: Path) -> None:
        """Flush the names."""
        if self._last():
            raise PowerCutError
        outside = {path: raw for path, raw in self._medium.items() if path.parent != folder}
        inside = {path: raw for path, raw in self._bytes.items() if path.parent == folder}
        self._medium = {**outside, **inside}

    def reboot(self, cut_after: int | None = None) -> "CuttableDisk":
        """The same disk after the power came back."""
        disk = CuttableDisk(cut_after)
        disk._bytes = dict(self._medium)
        disk._medium = dict(self._medium)
        return disk

    def rot(self, path: Path) -> None:
        """Flip one bit of a file, as a worn medium does."""
        raw = bytearray(self._medium[path])
        raw[len(raw) // 2] ^= 1
        self._bytes[path] = self._medium[path] = bytes(raw)

    def _last(self) -> bool:
        self.steps += 1
        return self.cut_after is not None and self.steps > self.cut_after


class WornDisk(CuttableDisk):
    """A disk that takes nothing as long as a test says so, as one that was remounted read-only.

    Attributes:
        worn: whether it does.
        unreadable: a file that it does not give back.
    """

    def __init__(self) -> None:
        """Sound at first."""
        super().__init__()
        self.worn = False
        self.unreadable: Path | None = None

    def read(self, path: Path) -> bytes | None:
        """The whole file, if there is one and none of its sectors is bad."""
        if path == self.unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(path)

    def write(self, path: Path, content: bytes) -> None:
        """Make a file, or say that nothing can be written here."""
        if self.worn:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().write(path, content)
