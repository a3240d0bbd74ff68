"""The state tables as a Hypothesis machine over the real record on a disk that loses power.

Every event is made durable as the gateway does it, and the power may go at any step of that. The
promises bear the names of the specification: S1 to S7, and L1, L2 and L9.
"""

from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_core.contracts.gateway import Outcome, TrialPolicy, UpdateState
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance
from edge_runtime.update.record import AIRBORNE, Progress, Record
from edge_runtime.update.references import REFUNDS_MAX, Cause, Slots, barred, rollback_target
from edge_runtime.update.store import RecordStore
from tests.simulators.disk import CuttableDisk, PowerCutError
from tests.unit.runtime.update.made import (
    A,
    B,
    C,
    assignment,
    desired,
    digest,
    entry,
    order,
    record,
)
from tests.unit.runtime.update.test_machine import ENDS

FOLDER = Path("/data/record")
NUMBERS = {"a": 1, "b": 2, "c": 3}
NAMES = {A: "a", B: "b", C: "c"}
TRIES = 2
S = UpdateState
TRYING = frozenset({S.ACTIVATING, S.TRIAL})
names = st.sampled_from("abc")
attempts = st.integers(1, 2)


class Gateway(RuleBasedStateMachine):
    """One gateway, its disk, its site, and everybody who may pull a plug."""

    def __init__(self) -> None:
        """Before its first start."""
        super().__init__()
        self.disk = CuttableDisk()
        self.store = RecordStore(FOLDER, self.disk)
        self.loads = 0
        self.disturbed = False  # bytes rotted or a target did not load: S3 is out of our hands
        self.epoch = 1

    @property
    def now(self) -> Record:
        """What the gateway believes."""
        return self.store.record

    @initialize(new=st.booleans())
    def begin(self, *, new: bool) -> None:
        """A gateway that never ran, or one that runs its first version."""
        runs = record(Slots(golden=A, committed=A), floors={"pump": 1}, ran=[A])
        self.store.save(Record() if new else runs)

    # What happens.

    @rule(name=names, attempt=attempts)
    def assign(self, name: str, attempt: int) -> None:
        """The site wants a release."""
        trial = TrialPolicy(tries=TRIES)
        wanted = assignment(name, attempt, NUMBERS[name], trial=trial)
        self.happen(events.Told(desired(wanted, epoch=self.epoch)))

    @rule()
    def withdraw(self) -> None:
        """The site wants nothing."""
        self.happen(events.Told(desired(None, epoch=self.epoch)))

    @rule(name=names, again=st.booleans())
    def order_back(self, name: str, *, again: bool) -> None:
        """The site orders a release left, by the same order as before or by a new one."""
        self.epoch += int(not again)
        wanted = desired(None, epoch=self.epoch, rollback=order(name, self.epoch))
        self.happen(events.Told(wanted))

    @precondition(lambda self: self.now.slots.effective is not None)
    @rule()
    def order_by_hand(self) -> None:
        """A person at the gateway orders what runs left."""
        runs = self.now.slots.effective
        if runs is not None:
            said = order(NAMES[runs], self.now.epoch_seen)
            self.happen(events.OrderedBack(said, local=True))

    @rule(times=st.integers(1, 4))
    def go_on(self, times: int) -> None:
        """The agent does what is due, and it goes well."""
        for _ in range(times):
            self.happen(due(self.now))

    @rule(bars=st.booleans())
    def refuse(self, *, bars: bool) -> None:
        """What the agent tried did not go well before it changed anything."""
        self.happen(events.Refused("smoke" if bars else "space", "no", bars=bars))

    @rule()
    def deny(self) -> None:
        """The permit is denied, or ran out before it was used."""
        self.happen(events.PermitDenied())

    @rule(scored=st.integers(0, 9))
    def try_for_a_while(self, scored: int) -> None:
        """The trial has come so far."""
        self.happen(events.Tried(Progress(scored=scored)))

    @rule()
    def fail(self) -> None:
        """The candidate harms the line."""
        self.happen(events.TrialFailed("errors", "too many"))

    @rule(name=names)
    def rot(self, name: str) -> None:
        """Bytes on the disk go bad."""
        self.disturbed = True
        self.happen(events.EntryLost(digest(name), "rotten"))

    @precondition(lambda self: self.now.slots.committed is not None)
    @rule()
    def stumble(self) -> None:
        """What we went back to does not load."""
        target = self.now.slots.committed
        if target is not None:
            self.disturbed = True
            self.happen(events.TargetLost(target, "dies"))

    @rule(cause=st.sampled_from(Cause))
    def restart(self, cause: Cause) -> None:
        """The daemon ended somehow and starts again."""
        self.store = RecordStore(FOLDER, self.disk)
        self.happen(events.Restarted(cause, "kernel"))

    @rule(cut_after=st.integers(0, 2), cause=st.sampled_from([Cause.POWER, Cause.PROCESS]))
    def lose_power(self, cut_after: int, cause: Cause) -> None:
        """The power goes at some step of writing down what is due, and comes back."""
        next_ = advance(self.now, due(self.now))
        before = self.now
        self.disk = self.disk.reboot(cut_after)
        self.store = RecordStore(FOLDER, self.disk)
        try:
            if next_ != before:
                self.store.save(next_)
        except PowerCutError:
            self.disk = self.disk.reboot()
        else:
            self.disk = self.disk.reboot()
        self.store = RecordStore(FOLDER, self.disk)
        found = self.store.record
        assert plain(found) in (plain(before), plain(next_))  # the old record or the new one
        if found.slots.candidate is not None and before.slots.candidate is None:
            self.loads = 0  # activated, and not loaded yet
        self.happen(events.Restarted(cause, "kernel"))

    # What must hold from one record to the next, and at any instant.

    def happen(self, event: Event) -> None:
        """Make *event* durable, and judge what it did."""
        was = self.now
        now = advance(was, event)
        if now != was:
            now = self.store.save(now)
        told = isinstance(event, events.Told) and event.desired.rollback is not None
        ordered = told or isinstance(event, events.OrderedBack)
        lost = isinstance(event, events.EntryLost | events.TargetLost)
        granted = isinstance(event, events.PermitGranted)
        if now.slots.committed != was.slots.committed:
            commits = isinstance(event, events.TrialPassed)
            assert commits or ordered or lost or (granted and was.fail_safe), "S2"
        if now.slots.effective != was.slots.effective:
            assert ordered or lost or granted or was.state in TRYING, "S6"
        if now.slots.candidate is not None and was.slots.candidate is None:
            assert was.attempt is not None
            assert not barred(was.slots, *was.attempt.key), "S4"
            self.loads = 1
        elif now.slots.candidate is not None and isinstance(event, events.Restarted):
            assert left(now.slots) < left(was.slots), "S5: paid before the load"
            self.loads += 1

    @invariant()
    def s1_what_runs_is_verified(self) -> None:
        """The effective model is always verified content; without one there is the safe output."""
        runs = None if self.now.fail_safe else self.now.slots.effective
        assert runs is None or runs in self.now.verified or self.disturbed

    @invariant()
    def s3_there_is_a_way_back(self) -> None:
        """Away from golden there is a verified way back, and no referenced entry is gone."""
        slots, verified = self.now.slots, self.now.verified
        if not self.disturbed:
            assert slots.committed in {None, slots.golden} or rollback_target(slots, verified)
            assert slots.referenced <= verified

    @invariant()
    def s5_loads_are_bounded(self) -> None:
        """No attempt loads its candidate more often than it may."""
        assert self.loads <= TRIES + REFUNDS_MAX

    @invariant()
    def s7_the_floor_bars_no_way_back(self) -> None:
        """Whatever may have to be gone back to may also be assigned."""
        slots = self.now.slots
        for target in (slots.previous_good, slots.golden):
            if target is not None:
                above = NUMBERS[NAMES[target]] >= self.now.floors.get("pump", 0)
                assert above or target in self.now.ran

    @invariant()
    def l9_room_can_be_made(self) -> None:
        """What no reference and no attempt needs can always be collected."""
        kept = advance(self.now, events.Collected(frozenset(self.now.entries)))
        assert set(kept.entries) <= self.now.slots.referenced

    @invariant()
    def each_end_has_one_result(self) -> None:
        """An attempt has a result exactly when it has ended."""
        attempt = self.now.attempt
        assert attempt is None or attempt.outcome in ENDS.get(attempt.state, {Outcome.OPEN})

    def teardown(self) -> None:
        """L1 and L2: alone, without network or clock, however often it dies, it comes to rest."""
        now = self.now
        for _ in range(TRIES + REFUNDS_MAX + 2):
            now = advance(now, events.Restarted(Cause.POWER))
        for _ in range(4):
            now = advance(now, due(now)) if now.state is S.ROLLING_BACK else now
        assert now.state not in AIRBORNE


