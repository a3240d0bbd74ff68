"""Whatever comes in whatever order, through the real site: the rules of the blast radius hold.

Gateways report, lose reports, send them late and twice, restart and fall silent; people approve,
hold, resume, revoke and roll back; the site crashes and comes back; the clock loses its trust.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

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

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import StatusReport, UpdateState
from edge_core.contracts.rollout import RolloutState, Verdict
from edge_site_proxy.audit.log import events_about
from edge_site_proxy.rollout.orders import Sender
from edge_site_proxy.rollout.records import etag_of
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.gateway import Gateway
from tests.unit.site_proxy.plant.plant import INVENTORY, V1, V2, Plant, plant

T = TypeVar("T")
SERIALS = [place.serial for place in INVENTORY.gateways]
PLACES = {place.serial: place for place in INVENTORY.gateways}


class AnyOrder(RuleBasedStateMachine):
    """One plant that runs V1 and is brought V2, under everything that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = HandClock()
        self.late: list[tuple[str, StatusReport]] = []
        self.opened: AbstractAsyncContextManager[Plant] | None = None
        self.revoked = False

    def wait(self, job: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine sends is nobody's
        """Run *job* to its end."""
        return self.loop.run_until_complete(job)

    async def open(self, gateways: dict[str, Gateway] | None) -> Plant:
        """Start the site; the gateways go on as they are."""
        self.opened = plant(self.folder, clock=self.clock)
        here = await self.opened.__aenter__()
        if gateways is not None:
            here.gateways = gateways
        return here

    async def shut(self) -> None:
        """Stop the site."""
        if self.opened is not None:
            await self.opened.__aexit__(None, None, None)
            self.opened = None

    @initialize()
    def start(self) -> None:
        """V1 everywhere, V2 approved."""
        self.here = self.wait(self.open(None))
        self.wait(self.here.bring(V1))
        self.wait(self.here.arrive(V2))
        self.wait(self.here.approve(V2))

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.wait(self.shut())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    @rule(serial=st.sampled_from(SERIALS))
    def beats(self, serial: str) -> None:
        """A heartbeat that arrives."""
        self.check_permits(serial, self.here.gateways[serial].beat(self.here.site))

    @rule(beats=st.integers(1, 4))
    def all_beat(self, beats: int) -> None:
        """A quiet while."""
        for _ in range(beats):
            self.clock.turn(2)
            for serial in SERIALS:
                self.check_permits(serial, self.here.gateways[serial].beat(self.here.site))
            self.wait(self.here.site.reconcile())

    @rule(serial=st.sampled_from(SERIALS), kept=st.booleans())
    def report_is_lost_or_late(self, serial: str, kept: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """The gateway speaks and goes on; nothing arrives, or later."""
        gateway = self.here.gateways[serial]
        report = gateway.report()
        if kept:
            self.late.append((serial, report))
        self.check_permits(serial, gateway.act(self.here.site))

    @precondition(lambda self: self.late)
    @rule(data=st.data(), again=st.booleans())
    def late_report_arrives(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """In any order, and perhaps twice."""
        number = data.draw(st.integers(0, len(self.late) - 1))
        serial, report = self.late[number] if again else self.late.pop(number)
        self.wait(self.here.site.take_status(serial, report))

    @rule(serial=st.sampled_from(SERIALS))
    def killed(self, serial: str) -> None:
        """SIGKILL."""
        self.here.gateways[serial].kill()

    @rule(seconds=st.sampled_from([1.0, 10.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        """Leases run out, gateways count as silent; messages that old are lost."""
        self.clock.turn(seconds)
        if seconds > 5:
            self.late.clear()

    @rule()
    def site_crashes(self) -> None:
        """And starts again from what is on the disk."""
        gateways = self.here.gateways
        self.wait(self.shut())
        self.here = self.wait(self.open(gateways))

    @rule(trusted=st.booleans())
    def clock_trust(self, trusted: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """NTP comes and goes."""
        self.clock.synchronised = trusted

    @rule(order=st.sampled_from(["hold", "resume", "revoke"]))
    def ordered(self, order: str) -> None:
        """A person decides; what is too late is refused."""
        rollout = self.here.rollout(V2)
        desk = self.here.site.desk
        calls = {"hold": desk.hold, "resume": desk.resume, "revoke": desk.revoke}
        sender = Sender("olga", etag_of(rollout))
        try:
            self.wait(calls[order](rollout.id, "as the shift wishes", sender))
        except EdgeError:
            return

    @precondition(lambda self: self.here.rollout(V2).state is not RolloutState.ROLLING_BACK)
    @rule()
    def rolled_back(self) -> None:
        """The order that outranks all others."""
        if self.here.rollout(V2).header.cohort == 0:
            return  # let most runs get somewhere first
        try:
            self.wait(
                self.here.site.desk.roll_back(
                    self.here.rollout(V2).id, "enough", Sender("olga", None)
                )
            )
        except EdgeError:
            return

    def check_permits(self, serial: str, job: Coroutine[Any, Any, None]) -> None:  # Any: as above
        """S11 and S12: what was granted meanwhile was approved, and nothing was held."""
        gateway, before = self.here.gateways[serial], self.here.gateways[serial].permits
        rollout = self.here.rollout(V2)
        self.wait(job)
        if gateway.permits == before:
            return
        assert not rollout.header.holds
        assert rollout.header.approvals[0].plan_digest == rollout.plan_digest

    @invariant()
    def pair_and_line(self) -> None:
        """S8 and S9, of the gateways as they truly are."""
        flying = [
            PLACES[serial]
            for serial, gateway in self.here.gateways.items()
            if gateway.state is UpdateState.TRIAL
        ]
        groups = [place.redundancy_group for place in flying if place.redundancy_group]
        assert len(set(groups)) == len(groups)
        cells: dict[str, set[str]] = {}
        for place in flying:
            cells.setdefault(place.position.line, set()).add(place.position.cell)
        assert all(len(open_) == 1 for open_ in cells.values())

    @invariant()
    def safety_last(self) -> None:
        """S10: nobody in a safety zone moves before every other cohort has passed its gate."""
        rollout = self.here.rollout(V2)
        if self.here.gateways["g5"].effective != V2.digest:
            return
        plain = [part.name for part in rollout.plan.cohorts if not part.safety]
        passed = {each.cohort for each in rollout.header.gates if each.verdict is Verdict.PASS}
        waived = {rollout.plan.cohorts[number].name for number in rollout.header.waived}
        assert set(plain) <= passed | waived

    @invariant()
    def log_tells_the_state(self) -> None:
        """S16: where a rollout stands is what its last event says."""
        rollout = self.here.rollout(V2)
        events = self.wait(
            self.here.site.store.read(lambda db: events_about(db, "rollout", rollout.id))
        )
        facts = events[-1].facts
        assert facts["state"] == rollout.state.value
        assert facts["holds"] == sorted(hold.value for hold in rollout.header.holds)
        assert facts["cohort_number"] == rollout.header.cohort


def test_any_order() -> None:
    """The invariants hold in every run that Hypothesis finds."""
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
