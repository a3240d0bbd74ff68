"""A sensor goes bad, not the pump: no verdict, the tag is named, and no model is asked."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.clock import LEAP_PATIENCE_S, SECOND_NS
from edge_runtime.config import TagConfig
from edge_runtime.gaps import Gap
from edge_runtime.ledger import Ledger
from edge_runtime.route import Route
from edge_runtime.scoring import Scored, Scorer
from edge_runtime.sources.sample import GapCause, SampleBatch, gap_status
from edge_runtime.verdict import Verdict
from edge_runtime.windows import WindowStream
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import ROLES, WINDOWING

pytestmark = pytest.mark.anyio

T0_NS = 1_795_305_600_000_000_000
PERIOD_NS = round(WINDOWING.period_s * SECOND_NS)
BAD_SENSOR_FAILURE = 0x808C_0000
UNCERTAIN_LAST_USABLE = 0x4090_0000
FLOW, PRESSURE = range(2)
TAGS = [
    TagConfig(role="flow", unit="bar", source="plc", address="x#flow"),
    TagConfig(
        role="pressure",
        unit="bar",
        source="plc",
        address="x#pressure",
        low=0.0,
        high=900.0,
        sentinels=[888.8],
        flat_rows_max=4,
        stale_s=5.0,
    ),
]


@dataclass(frozen=True)
class Shown:
    """What one tag shows in one period; None is nothing at all."""

    value: float = 1.0
    status: int = 0
    late_ns: int = 0


Shows = Callable[[int], Shown | None]


def well(row: int) -> Shown:
    """A sensor that lives."""
    return Shown(2.0 + row % 3 / 10)


@dataclass
class Plant:
    """Two tags, a stream with a hand on its clock, and a model that would say `normal`."""

    ledger: Ledger
    row: int = 0
    wrong_ns: int = 0
    worker: SimulatedWorker = field(default_factory=lambda: SimulatedWorker("x"))

    def __post_init__(self) -> None:
        model, _ = loaded("1", self.worker)
        self.route = Route(model)
        self.scorer = Scorer("gw-1", 1, lambda: 0.0)
        self.stream = WindowStream(
            TAGS,
            self.ledger,
            lateness_s=0.0,
            monotonic=lambda: self.now_s,
            unix_ns=lambda: T0_NS + self.row * PERIOD_NS + self.wrong_ns,
        )
        self.stream.follow(WINDOWING)

    @property
    def now_s(self) -> float:
        """Our own clock."""
        return self.row * WINDOWING.period_s

    async def rows(self, count: int, flow: Shows = well, pressure: Shows = well) -> list[Scored]:
        """Let *count* periods go by."""
        found: list[Scored] = []
        for _ in range(count):
            at_ns = T0_NS + self.row * PERIOD_NS
            for tag, shows in ((FLOW, flow), (PRESSURE, pressure)):
                shown = shows(self.row)
                if shown is not None:
                    self.stream.take(one(tag, shown, at_ns))
            found += [await self.scorer.score(cut, self.route) for cut in self.stream.cut()]
            self.row += 1
        return found


def one(tag: int, shown: Shown, at_ns: int) -> SampleBatch:
    """A batch of one sample; a time that no column holds is the last that it does."""
    times = np.array([max(-(2**63), min(2**63 - 1, at_ns - shown.late_ns))], np.int64)
    return SampleBatch(
        np.array([tag], np.int32),
        np.array([shown.value]),
        times,
        np.array([shown.status], np.uint32),
    )


def gap_at(row: int, cause: GapCause) -> Shows:
    """Well until *row*, where the source says that nothing is known from there on."""
    gap = Shown(math.nan, gap_status(cause))
    return lambda at: gap if at == row else None if at > row else well(at)


FROM = 20  # the row from which the sensor is bad
LONG = 120  # six seconds: longer than a value may be held, shorter than nobody's patience

FAULTS: dict[str, tuple[Shows, str]] = {
    "bad status": (
        lambda row: Shown(well(row).value, BAD_SENSOR_FAILURE),
        "pressure 0 % good, 80 % needed (bad status)",
    ),
    "frozen value": (
        lambda _: Shown(2.0),
        "pressure 0 % good, 80 % needed (value frozen)",
    ),
    "frozen, and no longer sent since it does not change": (
        lambda row: Shown(2.0) if row == FROM else None,
        "pressure 0 % good, 80 % needed (value frozen)",
    ),
    "sentinel 888.8": (
        lambda _: Shown(888.8),
        "pressure 0 % good, 80 % needed (sentinel or impossible value)",
    ),
    "another unit: mbar where the instrument ends at 900": (
        lambda row: Shown(1000 * well(row).value),
        "pressure 0 % good, 80 % needed (sentinel or impossible value)",
    ),
    "the source says that the unit changed": (
        gap_at(FROM, GapCause.UNIT),
        "pressure 0 % good, 80 % needed (unit changed at its source)",
    ),
    "source time ten minutes old": (
        lambda row: Shown(well(row).value, 0, 600 * SECOND_NS),
        "pressure 0 % good, 80 % needed (source time is not of now)",
    ),
    "source time an hour ahead, as of a controller in local time": (
        lambda row: Shown(well(row).value, 0, -3600 * SECOND_NS),
        "pressure 0 % good, 80 % needed (source time is not of now)",
    ),
    "source time in 1970, as of a controller without a battery": (
        lambda row: Shown(well(row).value, 0, T0_NS),
        "pressure 0 % good, 80 % needed (source time is not of now)",
    ),
    "source time in 1601, as where there is none": (
        lambda row: Shown(well(row).value, 0, T0_NS + 11_644_473_600 * SECOND_NS),
        "pressure 0 % good, 80 % needed (source time is not of now)",
    ),
    "source time in the year 2262": (
        lambda row: Shown(well(row).value, 0, T0_NS - 2**63 + 1),
        "pressure 0 % good, 80 % needed (source time is not of now)",
    ),
    "connection lost": (
        gap_at(FROM, GapCause.CONNECTION),
        "pressure 0 % good, 80 % needed (the connection was lost)",
    ),
    "an unknown cause is still a gap": (
        lambda row: Shown(math.nan, gap_status() | 999) if row == FROM else None,
        "pressure 0 % good, 80 % needed (nothing is known)",
    ),
    "not a number": (
        lambda _: Shown(math.nan),
        "pressure 0 % good, 80 % needed (sentinel or impossible value)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_no_verdict(name: str, tmp_path: Path) -> None:
    """Each row is a fault of one sensor: never `normal`, never an alarm, and the tag is named."""
    shows, words = FAULTS[name]
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        before = await plant.rows(FROM)
        assert before[-1].verdict.decided
        await plant.rows(16, pressure=shows)
        asked = len(plant.worker.asked)
        found = await plant.rows(16, pressure=shows)
        assert found
        for scored in found:
            verdict = scored.verdict
            assert verdict.reason == f"no verdict: input bad: {words}"
            assert (verdict.decided, verdict.bad) == (False, ["pressure"])
            assert scored.bad_input == verdict.reason
            assert verdict.quality == 0.0
        assert len(plant.worker.asked) == asked
        after = await plant.rows(40)
        assert after[-1].verdict.decided
        assert after[-1].verdict.quality == 1.0


async def test_thirty_seconds_without_a_value(tmp_path: Path) -> None:
    """A tag that must speak every five seconds and does not for thirty is stale, then well."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        await plant.rows(FROM)
        found = await plant.rows(600, pressure=lambda _: None)
        stale = [each.verdict for each in found if "nothing recent arrived" in each.verdict.reason]
        assert all(each.bad == ["pressure"] for each in stale)
        # The rows of a value that stands still are bad as well, until it is stale.
        assert len(found) - len(stale) <= 30
        silent = stale[-1].age_max_s
        assert silent is not None
        assert silent == pytest.approx(30.0, abs=0.5)
        assert (await plant.rows(20))[-1].verdict.decided


