"""The update machine of one gateway: record and event in, record out; pure and total.

An event that does not apply in the present state leaves the record as it is, so a repeated or
late message is harmless. Each event is made durable before anything is done about it.

    IDLE -> ASSIGNED -> DOWNLOADING -> VERIFIED -> STAGED -> AWAITING_PERMIT -> ACTIVATING -> TRIAL
    TRIAL -> COMMITTED          decided here alone, on exposure and health
    ACTIVATING, TRIAL, COMMITTED -> ROLLING_BACK -> ROLLED_BACK | ROLLBACK_FAILED | FAIL_SAFE
    before ACTIVATING -> FAILED_NO_CHANGE | CANCELLED

Every attempt ends with one result, which waits until the site has acknowledged it:

    SUCCEEDED, ALREADY        COMMITTED: it runs, or ran before it was assigned
    FAILED_NO_CHANGE          refused, with the veto: space, no_target, digest, mislabelled,
                              verification, smoke, crash, load, errors, restarts, known_bad,
                              below_floor, rollback_target, activation, integrity
    FAILED_ROLLED_BACK        ROLLED_BACK: tried and left; tries, load, crash, errors, timeout,
                              integrity, or ordered
    FAILED_ROLLBACK           ROLLBACK_FAILED: ordered, and nowhere to go; FAIL_SAFE: nothing loads
    CANCELLED, NEVER_STARTED  CANCELLED: withdrawn, superseded, or ordered back before it ran
"""

from collections.abc import Callable
from typing import Any

import msgspec

from edge_core.contracts.gateway import Assignment, Outcome, TrialPolicy, UpdateState
from edge_runtime.update import back, events
from edge_runtime.update.events import Event
from edge_runtime.update.moves import (
    after,
    dropped,
    failed,
    moved,
    moved_from,
    number,
    with_slots,
)
from edge_runtime.update.record import AIRBORNE, BEFORE, RAN_MAX, Attempt, Record
from edge_runtime.update.references import (
    Activate,
    Cause,
    Commit,
    Refusal,
    TakeTry,
    abandon,
    barred,
    forbid,
    step,
)

STRIKES_MAX = 5  # ends of the daemon beside a model that never decided; then it is not the one


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
        stopped=False,
        fail_safe=False,  # whatever could not run is tried anew
    )
    match record.state:
        case UpdateState.VERIFIED | UpdateState.STAGED | UpdateState.AWAITING_PERMIT:
            return _struck(started, event.cause)
        case UpdateState.ACTIVATING | UpdateState.TRIAL:
            return _try_again(started, event.cause)
        case UpdateState.FAIL_SAFE:
            return moved(started, UpdateState.ROLLING_BACK)
        case _:
            return started


def _started_sealed(record: Record, _event: events.StartedSealed) -> Record:
    started = msgspec.structs.replace(record, fail_safe=False)
    match record.state:
        case UpdateState.TRIAL:
            return moved(started, UpdateState.ACTIVATING)  # what is committed decides until then
        case UpdateState.AWAITING_PERMIT:
            return moved(started, UpdateState.STAGED)
        case UpdateState.FAIL_SAFE:
            return moved(started, UpdateState.ROLLING_BACK)
        case _:
            return started


def _struck(record: Record, cause: Cause) -> Record:
    """A model may bring the daemon down in its smoke test or its shadow run: not for ever."""
    attempt = record.attempt
    if attempt is None:
        return record
    state = UpdateState.VERIFIED if attempt.state is UpdateState.VERIFIED else UpdateState.STAGED
    strikes = attempt.strikes + int(cause.blames)
    struck = msgspec.structs.replace(attempt, strikes=strikes, state=state)
    after_it = msgspec.structs.replace(record, attempt=struck)
    if strikes < STRIKES_MAX:
        return after_it
    return failed(
        after_it,
        "restarts",
        f"{strikes} runs of the gateway ended badly while it was smoked or seen",
    )


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
    attempt, release = record.attempt, assignment.release
    if attempt is not None and attempt.key == _key(assignment) and not _rotted(attempt):
        return _amended(record, attempt, assignment)
    fresh = msgspec.structs.replace(
        dropped(record, f"superseded by {release.model} {release.version}"),
        attempt=Attempt(assignment=assignment, state=UpdateState.ASSIGNED),
    )
    runs = release.digest == record.slots.committed and release.digest in record.entries
    if runs and not record.fail_safe:
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


