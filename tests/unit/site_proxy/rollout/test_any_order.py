"""Whatever comes in whatever order, through the real site and the real kernel of five gateways.

Reports are lost, late, doubled and reordered; permits come late or never; the power of a gateway
goes after any flush; people approve, hold, resume, revoke and order back; change windows open and
shut; clocks jump; the site crashes, also between two transactions, its disk refuses, and an older
backup of it is put back; somebody swaps a model by hand. The promises S1 to S20 are looked at
after every step, and at the end of each run, once the weather is fair, L1 to L8.
"""

import random
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import RollbackOrder, StatusReport, UpdateState
from edge_core.contracts.rollout import Hold, RolloutState
from edge_runtime.update.record import AIRBORNE, Record
from edge_runtime.update.references import barred, rollback_target
from edge_site_proxy.audit.export import check_state
from edge_site_proxy.audit.log import events_about
from edge_site_proxy.fleet.sightings import Sighting, merge, sighted
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.permits import MARGIN_S
from edge_site_proxy.rollout.records import Rollout, etag_of
from edge_site_proxy.rollout.why import why_not
from edge_site_proxy.rollout.world import World
from tests.simulators.disk import PowerCutError
from tests.unit.site_proxy.plant.gateway import BEAT_S, Behaviour
from tests.unit.site_proxy.plant.plant import V2, V3
from tests.unit.site_proxy.plant.whole import PLACES, SERIALS, STAGES, SiteDiedError, Whole
from tests.unit.site_proxy.rollout import promises

T = TypeVar("T")
serials = st.sampled_from(SERIALS)
DAY_S = 86_400.0
FAIR_BEATS = 300  # far above what a plant in fair weather needs to come to rest
GOOD, ODD, BROKEN = Behaviour(), Behaviour(disagrees=0.5), Behaviour(fails=0.5)
REFUSED = Behaviour(veto="smoke")


