"""A process that appends to a journal as fast as it can, until somebody kills it.

Usage: python -m tests.real.journal_writer FOLDER EPOCH {honest|forgetful}

After each append that returned it writes the entry's sequence to standard output, 8 bytes each.
"""

import asyncio
import itertools
import os
import struct
import sys
from pathlib import Path
from random import Random

from edge_core.journal import MIB, DiskFiles, Entry, Host, Journal, JournalConfig
from edge_core.journal.files import DiskFile

APPENDERS = 8
CONFIG = JournalConfig(segment_bytes=2 * MIB, bytes_max=128 * MIB)


class ForgetfulFile(DiskFile):
    """A handle whose sync does nothing."""

    def sync(self) -> None:
        """Say that it is safe."""


class ForgetfulFiles(DiskFiles):
    """The mutant: it says yes before the disk did."""

    def create(self, path: Path) -> DiskFile:
        """See `Files.create`."""
        super().create(path).close()
        return ForgetfulFile(os.open(path, os.O_RDWR | os.O_CLOEXEC))


def entry(epoch: int, sequence: int) -> Entry:
    """The entry with this identity, always the same."""
    dice = Random((epoch << 32) + sequence)
    body = dice.randbytes(dice.randrange(100, 20_000))
    return Entry(
        kind=1, source="gw-1", epoch=epoch, sequence=sequence, body=body, ingest_unix_ns=sequence
    )


async def write(folder: Path, epoch: int, files: DiskFiles, told: int) -> None:
    """Append with several hands at once, and tell the descriptor *told* what is safe."""
    numbers = itertools.count(1)
    async with await Journal.open(folder, CONFIG, Host(files=files)) as journal:

        async def append() -> None:
            for sequence in numbers:
                await journal.append(entry(epoch, sequence))
                os.write(told, struct.pack("<Q", sequence))

        async with asyncio.TaskGroup() as group:
            for _ in range(APPENDERS):
                group.create_task(append())


if __name__ == "__main__":
    kinds = {"honest": DiskFiles, "forgetful": ForgetfulFiles}
    output = os.dup(1)
    for descriptor in (1, 2):  # what is logged would be taken for sequences
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]), kinds[sys.argv[3]](), output))