def _rotted(attempt: Attempt) -> bool:
    """Whether it ended only because its bytes rotted: nothing stands against the same attempt."""
    return attempt.outcome is not Outcome.OPEN and attempt.veto == back.INTEGRITY


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
    attempt = record.attempt
    if attempt is None or attempt.state is not UpdateState.VERIFIED:
        return record
    if attempt.digest != record.slots.committed:
        return moved(record, UpdateState.STAGED)
    # It passed its trial here once; its bytes were lost since, and have come again.
    repaired = msgspec.structs.replace(record, fail_safe=False)
    return moved(repaired, UpdateState.COMMITTED, Outcome.SUCCEEDED)


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
    if record.fail_safe:
        heard = with_slots(heard, abandon(heard.slots, heard.verified))
    activate = Activate(
        digest=attempt.digest,
        attempt=attempt.assignment.attempt,
        tries=attempt.assignment.trial.tries,
    )
    outcome = step(heard.slots, activate, heard.verified)
    if isinstance(outcome, Refusal):
        return failed(heard, "activation", outcome.reason)
    tried = msgspec.structs.replace(heard, slots=outcome, fail_safe=False)
    return moved(tried, UpdateState.ACTIVATING)


def _loaded(record: Record, event: events.Loaded) -> Record:
    if event.digest != record.slots.candidate:
        return record
    return moved_from(record, UpdateState.ACTIVATING, UpdateState.TRIAL)


def _tried(record: Record, event: events.Tried) -> Record:
    attempt = record.attempt
    if attempt is None or attempt.state is not UpdateState.TRIAL:
        return record
    further = msgspec.structs.replace(attempt, progress=event.progress)
    return msgspec.structs.replace(record, attempt=further)


def _trial_passed(record: Record, _event: events.TrialPassed) -> Record:
    attempt = record.attempt
    if attempt is None or attempt.state is not UpdateState.TRIAL:
        return record
    release = attempt.assignment.release
    floor = max(release.release, record.floors.get(release.model, 0))
    slots = after(record, Commit())
    # What may be gone back to never falls below the floor for want of memory.
    ran = [digest for digest in record.ran if digest not in slots.referenced][-RAN_MAX:]
    ran += [digest for digest in (slots.golden, slots.previous_good, slots.committed) if digest]
    committed = msgspec.structs.replace(
        record,
        slots=slots,
        ran=list(dict.fromkeys(ran))[-RAN_MAX:],
        floors={**record.floors, release.model: floor},
    )
    return moved(committed, UpdateState.COMMITTED, Outcome.SUCCEEDED)


def _stopped(record: Record, _event: events.Stopped) -> Record:
    return msgspec.structs.replace(record, stopped=True)


def _as_it_was(record: Record, _event: events.CaughtUp) -> Record:
    return record


def _reported(record: Record, event: events.Reported) -> Record:
    heard = (event.key, event.outcome)
    untold = [each for each in record.untold if (each.key, each.outcome) != heard]
    return msgspec.structs.replace(record, untold=untold)


def _collected(record: Record, event: events.Collected) -> Record:
    # Whatever else happened meanwhile, what is referenced stays.
    gone = event.digests - record.slots.referenced
    entries = {key: entry for key, entry in record.entries.items() if key not in gone}
    return msgspec.structs.replace(record, entries=entries)


# Any: each rule takes the event type it stands beside, which a dict of types cannot express.
_RULES: dict[type, Callable[[Record, Any], Record]] = {
    events.Restarted: _restarted,
    events.StartedSealed: _started_sealed,
    events.Told: _told,
    events.DownloadStarted: _download_started,
    events.Refused: _refused,
    events.Verified: _verified,
    events.Staged: _staged,
    events.PermitAsked: _permit_asked,
    events.PermitDenied: _permit_denied,
    events.PermitGranted: _permit_granted,
    events.Loaded: _loaded,
    events.Tried: _tried,
    events.TrialPassed: _trial_passed,
    events.TrialFailed: back.trial_failed,
    events.OrderedBack: back.ordered_back,
    events.TargetRunning: back.target_running,
    events.TargetLost: back.target_lost,
    events.EntryLost: back.entry_lost,
    events.Collected: _collected,
    events.Reported: _reported,
    events.Stopped: _stopped,
    events.CaughtUp: _as_it_was,
}
