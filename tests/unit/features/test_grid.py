"""The grid: what a cell holds, and that neither chunks nor order of arrival change it."""

from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.features.errors import ColumnError
from edge_core.features.grid import NO_TIME_NS, ROWS_MAX, Grid, GridSpec, Rows, period_ns, place
from edge_core.features.samples import CellQuality, Samples, join, severity
from tests.unit.features.strategies import (
    FIRST_ROW,
    LATENESS_NS,
    PERIOD_NS,
    ROWS,
    SPEC,
    Record,
    records,
    samples,
)

GOOD, UNCERTAIN, BAD, GAP, STUCK, STALE, *_ = CellQuality
NONE = float("nan")


@dataclass(frozen=True)
class Case:
    """Records of one tag with a stale limit of 2.5 rows, and the cells of rows 0 to 4."""

    records: list[tuple[float, int, int]]
    values: list[float]
    quality: list[CellQuality]


CASES = {
    "no sample at all: a gap without a value": Case([], [NONE] * 5, [GAP] * 5),
    "a sample on the row's instant belongs to that row": Case(
        [(1.0, GOOD, 0)], [1.0] * 5, [GOOD, GOOD, GOOD, STALE, STALE]
    ),
    "a sample just after the instant belongs to the next row": Case(
        [(1.0, GOOD, 1)], [NONE, 1.0, 1.0, 1.0, 1.0], [GAP, GOOD, GOOD, STALE, STALE]
    ),
    "a sample as old as it may be is not stale": Case(
        [(1.0, GOOD, -50)], [1.0] * 5, [GOOD, GOOD, GOOD, STALE, STALE]
    ),
    "an older sample is held from before the first row": Case(
        [(1.0, GOOD, -100)], [1.0] * 5, [GOOD, GOOD, STALE, STALE, STALE]
    ),
    "the last of two samples in one row counts": Case(
        [(1.0, GOOD, 10), (2.0, GOOD, 90)], [NONE, 2, 2, 2, 2], [GAP, GOOD, GOOD, GOOD, STALE]
    ),
    "arrival out of order changes nothing": Case(
        [(2.0, GOOD, 90), (1.0, GOOD, 10)], [NONE, 2, 2, 2, 2], [GAP, GOOD, GOOD, GOOD, STALE]
    ),
    "a bad sample masks, and the last good value is held under the mask": Case(
        [(1.0, GOOD, 0), (9.0, BAD, 100), (3.0, GOOD, 300)],
        [1, 1, 1, 3, 3],
        [GOOD, BAD, BAD, GOOD, GOOD],
    ),
    "an uncertain sample is kept and flagged": Case(
        [(1.0, GOOD, 0), (2.0, UNCERTAIN, 200)],
        [1, 1, 2, 2, 2],
        [GOOD, GOOD, UNCERTAIN, UNCERTAIN, UNCERTAIN],
    ),
    "a recorded gap masks at once, before any stale limit": Case(
        [(1.0, GOOD, 0), (NONE, GAP, 50), (2.0, GOOD, 300)],
        [1, 1, 1, 2, 2],
        [GOOD, GAP, GAP, GOOD, GOOD],
    ),
    "not a number is a bad sample, whatever its status": Case(
        [(1.0, GOOD, 0), (NONE, GOOD, 100)], [1] * 5, [GOOD, BAD, BAD, BAD, BAD]
    ),
    "infinity is a bad sample": Case([(float("inf"), GOOD, 0)], [NONE] * 5, [BAD] * 5),
    "of two with one source time the better quality counts": Case(
        [(1.0, GOOD, 0), (2.0, BAD, 0)], [1] * 5, [GOOD, GOOD, GOOD, STALE, STALE]
    ),
    "of two as good with one source time the larger value counts": Case(
        [(2.0, GOOD, 0), (1.0, GOOD, 0)], [2] * 5, [GOOD, GOOD, GOOD, STALE, STALE]
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_cells(case: Case) -> None:
    """Each row of the table is a rule about one cell."""
    rows = place(
        samples([(0, value, quality, at) for value, quality, at in case.records]),
        GridSpec(PERIOD_NS, (250,)),
        first=0,
        rows=5,
    )
    np.testing.assert_array_equal(rows.values[:, 0], np.array(case.values, np.float32))
    assert [CellQuality(cell) for cell in rows.quality[:, 0]] == case.quality


def same(one: Rows, other: Rows) -> None:
    """Equal to the bit, NaN included."""
    assert one.first == other.first
    np.testing.assert_array_equal(one.quality, other.quality)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.source_ns, other.source_ns)


def stacked(parts: list[Rows]) -> Rows:
    """Consecutive chunks as one."""
    return Rows(
        parts[0].first,
        parts[0].period_ns,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.source_ns for part in parts]),
    )


@given(records, st.randoms(use_true_random=False))
def test_order_never_decides(listed: list[Record], random: Random) -> None:
    """Any order of arrival gives the same rows, duplicates and ties included."""
    shuffled = list(listed)
    random.shuffle(shuffled)
    same(
        place(samples(listed), SPEC, FIRST_ROW, ROWS),
        place(samples(shuffled), SPEC, FIRST_ROW, ROWS),
    )


