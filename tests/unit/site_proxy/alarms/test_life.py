"""One alarm's life: every state, what moves it, and what never happens to it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_core.contracts.errors import ConflictError
from edge_site_proxy.alarms import life
from edge_site_proxy.alarms.catalogue import NONE, Delays
from tests.unit.site_proxy.alarms.made import NOW, alarm

S = AlarmState
LATER = NOW + timedelta(hours=1)
SOON = Delays(on=timedelta(seconds=30), off=timedelta(seconds=60))


def made(state: AlarmState, **more: object) -> AlarmView:
    """An alarm in *state*, as it would have come there."""
    gone = {S.RETURNED_UNACK, S.LATCHED_UNACK, S.LATCHED_ACKED, S.CLEARED}
    latched = {S.LATCHED_UNACK, S.LATCHED_ACKED}
    plain: dict[str, object] = {"active": state not in gone, "latches": state in latched}
    if state is S.SHELVED:
        plain["until"] = LATER
    if state is S.SUPPRESSED:
        plain["suppressed_by"] = "maintenance of L1"
    return replace(alarm(state), **(plain | more))


VERBS: dict[str, Callable[[AlarmView], AlarmView]] = {
    "came": lambda each: life.came(each, each.priority, LATER),
    "graver": lambda each: life.came(each, Priority.P1, LATER),
    "went": lambda each: life.went(each, NONE, LATER),
    "acked": lambda each: life.acked(each, "ana", "seen", LATER),
    "shelved": lambda each: life.shelved(each, "ana", "later", LATER, LATER),
    "unshelved": lambda each: life.unshelved(each, "ana", "done", LATER),
    "suppressed": lambda each: life.suppressed(each, "site offline", LATER),
    "retired": lambda each: life.retired(each, "ana", "broken sensor", LATER),
    "restored": lambda each: life.restored(each, "ana", "mended", LATER),
    "reset": lambda each: life.reset(each, "ana", "dealt with", LATER),
}
WHY = {
    "acked": "seen",
    "shelved": "later",
    "unshelved": "done",
    "retired": "broken sensor",
    "restored": "mended",
    "reset": "dealt with",
}
OVER = {S.RETURNED_UNACK, S.LATCHED_UNACK, S.LATCHED_ACKED, S.CLEARED}
GONE: dict[str, object] = {"active": False}
LATCHES: dict[str, object] = {"latches": True}
HAND: dict[str, object] = {"by_hand": True}
Row = tuple[AlarmState, str, AlarmState] | tuple[AlarmState, str, AlarmState, dict[str, object]]
TURNS: dict[str, Row] = {
    "its cause goes while nobody has looked": (S.UNACK, "went", S.RETURNED_UNACK),
    "its cause goes after somebody looked": (S.ACKED, "went", S.CLEARED),
    "it latches and its cause goes unseen": (S.UNACK, "went", S.LATCHED_UNACK, LATCHES),
    "it latches and its cause goes seen": (S.ACKED, "went", S.LATCHED_ACKED, LATCHES),
    "its cause goes on the shelf, which stays": (S.SHELVED, "went", S.SHELVED),
    "its cause goes while suppressed": (S.SUPPRESSED, "went", S.SUPPRESSED),
    "its cause goes while out of service": (S.OUT_OF_SERVICE, "went", S.OUT_OF_SERVICE),
    "its cause was gone before it was an alarm": (S.PENDING, "went", S.CLEARED),
    "it comes back before anybody looked": (S.RETURNED_UNACK, "came", S.UNACK),
    "it comes back while latched": (S.LATCHED_UNACK, "came", S.UNACK),
    "it comes back while latched and seen": (S.LATCHED_ACKED, "came", S.UNACK),
    "it comes again while it stands": (S.ACKED, "came", S.ACKED),
    "it comes again before it is an alarm": (S.PENDING, "came", S.PENDING),
    "it comes back on the shelf: a shelf is for what chatters": (
        S.SHELVED,
        "came",
        S.SHELVED,
        GONE,
    ),
    "it comes back out of service": (S.OUT_OF_SERVICE, "came", S.OUT_OF_SERVICE, GONE),
    "it becomes graver after it was seen": (S.ACKED, "graver", S.UNACK),
    "it becomes graver on the shelf": (S.SHELVED, "graver", S.SHELVED),
    "somebody looks": (S.UNACK, "acked", S.ACKED),
    "a second person looks": (S.ACKED, "acked", S.ACKED),
    "somebody looks after it went": (S.RETURNED_UNACK, "acked", S.CLEARED),
    "somebody looks at one that latched": (S.LATCHED_UNACK, "acked", S.LATCHED_ACKED),
    "somebody puts it aside": (S.UNACK, "shelved", S.SHELVED),
    "somebody puts it aside for longer": (S.SHELVED, "shelved", S.SHELVED),
    "somebody takes it from the shelf": (S.SHELVED, "unshelved", S.UNACK),
    "somebody takes it from the shelf, its cause gone": (S.SHELVED, "unshelved", S.CLEARED, GONE),
    "one that latches comes from the shelf, its cause gone": (
        S.SHELVED,
        "unshelved",
        S.LATCHED_UNACK,
        GONE | LATCHES,
    ),
    "the site's rule keeps it quiet": (S.ACKED, "suppressed", S.SUPPRESSED),
    "its sensor is broken for good": (S.SHELVED, "retired", S.OUT_OF_SERVICE),
    "its sensor is mended": (S.OUT_OF_SERVICE, "restored", S.UNACK),
    "its sensor is mended, its cause gone": (S.OUT_OF_SERVICE, "restored", S.CLEARED, GONE),
    "one that latched was dealt with": (S.LATCHED_ACKED, "reset", S.CLEARED),
    "one that nothing else can end was dealt with": (S.ACKED, "reset", S.CLEARED, HAND),
}


@pytest.mark.parametrize("row", TURNS.values(), ids=TURNS.keys())
def test_turns(row: Row) -> None:
    """Each state and what moves it; who, why and when are written down with it."""
    state, verb, expected, *more = row
    before = made(state, **(more[0] if more else {}))
    after = VERBS[verb](before)
    assert after.state is expected
    if expected is not state:
        assert after.changed == LATER
    if expected in {S.UNACK, S.ACKED}:
        assert after.active is True
    if expected in OVER:
        assert after.active is False
    if after is not before and verb in WHY:
        assert (after.who, after.why) == ("ana", WHY[verb])
    if verb == "graver":
        assert after.priority is Priority.P1
    if verb == "suppressed":
        assert after.suppressed_by == "site offline"


REFUSED = {
    "what is cleared is not acknowledged": (S.CLEARED, "acked", "was cleared at"),
    "what is cleared is not shelved": (S.CLEARED, "shelved", "was cleared at"),
    "what is not raised yet is not acknowledged": (S.PENDING, "acked", "not raised yet"),
    "what nobody sees is not acknowledged": (S.SHELVED, "acked", "it is shelved to 01:00"),
    "what is suppressed is not acknowledged": (S.SUPPRESSED, "acked", "by maintenance of L1"),
    "what is suppressed is not shelved": (S.SUPPRESSED, "shelved", "it is suppressed"),
    "what is out of service is not shelved": (S.OUT_OF_SERVICE, "shelved", "it is out of"),
    "what stands is not on the shelf": (S.UNACK, "unshelved", "expected one shelved"),
    "what stands is in service": (S.ACKED, "restored", "expected one out of service"),
    "what is cleared is not taken out of service": (S.CLEARED, "retired", "was cleared at"),
    "what stands is not reset": (S.ACKED, "reset", "whose cause is gone"),
    "what latched unseen is not reset": (S.LATCHED_UNACK, "reset", "acknowledged and whose"),
    "what is cleared is not reset": (S.CLEARED, "reset", "was cleared at"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_refused(row: tuple[AlarmState, str, str]) -> None:
    """An order that makes no sense says what it found."""
    state, verb, words = row
    with pytest.raises(ConflictError, match=words):
        VERBS[verb](made(state))


def after(seconds: float) -> datetime:
    """That long after NOW."""
    return NOW + timedelta(seconds=seconds)


SAID = {S.PENDING: "raised", S.SHELVED: "unshelved", S.SUPPRESSED: "released"}
SHIFT = life.REALARM.total_seconds()
ACKED: dict[str, object] = {"acked": NOW}
DUE: dict[str, tuple[AlarmView, float, str, AlarmState | None]] = {
    "its on-delay is not over": (made(S.PENDING), 29.9, "", None),
    "its on-delay is over": (made(S.PENDING), 30, "", S.UNACK),
    "its off-delay is not over": (made(S.UNACK, gone=NOW), 59.9, "", None),
    "its off-delay is over": (made(S.UNACK, gone=NOW), 60, "", S.RETURNED_UNACK),
    "its off-delay is over and it was seen": (made(S.ACKED, gone=NOW), 60, "", S.CLEARED),
    "its off-delay is over on the shelf": (made(S.SHELVED, gone=NOW), 60, "", S.SHELVED),
    "its time on the shelf is not over": (made(S.SHELVED), 3599, "", None),
    "its time on the shelf is over": (made(S.SHELVED), 3600, "", S.UNACK),
    "its time on the shelf is over, its cause gone": (
        made(S.SHELVED, active=False),
        3600,
        "",
        S.CLEARED,
    ),
    "a rule keeps it quiet": (made(S.UNACK), 0, "site offline", S.SUPPRESSED),
    "a rule keeps quiet what was seen": (made(S.ACKED), 0, "site offline", S.SUPPRESSED),
    "a rule keeps quiet what returned": (made(S.RETURNED_UNACK), 0, "x", S.SUPPRESSED),
    "a rule leaves the shelf alone": (made(S.SHELVED), 0, "site offline", None),
    "a rule leaves alone what latched": (made(S.LATCHED_UNACK), 0, "site offline", None),
    "the rule still holds": (made(S.SUPPRESSED), 9999, "site offline", None),
    "the rule holds no longer": (made(S.SUPPRESSED), 0, "", S.UNACK),
    "the rule holds no longer, its cause gone": (
        made(S.SUPPRESSED, active=False),
        0,
        "",
        S.CLEARED,
    ),
    "out of service nothing happens": (made(S.OUT_OF_SERVICE), 1e6, "", None),
    "seen, and the shift is not over": (made(S.ACKED, **ACKED), SHIFT - 1, "", None),
    "seen by the last shift, not by this one": (made(S.ACKED, **ACKED), SHIFT, "", S.UNACK),
    "what is done by day is not asked for again": (
        made(S.ACKED, priority=Priority.P3, **ACKED),
        SHIFT,
        "",
        None,
    ),
    "unseen it waits as long as it takes": (made(S.UNACK), 1e6, "", None),
}


@pytest.mark.parametrize("row", DUE.values(), ids=DUE.keys())
def test_due(row: tuple[AlarmView, float, str, AlarmState | None]) -> None:
    """What an alarm does by itself, and when."""
    before, seconds, rule_, state = row
    before = replace(before, who="bob", why="was there")
    turn = life.due(before, SOON, rule_, after(seconds))
    assert (None if turn is None else turn.alarm.state) is state
    if turn is not None:
        by_itself = SAID.get(before.state, "realarmed")
        said = "suppressed" if state is S.SUPPRESSED else by_itself
        assert turn.verb == ("returned" if before.gone is not None else said)
        assert turn.alarm.suppressed_by == (rule_ if state is S.SUPPRESSED else "")
        assert (turn.alarm.who, turn.alarm.why) == ("bob", "was there")
        assert turn.alarm.active is (before.active and before.gone is None)
        assert turn.alarm.changed == (before.changed if state is before.state else after(seconds))


def test_a_flapping_cause_is_one_alarm() -> None:
    """Gone and back within the off-delay: the same alarm, seen as before, and counted."""
    seen = life.acked(made(S.UNACK), "ana", "seen", NOW)
    for second in range(0, 500, 50):
        gone = life.went(seen, SOON, after(second))
        assert (gone.state, gone.gone) == (S.ACKED, after(second))
        assert life.went(gone, SOON, after(second + 1)) is gone
        assert life.due(gone, SOON, "", after(second + 20)) is None
        seen = life.came(gone, gone.priority, after(second + 20))
        assert (seen.state, seen.gone) == (S.ACKED, None)
    assert seen.raises == 11


def test_written_down() -> None:
    """Who, when and why; how often it was put aside, and how often nobody answered."""
    seen = life.acked(made(S.UNACK), "ana", "contractor called", LATER)
    assert (seen.acked_by, seen.acked, seen.why) == ("ana", LATER, "contractor called")
    assert life.acked(seen, "bob", "me too", LATER) is seen
    twice = life.shelved(life.shelved(seen, "ana", "a", NOW, LATER), "bob", "b", NOW, LATER)
    assert (twice.shelves, twice.who, twice.why, twice.until) == (2, "bob", "b", LATER)
    again = life.due(seen, NONE, "", LATER + life.REALARM)
    assert again is not None
    assert (again.verb, again.alarm.realarms, again.alarm.acked) == ("realarmed", 1, None)
    passed = life.went(made(S.PENDING), SOON, LATER)
    assert (passed.state, passed.raises) == (S.CLEARED, 0)


ORDERS = ("acked", "shelved", "unshelved", "retired", "restored", "reset")


class Life(RuleBasedStateMachine):
    """Anybody does anything at any time; what must hold of one alarm holds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.alarm = alarm()
        self.cause = True
        self.quiet = ""

    @initialize(latches=st.booleans(), by_hand=st.booleans(), waits=st.booleans())
    def begin(self, *, latches: bool, by_hand: bool, waits: bool) -> None:
        """Any kind of alarm."""
        self.delays = SOON if waits else NONE
        state = S.PENDING if waits else S.UNACK
        self.alarm = alarm(state, latches=latches, by_hand=by_hand)

    @precondition(lambda self: self.alarm.state is not S.CLEARED)
    @rule(there=st.booleans())
    def happens(self, *, there: bool) -> None:
        """The cause comes or goes."""
        self.cause = there
        if there:
            self.alarm = life.came(self.alarm, self.alarm.priority, self.now)
        else:
            self.alarm = life.went(self.alarm, self.delays, self.now)

    @precondition(lambda self: self.alarm.state is not S.CLEARED)
    @rule(seconds=st.sampled_from([0, 29, 30, 61, 3600, 30_000]), quiet=st.booleans())
    def waits(self, *, seconds: int, quiet: bool) -> None:
        """Time passes; looks are taken until nothing is due."""
        self.now += timedelta(seconds=seconds)
        self.quiet = "maintenance of L1" if quiet else ""
        for _ in range(5):
            turn = life.due(self.alarm, self.delays, self.quiet, self.now)
            if turn is None:
                return
            self.alarm = turn.alarm
            if self.alarm.state is S.CLEARED:
                return
        raise AssertionError("looks never end")

    @rule(order=st.sampled_from(ORDERS))
    def told(self, *, order: str) -> None:
        """A person orders something, sensible or not."""
        before = self.alarm
        try:
            self.alarm = VERBS[order](before)
        except ConflictError:
            self.alarm = before

    @rule()
    def begins_anew(self) -> None:
        """A cleared alarm is over; its cause coming back makes another one."""
        if self.alarm.state is S.CLEARED:
            self.alarm = replace(self.alarm, state=S.UNACK, active=True, until=None)
            self.cause = True

    @invariant()
    def what_stands_is_there(self) -> None:
        """It stands only with its cause; returned, latched and cleared only without."""
        if self.alarm.state in {S.UNACK, S.ACKED}:
            assert self.alarm.active
        if self.alarm.state in {S.RETURNED_UNACK, S.LATCHED_UNACK, S.LATCHED_ACKED, S.CLEARED}:
            assert not self.alarm.active
        if self.cause and self.alarm.state is not S.CLEARED:
            assert self.alarm.active
            assert self.alarm.gone is None

    @invariant()
    def aside_is_said(self) -> None:
        """A shelf has its end, a rule its name, and nothing else has either."""
        assert (self.alarm.until is not None) == (self.alarm.state is S.SHELVED)
        assert (self.alarm.suppressed_by != "") == (self.alarm.state is S.SUPPRESSED)

    @invariant()
    def nothing_vanishes_unseen(self) -> None:
        """One that latches is never over before a person reset it."""
        if self.alarm.latches and self.alarm.state is S.CLEARED and self.alarm.raises:
            assert self.alarm.who is not None


TestLife = Life.TestCase
