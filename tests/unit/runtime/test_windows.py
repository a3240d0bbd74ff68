"""Samples become numbered windows: each once, through swaps, restarts and clocks that jump."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from edge_core.clock import quality
from edge_core.features.samples import CellQuality
from edge_core.features.window import assess
from edge_runtime.clock import LEAP_PATIENCE_S
from edge_runtime.config import TagConfig
from edge_runtime.ledger import UNFINISHED_MAX, Ledger
from edge_runtime.sources.sample import GapCause, TagSample, batch_of, gaps
from edge_runtime.windows import CutWindow, WindowStream
from tests.simulators.releases import ROLES, WINDOWING

T0_NS = 1_795_305_600_000_000_000
PERIOD_NS = 50_000_000
TAGS = [TagConfig(role=role, unit="bar", source="s", address="x#y") for role in ROLES]
COLUMNS = {role: column for column, role in enumerate(ROLES)}


class Plant:
    """A stream with a hand on its clock."""

    def __init__(self, ledger: Ledger, *, offset_ns: int = 0) -> None:
        self.now_s = 1000.0
        self.offset_ns = offset_ns
        self.stream = WindowStream(TAGS, ledger, lateness_s=0.0, monotonic=lambda: self.now_s)
        self.stream.follow(WINDOWING)

    @property
    def source_ns(self) -> int:
        """The plant's own clock."""
        return T0_NS + self.offset_ns + round((self.now_s - 1000.0) * 1e9)

    def rows(self, count: int, roles: tuple[str, ...] = ROLES) -> list[CutWindow]:
        """Let *count* periods go by, with a value of each of *roles* in each."""
        found: list[CutWindow] = []
        for _ in range(count):
            samples = [TagSample(role, 1.0, CellQuality.GOOD, self.source_ns) for role in roles]
            self.stream.take(batch_of(samples, COLUMNS))
            found += self.stream.cut()
            self.now_s += PERIOD_NS / 1e9
        return found


def test_numbers(tmp_path: Path) -> None:
    """Windows come once a stride and are numbered without a hole."""
    with Ledger(tmp_path / "w") as ledger:
        windows = Plant(ledger).rows(40)
        assert [window.number for window in windows] == list(range(1, len(windows) + 1))
        assert len(windows) == (40 - 8) // 4 + 1
        assert windows[0].window.values.shape == (8, 2)
        starts = [window.window.start_ns for window in windows]
        assert set(np.diff(starts)) == {4 * PERIOD_NS}


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """A restart gives no number twice and cuts no rows again."""
    with Ledger(tmp_path / "w") as ledger:
        before = Plant(ledger).rows(40)
        for window in before:
            ledger.out(window.number, scored=True)
    with Ledger(tmp_path / "w") as ledger:
        after = Plant(ledger).rows(60)
    assert after[0].number == before[-1].number + 1
    assert after[0].window.end_ns > before[-1].window.end_ns


def test_another_windowing(tmp_path: Path) -> None:
    """When a model that cuts otherwise takes over, the numbers go on."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        before = plant.rows(20)
        plant.stream.follow(msgspec.structs.replace(WINDOWING, length_rows=4, stride_rows=2))
        after = plant.rows(20)
        assert after[0].number == before[-1].number + 1
        assert after[0].window.values.shape == (4, 2)


def test_value_that_does_not_change(tmp_path: Path) -> None:
    """A tag that spoke once is known for ever, also when the grid starts anew."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        plant.rows(1)
        plant.rows(20, roles=("flow",))
        plant.stream.follow(msgspec.structs.replace(WINDOWING, stride_rows=2))
        window = plant.rows(20, roles=("flow",))[-1].window
        assert window.good_share.tolist() == [1.0, 1.0]


class Late(NamedTuple):
    """What is known of both tags, how late their values come, and what becomes of the windows."""

    stale_s: float | None
    late_rows: int
    silent: tuple[str, ...] = ()
    scorable: bool = True
    true: bool = True  # the flow in them is what it was


