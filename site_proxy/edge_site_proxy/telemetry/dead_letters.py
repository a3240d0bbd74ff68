"""What no upstream will take: kept as files beside the reason, never dropped, within a bound."""

import os
from pathlib import Path

import msgspec

from edge_core.contracts.errors import TryAgainError
from edge_site_proxy.telemetry.batch import Outbound

LETTERS_MAX = 10_000  # a wrong upstream refuses everything: then the journal keeps it instead


class LettersFullError(TryAgainError):
    """The folder holds as many as it may; somebody has to look."""


class DeadLetters:
    """A folder of batches that were refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.count = sum(1 for _ in folder.glob("*.json"))

    def put(self, batch: Outbound, reason: str) -> None:
        """Keep *batch*; returns when it would survive a power cut. The same one twice is fine.

        Raises:
            LettersFullError: there are LETTERS_MAX already.
            OSError: the disk refuses.
        """
        if self.count >= LETTERS_MAX:
            raise LettersFullError(
                f"{self._folder}: expected fewer than {LETTERS_MAX} dead letters, found as many; "
                "look into them and take them away"
            )
        facts = {
            "batch": str(batch.batch),
            "signal": batch.signal.value,
            "crc32c": f"{batch.crc32c:08x}",
            "encoding": batch.encoding.name.lower(),
            "ingest_unix_nano": batch.ingest_unix_nano,
            "reason": reason,
        }
        fresh = not (self._folder / f"{batch.seq:020}.json").exists()
        self._place(f"{batch.seq:020}.body", batch.body)
        self._place(f"{batch.seq:020}.json", msgspec.json.encode(facts))
        self.count += fresh

    def _place(self, name: str, content: bytes) -> None:
        final, temporary = self._folder / name, self._folder / f".{name}.part"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
