"""The update machine of one gateway: record and event in, record out; pure and total.

An event that does not apply in the present state leaves the record as it is, so a repeated or
late message is harmless. Each event is made durable before anything is done about it.

    IDLE -> ASSIGNED -> DOWNLOADING -> VERIFIED -> STAGED -> AWAITING_PERMIT -> ACTIVATING -> TRIAL
    TRIAL -> COMMITTED          decided here alone, on exposure and health
    ACTIVATING, TRIAL, COMMITTED -> ROLLING_BACK -> ROLLED_BACK | ROLLBACK_FAILED | FAIL_SAFE
    before ACTIVATING -> FAILED_NO_CHANGE | CANCELLED
"""

from collections.abc import Callable
from typing import Any

import msgspec

from edge_core.contracts.gateway import Assignment, Outcome, TrialPolicy, UpdateState
from edge_runtime.update import back, events
from edge_runtime.update.events import Event
from edge_runtime.update.moves import (
    AIRBORNE,
    BEFORE,
    after,
    failed,
    moved,
    moved_from,
    number,
    with_slots,
)
from edge_runtime.update.record import RAN_MAX, Attempt, Record
from edge_runtime.update.references import (
    Activate,
    Cause,
    Commit,
    Refusal,
    TakeTry,
    barred,
    forbid,
    step,
)


def advance(record: Record, event: Event) -> Record:
    """The record after *event*; an equal one if the event changes nothing."""
    return _RULES[type(event)](record, event)


def trial_policy(record: Record) -> TrialPolicy:
    """How the present attempt is to be tried."""
    return TrialPolicy() if record.attempt is None else record.attempt.assignment.trial


# What happens at a start: the total map from every persisted state to the one to resume in.


def _restarted(record: Record, event: events.Restarted) -> Record:
    started = msgspec.structs.replace(
        record,
        boot_epoch=record.boot_epoch + 1,
        kernel_boot=event.kernel_boot,
        fail_safe=False,  # whatever could not run is tried anew
    )
    match record.state:
        case UpdateState.AWAITING_PERMIT:
            return moved(started, UpdateState.STAGED)
        case UpdateState.ACTIVATING | UpdateState.TRIAL:
            return _try_again(started, event.cause)
        case UpdateState.FAIL_SAFE:
            return moved(started, UpdateState.ROLLING_BACK)
        case _:
            return started


def _try_again(record: Record, cause: Cause) -> Record:
    paid = with_slots(record, after(record, TakeTry(cause=cause, attempt=number(record))))
    if paid.slots.candidate is not None:
        return moved(paid, UpdateState.ACTIVATING)
    return moved(
        paid,
        UpdateState.ROLLING_BACK,
        veto="tries",
        reason="every try to run the candidate ended in a restart",
    )


# What the site says.


def _told(record: Record, event: events.Told) -> Record:
    desired = event.desired
    if desired.generation < record.generation_seen or desired.epoch < record.epoch_seen:
        return record
    heard = msgspec.structs.replace(
        record,
        generation_seen=desired.generation,
        epoch_seen=desired.epoch,
        desired=desired,
        order_done=None if desired.rollback is None else record.order_done,
    )
    if desired.rollback is not None:
        heard = back.ordered_back(heard, events.OrderedBack(desired.rollback))
    if desired.assignment is None:
        return _withdrawn(heard)
    return _assigned(heard, desired.assignment)


def _withdrawn(record: Record) -> Record:
    if record.state not in BEFORE:
        return record
    return moved(record, UpdateState.CANCELLED, Outcome.CANCELLED, reason="withdrawn by the site")


def _assigned(record: Record, assignment: Assignment) -> Record:
    if record.state in AIRBORNE:
        return record  # too late: only a rollback can undo
    if record.attempt is not None and record.attempt.key == _key(assignment):
        return _amended(record, record.attempt, assignment)
    fresh = msgspec.structs.replace(
        record, attempt=Attempt(assignment=assignment, state=UpdateState.ASSIGNED)
    )
    release = assignment.release
    if release.digest == record.slots.committed and not record.fail_safe:
        return moved(fresh, UpdateState.COMMITTED, Outcome.ALREADY)
    if barred(record.slots, *_key(assignment)):
        return failed(
            fresh,
            "known_bad",
            f"{release.version} failed here in attempt {record.slots.bad[release.digest]}; "
            "only a later attempt may try again",
        )
    floor = record.floors.get(release.model, 0)
    if release.release < floor and release.digest not in record.ran:
        return failed(
            fresh,
            "below_floor",
            f"{release.model}: expected release {floor} or later, found {release.release}, "
            "which never ran here",
        )
    return fresh


