"""The newest checkpoint of the site's audit log that this gateway was shown, kept as a witness.

A gateway cannot check the log, but it can remember: the log of a site that ever shows a smaller
one, or another of the same size, was cut or rewritten. What contradicts is kept beside what it
contradicts, for whoever looks into it, and no later answer takes it away.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from edge_core.contracts.errors import TryAgainError
from edge_core.contracts.gateway import Checkpoint
from edge_core.oci.disk import replace_bytes
from edge_runtime.faults import Faults

log = structlog.get_logger(__name__)

WITNESS: Final = "witness.json"  # in the data folder
KEPT_S: Final = 300.0  # a heartbeat is kept this often at most: a disk that wears is no witness
_BYTES_MAX: Final = 16 * 1024
_WENT_BACK: Final = "the site's audit log went back"


class Seen(Struct, frozen=True, kw_only=True):
    """What is kept: the newest checkpoint, and the first pair of which one is a lie."""

    checkpoint: Checkpoint | None = None
    contradiction: tuple[Checkpoint, Checkpoint] | None = None


def weighed(seen: Seen, shown: Checkpoint, floor: int) -> tuple[Seen, str]:
    """What is kept once *shown* was seen, and what is wrong with it, if anything.

    Args:
        seen: what was kept before.
        shown: by the site.
        floor: entries of the newest checkpoint known when the site was asked; answers that
            overtook each other are no contradiction.
    """
    root = _root(shown)
    if root is None:
        return seen, f"checkpoint: expected one of {shown.size} entries, found another text"
    kept = seen.checkpoint
    if kept is None:
        return Seen(checkpoint=shown), ""
    if shown.size < floor:
        words = f"{_WENT_BACK}: expected at least {floor} entries, found {shown.size}"
        return _contradicted(seen, kept, shown), words
    if shown.size == kept.size and root != _root(kept):
        words = f"{_WENT_BACK}: two logs of {kept.size} entries"
        return _contradicted(seen, kept, shown), words
    if shown.size <= kept.size:
        return seen, ""
    return Seen(checkpoint=shown, contradiction=seen.contradiction), ""


def _contradicted(seen: Seen, kept: Checkpoint, shown: Checkpoint) -> Seen:
    return Seen(checkpoint=kept, contradiction=seen.contradiction or (kept, shown))


def _root(checkpoint: Checkpoint) -> bytes | None:
    """The root in the note's third line; None where the note is not of that size."""
    lines = checkpoint.note.split("\n")
    if len(lines) < 5 or lines[1] != str(checkpoint.size):
        return None
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (ValueError, binascii.Error):
        return None
    return root if len(root) == 32 else None


def load(path: Path) -> Seen:
    """What the last run left; what makes no sense is left aside. Blocks."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_BYTES_MAX), type=Seen)
    except FileNotFoundError:
        return Seen()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("witness.unreadable", path=str(path), reason=str(error))
        return Seen()


class Witness:
    """Takes each checkpoint that the site shows.

    Args:
        path: where the newest is kept.
        faults: hears when the log went back.
        monotonic: seconds.

    Attributes:
        seen: what is known, on disk or not yet.
    """

    def __init__(self, path: Path, faults: Faults, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._faults = faults
        self._monotonic = monotonic
        self.seen = load(path)
        self._written = self.seen
        self._written_s: float | None = None

    @property
    def floor(self) -> int:
        """Entries of the newest checkpoint; take it before the site is asked."""
        return 0 if self.seen.checkpoint is None else self.seen.checkpoint.size

    async def take(self, shown: Checkpoint | None, floor: int, *, at_once: bool) -> None:
        """Weigh *shown*; *at_once*: it is on disk before this returns, if the disk takes it."""
        if shown is None:
            return
        before = self.seen
        self.seen, wrong = weighed(before, shown, floor)
        if wrong:
            self._faults.fault("audit log", wrong)
        elif self.seen.checkpoint is not before.checkpoint:
            self._faults.mend("audit log")
        strange = self.seen.contradiction is not before.contradiction
        if self.seen != self._written and (at_once or strange or self._due()):
            await self._write()

    def _due(self) -> bool:
        return self._written_s is None or self._monotonic() - self._written_s >= KEPT_S

    async def _write(self) -> None:
        seen = self.seen
        try:
            await asyncio.to_thread(replace_bytes, self._path, msgspec.json.encode(seen))
        except TryAgainError as error:
            self._faults.fault("witness", str(error))
            return
        self._faults.mend("witness")
        self._written, self._written_s = seen, self._monotonic()
