"""A camera that shows nothing: said for as long as it lasts, and the line is made safe."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.artefact import Windowing
from edge_runtime.frames.newest import Frame, Newest
from edge_runtime.frames.off_time import off_time
from edge_runtime.frames.silence import Silence, allowed_s
from edge_runtime.frames.windows import PictureStream
from edge_runtime.ledger import Ledger
from edge_runtime.live import LiveFeed, Shows, WindowSeen
from edge_runtime.model import Model
from edge_runtime.pipeline import Pipeline
from edge_runtime.route import Route
from edge_runtime.scoring import Scorer
from edge_runtime.sinks.fanout import Fanout
from edge_runtime.sinks.port import Sink
from edge_runtime.sinks.standing import Shown, Standing
from edge_runtime.verdict import Verdict
from edge_runtime.windows import WindowStream
from tests.unit.runtime.frames.test_model import Ear, model

pytestmark = pytest.mark.anyio

__all__ = ["model"]  # the fixture
SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
EACH_SECOND = Windowing(period_s=0.5, length_rows=2, stride_rows=2, gap_rows_max=4)


@dataclass(frozen=True, slots=True)
class Case:
    """Pictures that came, and when the camera is said to show nothing, looked at every 0.25 s."""

    came_s: tuple[float, ...]
    said_s: tuple[float, ...]
    stale_s: float | None = None
    until_s: float = 6.0
    gap_rows_max: int = 4


# A picture is due each second and may be missing for two more.
CASES = {
    "a picture each second: nothing is said": Case((0.25, 1.25, 2.25, 3.25, 4.25, 5.25), ()),
    "nothing ever came: said from the start on": Case((), (3.25, 4.25, 5.25)),
    "one came: said as long after that one": Case((1.0,), (4.25, 5.25)),
    "it came back: said no more": Case((0.5, 4.0), (3.75,)),
    "it came back and went again: said at once": Case((0.0, 3.5), (3.25, 6.75, 7.75), None, 8.0),
    "a line where parts come every four seconds": Case((), (6.25, 7.25), 4.0, 8.0),
    "a line that waits for nothing: said at the next look": Case((), (0.5, 1.5), 0.25, 2.0, 0),
    "a line that wants each picture at once": Case((), (2.5, 3.5, 4.5, 5.5), 0.25),
}


@pytest.mark.parametrize("name", CASES)
def test_silence(name: str) -> None:
    """Each row says what came, and what is said of it."""
    case = CASES[name]
    silence, said, waiting = Silence("camera", 0.0), [], list(case.came_s)
    windowing = msgspec.structs.replace(EACH_SECOND, gap_rows_max=case.gap_rows_max)
    for look in range(int(case.until_s * 4)):
        now_s = look / 4
        while waiting and waiting[0] <= now_s:
            silence.seen(waiting.pop(0))
        found = silence.due(now_s, windowing, case.stale_s)
        if found is not None:
            said.append(now_s)
            last_s = max((each for each in case.came_s if each <= now_s), default=0.0)
            assert found == pytest.approx(now_s - last_s)
    assert (silence.role, tuple(said)) == ("camera", case.said_s)


@given(
    st.lists(st.floats(0, 30), max_size=20),
    st.sampled_from([None, 0.5, 7.0]),
    st.floats(0.05, 2.0),
)
def test_never_early_never_twice(
    came_s: list[float], stale_s: float | None, look_s: float
) -> None:
    """It is said once a stride at most, only after what is allowed, and no later than a look."""
    silence, last_s, said_s = Silence("camera", 0.0), 0.0, -99.0
    waiting, bound_s = sorted(came_s), allowed_s(EACH_SECOND, stale_s)
    looks = int(40 / look_s)
    for now_s in (look * look_s for look in range(looks)):
        while waiting and waiting[0] <= now_s:
            last_s = waiting.pop(0)
            silence.seen(last_s)
        found = silence.due(now_s, EACH_SECOND, stale_s)
        if found is not None:
            assert found > bound_s
            assert said_s < last_s or now_s - said_s >= 1.0
            said_s = now_s
        elif now_s - last_s > bound_s:
            assert now_s - said_s < 1.0


class Panel:
    """What the line is shown."""

    def __init__(self) -> None:
        self.name = "panel"
        self.dropped = 0
        self.shown: list[Shown] = []

    def put(self, verdict: Verdict) -> None:
        """Only what holds counts here."""

    def show(self, shown: Shown) -> None:
        """Keep it."""
        self.shown.append(shown)

    def beat(self, count: int) -> None:
        """Nothing to see."""

    async def run(self) -> None:
        """Nothing to do."""


class Line:
    """A camera, its pipeline and what the line is shown, all on one clock.

    Attributes:
        now_s: what the clock says.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        self.now_s = 100.0
        self.model = model
        self.heard = Ear()
        self.shown = Panel()
        self.newest = Newest(
            self.clock, lambda at_ns: off_time(at_ns, self.unix_ns(), None, trusted=True)
        )
        self.newest.comes_from("camera", "eye", None)
        self.ledger = Ledger(folder / "windows")
        stream = WindowStream([], self.ledger, lateness_s=0.1, monotonic=self.clock)
        pictures = PictureStream(
            self.newest, self.ledger, 0, monotonic=self.clock, unix_ns=self.unix_ns
        )
        self.fanout = Fanout(
            [self.shown],
            ("gw-1", 1),
            lambda: model.signature,
            (self.clock, lambda: datetime.now(UTC)),
            60.0,
        )
        scorer = Scorer("gw-1", 1, time.monotonic)
        sinks: list[Sink] = [self.heard, self.fanout]
        self.pipeline = Pipeline(stream, scorer, self.ledger, sinks, self.heard, pictures=pictures)

    def clock(self) -> float:
        """Seconds that never step."""
        return self.now_s

    def unix_ns(self) -> int:
        """The wall clock."""
        return NOW_NS + int(self.now_s * SECOND_NS)

    def picture(self, light: int = 250, age_s: float = 0.0) -> None:
        """The camera shows one that it took so long ago."""
        pixels = np.full((30, 40, 3), light, np.uint8)
        taken_ns = self.unix_ns() - int(age_s * SECOND_NS)
        self.newest.put(Frame("camera", pixels, taken_ns, "x"))

    async def after(self, more_s: float) -> Verdict | None:
        """What was said at that time, if anything."""
        before = len(self.heard.heard)
        self.now_s = round(self.now_s + more_s, 6)
        await self.pipeline.tick(Route(effective=self.model))
        self.fanout.look()
        return self.heard.heard[-1] if len(self.heard.heard) > before else None


