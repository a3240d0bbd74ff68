"""The rules of the way back: failed trials, orders to leave a version, and bytes that rotted.

None of them needs a network, bytes or a clock.
"""

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.contracts.gateway import Outcome, RollbackOrder, UpdateState
from edge_runtime.update.events import (
    EntryLost,
    OrderedBack,
    TargetLost,
    TargetRunning,
    TrialFailed,
)
from edge_runtime.update.moves import after, failed, moved, number, turned_to, with_slots
from edge_runtime.update.record import BEFORE, ORDERS_MAX, Entry, Record
from edge_runtime.update.references import Refusal, RollBack, forbid, rollback_target, step

INTEGRITY = "integrity"
"""The veto of bytes that rotted: it says nothing against the version and bars no attempt."""


def trial_failed(record: Record, event: TrialFailed) -> Record:
    """Drop the candidate; what is committed has never moved."""
    if record.state not in {UpdateState.ACTIVATING, UpdateState.TRIAL}:
        return record
    held = 0 if event.veto == INTEGRITY else number(record)
    left = with_slots(record, after(record, RollBack(attempt=held)))
    return moved(left, UpdateState.ROLLING_BACK, veto=event.veto, reason=event.reason)


def ordered_back(record: Record, event: OrderedBack) -> Record:
    """Leave a version because somebody says so.

    An order stays in the desired state for as long as the site likes. It is carried out once: the
    same release is left again only by an order of a higher epoch, or by a person at the gateway.
    """
    order = event.order
    if not event.local:
        if order.epoch <= record.orders_done.get(order.from_digest, -1):
            return record
        record = _marked(record, order)
    if order.from_digest == record.slots.candidate:
        left = with_slots(record, after(record, RollBack(attempt=number(record))))
        return moved(left, UpdateState.ROLLING_BACK, veto="ordered", reason=order.reason)
    if order.from_digest == record.slots.committed:
        return _leave_committed(record, order)
    return _never_start(record, order)


def _marked(record: Record, order: RollbackOrder) -> Record:
    others = {each: at for each, at in record.orders_done.items() if each != order.from_digest}
    done = list({**others, order.from_digest: order.epoch}.items())[-ORDERS_MAX:]
    return msgspec.structs.replace(
        record, orders_done=dict(done), epoch_seen=max(record.epoch_seen, order.epoch)
    )


def _leave_committed(record: Record, order: RollbackOrder) -> Record:
    """Drop a candidate if there is one, then go back from what is committed."""
    if record.slots.candidate is not None:
        record = with_slots(record, after(record, RollBack(attempt=number(record))))
    entry = record.entries.get(order.from_digest)
    record = turned_to(
        record, order.from_digest, entry, f"dropped with what it stood on: {order.reason}"
    )
    outcome = step(record.slots, RollBack(attempt=number(record)), record.verified)
    if isinstance(outcome, Refusal):
        return moved(
            record,
            UpdateState.ROLLBACK_FAILED,
            Outcome.FAILED_ROLLBACK,
            veto="no_target",
            reason=f"{outcome.reason}; still running (ordered: {order.reason})",
        )
    left = with_slots(record, outcome)
    return moved(left, UpdateState.ROLLING_BACK, veto="ordered", reason=order.reason)


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


def target_lost(record: Record, event: TargetLost) -> Record:
    """What we went back to does not load: try the next one, or stop trying until a restart."""
    if record.state is not UpdateState.ROLLING_BACK or event.digest != record.slots.committed:
        return record
    return _fall_back(record, event.digest, None, event.reason)


def entry_lost(record: Record, event: EntryLost) -> Record:
    """Forget what does not verify any more; if it was in use, find something that does."""
    entry = record.entries.get(event.digest)
    entries = {key: kept for key, kept in record.entries.items() if key != event.digest}
    without = msgspec.structs.replace(record, entries=entries)
    if event.digest == record.slots.candidate:
        return trial_failed(without, TrialFailed(veto=INTEGRITY, reason=event.reason))
    if event.digest == record.slots.committed:
        if record.slots.candidate is not None:
            return without  # the trial goes on; whether there is a way back is looked at then
        return _fall_back(without, event.digest, entry, event.reason)
    attempt = record.attempt
    if attempt is not None and attempt.digest == event.digest and attempt.state in BEFORE:
        return failed(without, INTEGRITY, event.reason)
    return without


def _fall_back(record: Record, digest: Digest, entry: Entry | None, reason: str) -> Record:
    """The committed version cannot run: the one change of version that nobody asked for."""
    veto = None
    if record.state is not UpdateState.ROLLING_BACK:
        # On a way back the attempt has failed already, for a reason of its own.
        record, veto = turned_to(record, digest, entry, f"what runs was lost: {reason}"), INTEGRITY
    if rollback_target(record.slots, record.verified) is None:
        return _fail_safe(record, veto, reason)
    left = with_slots(record, after(record, RollBack(attempt=0)))
    return moved(left, UpdateState.ROLLING_BACK, veto=veto, reason="" if veto is None else reason)


def _fail_safe(record: Record, veto: str | None, reason: str) -> Record:
    safe: Record = msgspec.structs.replace(record, fail_safe=True)
    return moved(safe, UpdateState.FAIL_SAFE, Outcome.FAILED_ROLLBACK, veto=veto, reason=reason)
