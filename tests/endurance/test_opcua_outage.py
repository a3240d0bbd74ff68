"""Fifty outages of an OPC UA link: data again in time each time, and every gap exactly recorded.

A proxy between source and server goes deaf, is cut, reset, closed or slow. Half of the runs are
against asyncua's server and half against node-opcua's; several go on side by side. What was sent
meanwhile is known from a source of our own that needs no proxy. It also tells how busy the machine
is: a run that is late while this source too had to wait for its values says nothing, and is made
again.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from edge_core.features.samples import CellQuality
from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.sample import Ingest, SampleBatch
from tests.real.other_make import other_make_program
from tests.simulators.link import Link
from tests.simulators.opcua_field import URI
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.recorder import Recorder
from tests.simulators.truth import Account, account, learnt
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

RUNS = 25  # against each server
ABREAST = 5
KEEP_ALIVE_S = 1.0
SILENCE_S = 2 * KEEP_ALIVE_S
BACK_S = 2 * KEEP_ALIVE_S + 1
SETTLE_S = 1.5
STARVED_S = 0.5  # without values every tenth of a second the machine has no time for anybody
TRIES = 4
TAG = "count"
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Plant:
    """A server and where its counter is."""

    program: Program
    path: str
    address: str

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.program.port is not None
        return self.program.port

    def source(self, port: int, take: Ingest, hold_s: float) -> OpcUaSource:
        """A source of the counter, by way of a port."""
        config = OpcUaConfig(
            name="plc",
            url=f"opc.tcp://127.0.0.1:{port}/{self.path}",
            publishing_s=0.1,
            silence_s=SILENCE_S,
            hold_s=hold_s,
            answer_s=KEEP_ALIVE_S,
            queue=1000,
            retry_s=0.1,
            history=hold_s > SILENCE_S,
        )
        tag = TagConfig(role=TAG, unit="1", source="plc", address=self.address)
        return OpcUaSource(config, [tag], take, monotonic=time.monotonic, unix_ns=time.time_ns)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the link, for how long, and how long the server waits for us."""

    kind: str
    lasts_s: float
    hold_s: float


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    fault: Fault
    back_s: float = 0.0
    starved_s: float = 0.0
    account: Account = field(default_factory=Account)


@pytest.fixture(params=["asyncua", "node-opcua"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """A server in a process of its own."""
    if request.param == "asyncua":
        port = free_port()
        command = [sys.executable, "-m", "tests.simulators.opcua_field", str(port)]
        with Program(command, tmp_path / "said", port) as program:
            yield Plant(program, "field", f"nsu={URI};s=count")
        return
    with other_make_program(tmp_path) as program:
        yield Plant(program, "other", "nsu=urn:another:make;s=count")


@asynccontextmanager
async def running(source: OpcUaSource) -> AsyncIterator[None]:
    """As long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(source.run())
        try:
            yield
        finally:
            task.cancel()


async def suffer(link: Link, fault: Fault) -> None:
    """Do it, and leave the link as it was."""
    match fault.kind:
        case "deaf":
            link.deaf = True
            await asyncio.sleep(fault.lasts_s)
            link.deaf = False
        case "cut":
            link.cut()
        case "reset":
            link.reset()
        case "closed":
            link.closed = True
            link.reset()
            await asyncio.sleep(fault.lasts_s)
            link.closed = False
        case "slow":
            link.delay_s = 0.4
            await asyncio.sleep(fault.lasts_s)
            link.delay_s = 0.0
        case other:
            raise AssertionError(other)


async def one(plant: Plant, fault: Fault) -> Outcome:
    """One source, one link, one outage; what a source without a link saw is the truth."""
    link, got, seen = Link(plant.port), Recorder((TAG,)), Recorder((TAG,))
    outcome = Outcome(fault)
    heard_s: list[float] = []

    def hear(batch: SampleBatch) -> None:
        heard_s.append(time.monotonic())
        seen.take(batch)

    async with (
        link.open(),
        running(plant.source(plant.port, hear, 60.0)),
        running(plant.source(link.port, got.take, fault.hold_s)),
    ):
        await until(lambda: any(each.value > 0 for each in got.samples), "the first value")
        await until(lambda: any(each.value > 0 for each in seen.samples), "the first value")
        await asyncio.sleep(SETTLE_S)
        began_s = time.monotonic()
        await suffer(link, fault)
        works_s, works_ns = time.monotonic(), time.time_ns()

        def back() -> bool:
            recent = got.samples[-50:]
            return any(
                each.quality is CellQuality.GOOD and each.source_ns > works_ns for each in recent
            )

        await until(back, f"data after {fault}")
        outcome.back_s = time.monotonic() - works_s
        await asyncio.sleep(SETTLE_S)
    pauses = [b - a for a, b in pairwise(heard_s) if b >= began_s]
    outcome.starved_s = max(pauses, default=0.0)
    truth: dict[int, int] = {}
    learnt(truth, seen.samples)
    learnt(truth, got.samples)
    outcome.account = account(got.of(TAG), truth)
    return outcome


def faults() -> list[Fault]:
    """Every kind, short and long; now and then the server forgets us before we are back."""
    chance = random.Random(SEED)
    kinds = ("deaf", "cut", "reset", "closed", "slow")
    found = []
    for number in range(RUNS):
        kind = kinds[number % len(kinds)]
        forgotten = number // len(kinds) % 3 == 2
        lasts_s = chance.uniform(3.5, 5.0) if forgotten else chance.uniform(0.2, 4.0)
        found.append(Fault(kind, lasts_s, 1.0 if forgotten else 60.0))
    return found


async def test_outages(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """After every outage data come within two keep-alives and a second; every gap is exact."""
    await plant.program.ready()
    turns = asyncio.Semaphore(ABREAST)
    outcomes: list[Outcome] = []

    async def take_turn(fault: Fault) -> None:
        async with turns:
            outcome = await one(plant, fault)
            for _ in range(TRIES - 1):
                starved = outcome.back_s > BACK_S and outcome.starved_s > STARVED_S
                if outcome.account.wrong or not starved:
                    break  # however late it was, a gap must be right
                outcome = await one(plant, fault)
            outcomes.append(outcome)

    async with asyncio.TaskGroup() as group:
        for fault in faults():
            group.create_task(take_turn(fault))
    with capsys.disabled():
        report(outcomes)
    late = [each for each in outcomes if each.back_s > BACK_S]
    wrong = [(each.fault, each.account.wrong) for each in outcomes if each.account.wrong]
    assert (late, wrong) == ([], [])
    assert len(outcomes) == RUNS
    # Where the server waited for us nothing is lost at all.
    kept = [each for each in outcomes if each.fault.hold_s > SILENCE_S]
    assert [each.fault for each in kept if each.account.missing] == []
    # Where it did not, at least one outage was long enough to lose something.
    assert any(each.account.missing for each in outcomes if each not in kept)


def report(outcomes: list[Outcome]) -> None:
    """What happened, a line a run."""
    for each in sorted(outcomes, key=lambda each: each.fault.kind):
        fault, found = each.fault, each.account
        print(  # noqa: T201 - what took minutes is worth a line
            f"{fault.kind:>7} {fault.lasts_s:4.1f} s, held {fault.hold_s:g} s: back after "
            f"{each.back_s:.2f} s (starved {each.starved_s:.1f} s), {found.values} values, "
            f"{found.missing} missing in {found.gaps} gaps{'; '.join(['', *found.wrong])}"
        )
