"""A gateway as far as a site proxy can tell: what it reports, and what it does when it is told.

It decides alone, as the real one does: a release that is assigned is staged at once, a rollback
order is obeyed at once, and both are reported with the next heartbeat.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import (
    Desired,
    HealthWindow,
    Outcome,
    PermitRequest,
    References,
    StatusReport,
    UpdateReport,
    UpdateState,
    WindowCounts,
)
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.review import Channel, Routing, SuspectWindow

MODEL: Final = "pump-condition"
TARGET: Final = "linux-amd64/onnxruntime/fp32/b1"
WINDOW: Final = timedelta(seconds=300)
SCORED: Final = 60  # a window every five seconds, for five minutes
CLOCK: Final = ClockQuality(synchronised=True, error_max_us=200)
RELEASES: Final = {
    number: ReleaseRef(
        model=MODEL, version=f"{number}.0.0", release=number, digest=f"sha256:{number:064x}"
    )
    for number in (1, 2)
}
OLD: Final = RELEASES[1].digest
NEW: Final = RELEASES[2].digest


@dataclass(slots=True)
class Box:
    """One gateway. `previous` is what it goes back to."""

    serial: str
    boot_epoch: int = 1
    sequence: int = 0
    window: int = 0
    committed: str = OLD
    previous: str | None = None
    update: UpdateReport | None = None
    generation_seen: int = 0
    safe_mode: bool = False

    def report(self, health: list[HealthWindow]) -> StatusReport:
        """The next heartbeat."""
        self.sequence += 1
        return StatusReport(
            serial=self.serial,
            boot_epoch=self.boot_epoch,
            sequence=self.sequence,
            software="edge-mlops/0.1.0",
            clock=CLOCK,
            references=References(
                golden=OLD, previous_good=self.previous, committed=self.committed
            ),
            effective=self.committed,
            running=self.committed,
            update=self.update,
            health=health,
            windows=WindowCounts(cut=self.window * SCORED, scored=self.window * SCORED),
            safe_mode=self.safe_mode,
            targets=[TARGET],
            generation_seen=self.generation_seen,
            disk_free_bytes=8_000_000_000,
        )

    def windows(
        self, count: int, ended: datetime, *, digest: str | None = None, role: str = "committed"
    ) -> list[HealthWindow]:
        """The next *count* health windows, back to back, the last one until *ended*."""
        first, self.window = self.window + 1, self.window + count
        return [
            HealthWindow(
                epoch=self.boot_epoch,
                number=first + each,
                digest=digest or self.committed,
                role=role,
                started=ended - (count - each) * WINDOW,
                ended=ended - (count - each - 1) * WINDOW,
                scored=SCORED,
                alarms=each % 2,
                shadow_pairs=SCORED if role == "shadow" else 0,
                latency_p50_us=900,
                latency_p99_us=1900,
            )
            for each in range(count)
        ]

    def restart(self) -> None:
        """Start anew, with another epoch."""
        self.boot_epoch, self.sequence, self.window = self.boot_epoch + 1, 0, 0

    def say(self, digest: str, state: UpdateState, outcome: Outcome = Outcome.OPEN) -> None:
        """What the next reports say of the attempt with *digest*."""
        self.update = UpdateReport(digest=digest, attempt=1, state=state, outcome=outcome)

    def commit(self, digest: str) -> None:
        """*digest* decides from now on."""
        if self.committed != digest:
            self.previous, self.committed = self.committed, digest
        self.say(digest, UpdateState.COMMITTED, Outcome.SUCCEEDED)

    def told(self, desired: Desired) -> bool:
        """Take in what the site wants; whether it was an order to go back that we obeyed."""
        self.generation_seen = desired.generation
        self.safe_mode = desired.safe_mode
        order = desired.rollback
        if order is None or order.from_digest != self.committed or self.previous is None:
            return False
        self.committed, self.previous = self.previous, None
        self.say(order.from_digest, UpdateState.ROLLED_BACK, Outcome.FAILED_ROLLED_BACK)
        return True

    def permit_request(self) -> PermitRequest:
        """May it activate the new release?"""
        return PermitRequest(digest=NEW, attempt=1, boot_epoch=self.boot_epoch)

    def suspect(self, number: int, ended: datetime) -> SuspectWindow:
        """A window that somebody should look at: four tags of 60 rows."""
        rows: list[float | None] = [round(0.01 * each, 3) for each in range(60)]
        return SuspectWindow(
            id=f"{self.serial}:{self.boot_epoch}:{number}",
            serial=self.serial,
            digest=self.committed,
            started=ended - timedelta(seconds=60),
            ended=ended,
            period_s=1.0,
            channels=[
                Channel(role=role, unit="bar", values=rows)
                for role in ("flow", "pressure", "current", "vibration")
            ],
            classes=["normal", "leak"],
            scores=[0.55, 0.45],
            prediction="normal",
            routing=Routing.UNCERTAIN,
            why="best two scores 0.10 apart",
        )