def _key(assignment: Assignment) -> tuple[str, int]:
    return assignment.release.digest, assignment.attempt


def _amended(record: Record, attempt: Attempt, assignment: Assignment) -> Record:
    """The same attempt, with what the site may still change: when to activate, and the trial."""
    if attempt.state not in BEFORE or attempt.assignment == assignment:
        return record
    amended = msgspec.structs.replace(attempt, assignment=assignment)
    return msgspec.structs.replace(record, attempt=amended)


# The way up.


def _download_started(record: Record, _event: events.DownloadStarted) -> Record:
    return moved_from(record, UpdateState.ASSIGNED, UpdateState.DOWNLOADING)


def _refused(record: Record, event: events.Refused) -> Record:
    if record.state not in BEFORE or record.attempt is None:
        return record
    ended = failed(record, event.veto, event.reason)
    if not event.bars:
        return ended
    return with_slots(ended, forbid(ended.slots, *record.attempt.key))


def _verified(record: Record, event: events.Verified) -> Record:
    attempt = record.attempt
    if attempt is None or attempt.state is not UpdateState.DOWNLOADING:
        return record
    if event.entry.release.digest != attempt.digest:
        return record
    entries = {**record.entries, attempt.digest: event.entry}
    return moved(msgspec.structs.replace(record, entries=entries), UpdateState.VERIFIED)


def _staged(record: Record, _event: events.Staged) -> Record:
    return moved_from(record, UpdateState.VERIFIED, UpdateState.STAGED)


def _permit_asked(record: Record, _event: events.PermitAsked) -> Record:
    return moved_from(record, UpdateState.STAGED, UpdateState.AWAITING_PERMIT)


def _permit_denied(record: Record, _event: events.PermitDenied) -> Record:
    return moved_from(record, UpdateState.AWAITING_PERMIT, UpdateState.STAGED)


def _permit_granted(record: Record, event: events.PermitGranted) -> Record:
    attempt = record.attempt
    if attempt is None or attempt.state is not UpdateState.AWAITING_PERMIT:
        return record
    if event.epoch < record.epoch_seen:
        return moved(record, UpdateState.STAGED)
    heard = msgspec.structs.replace(record, epoch_seen=event.epoch)
    activate = Activate(
        digest=attempt.digest,
        attempt=attempt.assignment.attempt,
        tries=attempt.assignment.trial.tries,
    )
    outcome = step(record.slots, activate, record.verified)
    if isinstance(outcome, Refusal):
        return failed(heard, "activation", outcome.reason)
    return moved(with_slots(heard, outcome), UpdateState.ACTIVATING)


def _try_paid(record: Record, _event: events.TryPaid) -> Record:
    if record.state is not UpdateState.ACTIVATING:
        return record
    return _try_again(record, Cause.PROCESS)


def _loaded(record: Record, event: events.Loaded) -> Record:
    if event.digest != record.slots.candidate:
        return record
    return moved_from(record, UpdateState.ACTIVATING, UpdateState.TRIAL)


def _trial_passed(record: Record, _event: events.TrialPassed) -> Record:
    attempt = record.attempt
    if attempt is None or attempt.state is not UpdateState.TRIAL:
        return record
    release = attempt.assignment.release
    floor = max(release.release, record.floors.get(release.model, 0))
    ran = [*(digest for digest in record.ran if digest != release.digest), release.digest]
    committed = msgspec.structs.replace(
        record,
        slots=after(record, Commit()),
        ran=ran[-RAN_MAX:],
        floors={**record.floors, release.model: floor},
    )
    return moved(committed, UpdateState.COMMITTED, Outcome.SUCCEEDED)


def _collected(record: Record, event: events.Collected) -> Record:
    # Whatever else happened meanwhile, what is referenced stays.
    gone = event.digests - record.slots.referenced
    entries = {key: entry for key, entry in record.entries.items() if key not in gone}
    return msgspec.structs.replace(record, entries=entries)


# Any: each rule takes the event type it stands beside, which a dict of types cannot express.
_RULES: dict[type, Callable[[Record, Any], Record]] = {
    events.Restarted: _restarted,
    events.Told: _told,
    events.DownloadStarted: _download_started,
    events.Refused: _refused,
    events.Verified: _verified,
    events.Staged: _staged,
    events.PermitAsked: _permit_asked,
    events.PermitDenied: _permit_denied,
    events.PermitGranted: _permit_granted,
    events.TryPaid: _try_paid,
    events.Loaded: _loaded,
    events.TrialPassed: _trial_passed,
    events.TrialFailed: back.trial_failed,
    events.OrderedBack: back.ordered_back,
    events.TargetRunning: back.target_running,
    events.EntryLost: back.entry_lost,
    events.Collected: _collected,
}
