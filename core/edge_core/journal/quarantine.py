"""Sets damaged files aside as evidence, within a bound."""

from pathlib import Path

from edge_core.journal.files import Files
from edge_core.journal.segment import SUFFIX

NAME = "quarantine"


class Quarantine:
    """A folder of files that nobody reads but whoever looks for the cause.

    `count` is how many segments lie in it. Torn tails do too, and count for nothing: a power cut
    leaves one behind as a rule, and nobody was promised what they hold.
    """

    def __init__(self, files: Files, folder: Path, bytes_max: int) -> None:
        self._files = files
        self._folder = folder
        self._bytes_max = bytes_max
        self.count = 0

    def open(self) -> None:
        """Make the folder, and see what lies in it."""
        self._files.make_folder(self._folder)
        self.count = _segments(self._files.names(self._folder))

    def set_aside(self, path: Path) -> None:
        """Move the file at *path* here; where that fails it is taken away all the same.

        Raises:
            OSError: it could be neither moved nor taken away.
        """
        try:
            self._files.rename(path, self._folder / path.name)
        except FileNotFoundError:
            return
        except OSError:
            self._files.unlink(path)
            return
        self._bound()

    def keep(self, name: str, content: bytes) -> None:
        """Keep *content* under *name*, if there is room for it."""
        path = self._folder / name
        try:
            if name in self._files.names(self._folder):
                self._files.unlink(path)
            file = self._files.create(path)
        except OSError:
            return
        try:
            file.write(0, [content])
            file.sync()
        except OSError:
            pass  # evidence is worth less than going on
        finally:
            file.close()
        self._bound()

    def _bound(self) -> None:
        names = sorted(self._files.names(self._folder))
        sizes = [self._size(name) for name in names]
        while names and sum(sizes) > self._bytes_max:
            self._files.unlink(self._folder / names.pop(0))
            sizes.pop(0)
        self.count = _segments(names)

    def _size(self, name: str) -> int:
        file = self._files.open_to_read(self._folder / name)
        try:
            return file.size()
        finally:
            file.close()


def _segments(names: list[str]) -> int:
    return sum(name.endswith(SUFFIX) for name in names)
