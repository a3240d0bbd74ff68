"""The update machine to the last field: what an event changes in the record, what it leaves."""

from typing import Any

import msgspec
import pytest

from edge_core.contracts.gateway import Assignment, Outcome, TrialPolicy, UpdateState
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance, trial_policy
from edge_runtime.update.record import RAN_MAX, Attempt, Record
from edge_runtime.update.references import Cause, Slots
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
    release,
)

S = UpdateState
WANTS_C = desired(assignment("c"))
MARK = {C: 1}


def became(before: Record, attempt: dict[str, Any] | None = None, **changes: Any) -> Record:
    """The same record with *changes*, and its attempt with those of *attempt*."""
    if attempt is not None:
        assert before.attempt is not None
        changes["attempt"] = msgspec.structs.replace(before.attempt, **attempt)
    return msgspec.structs.replace(before, **changes)


NO_C = record(ON_B, Attempt(assignment=assignment("c"), state=S.DOWNLOADING), entries={})
PROMISING = at(S.AWAITING_PERMIT, msgspec.structs.replace(ON_B, bad={C: 0}))
UNVERIFIED = msgspec.structs.replace(at(S.AWAITING_PERMIT), entries={A: entry("a"), B: entry("b")})
LATER = msgspec.structs.replace(assignment("c"), trial=TrialPolicy(tries=7))
LOADABLE = at(S.ACTIVATING, TRYING_C)

