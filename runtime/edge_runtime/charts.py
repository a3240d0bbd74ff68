"""The drift charts on disk, beside the ledger of windows: power-cut safe, checked when read."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from edge_core.contracts.errors import TryAgainError
from edge_core.journal.layout import crc32c
from edge_core.oci.disk import replace_bytes
from edge_runtime.drift import Checkpoint

log = structlog.get_logger(__name__)

CHECKPOINT_S: Final = 10.0  # what a kill or a power cut takes from the charts at most
_BYTES_MAX: Final = 1 << 20  # as many tags as a gateway may have take a tenth of it


class ChartFile:
    """The checkpoint on disk: after a power cut the last one written or the one before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: Checkpoint | None = None

    def load(self) -> Checkpoint | None:
        """What the last run left; what makes no sense is left aside. Blocks."""
        try:
            with self._path.open("rb") as file:
                raw = file.read(_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("drift.checkpoint_unreadable", path=str(self._path), reason=str(error))
            return None
        whole = raw[:4] == crc32c(raw[4:]).to_bytes(4, "little")
        try:
            found = msgspec.msgpack.decode(raw[4:], type=Checkpoint) if whole else None
        except (msgspec.DecodeError, msgspec.ValidationError):
            found = None
        if found is None:
            log.warning("drift.checkpoint_unreadable", path=str(self._path), reason="damaged")
        return found

    def write(self, charts: Checkpoint | None) -> None:
        """Keep *charts*, if they are not what is kept already. Blocks.

        Raises:
            TryAgainError: the disk takes no bytes; what was kept is kept.
        """
        if charts is None or charts == self._written:
            return
        body = msgspec.msgpack.encode(charts)
        replace_bytes(self._path, crc32c(body).to_bytes(4, "little") + body)
        self._written = charts


class ChartKeeper:
    """Puts the charts on disk while the daemon runs, and once more when it ends."""

    def __init__(self, file: ChartFile, charts: Callable[[], Checkpoint | None]) -> None:
        self._file = file
        self._charts = charts
        self._failed = False

    async def run(self) -> None:
        """Keep them for ever; a disk that takes no bytes costs their last windows, no more."""
        try:
            while True:
                await asyncio.sleep(CHECKPOINT_S)
                self._said(await asyncio.to_thread(self._write))
        finally:
            self._said(self._write())

    def _write(self) -> str:
        try:
            self._file.write(self._charts())
        except TryAgainError as error:
            return str(error)
        return ""

    def _said(self, fault: str) -> None:
        """A disk that is full for a week is one line, not one every ten seconds."""
        if fault and not self._failed:
            log.warning("drift.unkept", reason=fault)
        self._failed = bool(fault)