def due(now: Record) -> Event:
    """What the agent does in this state, if all goes well."""
    attempt, slots = now.attempt, now.slots
    nothing = events.Collected(frozenset(now.entries) - slots.referenced)
    if attempt is None:
        return nothing
    if now.state is S.ROLLING_BACK:
        lost = slots.committed is not None and slots.committed not in now.entries
        return events.EntryLost(slots.committed or "", "gone") if lost else events.TargetRunning()
    doing: dict[UpdateState, Event] = {
        S.ASSIGNED: events.DownloadStarted(),
        S.DOWNLOADING: events.Verified(entry(NAMES[attempt.digest])),
        S.VERIFIED: events.Staged(),
        S.STAGED: events.PermitAsked(),
        S.AWAITING_PERMIT: events.PermitGranted(now.epoch_seen),
        S.ACTIVATING: events.Loaded(attempt.digest),
        S.TRIAL: events.TrialPassed(),
    }
    return doing.get(now.state, nothing)


def left(slots: Slots) -> int:
    """How often the candidate may still be loaded anew."""
    return slots.tries_left + REFUNDS_MAX - slots.refunds


def plain(now: Record) -> tuple[object, ...]:
    """The record without its number."""
    return now.slots, now.attempt, now.entries, now.orders_done, now.fail_safe, now.desired


TestInvariants = Gateway.TestCase
TestInvariants.settings = settings(max_examples=40, stateful_step_count=40)