ROWS: dict[str, tuple[Record, Event, Record]] = {
    "a start is counted, and knows which kernel it is on": (
        at(S.STAGED, fail_safe=True),
        events.Restarted(Cause.POWER, "kernel-2"),
        became(at(S.STAGED), boot_epoch=1, kernel_boot="kernel-2"),
    ),
    "a start in a trial costs a try": (
        at(S.TRIAL, TRYING_C),
        events.Restarted(Cause.PROCESS, "k"),
        became(
            at(S.ACTIVATING, msgspec.structs.replace(TRYING_C, tries_left=0)),
            boot_epoch=1,
            kernel_boot="k",
        ),
    ),
    "a power cut in a trial costs a refund": (
        at(S.TRIAL, TRYING_C),
        events.Restarted(Cause.POWER, "k"),
        became(
            at(S.ACTIVATING, msgspec.structs.replace(TRYING_C, refunds=1)),
            boot_epoch=1,
            kernel_boot="k",
        ),
    ),
    "without tries the way back begins, and says why": (
        at(S.TRIAL, msgspec.structs.replace(TRYING_C, tries_left=0)),
        events.Restarted(Cause.WATCHDOG, "k"),
        became(
            at(S.TRIAL, msgspec.structs.replace(ON_B, bad={C: 1})),
            {
                "state": S.ROLLING_BACK,
                "veto": "tries",
                "reason": "every try to run the candidate ended in a restart",
            },
            boot_epoch=1,
            kernel_boot="k",
        ),
    ),
    "a start where a candidate should be and is none goes back": (
        at(S.ACTIVATING),
        events.Restarted(Cause.PROCESS, "k"),
        became(
            at(S.ROLLING_BACK),
            {"veto": "tries", "reason": "every try to run the candidate ended in a restart"},
            boot_epoch=1,
            kernel_boot="k",
        ),
    ),
    "an older plan changes nothing, even in a newer epoch": (
        at(S.STAGED, generation_seen=5),
        events.Told(desired(generation=4, epoch=2)),
        at(S.STAGED, generation_seen=5),
    ),
    "an older epoch changes nothing, even with a newer plan": (
        at(S.STAGED, epoch_seen=5),
        events.Told(desired(generation=9, epoch=4)),
        at(S.STAGED, epoch_seen=5),
    ),
    "what failed here is refused in the same attempt, and says in which": (
        record(msgspec.structs.replace(ON_B, bad={C: 1})),
        events.Told(WANTS_C),
        record(
            msgspec.structs.replace(ON_B, bad={C: 1}),
            Attempt(
                assignment=assignment("c"),
                state=S.FAILED_NO_CHANGE,
                outcome=Outcome.FAILED_NO_CHANGE,
                veto="known_bad",
                reason="c failed here in attempt 1; only a later attempt may try again",
            ),
            entries={A: entry("a"), B: entry("b")},
            desired=WANTS_C,
        ),
    ),
    "what the site wants is kept, for a start without a network": (
        record(ON_B),
        events.Told(msgspec.structs.replace(WANTS_C, generation=5, epoch=3)),
        record(
            ON_B,
            Attempt(assignment=assignment("c"), state=S.ASSIGNED),
            generation_seen=5,
            epoch_seen=3,
            desired=msgspec.structs.replace(WANTS_C, generation=5, epoch=3),
            entries={A: entry("a"), B: entry("b")},
        ),
    ),
    "an order that is gone is remembered: only a higher epoch orders the same again": (
        at(S.STAGED, orders_done=MARK),
        events.Told(WANTS_C),
        at(S.STAGED, orders_done=MARK, desired=WANTS_C),
    ),
    "an order that stays is remembered": (
        at(S.ROLLED_BACK, orders_done=MARK),
        events.Told(desired(assignment("c"), rollback=order("c"))),
        at(
            S.ROLLED_BACK,
            orders_done=MARK,
            desired=desired(assignment("c"), rollback=order("c")),
        ),
    ),
    "a withdrawal says who withdrew": (
        at(S.STAGED),
        events.Told(desired()),
        became(
            at(S.CANCELLED, desired=desired()),
            {"outcome": Outcome.CANCELLED, "reason": "withdrawn by the site"},
        ),
    ),
    "a plan may change how an attempt is tried, until it is": (
        at(S.STAGED),
        events.Told(desired(LATER)),
        became(at(S.STAGED, desired=desired(LATER)), {"assignment": LATER}),
    ),
    "a plan cannot change an attempt that is over": (
        at(S.FAILED_NO_CHANGE),
        events.Told(desired(LATER)),
        at(S.FAILED_NO_CHANGE, desired=desired(LATER)),
    ),
    "a download begins once": (
        at(S.ASSIGNED),
        events.DownloadStarted(),
        at(S.DOWNLOADING),
    ),
    "what was verified is in the store": (
        NO_C,
        events.Verified(entry("c")),
        became(NO_C, {"state": S.VERIFIED}, entries={C: entry("c")}),
    ),
    "what was verified comes to what was there": (
        became(at(S.DOWNLOADING), entries={A: entry("a"), B: entry("b")}),
        events.Verified(entry("c")),
        at(S.VERIFIED),
    ),
    "another release than the one that is wanted is not taken": (
        NO_C,
        events.Verified(entry("b")),
        NO_C,
    ),
    "a release that nobody downloads is not taken": (
        became(NO_C, {"state": S.ASSIGNED}),
        events.Verified(entry("c")),
        became(NO_C, {"state": S.ASSIGNED}),
    ),
    "a download that is over does not begin again": (
        at(S.STAGED),
        events.DownloadStarted(),
        at(S.STAGED),
    ),
    "a passed smoke test stages": (at(S.VERIFIED), events.Staged(), at(S.STAGED)),
    "a permit is asked for by what is staged": (
        at(S.STAGED),
        events.PermitAsked(),
        at(S.AWAITING_PERMIT),
    ),
    "a permit that is denied leaves it staged": (
        at(S.AWAITING_PERMIT),
        events.PermitDenied(),
        at(S.STAGED),
    ),
    "a permit makes the candidate, pays for its first load, and its epoch is seen": (
        PROMISING,
        events.PermitGranted(4),
        at(
            S.ACTIVATING,
            TRYING_C,
            epoch_seen=4,
        ),
    ),
    "a permit for what is not verified any more ends the attempt": (
        UNVERIFIED,
        events.PermitGranted(4),
        became(
            UNVERIFIED,
            {
                "state": S.FAILED_NO_CHANGE,
                "outcome": Outcome.FAILED_NO_CHANGE,
                "veto": "activation",
                "reason": "not verified",
            },
            epoch_seen=4,
        ),
    ),
    "the candidate is loaded: the trial begins": (
        LOADABLE,
        events.Loaded(C),
        at(S.TRIAL, TRYING_C),
    ),
    "another model that is loaded begins no trial": (LOADABLE, events.Loaded(B), LOADABLE),
    "a passed trial commits, and remembers what ran": (
        at(S.TRIAL, TRYING_C, ran=[C, A], floors={"pump": 9, "fan": 2}),
        events.TrialPassed(),
        became(
            at(
                S.COMMITTED,
                Slots(golden=A, previous_good=B, committed=C),
                ran=[A, B, C],
                floors={"pump": 9, "fan": 2},
            ),
            {"outcome": Outcome.SUCCEEDED},
        ),
    ),
    "a trial that nobody is in cannot pass": (LOADABLE, events.TrialPassed(), LOADABLE),
    "a refusal bars the attempt if it is the model's fault": (
        at(S.VERIFIED),
        events.Refused("smoke", "other values", bars=True),
        became(
            at(S.FAILED_NO_CHANGE, msgspec.structs.replace(ON_B, bad={C: 1})),
            {"outcome": Outcome.FAILED_NO_CHANGE, "veto": "smoke", "reason": "other values"},
        ),
    ),
    "a refusal for want of room bars nothing": (
        at(S.DOWNLOADING),
        events.Refused("space", "no room"),
        became(
            at(S.FAILED_NO_CHANGE),
            {"outcome": Outcome.FAILED_NO_CHANGE, "veto": "space", "reason": "no room"},
        ),
    ),
    "what is collected is gone, unless it is referenced": (
        became(at(S.CANCELLED), entries={A: entry("a"), B: entry("b"), C: entry("c")}),
        events.Collected(frozenset({A, B, C})),
        became(at(S.CANCELLED), entries={A: entry("a"), B: entry("b")}),
    ),
    "a failed trial drops the candidate and bars it": (
        at(S.TRIAL, TRYING_C),
        events.TrialFailed("errors", "too many"),
        became(
            at(S.ROLLING_BACK, msgspec.structs.replace(ON_B, bad={C: 1})),
            {"veto": "errors", "reason": "too many"},
        ),
    ),
    "what failed in its third attempt is barred up to the third": (
        record(TRYING_C, Attempt(assignment=assignment("c", attempt=3), state=S.TRIAL)),
        events.TrialFailed("errors", "too many"),
        record(
            msgspec.structs.replace(ON_B, bad={C: 3}),
            Attempt(
                assignment=assignment("c", attempt=3),
                state=S.ROLLING_BACK,
                veto="errors",
                reason="too many",
            ),
            entries={A: entry("a"), B: entry("b"), C: entry("c")},
        ),
    ),
    "an order without anywhere to go says so, and that it still runs": (
        record(ON_A, Attempt(assignment=assignment("a"), state=S.COMMITTED)),
        events.OrderedBack(order("a")),
        record(
            ON_A,
            Attempt(
                assignment=assignment("a"),
                state=S.ROLLBACK_FAILED,
                outcome=Outcome.FAILED_ROLLBACK,
                veto="no_target",
                reason="no other verified version on this gateway; "
                "still running (ordered: a person said so)",
            ),
            orders_done={A: 1},
        ),
    ),
    "an order against a version nobody tried bars it": (
        record(ON_B),
        events.OrderedBack(order("c")),
        record(msgspec.structs.replace(ON_B, bad={C: 1}), orders_done=MARK),
    ),
    "an order against a version nobody remembers installing": (
        record(ON_B, entries={A: entry("a")}),
        events.OrderedBack(order("b")),
        record(
            Slots(golden=A, committed=A, bad={B: 1}),
            orders_done={B: 1},
        ),
    ),
    "an order against the candidate drops it, and is done": (
        at(S.TRIAL, TRYING_C),
        events.OrderedBack(order("c", epoch=3)),
        became(
            at(S.ROLLING_BACK, msgspec.structs.replace(ON_B, bad={C: 1})),
            {"veto": "ordered", "reason": "a person said so"},
            epoch_seen=3,
            orders_done={C: 3},
        ),
    ),
    "an order on the spot is not the site's, and leaves no mark": (
        at(S.TRIAL, TRYING_C),
        events.OrderedBack(order("c"), local=True),
        became(
            at(S.ROLLING_BACK, msgspec.structs.replace(ON_B, bad={C: 1})),
            {"veto": "ordered", "reason": "a person said so"},
        ),
    ),
    "an order that was carried out does nothing": (
        at(S.TRIAL, TRYING_C, orders_done=MARK),
        events.OrderedBack(order("c")),
        at(S.TRIAL, TRYING_C, orders_done=MARK),
    ),
    "an order against what is committed drops the candidate too": (
        at(S.TRIAL, TRYING_C),
        events.OrderedBack(order("b")),
        record(
            Slots(golden=A, committed=A, bad={C: 1, B: 1}),
            Attempt(
                assignment=msgspec.structs.replace(
                    assignment("b", activate=False, trial=TrialPolicy()), rollout=""
                ),
                state=S.ROLLING_BACK,
                veto="ordered",
                reason="a person said so",
            ),
            entries={A: entry("a"), B: entry("b"), C: entry("c")},
            orders_done={B: 1},
        ),
    ),
    "an order against what does not run bars it, up to what is planned": (
        at(S.STAGED, desired=desired(assignment("c", attempt=3))),
        events.OrderedBack(order("c")),
        became(
            at(
                S.CANCELLED,
                msgspec.structs.replace(ON_B, bad={C: 3}),
                desired=desired(assignment("c", attempt=3)),
            ),
            {
                "outcome": Outcome.NEVER_STARTED,
                "veto": "ordered",
                "reason": "a person said so",
            },
            orders_done=MARK,
        ),
    ),
    "an order against a stranger bars it and stops nothing": (
        at(S.STAGED),
        events.OrderedBack(order("z")),
        became(
            at(S.STAGED, msgspec.structs.replace(ON_B, bad={digest("z"): 1})),
            orders_done={digest("z"): 1},
        ),
    ),
    "the way back is complete when its target runs": (
        at(S.ROLLING_BACK),
        events.TargetRunning(),
        became(at(S.ROLLED_BACK), {"outcome": Outcome.FAILED_ROLLED_BACK}),
    ),
    "a model that runs while nothing goes back is no news": (
        at(S.COMMITTED),
        events.TargetRunning(),
        at(S.COMMITTED),
    ),
    "rotten bytes are forgotten and the version is not blamed": (
        at(S.STAGED),
        events.EntryLost(B, "rotten"),
        record(
            Slots(golden=A, committed=A),
            Attempt(
                assignment=msgspec.structs.replace(
                    assignment("b", activate=False, trial=TrialPolicy()), rollout=""
                ),
                state=S.ROLLING_BACK,
                veto="integrity",
                reason="rotten",
            ),
            entries={A: entry("a"), C: entry("c")},
        ),
    ),
    "rotten bytes of the candidate end its trial": (
        at(S.TRIAL, TRYING_C),
        events.EntryLost(C, "rotten"),
        became(
            at(S.ROLLING_BACK, ON_B),
            {"veto": "integrity", "reason": "rotten"},
            entries={A: entry("a"), B: entry("b")},
        ),
    ),
    "rotten bytes of what is staged end the attempt": (
        at(S.STAGED),
        events.EntryLost(C, "rotten"),
        became(
            at(S.FAILED_NO_CHANGE),
            {"outcome": Outcome.FAILED_NO_CHANGE, "veto": "integrity", "reason": "rotten"},
            entries={A: entry("a"), B: entry("b")},
        ),
    ),
    "rotten bytes of what nobody uses are only forgotten": (
        at(S.CANCELLED),
        events.EntryLost(C, "rotten"),
        became(at(S.CANCELLED), entries={A: entry("a"), B: entry("b")}),
    ),
    "rotten bytes under a trial leave the trial alone": (
        at(S.TRIAL, TRYING_C),
        events.EntryLost(B, "rotten"),
        became(at(S.TRIAL, TRYING_C), entries={A: entry("a"), C: entry("c")}),
    ),
    "rotten bytes with nothing else to run: the safe output": (
        record(ON_A, Attempt(assignment=assignment("a"), state=S.COMMITTED)),
        events.EntryLost(A, "rotten"),
        record(
            ON_A,
            Attempt(
                assignment=assignment("a"),
                state=S.FAIL_SAFE,
                outcome=Outcome.FAILED_ROLLBACK,
                veto="integrity",
                reason="rotten",
            ),
            entries={},
            fail_safe=True,
        ),
    ),
}


