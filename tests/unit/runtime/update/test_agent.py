"""What the agent does when a target does not load, bytes rot, the disk is slow, or it stops."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Gate
from typing import Any

import msgspec
import pytest

from edge_core.contracts.errors import NotPermittedError, TryAgainError
from edge_core.contracts.gateway import (
    Assignment,
    Desired,
    Outcome,
    PermitReply,
    PermitRequest,
    TrialPolicy,
    UpdateState,
)
from edge_core.oci import Source
from edge_runtime.lineup import Lineup
from edge_runtime.model import ROLE_COMMITTED
from edge_runtime.update.agent import Agent
from edge_runtime.update.ascent import Means, Pace
from edge_runtime.update.keeper import RecordKeeper, begin
from edge_runtime.update.record import Attempt, Entry, Record
from edge_runtime.update.recorder import FlightRecorder, read
from edge_runtime.update.references import Cause, Slots
from edge_runtime.update.store import RecordStore
from tests.simulators.disk import CuttableDisk
from tests.simulators.line import granted
from tests.unit.runtime.update.line import Line
from tests.unit.runtime.update.made import ON_A, ON_B, A, B, C, assignment, desired, order, record
from tests.unit.runtime.update.test_recorder import NOW

pytestmark = pytest.mark.anyio

FOLDER = Path("/data/record")
WAIT_S = 10.0
LONG = TrialPolicy(inferences_min=1_000_000, duration_min_s=0.0, tries=3)
SHORT = TrialPolicy(inferences_min=10, duration_min_s=0.0, tries=3)
QUICK = Pace(look_s=0.001, retry_s=0.001, retry_s_max=0.002, answer_s=3.0)
S = UpdateState


class SlowDisk(CuttableDisk):
    """A disk that takes its time when a test says so."""

    def __init__(self) -> None:
        """Quick at first."""
        super().__init__()
        self.open = Gate()
        self.open.set()

    def write(self, path: Path, content: bytes) -> None:
        """Wait until it may, then write."""
        self.open.wait(WAIT_S)
        super().write(path, content)


@dataclass(slots=True, kw_only=True)
class Stalling(Line):
    """A line whose disk stalls at the instant at which a permit is granted."""

    disk: SlowDisk = field(default_factory=SlowDisk)

    async def permit(self, request: PermitRequest) -> PermitReply:
        """Yes; and then the disk takes its time."""
        self.disk.open.clear()
        return granted(request)


class Far(Line):
    """A line whose releases never arrive."""

    async def fetch(self, _: Source, wanted: Assignment, kept: Iterable[Entry]) -> Entry:
        """Not today."""
        await asyncio.Event().wait()
        raise AssertionError((wanted, kept))


@dataclass(slots=True, kw_only=True)
class Barred(Line):
    """A line whose site does not let the gateway in until a test says so."""

    answers: str = "https://site:9443/v2/pumps/manifests/1: status 403"
    asked: int = 0

    async def fetch(self, source: Source, wanted: Assignment, kept: Iterable[Entry]) -> Entry:
        """Not this gateway."""
        self.asked += 1
        if self.answers:
            raise NotPermittedError(self.answers)
        return await Line.fetch(self, source, wanted, kept)


@dataclass(slots=True)
class Running:
    """An agent that runs, and what is around it."""

    agent: Agent
    lineup: Lineup
    line: Line

    @property
    def now(self) -> Record:
        """As it stands."""
        return self.agent.record

    @property
    def outcome(self) -> tuple[UpdateState, Outcome, str | None]:
        """How the latest attempt stands."""
        attempt = self.now.attempt
        assert attempt is not None
        return attempt.state, attempt.outcome, attempt.veto

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let windows come until *holds*."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self.line.work()
                await asyncio.sleep(0.001)


@asynccontextmanager
async def running(
    disk: CuttableDisk,
    line: Line,
    cause: Cause = Cause.PROCESS,
    flight: Path | None = None,
    pace: Pace = QUICK,
) -> AsyncIterator[Running]:
    """The agent of the gateway on *disk*, told to stop at the end."""
    recorder = None if flight is None else FlightRecorder(flight, lambda: NOW)
    keeper = RecordKeeper(RecordStore(FOLDER, disk), time.monotonic, recorder)
    lineup = Lineup(line, line)
    agent = Agent(keeper, Means(line, line, lineup, line, time.monotonic, pace))
    await begin(keeper, cause, "boot")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(agent.run())
        try:
            yield Running(agent, lineup, line)
        finally:
            task.cancel()
    await agent.end()


def disk_with(before: Record) -> SlowDisk:
    """A disk that holds *before*."""
    disk = SlowDisk()
    RecordStore(FOLDER, disk).save(before)
    return disk


def going_back(slots: Slots) -> Record:
    """A record on its way back from b."""
    return record(slots, Attempt(assignment=assignment("b"), state=S.ROLLING_BACK))


def wanting_c(**more: Any) -> Desired:  # any field
    """The site wants c."""
    return desired(assignment("c", **{"trial": LONG, **more}), generation=2)


async def test_next_target() -> None:
    """What does not load again and again on a way back gives way to the golden version."""
    slots = Slots(golden=A, previous_good=C, committed=B)
    before = msgspec.structs.replace(record(slots), desired=desired(rollback=order("b")))
    async with running(disk_with(before), Line(breaks=C)) as gateway:
        await gateway.until(lambda: gateway.lineup.running == B)
        gateway.agent.submit(desired(generation=2, rollback=order("b")))
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        assert gateway.outcome == (S.ROLLED_BACK, Outcome.FAILED_ROLLED_BACK, "ordered")
        assert gateway.lineup.running == gateway.now.slots.committed == A
        assert gateway.now.slots.bad == {B: 1}


async def test_fail_safe() -> None:
    """When nothing loads the line has its safe output and an alarm, and a restart tries again."""
    disk = disk_with(going_back(ON_A))
    async with running(disk, Line(breaks=A)) as gateway:
        await gateway.until(lambda: gateway.now.fail_safe)
        await gateway.until(lambda: "fail_safe" in gateway.agent.keeper.faults)
        assert gateway.lineup.route.effective is None
        assert gateway.outcome == (S.FAIL_SAFE, Outcome.FAILED_ROLLBACK, None)
    async with running(disk, Line()) as gateway:
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        assert gateway.lineup.running == A


async def test_committed_stumbles() -> None:
    """A committed version that does not load is tried again; nobody toggles without a reason."""
    line = Line(breaks=B)
    async with running(disk_with(record(ON_B)), line) as gateway:
        await gateway.until(lambda: line.loads > 10)
        assert gateway.now.slots == ON_B
        assert "model" in gateway.agent.keeper.faults
        line.breaks = ""
        await gateway.until(lambda: gateway.lineup.running == B)
        assert gateway.agent.keeper.faults == {}


async def test_committed_cannot_be_read() -> None:
    """A committed version whose worker dies over bytes that the disk does not give gives way."""
    line = Line(breaks=B, rotten=frozenset({B}))
    async with running(disk_with(record(ON_B)), line) as gateway:
        await gateway.until(lambda: gateway.lineup.running == A)
        assert gateway.now.slots.committed == A
        assert "rotten" in gateway.agent.keeper.faults["integrity"]
        assert not gateway.now.fail_safe


@dataclass(slots=True, kw_only=True)
class Worn(Line):
    """A line whose disk refuses, as long as it says, what is to be read or removed."""

    says: str = "Read-only file system"

    def verify(self, _: Entry) -> None:
        """It does not say."""
        if self.says:
            raise TryAgainError(self.says)

    def collect(self, kept: Iterable[Entry]) -> int:
        """Nothing can be removed."""
        if self.says:
            raise TryAgainError(self.says)
        return Line.collect(self, kept)


async def test_a_disk_that_keeps_what_nobody_needs() -> None:
    """It costs nothing but room: the gateway says so and goes on."""
    line = Worn()
    async with running(disk_with(record(ON_B)), line) as gateway:
        faults = gateway.agent.keeper.faults
        await gateway.until(lambda: "shelf" in faults)
        assert line.says in faults["shelf"]
        assert gateway.agent.running == B
        line.says = ""
        await gateway.until(lambda: not faults)


async def test_a_way_back_that_cannot_be_looked_at() -> None:
    """Nothing is activated and nothing refused as long as nobody can tell; then it goes on."""
    line = Worn()
    async with running(disk_with(record(ON_B)), line) as gateway:
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: gateway.now.state is S.STAGED)
        passes = itertools.count()
        await gateway.until(lambda: next(passes) > 50)
        assert gateway.outcome[:2] == (S.STAGED, Outcome.OPEN)
        assert "integrity" not in gateway.agent.keeper.faults
        line.says = ""
        await gateway.until(lambda: gateway.now.state is S.TRIAL)


async def test_roll_forward() -> None:
    """A committed version that does not load does not keep out the release that mends it."""
    async with running(disk_with(record(ON_B)), Line(breaks=B)) as gateway:
        gateway.agent.submit(wanting_c(trial=SHORT))
        await gateway.until(lambda: gateway.now.state is S.COMMITTED)
        assert gateway.lineup.running == gateway.now.slots.committed == C


async def test_rotten_way_back() -> None:
    """Nothing is activated over a committed version that could not be gone back to."""
    async with running(disk_with(record(ON_B)), Line(rotten=frozenset({B}))) as gateway:
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: gateway.now.state is S.FAILED_NO_CHANGE)
        assert gateway.outcome == (
            S.FAILED_NO_CHANGE,
            Outcome.FAILED_NO_CHANGE,
            "rollback_target",
        )
        assert gateway.lineup.running == B
        assert "integrity" in gateway.agent.keeper.faults


async def test_committed_lost_in_trial() -> None:
    """A trial ends, and is judged, even if what it would return to is lost meanwhile."""
    trying = Slots(golden=A, previous_good=A, committed=B, candidate=C, tries_left=1)
    attempt = Attempt(assignment=assignment("c", trial=SHORT), state=S.TRIAL)
    before = record(trying, attempt)
    before = msgspec.structs.replace(
        before, entries={key: each for key, each in before.entries.items() if key != B}
    )
    async with running(disk_with(before), Line(errs=C), Cause.POWER) as gateway:
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        assert gateway.lineup.running == gateway.now.slots.committed == A


async def test_reports_before_the_disk() -> None:
    """A permit is in use from the instant it was found valid, however slow the disk: S8's half."""
    disk = disk_with(record(ON_B))
    async with running(disk, Stalling(disk=disk)) as gateway:
        gateway.agent.submit(wanting_c())
        try:
            await gateway.until(lambda: gateway.now.state is S.ACTIVATING)
            told = gateway.agent.keeper.report()
            assert told is not None
            assert (told.digest, told.state) == (C, S.ACTIVATING)
            assert RecordStore(FOLDER, disk).record.slots.candidate is None
        finally:
            disk.open.set()
        await gateway.until(lambda: gateway.now.state is S.TRIAL)


