"""How a record moves from one state of an attempt to the next; every rule is made of these."""

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Assignment, Outcome, UpdateState
from edge_runtime.update.record import Attempt, Entry, Record
from edge_runtime.update.references import Event as SlotEvent
from edge_runtime.update.references import Refusal, Slots, step

REASON_CHARS_MAX = 500  # what a report may carry

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


def attempt_at(record: Record, digest: Digest, entry: Entry | None) -> Attempt | None:
    """The attempt that is about *digest*, or one that says how it came here."""
    if record.attempt is not None and record.attempt.digest == digest:
        return record.attempt
    if entry is None:
        return record.attempt
    return Attempt(
        assignment=Assignment(release=entry.release, attempt=entry.attempt, rollout=""),
        state=UpdateState.COMMITTED,
    )


def number(record: Record) -> int:
    """The present attempt's number, 1 where there is none."""
    return 1 if record.attempt is None else record.attempt.assignment.attempt


def after(record: Record, event: SlotEvent) -> Slots:
    """The references after *event*, or as they are where it does not apply."""
    outcome = step(record.slots, event, record.verified)
    return record.slots if isinstance(outcome, Refusal) else outcome


def with_slots(record: Record, slots: Slots) -> Record:
    """The same record with these references."""
    return msgspec.structs.replace(record, slots=slots)


def moved_from(record: Record, expected: UpdateState, state: UpdateState) -> Record:
    """Move on from *expected*; any other state stays."""
    return moved(record, state) if record.state is expected else record


def failed(record: Record, veto: str, reason: str) -> Record:
    """The attempt ends here and nothing has changed."""
    return moved(
        record, UpdateState.FAILED_NO_CHANGE, Outcome.FAILED_NO_CHANGE, veto=veto, reason=reason
    )


def moved(
    record: Record,
    state: UpdateState,
    outcome: Outcome = Outcome.OPEN,
    *,
    veto: str | None = None,
    reason: str = "",
) -> Record:
    """The attempt is in *state*; veto and reason stay unless new ones are given."""
    if record.attempt is None:
        return record
    attempt = msgspec.structs.replace(
        record.attempt,
        state=state,
        outcome=outcome,
        veto=veto or record.attempt.veto,
        reason=(reason or record.attempt.reason)[:REASON_CHARS_MAX],
    )
    return msgspec.structs.replace(record, attempt=attempt)
