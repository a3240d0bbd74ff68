"""The update machine: every state with every event, and what must hold whatever the order."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.gateway import Outcome, UpdateState
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import STRIKES_MAX, advance
from edge_runtime.update.record import Attempt, Progress, Record
from edge_runtime.update.references import REFUNDS_MAX, Cause, Slots, rollback_target
from tests.unit.runtime.update.made import (
    ON_A,
    ON_B,
    TRYING_C,
    A,
    B,
    C,
    assignment,
    at,
    desired,
    digest,
    entry,
    order,
    record,
)

S = UpdateState


def told(name: str | None, **more: int) -> events.Told:
    """The site wants *name*."""
    return events.Told(desired(None if name is None else assignment(name), **more))


CASES: dict[str, tuple[Record, Event, UpdateState, Outcome]] = {
    "what is committed is done already": (
        record(ON_B),
        told("b"),
        S.COMMITTED,
        Outcome.ALREADY,
    ),
    "a trial is not withdrawn: it is too late": (
        at(S.TRIAL, TRYING_C),
        told(None),
        S.TRIAL,
        Outcome.OPEN,
    ),
    "another assignment takes the place of a staged one": (
        at(S.STAGED, ON_A, "b"),
        told("c"),
        S.ASSIGNED,
        Outcome.OPEN,
    ),
    "another assignment waits while a trial is on": (
        at(S.TRIAL, TRYING_C),
        told("a"),
        S.TRIAL,
        Outcome.OPEN,
    ),
    "a permit of an older epoch does not": (
        msgspec.structs.replace(at(S.AWAITING_PERMIT), epoch_seen=5),
        events.PermitGranted(4),
        S.STAGED,
        Outcome.OPEN,
    ),
    "a permit that nobody waits for is nothing": (
        at(S.STAGED),
        events.PermitGranted(1),
        S.STAGED,
        Outcome.OPEN,
    ),
    "an order leaves what is committed": (
        at(S.COMMITTED, ON_B, "b"),
        events.OrderedBack(order("b")),
        S.ROLLING_BACK,
        Outcome.OPEN,
    ),
    "an order stops a download that never started running": (
        at(S.DOWNLOADING),
        events.OrderedBack(order("c")),
        S.CANCELLED,
        Outcome.NEVER_STARTED,
    ),
    "an order that was given while we were away, epochs ago, is carried out": (
        msgspec.structs.replace(at(S.TRIAL, TRYING_C), epoch_seen=5),
        events.OrderedBack(order("c", epoch=4)),
        S.ROLLING_BACK,
        Outcome.OPEN,
    ),
    "a target that does not load gives way to the next": (
        at(S.ROLLING_BACK, ON_B, "b"),
        events.TargetLost(B, "died while loading"),
        S.ROLLING_BACK,
        Outcome.OPEN,
    ),
    "a target that does not load, and is the last, leaves the safe output": (
        at(S.ROLLING_BACK, ON_A, "b"),
        events.TargetLost(A, "died while loading"),
        S.FAIL_SAFE,
        Outcome.FAILED_ROLLBACK,
    ),
    "a committed version that does not load is no reason to leave it": (
        at(S.COMMITTED, ON_B, "b"),
        events.TargetLost(B, "died while loading"),
        S.COMMITTED,
        Outcome.OPEN,
    ),
    "a committed version that rotted is left": (
        at(S.COMMITTED, ON_B, "b"),
        events.EntryLost(B, "rotten"),
        S.ROLLING_BACK,
        Outcome.OPEN,
    ),
    "a candidate that rotted is dropped": (
        at(S.ACTIVATING, TRYING_C),
        events.EntryLost(C, "rotten"),
        S.ROLLING_BACK,
        Outcome.OPEN,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_event(name: str) -> None:
    """Each row says where one event leads, where no row of a whole record says so already."""
    before, event, state, outcome = CASES[name]
    after = advance(before, event)
    assert after.attempt is not None
    assert (after.attempt.state, after.attempt.outcome) == (state, outcome)


RESUMES: dict[UpdateState, UpdateState] = {
    S.ASSIGNED: S.ASSIGNED,
    S.DOWNLOADING: S.DOWNLOADING,
    S.VERIFIED: S.VERIFIED,
    S.STAGED: S.STAGED,
    S.AWAITING_PERMIT: S.STAGED,
    S.ACTIVATING: S.ACTIVATING,
    S.TRIAL: S.ACTIVATING,
    S.COMMITTED: S.COMMITTED,
    S.ROLLING_BACK: S.ROLLING_BACK,
    S.ROLLED_BACK: S.ROLLED_BACK,
    S.FAILED_NO_CHANGE: S.FAILED_NO_CHANGE,
    S.ROLLBACK_FAILED: S.ROLLBACK_FAILED,
    S.FAIL_SAFE: S.ROLLING_BACK,
    S.CANCELLED: S.CANCELLED,
}


@pytest.mark.parametrize("state", [state for state in S if state is not S.IDLE])
def test_resume(state: UpdateState) -> None:
    """A start leads from every state to one in which work goes on; the map is total."""
    slots = TRYING_C if state in {S.ACTIVATING, S.TRIAL} else ON_B
    after = advance(at(state, slots), events.Restarted(Cause.PROCESS, "boot"))
    assert after.state is RESUMES[state]
    assert after.boot_epoch == 1


@pytest.mark.parametrize("state", [state for state in S if state is not S.IDLE])
def test_sealed(state: UpdateState) -> None:
    """A start that cannot be kept leads there too; it counts nothing and blames nobody."""
    slots = TRYING_C if state in {S.ACTIVATING, S.TRIAL} else ON_B
    before = msgspec.structs.replace(at(state, slots), fail_safe=state is S.FAIL_SAFE)
    after = advance(before, events.StartedSealed())
    assert after.state is RESUMES[state]
    assert after.attempt is not None
    assert (after.slots, after.boot_epoch, after.attempt.strikes) == (slots, 0, 0)
    assert not after.fail_safe


def test_try_is_paid_before_the_load() -> None:
    """A start in a trial pays; without tries the candidate is dropped."""
    once = advance(at(S.TRIAL, TRYING_C), events.Restarted(Cause.PROCESS))
    assert once.slots.tries_left == 0
    twice = advance(once, events.Restarted(Cause.PROCESS))
    assert twice.state is S.ROLLING_BACK
    assert twice.slots.candidate is None
    assert twice.slots.committed == B


def test_known_bad() -> None:
    """What failed here is refused in the same attempt, and tried in a later one."""
    failed = advance(at(S.VERIFIED), events.Refused("smoke", "other values", bars=True))
    other = advance(failed, told("b", generation=2))
    again = advance(other, told("c", generation=3))
    assert again.attempt is not None
    assert again.attempt.veto == "known_bad"
    later = events.Told(desired(assignment("c", attempt=2), generation=4))
    assert advance(again, later).state is S.ASSIGNED


def test_commit_raises_floor() -> None:
    """A commit remembers that the version ran, and how high it was."""
    trying = record(TRYING_C, Attempt(assignment=assignment("c", number=7), state=S.TRIAL))
    after = advance(trying, events.TrialPassed())
    assert after.floors == {"pump": 7}
    assert after.ran == [A, B, C]
    assert after.slots == Slots(golden=A, previous_good=B, committed=C)


def climbed(now: Record) -> Record:
    """What the agent makes of it, up to the commit."""
    for _ in range(12):
        now = climb(now)
    assert now.state is S.COMMITTED
    return now


def committed_again() -> Record:
    """Ordered off b at epoch 1, and back on it by a second attempt."""
    left = advance(at(S.COMMITTED, ON_B, "b"), events.Told(desired(rollback=order("b"))))
    back = advance(left, events.TargetRunning())
    assert back.slots.committed == A
    again = desired(assignment("b", attempt=2), generation=2, rollback=order("b"))
    now = advance(back, events.Told(again))
    assert now.state is S.ASSIGNED
    now = climbed(now)
    assert now.slots.committed == B
    return now


def test_order_is_carried_out_once() -> None:
    """An order that stays, or goes and comes again, does not undo what was ordered after it."""
    now = committed_again()
    gone = advance(now, events.Told(desired(assignment("b", attempt=2), generation=3)))
    still = desired(assignment("b", attempt=2), generation=4, rollback=order("b"))
    after = advance(gone, events.Told(still))
    assert (after.state, after.slots) == (now.state, now.slots)


def test_the_same_release_is_ordered_back_twice() -> None:
    """A second order to leave the same release has a higher epoch, and is carried out too."""
    second = desired(generation=3, epoch=2, rollback=order("b", epoch=2))
    after = advance(committed_again(), events.Told(second))
    assert (after.state, after.slots.committed) == (S.ROLLING_BACK, A)
    assert advance(after, events.Told(second)) == after


def test_orders_of_several_releases_are_remembered() -> None:
    """An order about another release between them does not make the first one new."""
    now = advance(committed_again(), events.Told(desired(generation=3, rollback=order("c"))))
    still = desired(assignment("b", attempt=2), generation=4, rollback=order("b"))
    assert advance(now, events.Told(still)).slots.committed == B


def test_rotten_bytes_bar_no_attempt() -> None:
    """What rotted is downloaded anew in the very same attempt, candidate or committed."""
    for before, name in ((at(S.TRIAL, TRYING_C), "c"), (at(S.COMMITTED, ON_B, "b"), "b")):
        lost = advance(before, events.EntryLost(digest(name), "rotten"))
        back = advance(lost, events.TargetRunning())
        assert (back.state, back.slots.bad) == (S.ROLLED_BACK, {})
        again = advance(back, events.Told(desired(assignment(name))))
        assert again.state is S.ASSIGNED


def test_out_of_fail_safe() -> None:
    """With nothing left to load, the lost version is repaired, or a new one begins anew."""
    lost = advance(record(ON_A), events.EntryLost(A, "rotten"))
    assert lost.fail_safe
    repaired = advance(lost, events.Told(desired(assignment("a"))))
    repaired = climbed(repaired)
    assert (repaired.fail_safe, repaired.slots) == (False, ON_A)
    other = advance(lost, events.Told(desired(assignment("c"))))
    other = climbed(other)
    assert (other.fail_safe, other.slots) == (False, Slots(golden=C, committed=C))


def test_a_trial_goes_on_where_it_was() -> None:
    """What a candidate has done is not forgotten by a restart, its errors included."""
    done = Progress(scored=400, errors=3, elapsed_s=120.0)
    tried = advance(at(S.TRIAL, TRYING_C), events.Tried(done))
    again = climb(advance(tried, events.Restarted(Cause.POWER)))
    assert again.state is S.TRIAL
    assert again.attempt is not None
    assert again.attempt.progress == done


STRIKES = {
    "a crash beside a model that is smoked is a strike": (S.VERIFIED, Cause.PROCESS, 1),
    "a watchdog beside a model that looks on is a strike": (S.STAGED, Cause.WATCHDOG, 1),
    "a power cut is none": (S.STAGED, Cause.POWER, 0),
    "being told to stop is none": (S.VERIFIED, Cause.ORDERLY, 0),
    "a crash while bytes arrive is none": (S.DOWNLOADING, Cause.PROCESS, 0),
}


@pytest.mark.parametrize("name", STRIKES)
def test_strikes(name: str) -> None:
    """A model that brings the gateway down before it ever decides does so only so often."""
    state, cause, strikes = STRIKES[name]
    now = at(state)
    for number in range(1, STRIKES_MAX + 1):
        now = advance(now, events.Restarted(cause))
        assert now.attempt is not None
        assert now.attempt.strikes == strikes * number
    ended = S.FAILED_NO_CHANGE if strikes else state
    assert now.state is ended


def test_results_wait_for_the_site() -> None:
    """Each ended attempt is kept until the site has it; what is in the air is told first."""
    first = advance(at(S.STAGED), events.Told(desired(assignment("b"), generation=2)))
    assert [each.outcome for each in first.untold] == [Outcome.CANCELLED, Outcome.ALREADY]
    assert first.told_next == first.untold[0]
    second = advance(first, events.Reported((C, 1), Outcome.CANCELLED))
    assert second.told_next == second.untold[0] == second.attempt
    flying = advance(second, events.OrderedBack(order("b")))
    assert flying.told_next == flying.attempt
    landed = advance(flying, events.TargetRunning())
    assert [each.outcome for each in landed.untold] == [Outcome.FAILED_ROLLED_BACK]
    other = advance(landed, events.Reported((B, 1), Outcome.ALREADY))
    assert other == landed


ENDS: dict[UpdateState, frozenset[Outcome]] = {
    S.COMMITTED: frozenset({Outcome.SUCCEEDED, Outcome.ALREADY}),
    S.FAILED_NO_CHANGE: frozenset({Outcome.FAILED_NO_CHANGE}),
    S.ROLLED_BACK: frozenset({Outcome.FAILED_ROLLED_BACK}),
    S.ROLLBACK_FAILED: frozenset({Outcome.FAILED_ROLLBACK}),
    S.FAIL_SAFE: frozenset({Outcome.FAILED_ROLLBACK}),
    S.CANCELLED: frozenset({Outcome.CANCELLED, Outcome.NEVER_STARTED}),
}


names = st.sampled_from("abc")
numbers = st.integers(1, 3)
told_any = st.builds(
    lambda name, attempt, number, generation, epoch, back: events.Told(
        desired(
            None if name is None else assignment(name, attempt, number),
            generation,
            epoch,
            rollback=None if back is None else order(back, epoch),
        )
    ),
    st.none() | names,
    numbers,
    numbers,
    numbers,
    numbers,
    st.none() | names,
)
any_event: st.SearchStrategy[Event] = st.one_of(
    told_any,
    st.builds(events.Restarted, st.sampled_from(Cause)),
    st.builds(events.DownloadStarted),
    st.builds(events.Refused, st.just("veto"), st.just("reason"), st.booleans()),
    st.builds(lambda name: events.Verified(entry(name)), names),
    st.builds(events.Staged),
    st.builds(events.PermitAsked),
    st.builds(events.PermitDenied),
    st.builds(events.PermitGranted, numbers),
    st.builds(events.Stopped),
    st.builds(lambda name: events.Reported((digest(name), 1), Outcome.FAILED_ROLLED_BACK), names),
    st.builds(lambda name: events.TargetLost(digest(name), "died"), names),
    st.builds(
        lambda scored: events.Tried(Progress(scored=scored, elapsed_s=float(scored))), numbers
    ),
    st.builds(lambda name: events.Loaded(digest(name)), names),
    st.builds(events.TrialPassed),
    st.builds(events.TrialFailed, st.just("veto"), st.just("reason")),
    st.builds(lambda name: events.OrderedBack(order(name), local=True), names),
    st.builds(events.TargetRunning),
    st.builds(lambda each: events.Collected(frozenset(map(digest, each))), st.lists(names)),
)
# Towards a commit, so that random orders of events get anywhere.
CLIMB: tuple[type[Event], ...] = (
    events.DownloadStarted,
    events.Staged,
    events.PermitAsked,
    events.TrialPassed,
    events.TargetRunning,
)


def climb(before: Record) -> Record:
    """One step that the agent would take by itself."""
    attempt = before.attempt
    if attempt is None:
        return before
    if attempt.state is S.DOWNLOADING:
        name = next(each for each in "abc" if digest(each) == attempt.digest)
        return advance(before, events.Verified(entry(name)))
    if attempt.state is S.AWAITING_PERMIT:
        return advance(before, events.PermitGranted(before.epoch_seen))
    if attempt.state is S.ACTIVATING:
        return advance(before, events.Loaded(attempt.digest))
    for kind in CLIMB:
        after = advance(before, kind())  # type: ignore[call-arg]  # these take no arguments
        if after != before:
            return after
    return before


def judge(before: Record, event: object, after: Record) -> None:
    """What must hold between any two records."""
    slots = after.slots
    assert after.generation_seen >= before.generation_seen  # S18
    assert after.epoch_seen >= before.epoch_seen
    runs = None if after.fail_safe else slots.effective
    assert runs is None or runs in after.verified  # S1
    attempt = after.attempt
    assert attempt is None or attempt.outcome in ENDS.get(attempt.state, {Outcome.OPEN})
    if slots.committed is not None and slots.committed != slots.golden:
        assert rollback_target(slots, after.verified) is not None  # S3
    if before.slots.committed != slots.committed:
        commits = isinstance(event, events.TrialPassed)
        lost = isinstance(event, events.TargetLost)
        backs = lost or isinstance(event, events.OrderedBack | events.Told)
        assert commits or backs  # S2 and S6
    assert slots.refunds <= REFUNDS_MAX  # S5
    assert (slots.candidate is not None) == (after.state in {S.ACTIVATING, S.TRIAL})
    if slots.candidate is not None:
        assert after.attempt is not None
        assert after.attempt.digest == slots.candidate


@settings(max_examples=300, deadline=None)
@given(st.lists(st.none() | any_event, max_size=40))
def test_any_order(sequence: list[Event | None]) -> None:
    """Whatever comes in whatever order, the invariants hold and no event is out of place."""
    now = record(ON_A)
    for event in sequence:
        after = climb(now) if event is None else advance(now, event)
        if event is not None:
            judge(now, event, after)
        now = after


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | any_event, max_size=30), told_any)
def test_told_twice(sequence: list[Event | None], heard: events.Told) -> None:
    """Hearing the same desired state twice is hearing it once."""
    now = record(ON_A)
    for event in sequence:
        now = climb(now) if event is None else advance(now, event)
    once = advance(now, heard)
    assert advance(once, heard) == once