@given(records)
def test_repeats_change_nothing(listed: list[Record]) -> None:
    """A source that sends everything twice, as after a republish, gives the same rows."""
    once = place(samples(listed), SPEC, FIRST_ROW, ROWS)
    same(once, place(samples(listed + listed), SPEC, FIRST_ROW, ROWS))


@given(records, st.data())
def test_streaming_is_batch(listed: list[Record], data: st.DataObject) -> None:
    """Row by row with any order within the lateness gives what the batch gives."""
    delays = data.draw(
        st.lists(st.integers(0, LATENESS_NS), min_size=len(listed), max_size=len(listed))
    )
    steps = data.draw(st.lists(st.integers(1, 900), min_size=1, max_size=30))
    # A sample is in time if it is there at the advance that first could close its row.
    arrivals = sorted(
        zip(
            [record[3] + delay for record, delay in zip(listed, delays, strict=True)],
            listed,
            strict=True,
        ),
        key=lambda arrival: arrival[0],
    )
    end_ns = (FIRST_ROW + ROWS - 1) * PERIOD_NS + LATENESS_NS
    now_ns = FIRST_ROW * PERIOD_NS - 600
    grid = Grid(SPEC, FIRST_ROW)
    parts: list[Rows] = []
    for step in [*steps, end_ns]:
        now_ns = min(now_ns + step, end_ns)
        due = [record for at, record in arrivals if at <= now_ns]
        arrivals = [arrival for arrival in arrivals if arrival[0] > now_ns]
        if due:
            grid.add(samples(due))
        parts.append(grid.advance(now_ns))
    same(stacked(parts), place(samples(listed), SPEC, FIRST_ROW, ROWS))
    assert grid.next_row == FIRST_ROW + ROWS


def test_clock_back_closes_nothing() -> None:
    """A clock that steps back and forth gives every row once."""
    grid = Grid(GridSpec(100, (1000,)), 0)
    numbers: list[int] = []
    for now_ns in (250, 50, 250, 300, 0, 400):
        rows = grid.advance(now_ns)
        numbers += range(rows.first, rows.first + len(rows))
    assert numbers == [0, 1, 2, 3, 4]


def test_clock_leap_is_bounded() -> None:
    """A leap of the clock closes rows in chunks, and all of them in the end."""
    grid = Grid(GridSpec(100, (1000,)), 0)
    due = 2 * ROWS_MAX + 5
    sizes = []
    while size := len(grid.advance(100 * (due - 1))):
        sizes.append(size)
    assert sizes == [ROWS_MAX, ROWS_MAX, 5]


def test_counts_name_what_was_lost() -> None:
    """Late, future, unknown and superfluous samples are counted, each under its name."""
    grid = Grid(GridSpec(100, (1000,), ahead_ns=500, pending_max=4), 0)
    grid.advance(1000)
    grid.add(samples([(0, 1.0, GOOD, 900), (0, 2.0, GOOD, 1100), (7, 1.0, GOOD, 1100)]))
    grid.add(samples([(0, 3.0, GOOD, 9000), (0, 4.0, GOOD, 1200), (0, 5.0, GOOD, 1250)]))
    grid.advance(1300)
    counts = grid.counts
    assert (counts.late, counts.ahead, counts.unknown_tag, counts.overflow) == (1, 1, 1, 1)


