"""The real agent loses power at every single step of an update, and always comes back right."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge_core.admission.model import Admission, Admitted
from edge_core.contracts.errors import RefusedError
from edge_core.contracts.gateway import (
    Assignment,
    Desired,
    PermitReply,
    PermitRequest,
    TrialPolicy,
    UpdateState,
)
from edge_core.oci import Layout, Source
from edge_runtime.inference.errors import WorkerLostError
from edge_runtime.lineup import Lineup
from edge_runtime.model import Model
from edge_runtime.route import Route
from edge_runtime.update.agent import Agent
from edge_runtime.update.ascent import Means, Pace
from edge_runtime.update.keeper import RecordKeeper
from edge_runtime.update.record import Entry, Record
from edge_runtime.update.references import Cause, Slots, rollback_target
from edge_runtime.update.store import RecordStore
from tests.simulators.disk import CuttableDisk, PowerCutError
from tests.simulators.models import SimulatedWorker, loaded
from tests.unit.runtime.update.made import A, B, assignment, desired, digest, entry, order, record

pytestmark = pytest.mark.anyio

FOLDER = Path("/data/record")
QUICK = TrialPolicy(inferences_min=2, duration_min_s=0.0, duration_max_s=5.0, tries=3)
STEPS_MAX = 200  # far above the steps of one update
AT_REST = frozenset(
    {
        UpdateState.IDLE,
        UpdateState.COMMITTED,
        UpdateState.ROLLED_BACK,
        UpdateState.FAILED_NO_CHANGE,
        UpdateState.ROLLBACK_FAILED,
        UpdateState.FAIL_SAFE,
        UpdateState.CANCELLED,
    }
)


@dataclass(slots=True)
class Line:
    """Everything around the agent, quick and without processes.

    Attributes:
        breaks: the release whose worker dies when it is loaded.
        errs: the release that fails on every window.
        rotten: releases whose bytes are not what was verified.
        decided: what was ever in charge of the line.
    """

    breaks: str = ""
    errs: str = ""
    decided: set[str] = field(default_factory=set)
    rotten: frozenset[str] = frozenset()
    loads: int = 0
    _route: Route = field(default_factory=Route)

    @property
    def route(self) -> Route:
        """Who decides."""
        return self._route

    @route.setter
    def route(self, route: Route) -> None:
        self._route = route
        if route.effective is not None:
            self.decided.add(route.effective.digest)

    async def settled(self) -> None:
        """Nothing is ever under way here."""

    async def load(self, wanted: Entry, *, nice: int = 0) -> Model:
        """A model without a process."""
        assert nice in {0, 19}
        self.loads += 1
        if wanted.release.digest == self.breaks:
            raise WorkerLostError("died while loading")
        number = str(list("abc").index(wanted.release.version) + 1)
        model, _ = loaded(number, SimulatedWorker(wanted.release.digest))
        return replace(model, release=wanted.release)

    async def fetch(self, _: Source, wanted: Assignment, kept: Iterable[Entry]) -> Entry:
        """Every release is here at once."""
        assert wanted.release.digest not in {each.digest for each in kept}
        return entry(wanted.release.version, wanted.attempt)

    def verify(self, wanted: Entry) -> None:
        """Every byte is right, except of what rotted."""
        if wanted.digest in self.rotten:
            raise RefusedError(f"{wanted.release.version}: rotten")

    def collect(self, kept: Iterable[Entry]) -> int:
        """Nothing lies anywhere."""
        return len(list(kept)) * 0

    async def smoke(self, wanted: Entry) -> Admission:
        """Every release passes."""
        summary = Admitted(
            format="onnx",
            digests={},
            inputs=[],
            outputs=[],
            operators={},
            nodes=1,
            weight_bytes=1,
            opsets={},
        )
        return Admission(
            summary=summary,
            runtime="onnxruntime",
            cases=1,
            outputs_digest=wanted.release.digest,
            error_max=0.0,
            load_ms=0.0,
            p50_us=0.0,
            p99_us=0.0,
            peak_rss_bytes=0,
        )

    async def permit(self, request: PermitRequest) -> PermitReply:
        """Yes."""
        return PermitReply(granted=request.attempt > 0, epoch=1, valid_s=10.0)

    def source(self, _: str) -> Source:
        """Nobody reads from it."""
        return Layout(Path("/nowhere"))

    def work(self) -> None:
        """One window for whoever decides."""
        model = self.route.effective
        if model is None:
            return
        if model.digest == self.errs:
            self.route.exposure.errors += 1
        else:
            self.route.exposure.scored += 1


async def live(disk: CuttableDisk, line: Line, wanted: Desired, cause: Cause) -> Record:
    """Start the gateway and let it run until it is at rest; its record then.

    Raises:
        PowerCutError: the power went.
    """
    keeper = RecordKeeper(RecordStore(FOLDER, disk), time.monotonic)
    pace = Pace(look_s=0.001, retry_s=0.001)
    lineup = Lineup(line, line)
    agent = Agent(keeper, Means(line, line, lineup, line, time.monotonic, pace))
    await agent.begin(cause, "boot")
    failed: list[PowerCutError] = []

    async def run() -> None:
        try:
            await agent.run()
        except PowerCutError as error:
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        agent.submit(wanted)
        async with asyncio.timeout(10):
            while not failed and not at_rest(keeper.record, wanted):
                line.work()
                judge(keeper.record)
                await asyncio.sleep(0)
        task.cancel()
    if failed:
        raise failed[0]
    return keeper.record


def at_rest(now: Record, wanted: Desired) -> bool:
    """Whether everything that was wanted has been heard and has come to its end."""
    heard = now.desired == wanted
    return heard and now.state in AT_REST and now.slots.candidate is None


def judge(now: Record) -> None:
    """S1 and S3, at any instant."""
    slots = now.slots
    assert slots.effective is None or slots.effective in now.verified
    if slots.committed not in {None, slots.golden}:
        assert rollback_target(slots, now.verified) is not None


@dataclass(frozen=True, slots=True)
class Story:
    """Where a gateway starts, what is wanted, and where it must end."""

    before: Record
    wanted: Desired
    ends: Callable[[Slots], bool]
    breaks: str = ""
    errs: str = ""


TO_C = desired(assignment("c", trial=QUICK, shadow_pairs_min=0), generation=2)
STORIES = {
    "a good release is committed": Story(
        record(Slots(golden=A, committed=A)),
        TO_C,
        lambda slots: (slots.committed, slots.previous_good) == (digest("c"), A),
    ),
    "a release that fails on windows is taken back": Story(
        record(Slots(golden=A, committed=A)),
        TO_C,
        lambda slots: slots.committed == A and digest("c") in slots.bad,
        errs=digest("c"),
    ),
    "a release that does not load is taken back": Story(
        record(Slots(golden=A, committed=A)),
        TO_C,
        lambda slots: slots.committed == A and digest("c") in slots.bad,
        breaks=digest("c"),
    ),
    "an order takes the committed release back": Story(
        record(Slots(golden=A, previous_good=A, committed=B)),
        desired(generation=2, rollback=order("b")),
        lambda slots: slots.committed == A and B in slots.bad,
    ),
}


@pytest.mark.parametrize("cause", [Cause.PROCESS, Cause.POWER])
@pytest.mark.parametrize("name", STORIES)
async def test_every_step(name: str, cause: Cause) -> None:
    """Cut at step n for every n, then started again: the end is the same, and nothing odd ran."""
    story = STORIES[name]
    for cut_after in itertools.count():
        assert cut_after < STEPS_MAX
        disk = CuttableDisk()
        RecordStore(FOLDER, disk).save(story.before)
        disk = disk.reboot(cut_after)
        line = Line(breaks=story.breaks, errs=story.errs)
        try:
            await live(disk, line, story.wanted, cause)
            cut = False
        except PowerCutError:
            cut = True
            found = RecordStore(FOLDER, disk.reboot()).record
            judge(found)
            after = await live(disk.reboot(), line, story.wanted, cause)
            assert story.ends(after.slots), cut_after
        assert line.decided <= {A, B, digest("c")}
        if not cut:
            break
    assert cut_after > 3