async def test_reports_name_one_model(tmp_path: Path) -> None:
    """At every instant of an update what a report says runs is what it says is in charge."""
    async with running(disk_with(record(ON_B)), Line(), flight=tmp_path / "flight") as gateway:
        gateway.agent.submit(wanting_c(trial=SHORT))
        seen: set[str] = set()

        def committed() -> bool:
            runs, settled = gateway.agent.running, gateway.now.state in {S.TRIAL, S.COMMITTED}
            if settled and runs is not None:
                seen.add(runs)
                assert runs == gateway.now.slots.effective
            return gateway.now.state is S.COMMITTED and runs == C

        await gateway.until(committed)
        assert seen == {C}


async def test_reports_through_a_download() -> None:
    """While a release arrives, however long that takes, reports name what runs."""
    async with running(disk_with(record(ON_B)), Far()) as gateway:
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: gateway.now.state is S.DOWNLOADING)
        assert gateway.agent.running == gateway.now.slots.effective == B


async def test_not_let_in() -> None:
    """A download that is not let in says where and what to do, and waits for a person."""
    line = Barred()
    async with running(disk_with(record(ON_A)), line) as gateway:
        faults = gateway.agent.keeper.faults
        gateway.agent.submit(desired(assignment("c"), generation=2))
        await gateway.until(lambda: "download" in faults)
        assert faults["download"].startswith(f"{line.answers}; expected to be let in")
        assert "edge-gateway doctor" in faults["download"]
        passes = itertools.count()
        await gateway.until(lambda: next(passes) > 50)
        assert (line.asked, gateway.now.state) == (1, S.DOWNLOADING)
        line.answers = ""
        gateway.agent.submit(desired(assignment("c", activate=False, attempt=2), generation=3))
        await gateway.until(lambda: gateway.outcome[0] is S.STAGED)
        assert (line.asked, "download" in faults) == (2, False)