LATE_FROM, LATE_FOR, ALLOWED_ROWS = 40, 20, 4
LATE = {
    "sent in every period, as late as allowed: judged as it was": Late(0.2, ALLOWED_ROWS),
    "sent in every period, later than that: missing": Late(0.2, 30, scorable=False, true=False),
    "not known to be sent in every period: held": Late(None, 30, true=False),
    "sent when it changes, and it does not: held": Late(None, 0, silent=("pressure",)),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
def test_late_source(tmp_path: Path, late: Late) -> None:
    """What is late is missing where the tag is known to be cyclic, and nothing is ever guessed."""
    tags = [msgspec.structs.replace(tag, stale_s=late.stale_s) for tag in TAGS]
    now_s, windows = 1000.0, []
    waiting: list[tuple[int, list[TagSample]]] = []
    with Ledger(tmp_path / "w") as ledger:
        stream = WindowStream(
            tags,
            ledger,
            lateness_s=ALLOWED_ROWS * PERIOD_NS / 1e9,
            monotonic=lambda: now_s,
        )
        stream.follow(WINDOWING)
        for row in range(LATE_FROM + 4 * LATE_FOR):
            within = LATE_FROM <= row < LATE_FROM + LATE_FOR
            roles = [role for role in ROLES if not (within and role in late.silent)]
            at_ns = T0_NS + row * PERIOD_NS
            samples = [TagSample(role, float(row), CellQuality.GOOD, at_ns) for role in roles]
            waiting.append((row + late.late_rows * within, samples))
            for due in [each for each in waiting if each[0] <= row]:
                stream.take(batch_of(due[1], COLUMNS))
                waiting.remove(due)
            windows += stream.cut()
            now_s += PERIOD_NS / 1e9
    begun_ns = T0_NS + (LATE_FROM + LATE_FOR // 2) * PERIOD_NS
    ended_ns = T0_NS + (LATE_FROM + LATE_FOR) * PERIOD_NS
    found = [each.window for each in windows if begun_ns <= each.window.end_ns < ended_ns]
    assert found
    for window in found:
        judged = assess(window, WINDOWING, ROLES)
        assert judged.scorable is late.scorable
        assert late.scorable or "nothing recent arrived" in judged.reason
        last_row = (window.end_ns - T0_NS) // PERIOD_NS
        assert (window.values[-1, 0] == last_row) == late.true
    # Before and long after it everything is judged.
    assert assess(windows[0].window, WINDOWING, ROLES).scorable
    assert assess(windows[-1].window, WINDOWING, ROLES).scorable


def test_gap(tmp_path: Path) -> None:
    """From a gap on nothing is known until the next value."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        plant.rows(20)
        plant.stream.take(gaps([COLUMNS["pressure"]], plant.source_ns, GapCause.CONNECTION))
        window = plant.rows(12, roles=("flow",))[-1].window
        assert window.good_share.tolist() == [1.0, 0.0]
        assert plant.stream.counts.gaps == 1


def test_clock_of_the_plant_is_set(tmp_path: Path) -> None:
    """When the plant's clock is set back by an hour, windows come again after a while."""
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        before = plant.rows(40)
        plant.offset_ns = -3_600_000_000_000
        after = plant.rows(int(LEAP_PATIENCE_S * 20) + 40)
        fresh = [each for each in after if each.window.end_ns < before[0].window.start_ns]
        assert fresh
        assert min(fresh[-1].window.good_share) == 1.0
        numbers = [each.number for each in (*before, *after)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_ledger_counts(tmp_path: Path) -> None:
    """What is given out and never comes out is dropped; what comes twice is doubled."""
    with Ledger(tmp_path / "w") as ledger:
        for _ in range(5):
            ledger.give(0)
        ledger.out(1, scored=True)
        ledger.out(3, scored=False)
        ledger.out(3, scored=True)
        counts = ledger.counts
        assert (counts.cut, counts.scored, counts.no_verdict) == (5, 2, 1)
        assert (counts.dropped, counts.doubled) == (1, 1)
    with Ledger(tmp_path / "w") as ledger:
        assert list(ledger.unfinished) == [4, 5]  # still owed to whoever listens
        for number in ledger.unfinished:
            ledger.out(number, scored=False)
        assert not ledger.unfinished
        assert (ledger.counts.dropped, ledger.counts.no_verdict) == (1, 3)
        assert ledger.give(0) == 6


def test_ledger_that_owes_too_much(tmp_path: Path) -> None:
    """A damaged count is not announced one by one for hours."""
    with Ledger(tmp_path / "w") as ledger:
        for _ in range(UNFINISHED_MAX + 7):
            ledger.give(0)
    with Ledger(tmp_path / "w") as ledger:
        assert len(ledger.unfinished) == UNFINISHED_MAX
        assert ledger.counts.dropped == 7


def test_foreign_ledger(tmp_path: Path) -> None:
    """A file of something else is not believed."""
    (tmp_path / "w").write_bytes(b"x" * 64)
    with Ledger(tmp_path / "w") as ledger:
        assert ledger.counts.cut == 0


def test_clock_quality() -> None:
    """The kernel answers without rights, whatever it says."""
    assert quality().error_max_us >= 0