class AnyOrder(RuleBasedStateMachine):
    """One plant that runs V1 and is brought V2 and V3, under everything that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: Whole
        self.broken: list[str] = []
        self.known: dict[str, Sighting] = {}
        self.heard: dict[str, list[StatusReport]] = {}

    # How things are done.

    @property
    def world(self) -> World:
        """What the site believes."""
        return self.whole.here.site.world

    def do(
        self, job: Coroutine[Any, Any, T]
    ) -> T | None:  # Any: what a coroutine sends is nobody's
        """Run *job*; what is refused is refused, and a site that dies on it starts again."""
        try:
            return self.whole.wait(job)
        except SiteDiedError:
            self.whole.restart()
            self.attend()
        except EdgeError:
            pass
        return None

    def attend(self) -> None:
        """Listen to every permit from here on, and to every report that arrives."""
        self.known, self.heard = dict(self.world.sightings), {}
        for gateway in self.whole.gateways.values():
            gateway.granted, gateway.taken = self.permitted, self.taken

    def permitted(self, serial: str) -> None:
        """At the instant of a permit: S8, S10, S11 and S12."""
        self.broken += promises.permitted(self.world, serial)

    def taken(self, report: StatusReport) -> None:
        """The site has answered it."""
        self.heard.setdefault(report.serial, []).append(report)

    def beat(self, serial: str) -> None:
        """A heartbeat; the power may go in it."""
        gateway = self.whole.gateways[serial]
        try:
            self.do(gateway.beat(self.whole.here.site))
        except PowerCutError:
            self.power_returns(serial)

    def power_returns(self, serial: str) -> None:
        """Again and again, until it stays."""
        try:
            self.whole.gateways[serial].power_returns()
        except PowerCutError:
            self.power_returns(serial)

    def all_beat(self, times: int, without: str = "") -> None:
        """Everybody reports, but one of them."""
        for _ in range(times):
            self.whole.clock.turn(BEAT_S)
            for serial in SERIALS:
                if serial != without:
                    self.beat(serial)
            self.do(self.whole.here.site.reconcile())

    def rollout(self, ref: ReleaseRef) -> Rollout | None:
        """The rollout that brings *ref*, if it has arrived."""
        found = [each for each in self.world.rollouts.values() if each.digest == ref.digest]
        return found[0] if found else None

    # Where a run begins, and what the plant does when nobody disturbs it.

    @initialize(
        stage=st.integers(0, STAGES - 1),
        does=st.sampled_from([GOOD, GOOD, GOOD, ODD, BROKEN, REFUSED]),
        odd_one=serials,
        slow=st.lists(serials, max_size=2),
    )
    def begin(self, stage: int, does: Behaviour, odd_one: str, slow: list[str]) -> None:
        """Somewhere in the rollout of V2, which may from here on be bad on one gateway."""
        self.whole = Whole.begin(stage)
        self.whole.gateways[odd_one].models[V2.digest] = does
        for serial in slow:
            self.whole.gateways[serial].rate = 0.99
        self.attend()

    @rule(serial=serials)
    def beats(self, serial: str) -> None:
        """A heartbeat that arrives, and one step of the gateway."""
        self.beat(serial)

    @rule(times=st.integers(1, 3))
    def little_time_goes_by(self, times: int) -> None:
        """A few beats."""
        self.all_beat(times)

    @rule(times=st.integers(3, 12))
    def time_goes_by(self, times: int) -> None:
        """A quiet while."""
        self.all_beat(times)

    # Messages.

    @rule(serial=serials, kept=st.booleans())
    def report_is_lost_or_late(self, serial: str, kept: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """The gateway speaks and goes on; nothing arrives, or later."""
        gateway = self.whole.gateways[serial]
        if kept:
            self.whole.late.append((serial, gateway.report()))
        try:
            self.do(gateway.act(self.whole.here.site))
        except PowerCutError:
            self.power_returns(serial)

    @precondition(lambda self: self.whole.late)
    @rule(data=st.data(), again=st.booleans())
    def late_report_arrives(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """In any order, and perhaps twice."""
        late = self.whole.late
        number = data.draw(st.integers(0, len(late) - 1))
        serial, report = late[number] if again else late.pop(number)
        if self.do(self.whole.here.site.take_status(serial, report)) is not None:
            self.taken(report)

    @rule(serial=serials, how=st.sampled_from(["late", "lost"]))
    def next_permit_is(self, serial: str, how: str) -> None:
        """The answer to its next request is under way for long, or never comes."""
        self.whole.gateways[serial].answers = how

    @rule(seconds=st.sampled_from([1.0, 10.0, 40.0]))
    def nothing_is_heard_for(self, seconds: float) -> None:
        """Leases run out, gateways count as silent; messages that old are lost."""
        self.whole.clock.turn(seconds)
        if seconds > MARGIN_S:
            self.whole.late.clear()

    # Gateways.

    @rule(serial=serials, flushes=st.integers(0, 7))
    def power_will_go(self, serial: str, flushes: int) -> None:
        """After so many more steps of writing."""
        self.whole.gateways[serial].cut_after(flushes)

    @rule(serial=serials)
    def killed(self, serial: str) -> None:
        """SIGKILL."""
        try:
            self.whole.gateways[serial].kill()
        except PowerCutError:
            self.power_returns(serial)

    @rule(serial=serials, beats=st.integers(1, 20))
    def link_is_down(self, serial: str, beats: int) -> None:
        """It goes on by itself meanwhile; the others are heard."""
        for _ in range(beats):
            self.all_beat(1, without=serial)
            try:
                self.do(self.whole.gateways[serial].act(None))
            except PowerCutError:
                self.power_returns(serial)

    @rule(serial=serials, days=st.integers(1, 9), beats=st.integers(0, 20))
    def days_go_by_without(self, serial: str, days: int, beats: int) -> None:
        """A gateway is off for days; the plant goes on."""
        self.whole.late.clear()
        self.whole.clock.turn(days * DAY_S)
        for _ in range(beats):
            self.all_beat(1, without=serial)

    @rule(serial=serials, beats=st.integers(1, 10))
    def swapped_by_hand(self, serial: str, beats: int) -> None:
        """Somebody puts another model in the worker's place, and later the right one back."""
        self.whole.gateways[serial].swapped = "sha256:" + "f" * 64
        self.all_beat(beats)
        self.whole.gateways[serial].swapped = None

    @rule(serial=serials, seconds=st.sampled_from([-7200.0, 600.0, DAY_S]))
    def gateway_clock_jumps(self, serial: str, seconds: float) -> None:
        """Its wall clock is set."""
        self.whole.gateways[serial].skew_s += seconds

    # The site.

    @rule(seconds=st.sampled_from([-30 * DAY_S, -600.0, 600.0, DAY_S]))
    def site_clock_jumps(self, seconds: float) -> None:
        """Its wall clock is set; no duration changes."""
        self.whole.clock.jump(seconds)

    @rule(beats=st.integers(1, 10))
    def change_window_is_shut(self, beats: int) -> None:
        """The shift is over, and begins again."""
        self.whole.window(open_=False)
        self.all_beat(beats)
        self.whole.window(open_=True)

    @rule(beats=st.integers(1, 10))
    def clock_loses_its_trust(self, beats: int) -> None:
        """NTP goes and comes back."""
        self.whole.clock.synchronised = False
        self.all_beat(beats)
        self.whole.clock.synchronised = True

    @rule()
    def site_crashes(self) -> None:
        """And starts again from what is on the disk."""
        self.whole.restart()
        self.attend()

    @rule(transactions=st.integers(0, 5), beats=st.integers(1, 5))
    def site_dies_between_two_transactions(self, transactions: int, beats: int) -> None:
        """In a pass, in a permit, in an order: wherever the next ones are."""
        self.whole.dies_in = transactions
        self.all_beat(beats)

    @rule(beats=st.integers(1, 5))
    def disk_is_full(self, beats: int) -> None:
        """The site's disk refuses for a while."""
        self.whole.refuse(refuses=True)
        self.all_beat(beats)
        self.whole.refuse(refuses=False)
        self.attend()  # some of what was said meanwhile is believed, and none of it is kept

    @rule()
    def backed_up(self) -> None:
        """A copy of the database is put aside."""
        self.whole.back_up()

    @precondition(lambda self: self.whole.backups)
    @rule(data=st.data())
    def restored(self, data: st.DataObject) -> None:
        """An older database is put back."""
        number = data.draw(st.integers(0, len(self.whole.backups) - 1))
        self.whole.restore(self.whole.backups[number])
        self.attend()

    # People.

    @rule(ref=st.sampled_from([V2, V3]), order=st.sampled_from(["hold", "revoke", "cancel"]))
    def stopped(self, ref: ReleaseRef, order: str) -> None:
        """A person stops a rollout; what is too late is refused."""
        self.order(ref, order)

    @rule(ref=st.sampled_from([V2, V3]))
    def resumed(self, ref: ReleaseRef) -> None:
        """A person lets it go on."""
        self.order(ref, "resume")

    @rule(ref=st.sampled_from([V2, V3]))
    def rolled_back(self, ref: ReleaseRef) -> None:
        """The order that outranks all others."""
        self.order(ref, "roll_back")

    @rule(serial=serials)
    def one_rolled_back(self, serial: str) -> None:
        """A person takes one gateway off whatever it runs."""
        desk = self.whole.here.site.desk
        self.do(desk.roll_back_gateway(serial, "noisy", Sender("olga", None)))

    @rule()
    def newer_arrives_or_is_approved(self) -> None:
        """A third version."""
        if self.rollout(V3) is None:
            self.do(self.whole.here.arrive(V3))
        else:
            self.do(self.whole.here.approve(V3))

    def order(self, ref: ReleaseRef, name: str) -> None:
        """Order it, on what is there now."""
        rollout = self.rollout(ref)
        if rollout is not None:
            call = getattr(self.whole.here.site.desk, name)
            self.do(call(rollout.id, "as the shift wishes", Sender("olga", etag_of(rollout))))

    # The promises. S1 to S7, S18 and L1 are judged at every step of each gateway.

    @invariant()
    def s8_to_s13(self) -> None:
        """S8 and S9 of the gateways as they truly are; S10 to S12 of each permit; S13."""
        found = [
            *self.broken,
            *promises.apart(PLACES, self.changing()),
            *promises.one_cell(PLACES, self.whole.opening()),
        ]
        for rollout in self.world.rollouts.values():
            found += promises.disjoint(rollout)
        assert not found

    def changing(self) -> list[str]:
        """Who is changing; but a way back waits for no partner that is silent (L5 before S8)."""
        groups = self.world.plant.groups
        return [
            serial
            for serial in self.whole.flying()
            if self.whole.gateways[serial].now.state is not UpdateState.ROLLING_BACK
            or all(
                self.world.reachable(other)
                for other in groups.get(PLACES[serial].redundancy_group or "", [])
                if other != serial
            )
        ]

    def s14_belief_is_a_merge(self) -> None:
        """S14: what this run of the site believes is the merge of what arrived, in any order."""
        for serial, reports in self.heard.items():
            found = self.known.get(serial)
            for report in random.Random(len(reports)).sample(reports * 2, 2 * len(reports)):
                found = merge(found, sighted(report))
            assert found == self.world.sightings.get(serial)

    @invariant()
    def s16_state_is_the_log(self) -> None:
        """S16: the log alone gives the state."""
        self.whole.wait(self.whole.here.site.store.read(check_state))

    @invariant()
    def s17_log_only_grows(self) -> None:
        """S17: size and root never go back, and every one that was seen is contained."""
        assert not self.whole.witness()

    def teardown(self) -> None:
        """In fair weather everything comes to rest; then what was decided is looked at again."""
        try:
            if sys.exc_info()[0] is None:  # else the run has failed already
                self.come_to_rest()
                self.s14_belief_is_a_merge()
                self.s19_and_s20()
        finally:
            self.whole.end()

    def come_to_rest(self) -> None:
        """L1 to L8: with power, links, clocks, disk and people, all ends within so many beats."""
        self.whole.fair_weather()
        for beat in range(FAIR_BEATS):
            if not self.restless():
                return
            self.all_beat(1)
            self.s8_to_s13()
            if beat % 10 == 9:
                self.people_answer()
        raise AssertionError(self.restless())

    def restless(self) -> list[str]:
        """What is not at rest yet, in words."""
        found = [f"L3: a permit of {serial} is out" for serial in self.world.grants]
        for rollout in self.world.rollouts.values():
            if rollout.open:
                holds = {hold.value for hold in rollout.header.holds}
                found.append(f"L4, L7: {rollout.id} is {rollout.state.value} {holds}")
        for serial, gateway in self.whole.gateways.items():
            if gateway.now.state in AIRBORNE:
                found.append(f"L2: {serial} is {gateway.now.state.value}")
            desired = self.world.desired.get(serial)
            if desired is None or gateway.generation_seen != desired.generation:
                found.append(f"L8: {serial} has not heard what is wanted")
            elif desired.rollback is not None and not _nowhere(gateway.now, desired.rollback):
                found.append(f"L5: {serial} is to leave {desired.rollback.from_digest}")
            elif desired.assignment is not None:
                wanted = desired.assignment.release.digest
                done = (wanted, desired.assignment.attempt)
                if gateway.committed != wanted and not barred(gateway.now.slots, *done):
                    why = why_not(self.world, serial)
                    found.append(f"L6: {serial} does not run what is wanted: {why}")
        return found

    def people_answer(self) -> None:
        """Take over who knows more, approve what waits, roll back what failed, let go on."""
        apart = [
            serial for serial, marks in self.world.marks.items() if marks.conflict is not None
        ]
        if apart:
            recovery = self.whole.here.site.recovery
            self.do(recovery.resume_gateways(apart, "restored", Sender("olga", None)))
        for ref in (V2, V3):
            rollout = self.rollout(ref)
            if rollout is None or not rollout.open:
                continue
            unsigned = Hold.APPROVAL in rollout.header.holds
            if rollout.state is RolloutState.AWAITING_APPROVAL or unsigned:
                self.do(self.whole.here.approve(ref))
            elif {Hold.GATE_FAIL, Hold.BLAST} & rollout.header.holds.keys():
                self.order(ref, "roll_back")
            elif rollout.header.holds:
                self.order(ref, "resume")

    def s19_and_s20(self) -> None:
        """S19: verdicts are of what is stored. S20: nobody advances without a pass or a name."""
        store, world = self.whole.here.site.store, self.world
        again = self.whole.wait(
            store.read(lambda db: World.load(db, world.plant, world.settings, world.clocks))
        )
        again.heard, again.started = world.heard, world.started
        found = list(promises.judged_alike(world, again))
        for rollout in world.rollouts.values():
            about = partial(events_about, noun="rollout", subject=rollout.id)
            told = self.whole.wait(store.read(about))
            found += promises.advanced_by_whom(msgspec.to_builtins(told))
        assert not found


def _nowhere(now: Record, order: RollbackOrder) -> bool:
    """Whether the order was heard, and there is no other version to go to."""
    heard = now.orders_done.get(order.from_digest, -1) >= order.epoch
    return heard and (now.fail_safe or rollback_target(now.slots, now.verified) is None)


def test_any_order() -> None:
    """The promises hold in every run that Hypothesis finds."""
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=12,
            derandomize=True,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