def key_of(now: Record) -> tuple[str, int] | None:
    """Which attempt it is."""
    return None if now.attempt is None else now.attempt.key


def outcome_of(now: Record) -> Outcome:
    """How its attempt ended."""
    return Outcome.OPEN if now.attempt is None else now.attempt.outcome


@pytest.mark.parametrize("name", ROWS)
def test_record(name: str) -> None:
    """The whole record after one event: nothing else has changed."""
    before, event, expected = ROWS[name]
    after = advance(before, event)
    assert msgspec.structs.replace(after, untold=[]) == expected
    replaced = before.attempt is not None and key_of(before) != key_of(after)
    dropped = [key_of(before)] if replaced else []
    ended = outcome_of(after) is not Outcome.OPEN and after.attempt != before.attempt
    assert [each.key for each in after.untold] == dropped + ([key_of(after)] if ended else [])
    assert all(each.outcome is not Outcome.OPEN for each in after.untold)


DROPPED: dict[str, tuple[UpdateState, Outcome, str | None, str]] = {
    "rotten bytes are forgotten and the version is not blamed": (
        S.CANCELLED,
        Outcome.CANCELLED,
        None,
        "what runs was lost: rotten",
    ),
    "an order against what is committed drops the candidate too": (
        S.ROLLED_BACK,
        Outcome.FAILED_ROLLED_BACK,
        "ordered",
        "dropped with what it stood on: a person said so",
    ),
}