async def test_uncertain_is_used_and_said(tmp_path: Path) -> None:
    """The last usable value of a sensor is computed with, and the verdict says so."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        found = await plant.rows(
            30, pressure=lambda row: Shown(well(row).value, UNCERTAIN_LAST_USABLE)
        )
        verdict = found[-1].verdict
        assert verdict.decided
        assert verdict.uncertain == ["pressure"]


async def test_what_travels_with_a_verdict(tmp_path: Path) -> None:
    """Age, gaps and source times are those of the window, of the tags that the model has."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        await plant.rows(FROM)
        lost = Shown(math.nan, gap_status(GapCause.OVERFLOW), late_ns=1)
        found = await plant.rows(1, pressure=lambda _: lost)
        found += await plant.rows(11)
        touched = [each.verdict for each in found if each.verdict.gaps]
        assert touched
        assert {tuple(each.gaps) for each in touched} == {("pressure",)}
        verdict: Verdict = found[-1].verdict
        assert verdict.decided
        assert verdict.source_started is not None
        assert verdict.source_ended is not None
        assert verdict.source_started == verdict.started
        assert verdict.source_ended == verdict.ended
        assert verdict.age_max_s == 0.0


async def test_gaps_have_a_beginning_an_end_and_a_cause(tmp_path: Path) -> None:
    """A gap lasts until the tag's next value, and every window it touches knows it."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        await plant.rows(FROM)
        found = await plant.rows(20, pressure=gap_at(FROM, GapCause.SILENCE))
        found += await plant.rows(20)
        at_ns = T0_NS + FROM * PERIOD_NS
        gap = Gap("pressure", at_ns, GapCause.SILENCE, at_ns + 20 * PERIOD_NS)
        assert plant.stream.gaps == (gap,)
        for scored in found:
            window = scored.cut.window
            touches = window.end_ns >= gap.start_ns and window.start_ns <= (gap.end_ns or 0)
            assert bool(scored.cut.gaps) == touches
            assert window.gap.tolist() == [False, touches]
            assert [each.role for each in scored.cut.gaps] == ["pressure"] * touches


async def test_repeats_change_nothing(tmp_path: Path) -> None:
    """A source that sends everything twice, and the last second once more, changes no window."""
    with Ledger(tmp_path / "a") as one_ledger, Ledger(tmp_path / "b") as other_ledger:
        once, twice = Plant(one_ledger), Plant(other_ledger)
        alone = await once.rows(60)
        found: list[Scored] = []
        for row in range(60):
            at_ns = T0_NS + row * PERIOD_NS
            for back in (0, 0, 20, 10):
                again_ns = at_ns - min(back, row) * PERIOD_NS
                shown = well(row - min(back, row))
                for tag in (FLOW, PRESSURE):
                    twice.stream.take(one(tag, shown, again_ns))
            found += [await twice.scorer.score(cut, twice.route) for cut in twice.stream.cut()]
            twice.row += 1
        assert [each.verdict for each in found] == [each.verdict for each in alone]
        for left, right in zip(found, alone, strict=True):
            np.testing.assert_array_equal(left.cut.window.values, right.cut.window.values)


STEPS = {
    "an hour back, as in autumn": 3600,
    "an hour ahead, as in spring": -3600,
    "ten minutes back": 600,
    "to 1970": T0_NS // SECOND_NS,
}


@pytest.mark.parametrize("name", STEPS)
async def test_the_clock_of_the_plant_is_set(name: str, tmp_path: Path) -> None:
    """All tags step at once: bad input for the patience, then verdicts; no number comes twice."""
    late_ns = STEPS[name] * SECOND_NS
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        before = await plant.rows(40)

        def shows(row: int) -> Shown:
            return Shown(well(row).value, 0, late_ns)

        patience = int(LEAP_PATIENCE_S / WINDOWING.period_s)
        during = await plant.rows(patience, shows, shows)
        assert not during[-1].verdict.decided
        assert set(during[-1].verdict.bad) == set(ROLES)
        after = await plant.rows(40, shows, shows)
        assert after[-1].verdict.decided
        assert plant.stream.leaps == 1
        numbers = [each.cut.number for each in (*before, *during, *after)]
        assert numbers == list(range(1, len(numbers) + 1))
        ends = [each.cut.window.end_ns for each in after[-5:]]
        assert ends == sorted(set(ends))
        assert abs(ends[-1] - (T0_NS + plant.row * PERIOD_NS - late_ns)) < SECOND_NS


async def test_a_boot_in_1970(tmp_path: Path) -> None:
    """A plant that lives in 1970 from the start, and one before it, is scored like any other."""
    for number, epoch_ns in enumerate((T0_NS, T0_NS + 60 * SECOND_NS)):
        with Ledger(tmp_path / f"w{number}") as ledger:
            plant = Plant(ledger)

            def shows(row: int, epoch_ns: int = epoch_ns) -> Shown:
                return Shown(well(row).value, 0, epoch_ns)

            found = await plant.rows(40, shows, shows)
            assert found[-1].verdict.decided
        with Ledger(tmp_path / f"w{number}") as ledger:
            assert ledger.last_end_ns == found[-1].cut.window.end_ns


@pytest.mark.parametrize("wrong_s", [0, 600, -600, -T0_NS // SECOND_NS])
async def test_our_own_clock_is_wrong(wrong_s: int, tmp_path: Path) -> None:
    """Ten minutes either way, or in 1970: data is taken as the plant dates it, and it is said."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger, wrong_ns=wrong_s * SECOND_NS)
        found = await plant.rows(20)
        plant.wrong_ns = 0
        found += await plant.rows(20)
        assert all(each.verdict.decided for each in found)
        assert (found[0].verdict.clock_ahead_s, found[-1].verdict.clock_ahead_s) == (-wrong_s, 0)
        ends = [each.verdict.ended for each in found]
        assert ends == sorted(set(ends))
        assert [each.cut.number for each in found] == list(range(1, len(found) + 1))


async def test_history_says_nothing_about_now(tmp_path: Path) -> None:
    """Values that fill a gap late move no clock, mask no tag and hold no row."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        await plant.rows(FROM)
        old = one(PRESSURE, Shown(7.0), T0_NS - 3600 * SECOND_NS)
        filled = SampleBatch(old.tags, old.values, old.source_ns, old.status, historical=True)
        plant.stream.take(filled)
        found = await plant.rows(20)
        assert all(each.verdict.decided for each in found)
        assert plant.stream.counts.off_time == 0