@pytest.fixture
def line(tmp_path: Path, model: Model) -> Iterator[Line]:
    """A camera every 0.1 s, which may be missing for 0.1 s more."""
    made = Line(tmp_path, model)
    yield made
    made.ledger.close()


async def test_silent_camera(line: Line) -> None:
    """A camera that falls silent is bad input with its source named, and the line is made safe."""
    line.picture()
    seen = await line.after(0.0)
    assert seen is not None
    assert (seen.decided, seen.label, seen.quality) == (True, "light", 1.0)
    assert await line.after(0.15) is None
    line.newest.refuse("camera", "damaged", "picture: damaged: no end")
    silent = await line.after(0.15)
    assert silent is not None
    assert (silent.decided, silent.label, silent.bad, silent.gaps) == (
        False,
        "dark",
        ["camera"],
        ["camera"],
    )
    assert silent.reason == (
        "no verdict: input bad: camera shows nothing for 0.3 s "
        "(source eye fell silent, 0.2 s allowed; picture: damaged: no end)"
    )
    assert (silent.quality, silent.age_max_s, silent.window) == (0.0, None, 2)
    assert (silent.ended - silent.started).total_seconds() == pytest.approx(0.3, abs=1e-3)
    assert await line.after(0.05) is None
    again = await line.after(0.06)
    assert again is not None
    assert again.window == 3
    assert line.shown.shown[-1].standing is Standing.SAFE
    assert line.shown.shown[-1].label == "dark"


async def test_watched(line: Line) -> None:
    """Whoever watches a camera's windows sees whether there was a picture."""
    live = LiveFeed((), {}, list, lambda: None, line.newest.shown)
    watching = aiter(live.watch(Shows(every_s=60.0)))
    await anext(watching)  # the camera; from now on it watches
    line.picture()
    await line.after(0.0)
    await line.after(1.0)
    for scored in line.heard.taken:
        live.take(scored)
    seen = [await anext(watching) for _ in range(4)]
    assert [each.good for each in seen if isinstance(each, WindowSeen)] == [
        {"camera": 1.0},
        {"camera": 0.0},
    ]


async def test_back_again(line: Line) -> None:
    """With the next picture there is a verdict again, and what went wrong before is forgotten."""
    assert (await line.after(0.0)) is None
    nothing = await line.after(5.0)
    assert nothing is not None
    assert "shows nothing for 5.0 s (source eye fell silent" in nothing.reason
    line.picture()
    seen = await line.after(0.0)
    assert seen is not None
    assert seen.decided
    assert line.newest.of("camera").trouble == ""
    assert line.shown.shown[-1].standing is Standing.DECIDED


async def test_old_picture(line: Line) -> None:
    """A picture that waited for longer than one may be missing is passed over, not judged."""
    await line.after(0.0)
    line.picture()
    old = await line.after(1.0)
    assert old is not None
    assert (old.decided, old.bad) == (False, ["camera"])
    assert line.newest.of("camera").skipped == 1


async def test_yesterday(line: Line) -> None:
    """A camera that uploads yesterday's pictures shows nothing, and it is said why."""
    await line.after(0.0)
    for _ in range(40):
        line.picture(age_s=86_400.0)
        seen = await line.after(0.05)
        assert seen is None or not seen.decided
    assert line.heard.heard[-1].reason.endswith(
        "(source eye fell silent, 0.2 s allowed; source time is not of now: 86400 s behind)"
    )
    assert line.newest.of("camera").refused == {"off_time": 40}
    line.picture()
    seen = await line.after(0.05)
    assert seen is not None
    assert seen.decided


async def test_line_knows_better(line: Line) -> None:
    """A line where parts come now and then says how long a picture stands."""
    line.newest.comes_from("camera", "eye", 30.0)
    line.picture()
    await line.after(0.0)
    assert await line.after(30.0) is None
    silent = await line.after(0.2)
    assert silent is not None
    assert "30.1 s allowed" in silent.reason
