"""A ring of files with verdicts, one JSON document a line, for whoever collects files.

A file appears under its name when it is whole and on the disk, so a reader or a power cut never
meets half of one. Names count up; the oldest goes when all together are too long.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import structlog

from edge_runtime.sinks.settings import FileSinkConfig
from edge_runtime.sinks.standing import Shown
from edge_runtime.verdict import Verdict

log = structlog.get_logger(__name__)

WAITING_MAX: Final = 4096  # verdicts until the next file; older ones are dropped and counted
FILES_MAX: Final = 10_000  # of the ring, whatever their length
SUFFIX: Final = ".jsonl"
_UNDONE: Final = ".new"
Write = Callable[[Path, int, list[Verdict]], int]
"""As `write_file`."""


class FileSink:
    """The ring in one folder; *write*, if there is one, makes its files.

    Attributes:
        written: verdicts that are on the disk.
    """

    name = "files"

    def __init__(
        self, config: FileSinkConfig, directory: Path, write: Write | None = None
    ) -> None:
        self._config = config
        self._directory = directory
        self._write_file = write or write_file
        # A cancelled caller leaves its thread writing; what is left waits for it.
        self._writing = Lock()
        self._waiting: deque[Verdict] = deque(maxlen=WAITING_MAX)
        self._number = 0
        self._told = ""
        self.dropped = 0
        self.written = 0

    def put(self, verdict: Verdict) -> None:
        """See `port.Outlet`."""
        self.dropped += int(len(self._waiting) == WAITING_MAX)
        self._waiting.append(verdict)

    def show(self, shown: Shown) -> None:
        """A file has verdicts, not what holds."""

    def beat(self, count: int) -> None:
        """A file's own age is its heartbeat."""

    async def run(self) -> None:
        """Write a file every so often for ever, and what is left at the end."""
        try:
            while True:
                await asyncio.sleep(self._config.every_s)
                await self._flush()
        finally:
            self._write()

    async def _flush(self) -> None:
        if self._waiting:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        """Put all that waits into one file. Blocks; a disk that fails is said once."""
        with self._writing:
            verdicts = list(self._waiting)
            if verdicts:
                self._write_all(verdicts)

    def _write_all(self, verdicts: list[Verdict]) -> None:
        try:
            self._number = self._write_file(self._directory, self._number, verdicts)
            trim(self._directory, self._config.bytes_max)
        except OSError as error:
            if self._told != str(error):
                self._told = str(error)
                log.warning("sink.lost", sink=self.name, reason=self._told)
            return
        self._told = ""
        self.written += len(verdicts)
        for verdict in verdicts:  # what came meanwhile stays, and may have pushed some out
            if self._waiting and self._waiting[0] is verdict:
                self._waiting.popleft()


def write_file(directory: Path, after: int, verdicts: list[Verdict]) -> int:
    """Write one whole file; its number, which is above *after* and all that are there. Blocks.

    Raises:
        OSError: the disk does not take it; nothing of it is there.
    """
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    number = max([after, *(int(path.stem) for path in _ring(directory))]) + 1
    final = directory / f"{number:012d}{SUFFIX}"
    undone = final.with_suffix(_UNDONE)
    try:
        with undone.open("wb") as file:
            file.writelines(msgspec.json.encode(verdict) + b"\n" for verdict in verdicts)
            file.flush()
            os.fsync(file.fileno())
        undone.rename(final)
    except OSError:
        undone.unlink(missing_ok=True)
        raise
    _sync(directory)
    return number


def trim(directory: Path, bytes_max: int) -> None:
    """Remove the oldest files until all together are short enough. Blocks.

    Raises:
        OSError: the folder cannot be read or written.
    """
    for path in directory.glob(f"*{_UNDONE}"):
        path.unlink(missing_ok=True)
    files = sorted(_ring(directory))
    sizes = [path.stat().st_size for path in files]
    total, left = sum(sizes), len(files)
    for path, size in zip(files, sizes, strict=True):
        if (total <= bytes_max and left <= FILES_MAX) or left == 1:
            return
        path.unlink(missing_ok=True)
        total, left = total - size, left - 1


def _ring(directory: Path) -> list[Path]:
    return [path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdigit()]


def _sync(directory: Path) -> None:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