BOUNDS: dict[str, tuple[list[Record], tuple[int, int, int, int]]] = {
    "as many as may wait": ([(0, 1.0, GOOD, 10)] * 3, (0, 0, 0, 0)),
    "one more than may wait": ([(0, 1.0, GOOD, 10)] * 4, (0, 0, 1, 0)),
    "as far ahead as may be": ([(0, 1.0, GOOD, 600)], (0, 0, 0, 0)),
    "farther ahead": ([(0, 1.0, GOOD, 601)], (0, 1, 0, 0)),
    "on the instant of a closed row": ([(0, 1.0, GOOD, 0)], (1, 0, 0, 0)),
    "just after it": ([(0, 1.0, GOOD, 1)], (0, 0, 0, 0)),
    "the first tag there is not": ([(1, 1.0, GOOD, 10)], (0, 0, 0, 1)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(name: str) -> None:
    """What is still taken and what is not: late, ahead, too much, unknown."""
    given_samples, lost = BOUNDS[name]
    grid = Grid(GridSpec(100, (1000,), ahead_ns=500, pending_max=3), 0)
    grid.advance(0)
    grid.add(samples(given_samples))
    grid.advance(100)
    counts = grid.counts
    assert (counts.late, counts.ahead, counts.overflow, counts.unknown_tag) == lost


def test_too_much_is_not_taken() -> None:
    """Of what is more than may wait the first samples are taken, and of no more batch any."""
    grid = Grid(GridSpec(100, (1000,), pending_max=3), 0)
    overflow = []
    for first in (1, 3, 5):
        grid.add(samples([(0, float(at), GOOD, 10 * at) for at in (first, first + 1)]))
        overflow.append(grid.counts.overflow)
    assert overflow == [0, 1, 3]
    assert grid.advance(100).values.tolist()[1] == [3.0]


def test_what_is_ahead_is_dropped_alone() -> None:
    """A sample of the future never counts; those beside it do, and it stays counted."""
    grid = Grid(GridSpec(100, (1000,), ahead_ns=500), 0)
    grid.add(samples([(0, 1.0, GOOD, 10), (0, 9.0, GOOD, 601), (0, 2.0, GOOD, 600)]))
    assert grid.advance(100).values.tolist()[1] == [1.0]
    grid.add(samples([(0, 3.0, GOOD, 250)]))
    assert grid.advance(700).values[:, 0].tolist() == [1.0, 3.0, 3.0, 3.0, 2.0, 2.0]
    assert grid.counts.ahead == 1


def test_an_empty_grid_has_room_for_all_it_may_hold() -> None:
    """What may wait may come at once, before anything else has."""
    grid = Grid(GridSpec(100, (1000,), pending_max=3), 0)
    grid.add(samples([(0, 1.0, GOOD, 10)] * 3))
    assert grid.counts.overflow == 0


def test_periods_are_whole_nanoseconds() -> None:
    """A period of a signature, in seconds, is rounded to the nanosecond."""
    assert [period_ns(seconds) for seconds in (1.0, 0.1, 1 / 3)] == [10**9, 10**8, 333_333_333]


def test_old_source_time_is_a_gap() -> None:
    """A sensor whose source time lags ten minutes gives stale cells, not values."""
    rows = place(samples([(0, 5.0, GOOD, 400)]), GridSpec(100, (250,)), 600, 3)
    assert (rows.quality == STALE).all()


def test_future_memory_is_bounded() -> None:
    """Samples of the past are not kept: after a row only the held ones remain."""
    grid = Grid(GridSpec(100, (1000,), pending_max=3), 0)
    for row in range(50):
        grid.add(samples([(0, 1.0, GOOD, row * 100), (0, 2.0, GOOD, row * 100)]))
        grid.advance(row * 100)
    assert grid.counts.overflow == 0


@pytest.mark.parametrize("tag", [3, 7])
def test_unknown_tag_is_refused_in_batch(tag: int) -> None:
    """A batch is our own making: a tag it does not have is an error, with the number."""
    with pytest.raises(ColumnError, match=f"tags below 3, found {tag}"):
        place(samples([(tag, 1.0, GOOD, 0)]), SPEC, 0, 1)


def test_columns_of_one_length() -> None:
    """Columns that differ in length are refused."""
    with pytest.raises(ColumnError, match=r"one length, found \[1, 2\]"):
        Samples(
            np.zeros(2, np.int32),
            np.zeros(1, np.float32),
            np.zeros(2, np.uint8),
            np.zeros(2, np.int64),
        )


def test_join_of_nothing() -> None:
    """No parts give no samples, of the right types."""
    nothing = join([])
    assert len(nothing) == 0
    assert nothing.values.dtype == np.float32


STATUS = {
    "good": (0x0000_0000, GOOD),
    "good, local override": (0x0096_0000, GOOD),
    "uncertain last usable value": (0x4090_0000, UNCERTAIN),
    "bad sensor failure": (0x808C_0000, BAD),
    "reserved severity": (0xC000_0000, BAD),
}


@pytest.mark.parametrize(("status", "quality"), STATUS.values(), ids=STATUS.keys())
def test_severity(status: int, quality: CellQuality) -> None:
    """The two top bits of an OPC UA status code decide."""
    assert severity(np.array([status], np.uint32)).tolist() == [quality]


def test_tags_keep_to_their_columns() -> None:
    """What one tag shows is in its own column, whoever else shows something at that time."""
    found = place(
        samples([(2, 5.0, GOOD, 0), (0, 3.0, GOOD, 0), (2, 6.0, BAD, 100), (0, 4.0, GOOD, 100)]),
        GridSpec(100, (1000, 1000, 1000)),
        first=0,
        rows=2,
    )
    assert (found.first, found.period_ns) == (0, 100)
    np.testing.assert_array_equal(found.values, [[3.0, NONE, 5.0], [4.0, NONE, 5.0]])
    assert found.quality.tolist() == [[GOOD, GAP, GOOD], [GOOD, GAP, BAD]]
    assert found.source_ns.tolist() == [[0, NO_TIME_NS, 0], [100, NO_TIME_NS, 0]]


def test_rows_of_nothing_have_the_types_of_rows() -> None:
    """Without samples there are cells all the same, and they fit onto those with samples."""
    for count in (0, 2):
        found = place(samples([]), SPEC, FIRST_ROW, count)
        assert (found.first, found.period_ns) == (FIRST_ROW, PERIOD_NS)
        assert found.values.shape == found.quality.shape == found.source_ns.shape == (count, 3)
        columns = (found.values, found.quality, found.source_ns)
        assert [column.dtype.name for column in columns] == ["float32", "uint8", "int64"]
