"""The rules of the way back: failed trials, orders to leave a version, and bytes that rotted.

None of them needs a network, bytes or a clock.
"""

import msgspec

from edge_core.contracts.gateway import Outcome, RollbackOrder, UpdateState
from edge_runtime.update.events import EntryLost, OrderedBack, TargetRunning, TrialFailed
from edge_runtime.update.moves import (
    BEFORE,
    after,
    attempt_at,
    failed,
    moved,
    number,
    with_slots,
)
from edge_runtime.update.record import Entry, OrderMark, Record
from edge_runtime.update.references import Refusal, RollBack, forbid, rollback_target, step


def trial_failed(record: Record, event: TrialFailed) -> Record:
    """Drop the candidate; what is committed has never moved."""
    if record.state not in {UpdateState.ACTIVATING, UpdateState.TRIAL}:
        return record
    dropped = with_slots(record, after(record, RollBack(attempt=number(record))))
    return moved(dropped, UpdateState.ROLLING_BACK, veto=event.veto, reason=event.reason)


def ordered_back(record: Record, event: OrderedBack) -> Record:
    """Leave a version because somebody says so; an order that was carried out does nothing."""
    order = event.order
    mark = OrderMark(from_digest=order.from_digest, epoch=order.epoch)
    if order.epoch < record.epoch_seen or (record.order_done == mark and not event.local):
        return record
    done = msgspec.structs.replace(
        record,
        order_done=record.order_done if event.local else mark,
        epoch_seen=order.epoch,
    )
    if order.from_digest == done.slots.candidate:
        dropped = with_slots(done, after(done, RollBack(attempt=number(done))))
        return moved(dropped, UpdateState.ROLLING_BACK, veto="ordered", reason=order.reason)
    if order.from_digest == done.slots.committed:
        return _leave_committed(done, order)
    return _never_start(done, order)


def _leave_committed(record: Record, order: RollbackOrder) -> Record:
    """Drop a candidate if there is one, then go back from what is committed."""
    entry = record.entries.get(order.from_digest)
    if record.slots.candidate is not None:
        record = with_slots(record, after(record, RollBack(attempt=number(record))))
    record = msgspec.structs.replace(record, attempt=attempt_at(record, order.from_digest, entry))
    outcome = step(record.slots, RollBack(attempt=number(record)), record.verified)
    if isinstance(outcome, Refusal):
        return moved(
            record,
            UpdateState.ROLLBACK_FAILED,
            Outcome.FAILED_ROLLBACK,
            veto="no_target",
            reason=f"{outcome.reason}; still running (ordered: {order.reason})",
        )
    return moved(
        with_slots(record, outcome),
        UpdateState.ROLLING_BACK,
        veto="ordered",
        reason=order.reason,
    )


def _never_start(record: Record, order: RollbackOrder) -> Record:
    """It does not run here: make sure that it never will without a later attempt."""
    latest = 1
    attempt = record.attempt
    if attempt is not None and attempt.digest == order.from_digest:
        latest = attempt.assignment.attempt
    planned = None if record.desired is None else record.desired.assignment
    if planned is not None and planned.release.digest == order.from_digest:
        latest = max(latest, planned.attempt)
    never = with_slots(record, forbid(record.slots, order.from_digest, latest))
    if attempt is None or attempt.digest != order.from_digest or attempt.state not in BEFORE:
        return never
    return moved(
        never,
        UpdateState.CANCELLED,
        Outcome.NEVER_STARTED,
        veto="ordered",
        reason=order.reason,
    )


def target_running(record: Record, _event: TargetRunning) -> Record:
    """The way back is complete."""
    if record.state is not UpdateState.ROLLING_BACK:
        return record
    return moved(record, UpdateState.ROLLED_BACK, Outcome.FAILED_ROLLED_BACK)


def entry_lost(record: Record, event: EntryLost) -> Record:
    """Forget what does not verify any more; if it was in use, find something that does."""
    entry = record.entries.get(event.digest)
    entries = {key: kept for key, kept in record.entries.items() if key != event.digest}
    without = msgspec.structs.replace(record, entries=entries)
    if event.digest == record.slots.candidate:
        return trial_failed(without, TrialFailed(veto="integrity", reason=event.reason))
    if event.digest == record.slots.committed:
        return _leave_unverified(without, event, entry)
    attempt = record.attempt
    if attempt is not None and attempt.digest == event.digest and attempt.state in BEFORE:
        return failed(without, "integrity", event.reason)
    return without


def _leave_unverified(record: Record, event: EntryLost, entry: Entry | None) -> Record:
    """The committed version cannot be trusted: the one change of version without a trial."""
    if record.slots.candidate is not None:
        return record  # the trial goes on; whether there is a way back is looked at then
    if record.state is not UpdateState.ROLLING_BACK:
        record = msgspec.structs.replace(record, attempt=attempt_at(record, event.digest, entry))
    if rollback_target(record.slots, record.verified) is None:
        return _fail_safe(record, event.reason)
    # Rotten bytes say nothing against the version: attempt 0 bars no later download of it.
    left = with_slots(record, after(record, RollBack(attempt=0)))
    return moved(left, UpdateState.ROLLING_BACK, veto="integrity", reason=event.reason)


def _fail_safe(record: Record, reason: str) -> Record:
    safe: Record = msgspec.structs.replace(record, fail_safe=True)
    return moved(
        safe, UpdateState.FAIL_SAFE, Outcome.FAILED_ROLLBACK, veto="integrity", reason=reason
    )
