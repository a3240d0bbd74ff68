"""What a gateway must remember through power cuts: one record, one place, nothing else.

Fields that are not known here are passed over. The checksum has said that nobody changed the file,
so they come from newer software; to refuse them would stop the gateway after a downgrade. What is
signed, and what a trial must meet, may not grow unseen: there a field that is not known still
refuses the whole.
"""

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
ORDERS_MAX = 64  # releases whose last order to leave them is remembered
UNTOLD_MAX = 16  # results kept for a site that is away; the oldest goes first

BEFORE = frozenset(
    {
        UpdateState.ASSIGNED,
        UpdateState.DOWNLOADING,
        UpdateState.VERIFIED,
        UpdateState.STAGED,
        UpdateState.AWAITING_PERMIT,
    }
)
"""Nothing has changed yet: an attempt in these states can be dropped without a trace."""

AIRBORNE = frozenset({UpdateState.ACTIVATING, UpdateState.TRIAL, UpdateState.ROLLING_BACK})
"""From here only commit or rollback leads out; a cancellation is too late."""


class Entry(Struct, frozen=True, kw_only=True):
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

    @property
    def digest(self) -> Digest:
        """The release's."""
        return self.release.digest


class Progress(Struct, frozen=True, kw_only=True):
    """What a candidate has done in its trial so far, over all restarts, in powered time."""

    scored: Count = 0
    errors: Count = 0
    elapsed_s: Annotated[float, Meta(ge=0)] = 0.0


class Attempt(Struct, frozen=True, kw_only=True):
    """The latest attempt to run a release, and where it stands.

    Attributes:
        assignment: as the site last wanted it.
        state: where it stands.
        outcome: how it ended, OPEN until it has.
        veto: the short reason why it failed.
        reason: the long one.
        progress: of its trial.
        strikes: ends of the daemon that are held against it, from before it was activated.
    """

    assignment: Assignment
    state: UpdateState
    outcome: Outcome = Outcome.OPEN
    veto: str | None = None
    reason: Reason = ""
    progress: Progress = Progress()
    strikes: Count = 0

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


class Record(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="schema",
    tag="gateway/1",
):
    """Everything that decides what this gateway runs.

    `sequence` grows by one with each write. `floors` holds the lowest release number of each model
    that may still be assigned. `desired` is the last one that was accepted, so that safe mode and
    the periods hold after a restart without a network. `orders_done` holds the epoch of the last
    order to leave a release that was carried out: the same release is left again only by an order
    of a higher epoch. `untold` are ended attempts that the site has not acknowledged, oldest
    first. `stopped` says that the last run ended because it was told to.
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
    orders_done: dict[Digest, Count] = {}
    untold: list[Attempt] = []
    stopped: bool = False
    fail_safe: bool = False
    desired: Desired | None = None
    checkpoint: Checkpoint | None = None

    @property
    def verified(self) -> frozenset[Digest]:
        """Digests of the releases whose bytes are verified on this disk."""
        return frozenset(self.entries)

    @property
    def told_next(self) -> Attempt | None:
        """What the site must hear: what is in the air, else the oldest result it has not heard."""
        if self.untold and self.state not in AIRBORNE:
            return self.untold[0]
        return self.attempt

    @property
    def state(self) -> UpdateState:
        """Where the latest attempt stands; IDLE before the first."""
        return UpdateState.IDLE if self.attempt is None else self.attempt.state
