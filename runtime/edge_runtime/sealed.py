"""A start on a data folder that takes nothing: what was committed decides, out of memory alone.

The record and the releases are read from the folder as it is. Whatever else needs files has them
in a scratch folder that goes with the process. The number of this start cannot be kept, so nothing
is sent under a key that another start could use again: telemetry, health windows and suspect
windows are let go and counted.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.telemetry import Signal
from edge_runtime.outbox import Outbox, Takes
from edge_runtime.spool import HealthSpool

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, for us alone
COPIED: Final = ("charts", "witness.json")  # read at a start, and only of use with what is in them


@dataclass(frozen=True, slots=True)
class Sealed:
    """Such a start: why the folder *data* takes nothing, and where files go instead."""

    data: Path
    refusal: str
    scratch: Path

    @property
    def words(self) -> str:
        """For whoever can mend it."""
        return (
            f"data {self.data}: expected a folder that can be written, found at the start "
            f"{self.refusal}; what was committed decides, no update and no telemetry is kept, and "
            "nothing done here survives a restart: mend the disk (edge-gateway doctor), then "
            "systemctl restart edge-gateway"
        )


@contextmanager
def sealed(data: Path, refusal: str, below: Path = MEMORY) -> Iterator[Sealed]:
    """Such a start, with a scratch folder *below* another that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="edge-gateway-", dir=_first(below)) as made:
        scratch = Path(made)
        for name in COPIED:
            with suppress(OSError):
                shutil.copyfile(data / name, scratch / name)
        yield Sealed(data, refusal, scratch)


def _first(below: Path) -> Path | None:
    """Where a scratch folder may lie; None leaves it to the system."""
    return next((each for each in (below, MEMORY) if each.is_dir()), None)


def beyond(now_ns: Callable[[], int] = time.time_ns) -> int:
    """A number above all that a start before this one has given out, by the wall clock.

    Milliseconds: no window and no heartbeat comes as often. Where the clock is set back between
    two such starts, numbers may come twice.
    """
    return now_ns() // 1_000_000


class SheddingOutbox(Outbox):
    """Takes nothing, and counts it."""

    async def add(self, signal: Signal, body: bytes) -> bool:  # noqa: ARG002 - it is let go
        """False, always."""
        self.shed[signal] += 1
        return False

    async def add_window(self, body: bytes) -> None:  # noqa: ARG002 - likewise
        """Let it go."""
        self.windows_shed += 1

    async def run(self, takes: Takes) -> None:  # noqa: ARG002 - likewise
        """Send nothing, for ever."""
        await asyncio.Event().wait()


class SheddingSpool(HealthSpool):
    """Takes nothing, and counts it."""

    async def add(self, windows: Sequence[HealthWindow]) -> None:
        """Let them go."""
        self.dropped += len(windows)