async def test_trial_goes_on() -> None:
    """What was scored before a stop counts after it; the plan's bounds are met over both runs."""
    both = TrialPolicy(inferences_min=400, duration_min_s=0.0, tries=1)
    disk = disk_with(record(ON_B))
    wanted = wanting_c(trial=both)
    async with running(disk, Line()) as gateway:
        gateway.agent.submit(wanted)
        await gateway.until(lambda: gateway.now.state is S.TRIAL)
        route = gateway.lineup.route
        await gateway.until(lambda: gateway.lineup.route.exposure.scored > 200 or route is None)
        assert gateway.now.state is S.TRIAL
    line = Line()
    async with running(disk, line, Cause.ORDERLY) as gateway:
        attempt = gateway.now.attempt
        assert attempt is not None
        assert attempt.progress.scored > 200
        await gateway.until(lambda: gateway.now.state is S.TRIAL)
        await gateway.until(lambda: gateway.now.state is S.COMMITTED)
        assert gateway.outcome[1] is Outcome.SUCCEEDED


async def test_results_reach_the_site() -> None:
    """Two attempts that ended while the site was away are told one after the other."""
    async with running(disk_with(record(ON_B)), Line(breaks=C)) as gateway:
        keeper = gateway.agent.keeper
        gateway.agent.submit(wanting_c())
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        await gateway.agent.order_back("smells odd")
        await gateway.until(lambda: gateway.now.slots.committed == A)
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
        told = []
        for _ in range(2):
            report = keeper.report()
            assert report is not None
            told.append((report.digest, report.outcome))
            gateway.agent.submit(wanting_c(), report)
            await gateway.until(lambda: keeper.report() != report)  # noqa: B023 - ends in this turn
        assert told == [(C, Outcome.FAILED_ROLLED_BACK), (B, Outcome.FAILED_ROLLED_BACK)]


