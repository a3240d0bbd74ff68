"""Takes pictures from a folder once whoever writes them has closed or renamed them.

The newest whole picture is taken, older ones are passed over and counted, and what cannot be used
is moved aside with its reason in the log. Only plain files are looked at, and no link is followed.
"""

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.errors import DecoderLostError, PictureError
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.decode import installed
from edge_runtime.frames.files import FileDecoder
from edge_runtime.frames.head import Refusal, check_length
from edge_runtime.frames.newest import Frame, Newest
from edge_runtime.frames.watch import ClosedFiles

log = structlog.get_logger(__name__)

FILES_MAX: Final = 10_000  # looked at in one pass; a folder with more is looked at again
STALLED_LOOKS: Final = (
    30  # a file without an end that has not changed for so many looks is damaged
)
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload")

Sight = tuple[int, int]
"""Size and time of a file."""


@dataclass(slots=True)
class _Seen:
    """A file at its last look, for how many it has been the same, and what was wrong with it."""

    sight: Sight
    looks: int = 0
    refusal: PictureError | None = None


@dataclass(slots=True)
class FolderSource:
    """One folder of pictures.

    Attributes:
        config: what is too large, and how much is kept.
        folder: where pictures appear.
        newest: takes the pictures.
        desk: decodes them.
    """

    config: FramesConfig
    folder: Path
    newest: Newest
    desk: FileDecoder
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _told: str = ""

    async def run(self) -> None:
        """Take pictures for ever.

        Raises:
            ConfigurationError: there is no such folder, or it cannot be written to.
            ExtraMissingError: PyAV is not installed.
        """
        installed()
        self._prepare()
        stirred = asyncio.Event()
        with listening(self.folder, stirred) as closed, self.desk:
            log.info("source.connected", source=self.config.name, told=closed is not None)
            while True:
                # What was there before we came is looked at like everything else.
                names = set() if closed is None else closed.names()
                await self._pass(names)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.config.look_s):
                        await stirred.wait()
                stirred.clear()

    def _prepare(self) -> None:
        try:
            for name in ("taken", "refused"):
                (self.folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder}: expected a folder that we may write to: {error.strerror}"
            ) from None

    async def _pass(self, closed: set[str]) -> None:
        """Look at every file that is complete, newest first."""
        found = await asyncio.to_thread(self._complete, closed)
        complete = sorted(found, key=lambda each: (-each[1][1], each[0]))
        older: list[tuple[str, Sight]] = []
        for at, (name, sight) in enumerate(complete):
            path = self.folder / name
            try:
                self._check_changed(name, closed)
                if await self._take(path, sight):
                    older = complete[at + 1 :]
                    break
            except PictureError as error:
                if self._under_way(name, sight, closed):
                    self._seen[name].refusal = error
                else:
                    await asyncio.to_thread(self._aside, path, "refused")
                    self._refuse(name, error)
            except DecoderLostError as error:
                self._lost(error)  # no fault of the picture's: it is looked at again
                break
        await asyncio.to_thread(self._tidy, [name for name, _ in older])
        self.newest.skip(self.config.role, len(older))

    async def _take(self, path: Path, sight: Sight) -> bool:
        """Hand the picture at *path* on; whether there is one.

        Raises:
            PictureError: it cannot be used.
            DecoderLostError: nothing can be decoded now.
        """
        try:
            file = await asyncio.to_thread(opened, path, self.config.bytes_max)
        except FileNotFoundError:
            return False  # whoever dropped it has taken it back
        try:
            picture = await self.desk.decode(file)
        finally:
            os.close(file)
        self._told = ""
        await asyncio.to_thread(self._aside, path, "taken")
        frame = Frame(self.config.role, picture.pixels, sight[1], path.name, picture.taken_us)
        self.newest.put(frame)
        return True

    def _complete(self, closed: set[str]) -> list[tuple[str, Sight]]:
        """Files that were closed, or have not changed since the last look."""
        found: list[tuple[str, Sight]] = []
        there: dict[str, _Seen] = {}
        for name, sight in files(self.folder):
            now, before = _Seen(sight), self._seen.get(name)
            if before is not None and before.sight == sight:
                now = _Seen(sight, before.looks + 1, before.refusal)
            there[name] = now
            if name in closed or now.looks > 0:
                found.append((name, sight))
        self._seen = there
        return found

    def _check_changed(self, name: str, closed: set[str]) -> None:
        """See that a file could be another than it was: the same bytes cost us no second try.

        Raises:
            PictureError: what was wrong with it, and nothing has come since.
        """
        refusal = self._seen[name].refusal
        if refusal is not None and name not in closed:
            raise refusal

    def _under_way(self, name: str, sight: Sight, closed: set[str]) -> bool:
        """Whether somebody may still be writing a file that nobody said was closed."""
        seen = self._seen.get(name)
        return (
            name not in closed
            and seen is not None
            and seen.sight == sight
            and seen.looks < STALLED_LOOKS
        )

    def _aside(self, path: Path, where: str) -> None:
        """Move a file out of the way; the oldest there go when there are too many."""
        self._seen.pop(path.name, None)
        with suppress(FileNotFoundError):
            if self.config.kept_max:
                path.rename(self.folder / where / path.name)
            else:
                path.unlink()

    def _tidy(self, older: Iterable[str]) -> None:
        """Move *older* pictures out of the way, and remove what is kept no longer."""
        for name in older:
            self._aside(self.folder / name, "taken")
        for where in ("taken", "refused"):
            kept = sorted(files(self.folder / where), key=lambda each: each[1][1])
            for name, _ in kept[: max(0, len(kept) - self.config.kept_max)]:
                (self.folder / where / name).unlink(missing_ok=True)

    def _refuse(self, name: str, error: PictureError) -> None:
        self.newest.refuse(self.config.role, error.reason, str(error))
        log.warning(
            "picture.refused",
            source=self.config.name,
            file=ascii(name)[1:-1][:200],
            reason=str(error),
        )

    def _lost(self, error: DecoderLostError) -> None:
        self.newest.lost(self.config.role, str(error))
        if self._told != str(error):
            self._told = str(error)
            log.warning("decoder.lost", source=self.config.name, reason=self._told)


