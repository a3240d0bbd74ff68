"""A sensor of someone else's plant goes bad, not the pump: from the wire to the verdict."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge_core.contracts.artefact import Windowing
from edge_runtime.config import TagConfig
from edge_runtime.instruments import InstrumentWatch
from edge_runtime.ledger import Ledger
from edge_runtime.route import Route
from edge_runtime.scoring import Scorer
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.verdict import Verdict
from edge_runtime.windows import WindowStream
from tests.real.other_make import other_make_program
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.programs import Program
from tests.simulators.releases import ROLES, signature
from tests.simulators.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.real]

WINDOWING = Windowing(period_s=0.05, length_rows=6, stride_rows=3, gap_rows_max=3)
HURRY = 200.0  # a minute of the workshop's patience is 0.3 s here
STALE_S = 0.5  # half a minute at a plant; nobody wants to wait for it here
RULES: dict[str, Any] = {  # Any: fields of any type
    "low": 0.0,
    "high": 900.0,
    "sentinels": [888.8],
    "flat_rows_max": 6,
    "stale_s": STALE_S,
}
TAGS = [
    TagConfig(
        role=role,
        unit="bar",
        source="plc",
        address=f"nsu=urn:bad:sensor;s={role}",
        **rules,
    )
    for role, rules in (("flow", {}), ("pressure", RULES))
]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING = Verdict(
    serial="gw-1", epoch=1, window=0, started=EPOCH, ended=EPOCH, decided=False, label=None
)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One server for all faults, since it takes seconds to start."""
    with other_make_program(tmp_path_factory.mktemp("plant"), "plant.js") as program:
        yield program


@dataclass
class Line:
    """A gateway's way from the wire to the verdict, with a model that would say `normal`."""

    plant: Program
    ledger: Ledger
    verdicts: list[Verdict] = field(default_factory=list)
    worker: SimulatedWorker = field(default_factory=lambda: SimulatedWorker("x"))
    faults: dict[str, str] = field(default_factory=dict)

    def fault(self, name: str, reason: str) -> None:
        """What the site is told."""
        self.faults[name] = reason

    def mend(self, name: str) -> None:
        """It is told no longer."""
        del self.faults[name]

    def __post_init__(self) -> None:
        self.stream = WindowStream(TAGS, self.ledger, lateness_s=0.2, monotonic=time.monotonic)
        self.stream.follow(WINDOWING)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Windows are scored as long as the context lasts."""
        await self.plant.ready()
        config = OpcUaConfig(
            name="plc",
            url=f"opc.tcp://127.0.0.1:{self.plant.port}/plant",
            publishing_s=0.05,
            queue=100,
        )
        source = OpcUaSource(
            config, TAGS, self.stream.take, monotonic=time.monotonic, unix_ns=time.time_ns
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(source.run()), group.create_task(self._score())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _score(self) -> None:
        model, _ = loaded("1", self.worker, signature(ROLES, WINDOWING))
        scorer, route = Scorer("gw-1", 1, time.monotonic), Route(model)
        instruments = InstrumentWatch(self, lambda: HURRY * time.monotonic())
        while True:
            for cut in self.stream.cut():
                scored = await scorer.score(cut, route)
                self.verdicts.append(scored.verdict)
                instruments.take(scored)
            await asyncio.sleep(0.02)

    def goes(self, fault: str) -> None:
        """What is wrong with the sensor, from now on."""
        (self.plant.said.parent / "fault").write_text(fault, encoding="utf-8")

    async def until_decided(self) -> None:
        """Wait for a verdict."""
        await until(lambda: self.last.decided, "a verdict")

    async def until_refused(self, words: str) -> None:
        """Wait until that is why there is none."""
        await until(lambda: words in self.last.reason, f"no verdict: {words}")

    async def until_more(self, windows: int) -> None:
        """Wait for so many verdicts more."""
        wanted = len(self.verdicts) + windows
        await until(lambda: len(self.verdicts) >= wanted, "more windows")

    @property
    def last(self) -> Verdict:
        """The newest verdict; before the first one, none that says anything."""
        return self.verdicts[-1] if self.verdicts else NOTHING


FAULTS = {
    "bad": "bad status",
    "frozen": "value frozen",
    "sentinel": "sentinel or impossible value",
    "old": "source time is not of now",
    "silent": "nothing recent arrived",
    "scaled": "sentinel or impossible value",
    "unit": "bad status",
}
# A server of data changes says nothing of a value that stands still: first it is frozen, then old.
STILL = ("value frozen", "nothing recent arrived")


async def test_sensor_goes_bad(plant: Program, tmp_path: Path) -> None:
    """Every fault of the pressure sensor: no verdict, one ticket that names it; then verdicts."""
    with Ledger(tmp_path / "w") as ledger:
        line = Line(plant, ledger)
        async with line.running():
            await line.until_decided()
            for fault, words in FAULTS.items():
                line.goes(fault)
                await line.until_refused(words)
                before, asked = len(line.verdicts), len(line.worker.asked)
                await line.until_more(2)
                for verdict in line.verdicts[before:]:
                    assert verdict.reason.startswith("no verdict: input bad: pressure ")
                    assert (verdict.decided, verdict.bad) == (False, ["pressure"])
                assert len(line.worker.asked) == asked
                await until(lambda: bool(line.faults), "a ticket")
                assert line.faults.keys() == {"input pressure"}
                told = line.faults["input pressure"].partition(" since 20")[0]
                causes = STILL if words in STILL else (words,)
                assert told in {f"pressure: {cause}" for cause in causes}
                line.goes("")
                await line.until_decided()
                assert line.faults == {}
