"""Where a site proxy keeps its state: the names inside its directory, here and nowhere else."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StatePaths:
    """The state of one site proxy."""

    root: Path

    @property
    def database(self) -> Path:
        """State and audit log (SQLite)."""
        return self.root / "site.db"

    @property
    def lock(self) -> Path:
        """Held by the one site proxy that works here."""
        return self.root / "site.lock"

    @property
    def reserve(self) -> Path:
        """Room for a start on a full disk."""
        return self.root / "reserve"

    @property
    def audit_key(self) -> Path:
        """The audit log's private key."""
        return self.root / "audit.key"

    @property
    def pins(self) -> Path:
        """What people prove their signatures by, one file each."""
        return self.root / "pins"

    @property
    def journal(self) -> Path:
        """The telemetry write-ahead log."""
        return self.root / "wal"

    @property
    def quarantine(self) -> Path:
        """Batches that the upstream refused."""
        return self.root / "dead-letters"

    @property
    def mirror(self) -> Path:
        """Verified releases, an OCI image layout."""
        return self.root / "mirror"

    @property
    def carried(self) -> Path:
        """Releases that somebody carried here, an OCI image layout; not yet accepted."""
        return self.root / "carried"

    @property
    def drops(self) -> Path:
        """What `site-proxy token` leaves for the daemon."""
        return self.root / "drops"

    def make(self) -> None:
        """Make the folders; nobody else on this host may look into them.

        Raises:
            OSError: the disk refuses.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.quarantine.mkdir(exist_ok=True, mode=0o750)
        self.drops.mkdir(exist_ok=True, mode=0o700)