@pytest.mark.parametrize("name", DROPPED)
def test_dropped(name: str) -> None:
    """How the attempt ends that another one takes the place of, in the row of that name."""
    before, event, _ = ROWS[name]
    [told] = advance(before, event).untold
    assert (told.state, told.outcome, told.veto, told.reason) == DROPPED[name]


FLOORS: dict[str, tuple[dict[str, int], Assignment, str | None]] = {
    "the newest that ran is the floor, and lies on it": (
        {"pump": 5},
        assignment("c", number=5),
        None,
    ),
    "one below it is refused": ({"pump": 5}, assignment("c", number=4), "below_floor"),
    "one far below it that ran here itself is not": ({"pump": 5}, assignment("a"), None),
    "the floor of another model does not count": ({"fan": 5}, assignment("c", number=4), None),
    "without a floor the first release will do": ({}, assignment("c", number=0), None),
}


@pytest.mark.parametrize("name", FLOORS)
def test_floor(name: str) -> None:
    """How low a release may be that never ran here."""
    floors, wanted, veto = FLOORS[name]
    after = advance(record(ON_B, floors=floors, ran=[A]), events.Told(desired(wanted)))
    assert after.attempt is not None
    state = S.FAILED_NO_CHANGE if veto else S.ASSIGNED
    assert (after.state, after.attempt.veto) == (state, veto)


