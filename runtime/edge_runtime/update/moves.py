"""How a record moves from one state of an attempt to the next; every rule is made of these."""

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Assignment, Outcome, UpdateState
from edge_runtime.update.record import AIRBORNE, BEFORE, UNTOLD_MAX, Attempt, Entry, Record
from edge_runtime.update.references import Event as SlotEvent
from edge_runtime.update.references import Refusal, Slots, step

REASON_CHARS_MAX = 500  # what a report may carry


def turned_to(record: Record, digest: Digest, entry: Entry | None, reason: str) -> Record:
    """The record with an attempt about *digest*: its own, or one that says how it came here.

    Another attempt that was under way gets its result first. Without an *entry* nobody knows how
    it came here, and there is none.
    """
    if record.attempt is not None and record.attempt.digest == digest:
        return record
    about = None
    if entry is not None:
        assignment = Assignment(release=entry.release, attempt=entry.attempt, rollout="")
        about = Attempt(assignment=assignment, state=UpdateState.COMMITTED)
    return msgspec.structs.replace(dropped(record, reason), attempt=about)


def dropped(record: Record, reason: str) -> Record:
    """Give an attempt that is under way its result, since another takes its place."""
    if record.state in BEFORE:
        return moved(record, UpdateState.CANCELLED, Outcome.CANCELLED, reason=reason)
    if record.state in AIRBORNE:
        back = UpdateState.ROLLED_BACK
        return moved(record, back, Outcome.FAILED_ROLLED_BACK, veto="ordered", reason=reason)
    return record


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
    """The attempt is in *state*; veto and reason stay unless new ones are given.

    One that has ended waits among the untold until the site has acknowledged its result.
    """
    if record.attempt is None:
        return record
    attempt = msgspec.structs.replace(
        record.attempt,
        state=state,
        outcome=outcome,
        veto=veto or record.attempt.veto,
        reason=(reason or record.attempt.reason)[:REASON_CHARS_MAX],
    )
    untold = record.untold
    if outcome is not Outcome.OPEN:
        others = [each for each in untold if each.key != attempt.key]
        untold = [*others, attempt][-UNTOLD_MAX:]
    return msgspec.structs.replace(record, attempt=attempt, untold=untold)
