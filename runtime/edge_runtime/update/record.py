"""What a gateway must remember through power cuts: one record, one place, nothing else."""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, Name, ReleaseRef
from edge_core.contracts.gateway import (
    Assignment,
    Checkpoint,
    Count,
    Desired,
    Outcome,
    Reason,
    UpdateReport,
    UpdateState,
)
from edge_runtime.update.references import Slots

RAN_MAX = 64  # versions that ever ran here and so may come back below the floor


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release whose bytes on this disk have been verified; only such a release can be loaded.

    Attributes:
        release: name, version, number and digest of the index.
        target: which of its builds this gateway took.
        manifest: digest of that build's manifest.
        blobs: every digest that must stay on disk for it, the documents among them.
        size_bytes: of all of them.
        signers: key ids that vouched for it.
        attempt: in which it came here.
    """

    release: ReleaseRef
    target: str
    manifest: Digest
    blobs: list[Digest]
    size_bytes: Count
    signers: list[str]
    attempt: Annotated[int, Meta(ge=1)] = 1


class Attempt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest attempt to run a release, and where it stands."""

    assignment: Assignment
    state: UpdateState
    outcome: Outcome = Outcome.OPEN
    veto: str | None = None
    reason: Reason = ""

    @property
    def digest(self) -> Digest:
        """The release's."""
        return self.assignment.release.digest

    @property
    def key(self) -> tuple[Digest, int]:
        """What makes it this attempt and no other."""
        return self.assignment.release.digest, self.assignment.attempt

    def report(self, since_s: float) -> UpdateReport:
        """As told to the site."""
        return UpdateReport(
            digest=self.digest,
            attempt=self.assignment.attempt,
            state=self.state,
            outcome=self.outcome,
            veto=self.veto,
            reason=self.reason,
            since_s=max(0.0, since_s),
        )


class OrderMark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last rollback order that was carried out; seen again, it does nothing."""

    from_digest: Digest
    epoch: Count


class Record(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="gateway/1",
):
    """Everything that decides what this gateway runs.

    `sequence` grows by one with each write. `floors` holds the lowest release number of each model
    that may still be assigned. `desired` is the last one that was accepted, so that safe mode and
    the periods hold after a restart without a network.
    """

    sequence: Count = 0
    boot_epoch: Count = 0
    kernel_boot: str = ""
    slots: Slots = Slots()
    entries: dict[Digest, Entry] = {}
    attempt: Attempt | None = None
    generation_seen: Count = 0
    epoch_seen: Count = 0
    floors: dict[Name, Count] = {}
    ran: list[Digest] = []
    order_done: OrderMark | None = None
    fail_safe: bool = False
    desired: Desired | None = None
    checkpoint: Checkpoint | None = None

    @property
    def verified(self) -> frozenset[Digest]:
        """Digests of the releases whose bytes are verified on this disk."""
        return frozenset(self.entries)

    @property
    def state(self) -> UpdateState:
        """Where the latest attempt stands; IDLE before the first."""
        return UpdateState.IDLE if self.attempt is None else self.attempt.state