@contextmanager
def listening(folder: Path, stirred: asyncio.Event) -> Iterator[ClosedFiles | None]:
    """What tells of files in *folder*, and sets *stirred*; None where the system does not."""
    try:
        closed = ClosedFiles(folder)
    except (OSError, AttributeError):  # no inotify here, or no more watches
        yield None
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(closed.descriptor, stirred.set)
    try:
        yield closed
    finally:
        loop.remove_reader(closed.descriptor)
        closed.close()


def files(folder: Path) -> Iterable[tuple[str, Sight]]:
    """Plain files, with size and time; hidden ones and those under a name for the meantime not.

    Raises:
        ConfigurationError: the folder has gone.
    """
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number >= FILES_MAX:
                    return
                if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                    continue
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield entry.name, (found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: expected a folder that we may read: {error.strerror}"
        ) from None


def opened(path: Path, bytes_max: int) -> int:
    """The descriptor of a plain file that is not too large; the caller closes it.

    Raises:
        PictureError: it is too large, no plain file, or cannot be read.
        FileNotFoundError: it has gone.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PictureError(
            Refusal.UNREADABLE, f"picture: expected a file we may read: {error.strerror}"
        ) from None
    try:
        _check_file(os.fstat(file), bytes_max)
    except PictureError:
        os.close(file)
        raise
    return file


def _check_file(found: os.stat_result, bytes_max: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PictureError(
            Refusal.UNREADABLE, "picture: expected a plain file, found something else"
        )
    check_length(found.st_size, bytes_max)
