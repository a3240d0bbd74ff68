"""Where the files of a gateway lie."""

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.update.recorder import FLIGHT


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things lie: below the data folder, or if it takes nothing, some of it below *work*."""

    data: Path
    work: Path | None = None

    @property
    def record(self) -> Path:
        """The durable record."""
        return self.data / "record"

    @property
    def store(self) -> Path:
        """The blobs."""
        return self.data / "store"

    @property
    def identity(self) -> Path:
        """Key and certificate."""
        return self.data / "identity"

    @property
    def flight(self) -> Path:
        """The flight recorder, which outlives every rollback."""
        return self.written / FLIGHT

    @property
    def outbox(self) -> Path:
        """Telemetry that waits for the site."""
        return self.written / "outbox"

    @property
    def review(self) -> Path:
        """Suspect windows that wait for the site."""
        return self.written / "review"

    @property
    def health(self) -> Path:
        """Health windows that wait for the site."""
        return self.written / "health"

    @property
    def snapshots(self) -> Path:
        """For whoever looks into this gateway."""
        return self.written / "snapshots"

    @property
    def written(self) -> Path:
        """Where small files lie that are written all the time."""
        return self.work or self.data
