"""The upstream as a folder: one file a batch, named by its id, complete or not there at all.

For sites that carry telemetry out on a disk, and for the demo. A repeat finds its file.
"""

import asyncio
import os
from pathlib import Path

from edge_core.journal.layout import crc32c
from edge_site_proxy.telemetry.batch import Outbound
from edge_site_proxy.telemetry.encoding import Encoding
from edge_site_proxy.telemetry.retry import DELIVERED, Outcome, Verdict

_SUFFIX = {Encoding.IDENTITY: "", Encoding.GZIP: ".gz"}


class FolderSink:
    """Writes batches into *folder*, which must exist: a missing mount is an outage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._folder)

    async def send(self, batch: Outbound) -> Outcome:
        """Write one file; done when it would survive a power cut."""
        return await asyncio.to_thread(self._write, batch)

    def _write(self, batch: Outbound) -> Outcome:
        final = self._folder / file_name(batch)
        try:
            known = final.read_bytes() if final.exists() else None
            if known is None:
                _place(final, batch.body)
                return DELIVERED
        except OSError as error:
            return Outcome(Verdict.RETRY, f"{self._folder}: {error.strerror or error}")
        if crc32c(known) == batch.crc32c:
            return DELIVERED
        return Outcome(
            Verdict.REFUSED, f"{final.name}: there already, with another body than this"
        )


def file_name(batch: Outbound) -> str:
    """`<serial>_<epoch>_<sequence>.<signal>.pb`, and how it is compressed."""
    identity = f"{batch.batch.serial}_{batch.batch.epoch}_{batch.batch.sequence}"
    return f"{identity}.{batch.signal.value}.pb{_SUFFIX[batch.encoding]}"


def _place(final: Path, body: bytes) -> None:
    temporary = final.with_name(f".{final.name}.part")
    with temporary.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(final)
    descriptor = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
