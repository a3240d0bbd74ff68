"""Keeps the record through power cuts: two copies, written in turn, each with its own checksum.

A write goes to the older copy: temporary file, flush, rename, flush of the folder, read back. So
at every instant one whole copy is on disk, and the one with the higher sequence counts. The
functions block; the daemon calls them through `asyncio.to_thread`.

    record-a.json, record-b.json     <crc32c of the JSON, eight hex digits>, newline, JSON
"""

import os
from pathlib import Path
from typing import Final, Protocol

import google_crc32c
import msgspec

from edge_runtime.errors import StoreError
from edge_runtime.update.record import Record

COPIES: Final = ("record-a.json", "record-b.json")
_PREFIX: Final = 9  # eight hex digits and a newline


class Disk(Protocol):
    """What the store asks of a file system; a power cut may fall between any two of them."""

    def read(self, path: Path) -> bytes | None:
        """The whole file, None if there is none."""
        ...

    def write(self, path: Path, content: bytes) -> None:
        """Make a file with *content* and flush it to the medium."""
        ...

    def replace(self, source: Path, final: Path) -> None:
        """Rename *source* to *final*, in place of what is there."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Flush the folder's names to the medium."""
        ...


class PosixDisk:
    """The real one."""

    def read(self, path: Path) -> bytes | None:
        """The whole file, None if there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: Path, content: bytes) -> None:
        """Make a file with *content* and flush it to the medium."""
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, source: Path, final: Path) -> None:
        """Rename *source* to *final*, in place of what is there."""
        source.replace(final)

    def sync_folder(self, folder: Path) -> None:
        """Flush the folder's names to the medium."""
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


class RecordStore:
    """The record of one gateway, in *folder*, which exists; one process at a time uses it.

    Attributes:
        damage: what was wrong with one of the copies at the start, "" if nothing was. It may have
            been the newer one, and then what counts is a step older than what was last believed.

    Raises:
        StoreError: there are copies, and none of them is whole.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = disk or PosixDisk()
        self.damage = ""
        self._record, self._newest = self._load()

    @property
    def record(self) -> Record:
        """As it is on disk."""
        return self._record

    def save(self, record: Record) -> Record:
        """Make *record* durable; it comes back with its new sequence number.

        Raises:
            StoreError: the disk did not take it or gave back something else; the last record
                stays the one that counts.
        """
        numbered: Record = msgspec.structs.replace(record, sequence=self._record.sequence + 1)
        name = COPIES[1 - COPIES.index(self._newest)]
        content = encode(numbered)
        final = self._folder / name
        temporary = self._folder / f".{name}.new"
        try:
            self._disk.write(temporary, content)
            self._disk.replace(temporary, final)
            self._disk.sync_folder(self._folder)
            found = self._disk.read(final)
        except OSError as error:
            raise StoreError(f"{final}: cannot be written: {error.strerror or error}") from error
        if found != content:
            raise StoreError(f"{final}: expected what was just written, found something else")
        self._record, self._newest = numbered, name
        return numbered

    def _load(self) -> tuple[Record, str]:
        found: list[tuple[Record, str]] = []
        wrong: list[str] = []
        missing: list[str] = []
        for name in COPIES:
            try:
                raw = self._disk.read(self._folder / name)
            except OSError as error:
                wrong.append(f"{name} unreadable ({error.strerror or error})")
                continue
            record = None if raw is None else decode(raw)
            if record is not None:
                found.append((record, name))
            elif raw is None:
                missing.append(f"{name} missing")
            else:
                wrong.append(f"{name} damaged")
        if not found and wrong:
            raise StoreError(
                f"{self._folder}: expected a whole record, found {' and '.join(wrong)}; "
                "to start over as a new gateway, move the folder away"
            )
        if not found:
            return Record(), COPIES[1]
        newest = max(found, key=lambda pair: pair[0].sequence)
        if newest[0].sequence > 1:  # the first write makes one copy, the second the other
            wrong += missing
        if wrong:
            self.damage = (
                f"{self._folder}: expected two whole copies of the record, found {wrong[0]}; if "
                "that was the newer one, the last step of an update, a try or the lowest release "
                "allowed is forgotten: see what runs, and replace a disk that fails"
            )
        return newest


class SealedStore:
    """A record that was read and is never written; *words* say why."""

    def __init__(self, found: RecordStore, words: str) -> None:
        self.record = found.record
        self.damage = found.damage
        self.words = words

    def save(self, record: Record) -> Record:  # noqa: ARG002 - of whatever kind it is
        """Refuse it.

        Raises:
            StoreError: always.
        """
        raise StoreError(self.words)


def encode(record: Record) -> bytes:
    """The bytes of one copy."""
    body = msgspec.json.encode(record)
    return b"%08x\n" % google_crc32c.value(body) + body


def decode(raw: bytes) -> Record | None:
    """The record in one copy, None if it is torn, changed or of another kind."""
    body = raw[_PREFIX:]
    if raw[:_PREFIX] != b"%08x\n" % google_crc32c.value(body):
        return None
    try:
        return msgspec.json.decode(body, type=Record)
    except msgspec.MsgspecError:
        return None
