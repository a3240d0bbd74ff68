"""Every sink hears every verdict; the safe output comes by itself, and the heartbeat stops."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.errors import ConfigurationError
from edge_runtime.sinks.fanout import Fanout
from edge_runtime.sinks.standing import Shown, Standing
from edge_runtime.verdict import NO_MODEL, Verdict
from tests.simulators.releases import signature
from tests.simulators.waiting import until

pytestmark = pytest.mark.anyio

AT = datetime(2026, 11, 22, tzinfo=UTC)
CONTRACT = msgspec.structs.replace(signature(), silence_s_max=3.0)


@dataclass
class Heard:
    """A sink that keeps what it is told."""

    name: str = "heard"
    dropped: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    failure: Exception | None = None
    runs: int = 0

    def put(self, verdict: Verdict) -> None:
        """Keep it."""
        self.verdicts.append(verdict)

    def show(self, shown: Shown) -> None:
        """Keep it."""
        self.shown.append(shown)

    def beat(self, count: int) -> None:
        """Keep it."""
        self.beats.append(count)

    async def run(self) -> None:
        """Fail, or wait."""
        self.runs += 1
        if self.failure is not None:
            raise self.failure
        await asyncio.Event().wait()


@dataclass
class Line:
    """A gateway whose clock a test sets."""

    heard: Heard = field(default_factory=Heard)
    contract: ModelSignature | None = CONTRACT
    now_s: float = 0.0

    def __post_init__(self) -> None:
        """Put the fan-out in front of the sink."""
        self.fanout = Fanout(
            [self.heard],
            ("gw-1", 7),
            lambda: self.contract,
            (lambda: self.now_s, lambda: AT + timedelta(seconds=self.now_s)),
            1.0,
        )

    def say(self, **what: object) -> None:
        """One verdict, now."""
        at = AT + timedelta(seconds=self.now_s)
        usual = {"serial": "gw-1", "epoch": 7, "window": 5, "started": at, "ended": at}
        asked = {**usual, "decided": False, "label": None, **what}
        self.fanout.put(msgspec.convert(asked, Verdict))

    def pass_to(self, now_s: float) -> None:
        """Let time go by, with a look and a beat each half second."""
        while self.now_s < now_s:
            self.now_s += 0.5
            self.fanout.look()
            self.fanout.beat()


def test_stops() -> None:
    """When windows stop, the heartbeat stops, and the safe output holds, once, on every sink."""
    line = Line()
    for _ in range(4):
        line.say(decided=True, label="leak")
        line.pass_to(line.now_s + 1.0)
    assert line.heard.beats == list(range(1, 9))
    assert {each.standing for each in line.heard.shown} == {Standing.DECIDED}
    line.pass_to(20.0)
    assert len(line.heard.beats) == 12  # for as long as the model may be silent
    assert line.heard.shown[-1].label == CONTRACT.safe_output
    assert [each.standing for each in line.heard.shown].count(Standing.SAFE) == 1
    *_, last = line.heard.verdicts
    assert (last.window, last.decided, last.label) == (0, False, CONTRACT.safe_output)
    assert last.reason == "no verdict for 3 s"
    assert len(line.heard.verdicts) == 5
    line.say(decided=True, label="leak")
    line.pass_to(21.0)
    assert line.heard.shown[-1].standing is Standing.DECIDED
    assert len(line.heard.beats) == 14


def test_bad_input() -> None:
    """A sensor that is bad for long: the line is told the safe output, and that we are alive."""
    line = Line()
    line.say(decided=True, label="leak")
    for _ in range(10):
        line.pass_to(line.now_s + 1.0)
        line.say(label=CONTRACT.safe_output, reason="flow: bad status", bad=["flow"])
    assert len(line.heard.beats) == 20
    assert line.heard.shown[-1].standing is Standing.SAFE
    assert 0 not in [each.window for each in line.heard.verdicts]


def test_no_model() -> None:
    """Without a model nothing beats and nothing holds."""
    line = Line(contract=None)
    line.say(reason=NO_MODEL)
    line.pass_to(20.0)
    assert (line.heard.beats, line.heard.shown, len(line.heard.verdicts)) == ([], [], 1)


async def test_wrong_setting() -> None:
    """A sink whose settings do not fit is a fault, and no end of anything."""
    line = Line(Heard(failure=ConfigurationError("node 7: not there")))
    faults: dict[str, str] = {}
    async with asyncio.TaskGroup() as group:
        task = group.create_task(line.fanout.run(faults.__setitem__))
        await until(lambda: bool(faults), "a fault")
        task.cancel()
    assert faults == {"sink heard": "node 7: not there"}


async def test_nothing_configured() -> None:
    """Where nobody listens there is nothing to run."""
    fanout = Fanout([], ("gw-1", 1), lambda: None, (lambda: 0.0, lambda: AT), 1.0)
    faults: dict[str, str] = {}
    await fanout.run(faults.__setitem__)
    assert faults == {}