async def test_no_pairs_possible() -> None:
    """A release of other windows says at once that it will never be seen beside the present one.

    It stands by all the same, and goes on when the site asks for no pairs.
    """
    async with running(disk_with(record(ON_B)), Line(unlike=C)) as gateway:
        gateway.agent.submit(wanting_c(trial=SHORT, shadow_pairs_min=2))
        keeper = gateway.agent.keeper
        await gateway.until(lambda: (said := keeper.report()) is not None and said.unpaired)
        said = keeper.report()
        assert said is not None
        assert (said.state, said.veto) == (S.STAGED, None)
        assert said.reason == "windows differ from the committed model's: no pairs possible"
        waived = assignment("c", trial=SHORT, shadow_pairs_min=0)
        gateway.agent.submit(desired(waived, generation=3))
        await gateway.until(lambda: gateway.now.state is S.COMMITTED)
        said = keeper.report()
        assert said is not None
        assert (said.unpaired, said.reason) == (False, "")


async def test_the_former_goes_on_beside() -> None:
    """After its trial the new model decides and the former looks on, until the site says enough.

    A restart changes nothing about that.
    """
    disk = disk_with(record(ON_B))
    async with running(disk, Line()) as gateway:
        gateway.agent.submit(wanting_c(trial=SHORT, former_beside=True))
        await gateway.until(lambda: gateway.now.state is S.COMMITTED)
        await gateway.until(lambda: gateway.lineup.route.role == ROLE_COMMITTED)
        assert (gateway.lineup.running, shadow_of(gateway)) == (C, B)
    async with running(disk, Line(), Cause.ORDERLY) as gateway:
        await gateway.until(lambda: gateway.lineup.running == C and shadow_of(gateway) == B)
        enough = desired(assignment("c", trial=SHORT), generation=3)
        gateway.agent.submit(enough)
        await gateway.until(lambda: not gateway.lineup.has(B))
        assert (gateway.lineup.running, shadow_of(gateway)) == (C, None)


async def test_a_former_that_does_not_load_costs_nothing() -> None:
    """It is tried once, and the gateway works on without pairs."""
    slots = Slots(golden=A, previous_good=B, committed=C)
    attempt = Attempt(assignment=assignment("c"), state=S.COMMITTED, outcome=Outcome.SUCCEEDED)
    asked = desired(assignment("c", former_beside=True))
    before = msgspec.structs.replace(record(slots, attempt), desired=asked)
    line = Line(breaks=B)
    async with running(disk_with(before), line) as gateway:
        await gateway.until(lambda: line.loads == 2)
        looks = itertools.count()
        await gateway.until(lambda: next(looks) > 20)
        assert (gateway.lineup.running, shadow_of(gateway), line.loads) == (C, None, 2)
        assert gateway.agent.keeper.faults == {}


def shadow_of(gateway: Running) -> str | None:
    """Who looks on."""
    model = gateway.lineup.route.shadow
    return None if model is None else model.digest


async def test_flight(tmp_path: Path) -> None:
    """Why a candidate was taken back can be read on the gateway after the rollback."""
    flight = tmp_path / "flight.log"
    async with running(disk_with(record(ON_B)), Line(errs=C), flight=flight) as gateway:
        gateway.agent.submit(wanting_c(trial=SHORT))
        await gateway.until(lambda: gateway.now.state is S.ROLLED_BACK)
    said = read(flight)
    states = [line["state"] for line in said if line["event"] == "update.moved"]
    way = ["assigned", "downloading", "verified", "staged", "activating", "trial"]
    assert states == [*way, "rolling_back", "rolled_back"]
    back = next(line for line in said if line.get("state") == "rolling_back")
    assert (back["veto"], back["boot"]) == ("errors", 1)
    assert {"gateway.began", "smoke.passed", "permit.granted"} <= {line["event"] for line in said}