def test_so_many_versions_are_remembered() -> None:
    """The latest that ran may come back below the floor; the oldest are forgotten."""
    ran = [digest(f"old {number}") for number in range(RAN_MAX)]
    after = advance(at(S.TRIAL, TRYING_C, ran=ran), events.TrialPassed())
    assert after.ran == [*ran[3:], A, B, C]


def test_trial_policy() -> None:
    """A trial is as its plan says; the usual one where there is no attempt."""
    planned = record(ON_B, Attempt(assignment=LATER, state=S.STAGED))
    assert trial_policy(planned) == TrialPolicy(tries=7)
    assert trial_policy(record(ON_B)) == TrialPolicy()


def test_a_reason_is_never_longer_than_a_report_may_carry() -> None:
    """Five hundred characters of it are kept, and no new reason leaves the old one."""
    wordy = advance(at(S.DOWNLOADING), events.Refused("space", "x" * 600))
    assert wordy.attempt is not None
    assert wordy.attempt.reason == "x" * 500


def test_report() -> None:
    """What the site hears of an attempt; no time is negative."""
    attempt = Attempt(
        assignment=assignment("c", attempt=2),
        state=S.FAILED_NO_CHANGE,
        outcome=Outcome.FAILED_NO_CHANGE,
        veto="space",
        reason="no room",
    )
    report = attempt.report(-1.0)
    assert (report.digest, report.attempt) == (release("c").digest, 2)
    assert (report.state, report.outcome) == (attempt.state, attempt.outcome)
    assert (report.veto, report.reason, report.since_s) == ("space", "no room", 0.0)
    assert attempt.report(7.5).since_s == 7.5
