"""Keeps on disk what has been acknowledged: two slots, written in turn.

Losing the cursor only means that records are delivered a second time.
"""

from pathlib import Path

from edge_core.journal.files import File, Files
from edge_core.journal.intervals import Intervals
from edge_core.journal.layout import SLOT_BYTES, decode_slot, encode_slot

NAME = "cursor"


def load(files: Files, path: Path) -> tuple[int, Intervals] | None:
    """Generation and ranges of the newest good slot; `None` when there is none."""
    try:
        file = files.open_to_read(path)
    except FileNotFoundError:
        return None
    try:
        slots = [decode_slot(file.read(at, SLOT_BYTES)) for at in (0, SLOT_BYTES)]
    except OSError:
        return None
    finally:
        file.close()
    newest = max((slot for slot in slots if slot), default=None, key=lambda slot: slot[0])
    return (newest[0], Intervals(newest[1])) if newest else None


class Cursor:
    """Writes the acknowledged ranges, always over the older slot."""

    def __init__(self, files: Files, path: Path, generation: int) -> None:
        self._files = files
        self._path = path
        self._generation = generation
        self._file: File | None = None

    def save(self, done: Intervals) -> None:
        """Make *done* durable.

        Raises:
            OSError: it is not; the other slot still holds what was saved before, and the next
                save writes this one again through a new handle.
        """
        generation = self._generation + 1
        try:
            file = self._file or self._open()
            file.write(generation % 2 * SLOT_BYTES, [encode_slot(generation, list(done))])
            file.sync()
        except OSError:
            self.close()
            raise
        self._generation = generation

    def close(self) -> None:
        """Let the file go."""
        if self._file:
            self._file.close()
        self._file = None

    def _open(self) -> File:
        try:
            file = self._files.open(self._path)
        except FileNotFoundError:
            file = self._files.create(self._path)
        self._file = file
        # Also where the file was there: the attempt that made it may have failed half-way.
        file.allocate(2 * SLOT_BYTES)
        self._files.sync_folder(self._path.parent)
        return file
