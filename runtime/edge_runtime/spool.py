"""Health windows until the site has stored them: in memory, and on disk for the next start.

The file is replaced whenever a period closes; what the site confirmed goes. A gateway that is away
for longer than the spool holds gives up the oldest, and counts them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from edge_core.contracts.gateway import HealthWindow
from edge_core.oci.disk import replace_bytes

log = structlog.get_logger(__name__)

HELD_MAX: Final = 4096  # two weeks of one model at five minutes
SENT_MAX: Final = 64  # what one heartbeat carries


class HealthSpool:
    """Health windows that the site has not stored yet, oldest first. `load` and `write` block.

    Attributes:
        dropped: windows given up because the site was away too long.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[HealthWindow] = []
        self.dropped = 0

    def load(self) -> None:
        """Read what the last run left; a file that makes no sense is left aside."""
        try:
            self._held = msgspec.json.decode(self._path.read_bytes(), type=list[HealthWindow])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("spool.unreadable", path=str(self._path), reason=str(error))

    def add(self, windows: Sequence[HealthWindow]) -> None:
        """Hold *windows* too."""
        held = [*self._held, *windows]
        self.dropped += max(0, len(held) - HELD_MAX)
        self._held = held[-HELD_MAX:]

    def due(self) -> list[HealthWindow]:
        """The oldest, as many as one heartbeat carries."""
        return self._held[:SENT_MAX]

    def stored(self, sent: Sequence[HealthWindow]) -> None:
        """The site has stored *sent*."""
        done = {(window.epoch, window.number) for window in sent}
        self._held = [each for each in self._held if (each.epoch, each.number) not in done]

    def write(self) -> None:
        """Put all of them on disk.

        Raises:
            TryAgainError: the disk takes no bytes.
        """
        replace_bytes(self._path, msgspec.json.encode(self._held))

    def __len__(self) -> int:
        return len(self._held)
